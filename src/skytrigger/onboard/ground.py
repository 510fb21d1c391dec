"""The ground's side: what arrived becomes maps again, and what did not arrive stays empty.

    reassemble("out")            # out/ground/SCENE/landcover.tif, landcover.parquet, item.json; summary.json
    reassemble("out", until=3)   # as it stood after pass 3, in out/ground/after_003

Everything is made from the packets alone; only passes.json, the schedule that a ground station has, is read besides.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.files import atomic_path, read_json, write_json
from skytrigger.core.progress import track
from skytrigger.eo.scene.grid import Grid
from skytrigger.eo.scene.legend import NO_DATA, Entry, legend
from skytrigger.eo.scene.write_raster import percent, write_cog
from skytrigger.eo.scene.write_vectors import cell_rings, corners, write_cells
from skytrigger.onboard.codecs import TIERS, decode_bands
from skytrigger.onboard.ground_item import ground_item
from skytrigger.onboard.packet_format import Frame, Item
from skytrigger.onboard.received import Ground, Known, receive, write_received

BANDS = ("class", "confidence_percent", "tier", "pass")
_NAMED = ("rejected", "cloud")  # what a map has besides the model's classes
_LAST_PASS = NO_DATA - 1


def reassemble(folder: str | Path, *, until: int | None = None, pixels: bool = False) -> dict[str, Any]:
    """Make the products of everything that arrived.

    Parameters
    ----------
    folder
        A replay's folder: ``packets/pass_NNN.bin``.
    until
        The last pass that counts; products go to ``ground/after_NNN`` then.
    pixels
        Also decode every tile that came with pixels into ``SCENE/tiles/ROW_COLUMN.tif``.

    Returns
    -------
    dict
        The summary that is written: for each scene the share of cells that is known and by which tier, the faults.

    Raises
    ------
    InputError
        No packets.
    """
    folder = Path(folder)
    out = folder / "ground" if until is None else folder / "ground" / f"after_{until:03d}"
    before = _scenes_of(out)
    tiles: list[Item] = []
    ground = receive(folder, until=until, keep=tiles.append if pixels else None)
    write_received(ground, out / "received.parquet")
    entries = _legend(ground.classes)
    by_scene = ground.by_scene()
    for scene in set(before) - set(by_scene):  # of another replay into this folder
        shutil.rmtree(out / folder_of(scene), ignore_errors=True)
    scenes = {}
    with track("maps as received", float(max(1, len(by_scene)))) as advance:
        for scene, here in by_scene.items():
            scenes[scene] = _scene(ground, scene, here, entries, out / folder_of(scene))
            advance()
    undecodable = _write_tiles(tiles, ground, out) if pixels else []
    placed = [s for s in scenes.values() if s["cells"]]
    cells, known = (sum(s[k] for s in placed) for k in ("cells", "cells_received"))
    summary = {
        "passes": ground.passes, "until": until, "tiles": len(ground.tiles),
        "cells": cells, "share_received": known / cells if cells else None,
        "faults": ground.fault_counts(), "undecodable": undecodable, "scenes": scenes,
        "fault_list": [{"pass": n, **vars(f)} for n, f in ground.faults[:1000]],
    }  # fmt: skip
    write_json(out / "summary.json", summary)
    return summary


def _scenes_of(out: Path) -> list[str]:
    """Scenes of the products that lie there; their summary is taken away, since it says that they are whole."""
    path = out / "summary.json"
    try:
        found = read_json(path)["scenes"] if path.exists() else {}
    except (InputError, KeyError, TypeError):
        found = {}
    path.unlink(missing_ok=True)
    return [str(scene) for scene in found]


def folder_of(scene: str) -> str:
    """A scene's name as a folder's: other characters replaced, and then told apart by a hash."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", scene).lstrip(".")[:80]
    return plain if plain == scene else f"{plain}-{hashlib.sha256(scene.encode()).hexdigest()[:8]}"


def cells_of(frame: Frame) -> Grid:
    """The grid whose pixels are the scene's cells."""
    return Grid(frame.crs, frame.left, frame.top, frame.cell_m, frame.columns, frame.rows)


def _legend(classes: list[str]) -> tuple[Entry, ...]:
    return legend(tuple(c for c in classes if c.lower() not in _NAMED))


def _scene(
    ground: Ground, scene: str, here: dict[tuple[int, int], Known], entries: tuple[Entry, ...], out: Path
) -> dict[str, Any]:
    """Write a scene's products; what its summary says."""
    frame = ground.frames.get(scene)
    if frame is None or not _placed(frame):
        what = "did not" if frame is None else "is none that is known"
        note = f"{len(here)} tiles arrived, the scene's place on the ground {what}: no map"
        return {"cells": 0, "cells_received": len(here), "share_received": None, "notes": [note]}
    inside = {p: k for p, k in here.items() if p[0] < frame.rows and p[1] < frame.columns}
    facts = _facts(frame, here, inside, ground)
    grid = cells_of(frame)
    arrays = _arrays(frame, inside, entries)
    confidence = percent(arrays["confidence"], arrays["codes"])
    bands = (arrays["codes"], confidence, arrays["tier"], np.minimum(arrays["pass"], _LAST_PASS).astype(np.uint8))
    for band in bands[2:]:
        band[arrays["codes"] == NO_DATA] = NO_DATA
    tags = {"SCENE": scene, "SHARE_RECEIVED": f"{facts['share_received']:.6f}", "TIERS": ", ".join(TIERS)}
    write_cog(out / "landcover.tif", bands, BANDS, grid, entries, tags)
    _write_parquet(out / "landcover.parquet", grid, arrays, entries)
    write_json(out / "item.json", ground_item(frame, grid, entries, facts))
    write_json(out / "summary.json", facts)
    return facts


