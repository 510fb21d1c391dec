"""summary.json: what the map shows, how sure that is, and how long it took."""

from __future__ import annotations

from typing import Any

import numpy as np

from skytrigger.eo.scene.area import Z95, areas_km2, corrected_areas
from skytrigger.eo.scene.cells import Cells
from skytrigger.eo.scene.decide import LandCover
from skytrigger.eo.scene.legend import NO_DATA
from skytrigger.eo.scene.model import NATIVE_M, Scene
from skytrigger.eo.scene.reject import SceneFacts

SCHEMA = 1


def map_facts(scene: Scene, cells: Cells, cover: LandCover, facts: SceneFacts | None) -> dict[str, Any]:
    """Counts, areas, and what a reader has to know about the scene."""
    cell_km2 = (cells.map_grid.pixel_m / 1000) ** 2
    area = areas_km2(cover.codes, cover.cells.valid, cell_km2, [e.value for e in cover.entries])
    keys = [e.key for e in cover.entries]
    result: dict[str, Any] = {
        "tiles": int(cover.codes.size),
        "tiles_classified": int((cover.codes < len(cover.classes)).sum()),
        "tiles_no_data": cover.count(NO_DATA),
        "tiles_rejected": cover.count(len(cover.classes)),
        "tiles_cloud": cover.count(len(cover.classes) + 1),
        "area_km2": dict(zip(keys, area.round(4).tolist(), strict=True)),
        "area_with_data_km2": round(float(area.sum()), 4),
        **_corrected(cover, area, facts),
        "mean_confidence": _mean(cover.confidence[cover.codes < len(cover.classes)]),
        "cell_m": cells.map_grid.pixel_m,
        "pixel_m": scene.grid.pixel_m,
        "off_scale": scene.off_scale,
        "notes": notes(scene, cover, facts),
    }
    return result


def _mean(values: Any) -> float | None:
    return round(float(np.mean(values)), 4) if values.size else None


def _corrected(cover: LandCover, area: Any, facts: SceneFacts | None) -> dict[str, Any]:
    """Areas that the confusion on test tiles implies; only where the model's confusion is known."""
    if facts is None:
        return {"area_corrected_km2": None, "area_interval_95_km2": None}
    n = len(cover.classes)
    estimate, error = corrected_areas(area[:n], facts.confusion)
    half = Z95 * error
    return {
        "area_corrected_km2": dict(zip(cover.classes, estimate.round(4).tolist(), strict=True)),
        "area_interval_95_km2": {
            c: [round(max(0.0, float(e - h)), 4), round(float(e + h), 4)]
            for c, e, h in zip(cover.classes, estimate, half, strict=True)
        },
        "area_error_source": facts.confusion_source,
    }


def _holes(cover: LandCover) -> list[str]:
    """Cells without a class for want of one band: see `stream`."""
    means = cover.cells.means
    without = np.expand_dims((cover.cells.seen == 0) & (means > 0).any(-1), -1) & (means == 0)
    counts = {name: int(without[..., i].sum()) for i, name in enumerate(cover.planes) if without[..., i].any()}
    if not counts:
        return []
    listed = ", ".join(f"{name} in {n:,}" for name, n in counts.items())
    return [f"Bands without data in cells where others have it: {listed}. Was a file written or downloaded in part?"]


def notes(scene: Scene, cover: LandCover, facts: SceneFacts | None) -> list[str]:
    """Plain sentences for people."""
    found = list(scene.notes)
    if scene.off_scale:
        found.append(
            f"Off scale: the pixels are {scene.grid.pixel_m:.4g} m, the network was trained on {NATIVE_M:g} m. A cell "
            "covers another extent than in training; its classes are a demonstration, not a land-cover product."
        )
    if scene.reduce:
        found.append(f"Decoded at 1/{2**scene.reduce} of the resolution and interpolated back.")
    found += _holes(cover)
    if np.isnan(cover.cells.cloud).all():
        found.append("Not screened for clouds: bands B02 and B11, or SCL, are needed.")
    if facts is None or facts.reject is None:
        found.append("No limits are known for this model: tiles unlike all its classes get one of them all the same.")
    if facts is None:
        found.append("The model's confusion is not known: areas are given as mapped, without an error.")
    return found
