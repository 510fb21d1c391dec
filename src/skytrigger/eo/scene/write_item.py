"""item.json: the map as a STAC 1.1 item with the classification, processing, projection and MLM extensions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger import __version__
from skytrigger.core.files import write_json
from skytrigger.eo.scene.decide import LandCover
from skytrigger.eo.scene.engine import ModelFile
from skytrigger.eo.scene.grid import Grid
from skytrigger.eo.scene.legend import NO_DATA, Entry
from skytrigger.eo.scene.model import Scene
from skytrigger.eo.scene.write_raster import BAND_NAMES
from skytrigger.eo.scene.write_vectors import polygon, to_lonlat

EXTENSIONS = {
    "classification": "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "projection": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "mlm": "https://stac-extensions.github.io/mlm/v1.4.0/schema.json",
}
COG = "image/tiff; application=geotiff; profile=cloud-optimized"


def write_item(
    path: Path, scene: Scene, cells: Grid, cover: LandCover, model: ModelFile, engine: dict[str, Any]
) -> None:
    """Write the item; its assets are the files beside it and the model file."""
    geometry, bbox = footprint(scene.grid)
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(EXTENSIONS.values()),
        "id": f"{scene.name}-landcover",
        "geometry": geometry,
        "bbox": bbox,
        "properties": _properties(scene, cells, model, engine),
        "links": [],
        "assets": _assets(cells, cover, model),
    }
    write_json(path, item)


def footprint(grid: Grid) -> tuple[dict[str, Any], list[float]]:
    """Outline of the scene in degrees, ten points a side, cut at the antimeridian, and its bounding box (RFC 7946)."""
    left, bottom, right, top = grid.bounds
    t = np.linspace(0, 1, 11)[:-1]
    sides = [
        (left + t * (right - left), np.full(10, bottom)), (np.full(10, right), bottom + t * (top - bottom)),
        (right - t * (right - left), np.full(10, top)), (np.full(10, left), top - t * (top - bottom)),
    ]  # fmt: skip
    ring = np.concatenate([np.stack(s, -1) for s in sides])
    ring = to_lonlat(grid.crs, np.concatenate([ring, ring[:1]]))
    shape = polygon(ring)
    lon = ring[:, 0] if shape["type"] == "Polygon" else np.where(ring[:, 0] < 0, ring[:, 0] + 360, ring[:, 0])
    west, east = float(lon.min()), float(lon.max())
    east = east - 360 if east > 180 else east
    box = [west, float(ring[:, 1].min()), east, float(ring[:, 1].max())]
    return shape, [round(v, 6) for v in box]


def _properties(scene: Scene, cells: Grid, model: ModelFile, engine: dict[str, Any]) -> dict[str, Any]:
    level, card = scene.level or "level unknown", model.card
    about = "Land cover of one Sentinel-2 scene, one class for each cell of the grid."
    lineage = f"skytrigger classify, {card.name} on {scene.name} ({scene.kind}, {level})"
    return {
        **map_properties(cells, scene.time, about, lineage),
        "mlm:name": model.path.stem,
        "mlm:architecture": card.name,
        "mlm:tasks": ["scene-classification"],
        "mlm:framework": "ONNX",
        "mlm:framework_version": str(engine.get("version", "")) or "unknown",
        "mlm:input": [_model_input(model)],
        "mlm:output": [_model_output(model)],
    }


def map_properties(cells: Grid, time: str, about: str, lineage: str) -> dict[str, Any]:
    """What the items of all maps say: times, place, software. `time`: ISO 8601, or empty where it is not known."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if not time:
        about += " The sensing time is not known: datetime is when the map was made."
    code = {"proj:code": cells.crs} if cells.crs.startswith("EPSG:") else {"proj:wkt2": cells.crs}
    return {
        "datetime": time or now,
        "created": now,
        "description": about,
        "gsd": cells.pixel_m,
        **code,
        "proj:shape": [cells.height, cells.width],
        "proj:transform": list(cells.transform),
        "processing:lineage": lineage,
        "processing:software": {"skytrigger": __version__},
        "processing:datetime": now,
    }


def _model_input(model: ModelFile) -> dict[str, Any]:
    card = model.card
    return {
        "name": "Sentinel-2 tiles, reflectance x 10000, 0 for no data",
        "bands": [{"name": band} for band in card.channels],
        "input": {
            "shape": [-1, len(card.channels), *card.size],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": [
            {"type": "z-score", "mean": m, "stddev": s} for m, s in zip(card.mean, card.std, strict=True)
        ],
    }


def _model_output(model: ModelFile) -> dict[str, Any]:
    classes = model.card.classes
    return {
        "name": "logits",
        "tasks": ["scene-classification"],
        "result": {"shape": [-1, len(classes)], "dim_order": ["batch", "class"], "data_type": "float32"},
        "classification:classes": [{"value": i, "name": name, "title": name} for i, name in enumerate(classes)],
    }


def class_objects(entries: tuple[Entry, ...]) -> list[dict[str, Any]]:
    """The map's values as the classification extension writes them."""
    found: list[dict[str, Any]] = [
        {"value": e.value, "name": e.key, "title": e.title, "color_hint": e.colour[1:].upper()} for e in entries
    ]
    return [*found, {"value": NO_DATA, "name": "no_data", "title": "No data", "nodata": True}]


def _assets(cells: Grid, cover: LandCover, model: ModelFile) -> dict[str, Any]:
    classes = class_objects(cover.entries)
    what = ("Code of the class", "Probability of the class, percent", "Share of the cell with data, percent")
    bands = [
        {"name": n, "description": d, "data_type": "uint8", "nodata": NO_DATA}
        for n, d in zip(BAND_NAMES, what, strict=True)
    ]
    bands[0]["classification:classes"] = classes
    return {
        "landcover": {
            "href": "./landcover.tif", "type": COG, "title": "Land cover", "roles": ["data"], "bands": bands,
            "classification:classes": classes, "gsd": cells.pixel_m,
        },
        "cells": {"href": "./landcover.parquet", "type": "application/vnd.apache.parquet", "roles": ["data"]},
        "cells_geojson": {"href": "./landcover.geojson", "type": "application/geo+json", "roles": ["data"]},
        "quicklook": {"href": "./quicklook.png", "type": "image/png", "roles": ["overview"]},
        "page": {"href": "./map.html", "type": "text/html", "roles": ["overview"]},
        "summary": {"href": "./summary.json", "type": "application/json", "roles": ["metadata"]},
        "model": {
            "href": model.path.resolve().as_uri(), "type": "application/octet-stream; application=onnx",
            "title": "Model file, sha256 " + model.sha256, "roles": ["mlm:model"],
            "mlm:artifact_type": "onnx",
        },
    }  # fmt: skip
