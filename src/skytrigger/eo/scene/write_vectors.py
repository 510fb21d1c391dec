"""landcover.parquet (GeoParquet 1.1) and landcover.geojson: one polygon a cell."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.extras import require
from skytrigger.core.files import atomic_path
from skytrigger.eo.scene.arrow_column import arrow_column
from skytrigger.eo.scene.decide import LandCover
from skytrigger.eo.scene.grid import Grid
from skytrigger.eo.scene.indices import indices
from skytrigger.eo.scene.legend import NO_DATA

Floats = NDArray[np.float64]


def corners(grid: Grid, cells: Grid) -> Floats:
    """(rows + 1, columns + 1, 2) x, y of the cells' corners, cut at the scene's edge; metres."""
    left, bottom, right, top = grid.bounds
    xs = np.minimum(left + np.arange(cells.width + 1) * cells.pixel_m, right)
    ys = np.maximum(top - np.arange(cells.height + 1) * cells.pixel_m, bottom)
    return np.stack(np.meshgrid(xs, ys), -1)


def cell_rings(corner: Floats) -> Floats:
    """(rows, columns, 5, 2) each cell's ring, counter-clockwise from its lower left corner."""
    upper, lower = corner[:-1], corner[1:]
    return np.stack([lower[:, :-1], lower[:, 1:], upper[:, 1:], upper[:, :-1], lower[:, :-1]], axis=2)


def _wkb(rings: Floats) -> Any:
    """Arrow array of little-endian WKB polygons of one ring of five points (OGC 06-103r4, 8.2)."""
    import pyarrow as pa

    head = np.frombuffer(struct.pack("<BIII", 1, 3, 1, 5), np.uint8)
    points = np.ascontiguousarray(rings.reshape(len(rings), 10), "<f8").view(np.uint8).reshape(len(rings), 80)
    whole = np.ascontiguousarray(np.hstack([np.tile(head, (len(rings), 1)), points]))
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(whole.shape[1]), len(rings), [None, pa.py_buffer(whole)])
    return fixed.cast(pa.binary())


def columns(cover: LandCover) -> dict[str, NDArray[Any]]:
    """Attributes of every cell, (rows x columns,); probabilities as `p_<class>`, band means as reflectance."""
    names = np.full(256, "", object)
    names[NO_DATA] = "no_data"
    for entry in cover.entries:
        names[entry.value] = entry.key
    shape = cover.codes.shape
    row, column = (n.astype(np.int32) for n in np.indices(shape))
    out: dict[str, Any] = {
        "row": row, "column": column, "code": cover.codes,
        "class": names[cover.codes], "confidence": cover.confidence,
        "valid_fraction": cover.cells.valid, "cloud_fraction": cover.cells.cloud, "distance": cover.distance,
    }  # fmt: skip
    for i, name in enumerate(cover.classes):
        out[f"p_{name}"] = cover.probabilities[..., i]
    for i, band in enumerate(cover.planes):
        out[f"mean_{band}"] = cover.cells.means[..., i] / np.float32(10_000)
    out |= indices(cover)
    return {k: v.reshape(-1) for k, v in out.items()}


def write_parquet(path: Path, cover: LandCover, grid: Grid, cells: Grid) -> None:
    """Every cell with data, geometry in the scene's own CRS."""
    keep = np.flatnonzero(cover.codes.reshape(-1) != NO_DATA)
    rings = cell_rings(corners(grid, cells)).reshape(-1, 5, 2)[keep]
    write_cells(path, {k: v[keep] for k, v in columns(cover).items()}, rings, grid.crs)


def write_cells(path: Path, columns: Mapping[str, NDArray[Any]], rings: Floats, crs: str) -> None:
    """A row for each of the (n, 5, 2) rings; NaN of float32 columns becomes null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = {k: arrow_column(v, null=v.dtype == np.float32) for k, v in columns.items()}
    data["geometry"] = _wkb(rings)
    table = pa.table(data).replace_schema_metadata({"geo": json.dumps(_geo(rings, crs))})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _geo(rings: Floats, crs: str) -> dict[str, Any]:
    """The file's ``geo`` metadata (GeoParquet 1.1.0); the CRS as PROJJSON."""
    geometry: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "edges": "planar",
        "crs": projjson(crs),
    }
    geometry["orientation"] = "counterclockwise"
    if len(rings):
        low, high = rings.min(axis=(0, 1)), rings.max(axis=(0, 1))
        geometry["bbox"] = [float(low[0]), float(low[1]), float(high[0]), float(high[1])]
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}


