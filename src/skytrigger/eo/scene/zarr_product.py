"""EOPF Zarr products: native-resolution uint16 arrays below ``measurements/reflectance``, Zarr 2 or 3, folder or zip.

Arrays are found by name at any depth there (``r10m/b02``, or ``b02`` without resolution groups), and of a band in
several resolutions its own is taken. ``scale_factor`` and ``add_offset`` give reflectance (CF conventions, 8.1).
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.eo.bands import BY_NAME
from skytrigger.eo.scene.band_names import SCL, known_band
from skytrigger.eo.scene.grid import Grid
from skytrigger.eo.scene.model import Scene, SceneBand
from skytrigger.eo.scene.radiometry import Radiometry, from_scale_offset
from skytrigger.eo.scene.raster_band import Pixels
from skytrigger.eo.scene.tree import open_tree
from skytrigger.eo.scene.zarr_guard import check_sizes, check_zip, coordinate

ROOT = "measurements/reflectance"
CLASSIFICATION = "conditions/mask/l2a_classification"


class ZarrBand:
    """One array, read by blocks of whole chunks."""

    def __init__(self, array: Any, place: Path, *, coded: bool = False) -> None:
        where = str(place)
        if array.ndim != 2 or array.dtype not in ((np.uint16, np.uint8) if coded else (np.uint16,)):
            raise InputError(f"{where}: {array.ndim} dimensions of {array.dtype}", expected="(y, x) of uint16 DN")
        self._array, self._where, self._place = array, where, place
        self.height, self.width = (int(n) for n in array.shape)
        self.block = (int(array.chunks[0]), int(array.chunks[1]))
        check_sizes(array, where)
        self._lock = threading.Lock()

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> Pixels:
        """See `BandReader`."""
        try:
            return np.asarray(self._array[rows[0] : rows[1], columns[0] : columns[1]], np.uint16)
        except Exception as error:  # codecs raise many kinds on damaged chunks
            raise InputError(
                f"{self._where}: rows {rows[0]} to {rows[1]} cannot be read: {error}", remedy="download it again"
            ) from error

    def read_into(self, rows: tuple[int, int], columns: tuple[int, int], out: Pixels) -> None:
        """See `BandReader`."""
        out[:] = self.read(rows, columns)

    def sample(self, side: int) -> Pixels:
        """See `BandReader`."""
        from skytrigger.eo.scene.raster_band import sample_windows

        if self.width * self.height <= 1 << 23:
            step = max(1, self.width // side)
            return self.read((0, self.height), (0, self.width))[::step, ::step]
        return sample_windows(self, side)

    def identity(self) -> list[Any]:
        """See `BandReader`."""
        return [str(self._place), self.height, self.width, *_state(self._place)]

    def close(self) -> None:
        """Nothing is held open."""


def _state(place: Path) -> list[int]:
    """Files, bytes and times (added) of an array's folder, or of the zip that holds it."""
    files = [p for p in place.rglob("*") if p.is_file()] if place.is_dir() else []
    found = [p.stat() for p in files or [next(p for p in place.parents if p.exists())]]
    return [len(found), sum(f.st_size for f in found), sum(f.st_mtime_ns for f in found)]


def is_zarr(path: Path) -> bool:
    """Whether a folder or zip holds a Zarr group."""
    if path.is_dir():
        return any((path / n).is_file() for n in ("zarr.json", ".zgroup", ".zmetadata"))
    return path.name.lower().endswith((".zarr.zip", ".zarr"))


def open_zarr(path: Path) -> Scene:
    """Open an EOPF product.

    Raises
    ------
    InputError
        Not Zarr, no reflectance, a band twice, no scale, no CRS or coordinates.
    """
    zarr = require("zarr", why="EOPF Zarr products")
    if path.is_file():
        check_zip(path)
    try:
        store = zarr.storage.ZipStore(path, mode="r") if path.is_file() else str(path)
        root = zarr.open_group(store, mode="r", path=_inside(path))
        return _product(root, path)
    except InputError:
        raise
    except Exception as error:  # metadata of any kind reach zarr's parsers and our casts, which raise a dozen kinds
        raise InputError(f"{path} is no EOPF product: {error!r}", expected=f"a Zarr group with {ROOT}") from error


def _product(root: Any, path: Path) -> Scene:
    """The scene below the root group."""
    group = _descend(root, ROOT)
    arrays: dict[str, list[tuple[str, Any, Any]]] = {}
    _collect(group, ROOT, arrays)
    with contextlib.suppress(KeyError):  # Level-1C has none
        _collect(_descend(root, CLASSIFICATION), CLASSIFICATION, arrays, only=SCL)
    facts = _facts(root)
    bands = {}
    for name, found in sorted(arrays.items()):
        place, array, parent = _own_resolution(name, found, path)
        where = f"{path.name}/{place}"
        grid = _grid(array, parent, facts, where)
        radiometry = Radiometry() if name == SCL else _radiometry(array, where)
        bands[name] = SceneBand(name, grid, radiometry, ZarrBand(array, path / place, coded=name == SCL))
    if not set(bands) - {SCL}:
        raise InputError(f"{path}: no bands below {ROOT}")
    level = facts["level"] or ("L1C" if "B10" in bands else "")
    name = path.name.removesuffix(".zip").removesuffix(".zarr")
    return Scene(name, str(path), "EOPF Zarr", level, bands, facts["time"], 0, facts["baseline"])


