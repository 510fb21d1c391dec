"""Areas of interest: GeoJSON polygons in longitude and latitude, and which points lie in them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json

Floats = NDArray[np.float64]
Polygon = list[Floats]  # rings of (n, 2) longitude and latitude; the first is the outer one


def read_areas(path: str | Path) -> list[Polygon]:
    """Polygons of a GeoJSON file (RFC 7946): geometries, features and collections of them.

    Raises
    ------
    InputError
        Not GeoJSON, or no polygon in it.
    """
    found: list[Polygon] = []
    _collect(read_json(path), found, str(path))
    if not found:
        raise InputError(f"{path} holds no polygon", expected="GeoJSON with Polygon or MultiPolygon")
    return found


def _collect(node: Any, found: list[Polygon], where: str) -> None:
    kind = node.get("type") if isinstance(node, dict) else None
    if kind == "FeatureCollection":
        for feature in node.get("features", []):
            _collect(feature, found, where)
    elif kind == "Feature":
        _collect(node.get("geometry"), found, where)
    elif kind == "GeometryCollection":
        for geometry in node.get("geometries", []):
            _collect(geometry, found, where)
    elif kind == "Polygon":
        found.append(_polygon(node.get("coordinates"), where))
    elif kind == "MultiPolygon":
        found.extend(_polygon(rings, where) for rings in node.get("coordinates", []))
    elif kind not in ("Point", "MultiPoint", "LineString", "MultiLineString"):
        raise InputError(f"{where}: {kind!r} is no GeoJSON type", expected="FeatureCollection, Feature, Polygon")


def _polygon(rings: Any, where: str) -> Polygon:
    try:
        arrays = [np.array([point[:2] for point in ring], np.float64) for ring in rings]
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(f"{where}: a polygon's coordinates are no lists of numbers") from error
    if not arrays or any(a.ndim != 2 or len(a) < 4 or not np.isfinite(a).all() for a in arrays):
        raise InputError(f"{where}: a polygon whose ring has fewer than 4 points", expected="closed rings")
    return arrays


def inside(polygons: list[Polygon], longitude: Floats, latitude: Floats) -> NDArray[np.bool_]:
    """Whether points lie in any polygon: a ray to the east crosses its rings an odd number of times."""
    x, y = np.broadcast_arrays(np.asarray(longitude, np.float64), np.asarray(latitude, np.float64))
    result = np.zeros(x.shape, bool)
    for rings in polygons:
        low, high = rings[0].min(axis=0), rings[0].max(axis=0)
        near = (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1])
        if not near.any():
            continue
        px, py = x[near], y[near]
        odd = np.zeros(px.shape, bool)
        for ring in rings:
            for (x1, y1), (x2, y2) in pairwise(ring):
                if y1 == y2:
                    continue
                across = (y1 > py) != (y2 > py)
                odd ^= across & (px < (x2 - x1) * (py - y1) / (y2 - y1) + x1)
        result[near] |= odd
    return result