def _placed(frame: Frame) -> bool:
    """Whether the corners lie somewhere on the Earth; a frame comes over the link like all else."""
    warp = require("rasterio.warp", why="maps as received")
    left, bottom, right, top = cells_of(frame).bounds
    try:
        found = warp.transform(frame.crs, "EPSG:4326", [left, right], [bottom, top])
    except Exception:  # GDAL and PROJ have a dozen kinds for what is no CRS, or outside of one
        return False
    return bool(np.isfinite(found).all())


def _facts(frame: Frame, here: dict[Any, Known], inside: dict[Any, Known], ground: Ground) -> dict[str, Any]:
    cells = frame.rows * frame.columns
    notes = [f"{cells - len(inside)} of {cells} cells have no data: nothing of them has arrived."]
    if len(here) > len(inside):
        notes.append(f"{len(here) - len(inside)} tiles lie outside the scene's own cells and are left out.")
    if faults := ground.fault_counts():
        notes.append("On the link: " + ", ".join(f"{n} {kind}" for kind, n in faults.items()) + " (all scenes).")
    classes = Counter(k.class_name for k in inside.values())
    return {
        "cells": cells, "cells_received": len(inside), "share_received": len(inside) / cells,
        "by_tier": {t: sum(t in k.tiers for k in inside.values()) for t in TIERS},
        "classes": dict(classes.most_common()),
        "mean_confidence": float(np.mean([k.confidence for k in inside.values()])) if inside else None,
        "first_pass": min((k.first_pass for k in inside.values()), default=None),
        "last_pass": max((k.first_pass for k in inside.values()), default=None), "notes": notes,
    }  # fmt: skip


def _arrays(frame: Frame, inside: dict[Any, Known], entries: tuple[Entry, ...]) -> dict[str, NDArray[Any]]:
    """(rows, columns) of each cell, no data where nothing arrived."""
    shape = (frame.rows, frame.columns)
    code_of = {e.key: e.value for e in entries}
    code_of |= {k.class_name: code_of[k.class_name.lower()] for k in inside.values() if k.class_name.lower() in _NAMED}
    found: dict[str, NDArray[Any]] = {
        "codes": np.full(shape, NO_DATA, np.uint8), "confidence": np.zeros(shape, np.float32),
        "tier": np.full(shape, NO_DATA, np.uint8), "pass": np.zeros(shape, np.int32),
        "t_sensed_s": np.full(shape, np.nan),
    }  # fmt: skip
    for place, known in inside.items():
        found["codes"][place] = code_of[known.class_name]
        found["confidence"][place] = known.confidence
        found["tier"][place] = TIERS.index(known.best())
        found["pass"][place] = known.first_pass
        found["t_sensed_s"][place] = known.t_sensed_s
    return found


def _write_parquet(path: Path, grid: Grid, arrays: dict[str, NDArray[Any]], entries: tuple[Entry, ...]) -> None:
    """GeoParquet of the cells that arrived."""
    keep = np.flatnonzero(arrays["codes"].reshape(-1) != NO_DATA)
    flat = {name: values.reshape(-1)[keep] for name, values in arrays.items()}
    names = np.full(256, "", object)
    names[[e.value for e in entries]] = [e.key for e in entries]
    row, column = np.divmod(keep, grid.width)
    tiers = np.array(TIERS, object)
    data = {
        "row": row.astype(np.int32), "column": column.astype(np.int32), "code": flat["codes"],
        "class": names[flat["codes"]], "confidence": flat["confidence"], "tier": tiers[flat["tier"]],
        "pass": flat["pass"], "t_sensed_s": flat["t_sensed_s"],
    }  # fmt: skip
    rings = cell_rings(corners(grid, grid)).reshape(-1, 5, 2)[keep]
    write_cells(path, data, rings, grid.crs)


def _write_tiles(items: list[Item], ground: Ground, out: Path) -> list[str]:
    """Pixels of each tile as GeoTIFF; the tiles that cannot be decoded, although every bit of them arrived."""
    rasterio = require("rasterio", why="pixels as GeoTIFF")
    bad = []
    for item in items:
        scene, row, column = item.place()
        frame = ground.frames.get(scene)
        try:
            bands = decode_bands(item.payload)
        except InputError as error:
            bad.append(f"{item.tile}: {error.problem}")
            continue
        if frame is None:
            continue
        left, top = frame.left + column * frame.cell_m, frame.top - row * frame.cell_m
        for shape in dict.fromkeys(b.shape for b in bands):
            same = [b for b in bands if b.shape == shape]
            pixel = frame.cell_m / shape[1]
            kind = "" if len(same) == len(bands) else f"_{pixel:.0f}m"
            profile = {"driver": "GTiff", "width": shape[1], "height": shape[0], "count": len(same), "nodata": 0,
                       "dtype": "uint16", "crs": frame.crs, "compress": "deflate",
                       "transform": rasterio.Affine(pixel, 0, left, 0, -pixel, top)}  # fmt: skip
            path = out / folder_of(scene) / "tiles" / f"{row:04d}_{column:04d}_{item.tier}{kind}.tif"
            with atomic_path(path) as temporary, rasterio.open(temporary, "w", **profile) as target:
                target.write(np.stack(same))
    return bad