def _descend(group: Any, path: str) -> Any:
    for part in path.split("/"):
        group = group[part]
    return group


def _inside(path: Path) -> str:
    """Folder of the root group in a zip: some hold the product's folder, others what is in it."""
    if not path.is_file():
        return ""
    roots = [n for n in open_tree(path).names if n.rpartition("/")[2] in ("zarr.json", ".zgroup")]
    return min(roots, key=len).rpartition("/")[0] if roots else ""


def _collect(group: Any, place: str, arrays: dict[str, list[tuple[str, Any, Any]]], only: str = "") -> None:
    for key, item in group.members():
        if hasattr(item, "members"):
            _collect(item, f"{place}/{key}", arrays, only)
        else:
            name = known_band(key)
            if name and (name == SCL) == bool(only):
                arrays.setdefault(name, []).append((f"{place}/{key}", item, group))


def _own_resolution(name: str, found: list[tuple[str, Any, Any]], path: Path) -> tuple[str, Any, Any]:
    """Of several arrays of a band that with the band's own number of pixels: the largest, unless it is upsampled."""
    if len(found) == 1:
        return found[0]
    resolution = 20 if name == SCL else BY_NAME[name].resolution_m
    own = [f for f in found if f"/r{resolution}m/" in f"/{f[0]}"] or found
    largest = max(f[1].shape[0] for f in own)
    best = [f for f in own if f[1].shape[0] == largest]
    if len(best) > 1:
        raise InputError(f"{path}: band {name} twice: {', '.join(f[0] for f in best)}")
    return best[0]


def _attributes(array: Any) -> dict[str, Any]:
    attributes = dict(array.attrs)
    nested = attributes.get("_eopf_attrs")
    return {**(nested if isinstance(nested, dict) else {}), **attributes}


def _radiometry(array: Any, where: str) -> Radiometry:
    attributes = _attributes(array)
    if "scale_factor" not in attributes:
        return Radiometry()
    try:
        scale, offset = float(attributes["scale_factor"]), float(attributes.get("add_offset", 0.0))
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: scale_factor or add_offset is no number: {error}") from error
    return from_scale_offset(scale, offset, f"scale_factor and add_offset of {where}")


def _facts(root: Any) -> dict[str, str]:
    """Level, time, baseline and CRS from the product's STAC description, where they are."""
    discovery = dict(root.attrs).get("stac_discovery")
    properties = discovery.get("properties", {}) if isinstance(discovery, dict) else {}
    text = f"{properties.get('processing:level', '')} {properties.get('product:type', '')}".upper()
    level = "L2A" if "2A" in text else "L1C" if "1C" in text else ""
    version = properties.get("processing:version") or properties.get("s2:processing_baseline") or ""
    code = properties.get("proj:code") or (f"EPSG:{properties['proj:epsg']}" if properties.get("proj:epsg") else "")
    other = dict(root.attrs).get("other_metadata")
    code = code or (other.get("horizontal_CRS_code", "") if isinstance(other, dict) else "")
    time = properties.get("start_datetime") or properties.get("datetime") or ""
    return {"level": level, "time": str(time), "baseline": str(version), "crs": str(code)}


def _grid(array: Any, parent: Any, facts: dict[str, str], where: str) -> Grid:
    """From ``proj:transform`` of the array, else from coordinate arrays of pixel centres beside it."""
    attributes = {**dict(parent.attrs), **_attributes(array)}
    crs = attributes.get("proj:code") or (f"EPSG:{attributes['proj:epsg']}" if attributes.get("proj:epsg") else "")
    crs = str(crs or facts["crs"])
    if not crs:
        raise InputError(f"{where}: no proj:epsg or proj:code", expected="the product's CRS")
    height, width = array.shape
    transform = attributes.get("proj:transform")
    if transform is not None and len(transform) >= 6:
        a, b, left, d, e, top = (float(v) for v in transform[:6])
        if b or d or a <= 0 or e != -a:
            raise InputError(f"{where}: proj:transform {list(transform)}", expected="north up, square pixels")
        return Grid(crs, left, top, a, width, height)
    names = attributes.get("_ARRAY_DIMENSIONS") or getattr(array.metadata, "dimension_names", None) or ("y", "x")
    try:
        y, x = (
            coordinate(parent, str(n).rpartition("/")[2], length, where)
            for n, length in zip(names, (height, width), strict=True)
        )
    except KeyError as error:
        raise InputError(f"{where}: neither proj:transform nor coordinates {names}") from error
    steps = np.concatenate([np.diff(x), -np.diff(y)])
    if len(x) != width or len(y) != height or not len(steps) or np.ptp(steps) > 1e-6 or steps[0] <= 0:
        raise InputError(f"{where}: coordinates {names} are not those of a regular north-up grid")
    return Grid(crs, float(x[0] - steps[0] / 2), float(y[0] + steps[0] / 2), float(steps[0]), width, height)