def projjson(crs: str) -> dict[str, Any]:
    """The CRS as PROJJSON, by GDAL."""
    rasterio = require("rasterio", why="maps")
    found: dict[str, Any] = rasterio.crs.CRS.from_user_input(crs).to_dict(projjson=True)
    return found


def to_lonlat(crs: str, points: Floats) -> Floats:
    """(..., 2) degrees east and north (WGS 84)."""
    warp = require("rasterio.warp", why="maps")
    flat = points.reshape(-1, 2)
    lon, lat = warp.transform(crs, "OGC:CRS84", flat[:, 0].tolist(), flat[:, 1].tolist())
    return np.stack([np.array(lon), np.array(lat)], -1).reshape(points.shape)


def write_geojson(path: Path, cover: LandCover, grid: Grid, cells: Grid) -> None:
    """Cells with data in degrees (RFC 7946); cells across the antimeridian are cut there (3.1.9)."""
    values = columns(cover)
    keep = np.flatnonzero(cover.codes.reshape(-1) != NO_DATA)
    rings = cell_rings(to_lonlat(grid.crs, corners(grid, cells))).reshape(-1, 5, 2)[keep]
    picked = [values[n][keep].tolist() for n in ("code", "class", "confidence", "valid_fraction", "cloud_fraction")]
    crossing = np.ptp(rings[:, :, 0], axis=1) > 180
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        stream.write('{"type":"FeatureCollection","features":[')
        for i, (code, name, confidence, valid, cloud) in enumerate(zip(*picked, strict=True)):
            geometry = json.dumps(polygon(rings[i])) if crossing[i] else _ring_text(rings[i].tolist())
            stream.write(
                f'{"," if i else ""}\n{{"type":"Feature","properties":{{"code":{code},"class":{json.dumps(name)},'
                f'"confidence":{confidence:.4f},"valid_fraction":{valid:.4f},'
                f'"cloud_fraction":{"null" if cloud != cloud else f"{cloud:.4f}"}}},"geometry":{geometry}}}'
            )
        stream.write("\n]}\n")


def _ring_text(ring: list[list[float]]) -> str:
    """The same as `polygon` gives, in a tenth of its time."""
    points = ",".join(f"[{x:.6f},{y:.6f}]" for x, y in ring)
    return f'{{"type":"Polygon","coordinates":[[{points}]]}}'


def polygon(ring: Floats) -> dict[str, Any]:
    """A ring in degrees as GeoJSON geometry, cut in two where it crosses the antimeridian."""
    if np.ptp(ring[:, 0]) <= 180:
        return {"type": "Polygon", "coordinates": [np.round(ring, 6).tolist()]}
    east = np.where(ring[:, 0] < 0, ring[:, 0] + 360, ring[:, 0])  # 180 lies within
    parts = [clip_at(np.stack([east, ring[:, 1]], -1), 180.0, west) for west in (True, False)]
    parts[1][:, 0] -= 360
    return {"type": "MultiPolygon", "coordinates": [[np.round(p, 6).tolist()] for p in parts]}


def clip_at(ring: Floats, x: float, left: bool) -> Floats:
    """The part of a convex ring on one side of a vertical line, closed (Sutherland and Hodgman 1974)."""
    points = ring[:-1]
    out: list[Floats] = []
    for a, b in zip(points, np.roll(points, -1, axis=0), strict=True):
        inside_a, inside_b = ((p[0] <= x) == left or p[0] == x for p in (a, b))
        if inside_a:
            out.append(a)
        if inside_a != inside_b and a[0] != b[0]:
            out.append(np.array([x, a[1] + (b[1] - a[1]) * (x - a[0]) / (b[0] - a[0])]))
    return np.array([*out, out[0]])
