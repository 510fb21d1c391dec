"""item.json of a map as received: a STAC 1.1 item that says how much of the scene is there."""

from __future__ import annotations

from typing import Any

from skytrigger.eo.scene.grid import Grid
from skytrigger.eo.scene.legend import NO_DATA, Entry
from skytrigger.eo.scene.write_item import COG, EXTENSIONS, class_objects, footprint, map_properties
from skytrigger.onboard.codecs import TIERS
from skytrigger.onboard.packet_format import Frame

_USED = ("classification", "processing", "projection")


def ground_item(frame: Frame, cells: Grid, entries: tuple[Entry, ...], facts: dict[str, Any]) -> dict[str, Any]:
    """The item; its assets lie beside it."""
    geometry, bbox = footprint(cells)
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [EXTENSIONS[name] for name in _USED],
        "id": f"{frame.scene}-received",
        "geometry": geometry,
        "bbox": bbox,
        "properties": _properties(frame, cells, facts),
        "links": [],
        "assets": _assets(entries, cells),
    }


def _properties(frame: Frame, cells: Grid, facts: dict[str, Any]) -> dict[str, Any]:
    about = f"Land cover as far as it was received: {facts['cells_received']} of {facts['cells']} cells."
    lineage = f"classified on board, sent as CCSDS space packets; {frame.scene}"
    return {
        **map_properties(cells, frame.time, about, lineage),
        "skytrigger:share_received": round(facts["share_received"], 6),
        "skytrigger:cells": facts["cells"],
        "skytrigger:cells_received": facts["cells_received"],
        "skytrigger:cells_by_tier": facts["by_tier"],
    }


def _assets(entries: tuple[Entry, ...], cells: Grid) -> dict[str, Any]:
    classes = class_objects(entries)
    what = {
        "class": "Code of the class; no data where nothing arrived",
        "confidence_percent": "Probability of the class, percent",
        "tier": "The most that arrived of the cell: " + ", ".join(f"{i} {t}" for i, t in enumerate(TIERS)),
        "pass": "Pass that brought the class; 254 for all later ones",
    }
    bands: list[dict[str, Any]] = [
        {"name": n, "description": d, "data_type": "uint8", "nodata": NO_DATA} for n, d in what.items()
    ]
    bands[0]["classification:classes"] = classes
    return {
        "landcover": {
            "href": "./landcover.tif", "type": COG, "title": "Land cover as received", "roles": ["data"],
            "bands": bands, "classification:classes": classes, "gsd": cells.pixel_m,
        },
        "cells": {"href": "./landcover.parquet", "type": "application/vnd.apache.parquet", "roles": ["data"]},
        "summary": {"href": "./summary.json", "type": "application/json", "roles": ["metadata"]},
    }  # fmt: skip
