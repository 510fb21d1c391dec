"""STAC items: assets by band name, local or remote, with the radiometry that the item states."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json
from skytrigger.eo.bands import BY_NAME
from skytrigger.eo.scene.band_names import COMMON_NAMES, SCL, known_band
from skytrigger.eo.scene.grid import Grid, grid_of_dataset
from skytrigger.eo.scene.mgrs import tile_grid, tile_name
from skytrigger.eo.scene.model import Scene, SceneBand
from skytrigger.eo.scene.radiometry import Radiometry, from_scale_offset
from skytrigger.eo.scene.raster_band import band_reader, one_band, open_quietly

ITEM_LIMIT = 1 << 24
STORES = {"s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/"}
APPLIED = "earthsearch:boa_offset_applied"


def is_item(path: Path) -> bool:
    """Whether a JSON file is a STAC item, by its content."""
    if path.suffix.lower() not in (".json", ".geojson") or not path.is_file():
        return False
    content = read_json(path, limit_bytes=ITEM_LIMIT)
    return isinstance(content, dict) and content.get("type") == "Feature" and "assets" in content


def fetch_item(url: str) -> dict[str, Any]:
    """The item at an http(s) address."""
    try:
        with urllib.request.urlopen(url, timeout=60) as reply:  # noqa: S310 the caller checked the scheme
            content = reply.read(ITEM_LIMIT + 1)
    except (urllib.error.URLError, OSError) as error:
        raise InputError(f"{url} cannot be read: {error}") from error
    try:
        item = json.loads(content)
    except ValueError as error:
        raise InputError(f"{url} is not valid JSON: {error}", expected="a STAC item") from error
    if len(content) > ITEM_LIMIT or not isinstance(item, dict) or "assets" not in item:
        raise InputError(f"{url} is no STAC item")
    return item


def open_item(item: dict[str, Any], base: str, reduce: int) -> Scene:
    """Open the bands of an item.

    Parameters
    ----------
    base
        Folder or address to which relative hrefs belong, ending in ``/``.

    Raises
    ------
    InputError
        No band assets, a band twice, an asset that cannot be opened.
    """
    properties = item.get("properties")
    if not isinstance(properties, dict) or not isinstance(item.get("assets"), dict):
        raise InputError(f"{item.get('id', base)}: properties or assets missing", expected="a STAC item")
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for key, asset in item["assets"].items():
        name = _band_of(key, asset) if isinstance(asset, dict) else None
        if name and isinstance(asset.get("href"), str):
            found.setdefault(name, []).append((key, asset))
    if not found:
        raise InputError(f"{item.get('id', base)}: no asset is a Sentinel-2 band", expected=", ".join(BY_NAME))
    notes: list[str] = []
    bands, full = {}, None
    for name, assets in sorted(found.items()):
        key, asset = _one(name, assets)
        _stays_there(asset["href"], base)
        path = gdal_path(asset["href"], base)
        grid = _grid(path, name, item, notes)
        if full is None or grid.pixel_m < full.pixel_m:
            full = grid
        reader = band_reader(name, path, 1, reduce)
        radiometry = Radiometry() if name == SCL else _radiometry(asset, properties, f"asset {key}", notes)
        bands[name] = SceneBand(name, grid.coarser(2**reader.reduce), radiometry, reader)
    return Scene(
        str(item.get("id", "item")),
        base,
        "STAC item",
        _level(item, properties, bands),
        bands,
        str(properties.get("datetime") or properties.get("start_datetime") or ""),
        reduce,
        str(properties.get("s2:processing_baseline") or properties.get("processing:version") or ""),
        tuple(dict.fromkeys(notes)),
        {"full_grid": full} if reduce else {},
    )


def gdal_path(href: str, base: str) -> str:
    """GDAL's own file systems for http(s) and object stores; relative hrefs start at the item.

    Raises
    ------
    InputError
        An address of another kind.
    """
    scheme = urllib.parse.urlsplit(href).scheme if "://" in href else ""
    if not scheme and not href.startswith("/"):
        far = base.startswith(("http://", "https://"))
        href = urllib.parse.urljoin(base, href) if far else _beside(base, href)
        scheme = "https" if far else ""
    if scheme in ("http", "https"):
        return f"/vsicurl/{href}"
    if scheme in STORES:
        return f"{STORES[scheme]}{href.removeprefix(f'{scheme}://')}"
    if scheme not in ("", "file"):
        raise InputError(f"asset {href}", expected=f"a file, http, https, {', '.join(STORES)}")
    return urllib.parse.unquote(href.removeprefix("file://")) if scheme else href


def _beside(base: str, href: str) -> str:
    """Hrefs are addresses, in which a space is %20; some catalogues write plain paths."""
    plain = f"{base}{href}"
    return plain if Path(plain).exists() else f"{base}{urllib.parse.unquote(href)}"


def _band_of(key: str, asset: dict[str, Any]) -> str | None:
    """Of the one band an asset holds: by its bands' names, else by its key (without a resolution or ``-jp2``)."""
    listed = _bands(asset, "eo:bands", "bands")
    if len(listed) > 1:
        return None
    words = [str(listed[0].get("name", "")), str(listed[0].get("common_name", "")),
             str(listed[0].get("eo:common_name", ""))] if listed else []  # fmt: skip
    short = key.removesuffix("-jp2").split("_")[0]
    for word in (words[0] if words else "", short, *words[1:]):
        name = known_band(word) or COMMON_NAMES.get(word.lower())
        if name:
            return name
    return None


def _bands(asset: dict[str, Any], *keys: str) -> list[dict[str, Any]]:
    """The first of these lists that is there and not empty.

    Raises
    ------
    InputError
        It is no list of objects.
    """
    found: Any = next((asset[key] for key in keys if asset.get(key)), [])
    if not isinstance(found, list) or not all(isinstance(band, dict) for band in found):
        raise InputError(f"{' or '.join(keys)} of {asset.get('href')!r} is {found!r}", expected="a list of objects")
    return found


def _stays_there(href: str, base: str) -> None:
    """Refuse an item from elsewhere that names files of this machine, and GDAL's own paths in any."""
    remote = base.startswith(("http://", "https://"))
    if href.startswith("/vsi") or "\0" in href or (remote and href.startswith(("/", "file:"))):
        raise InputError(f"asset {href!r} of an item at {base}", expected="an address, or a path beside the item")


def _one(name: str, assets: list[tuple[str, dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
    """Of several assets of a band: that of its own resolution, GeoTIFF before the same in JPEG 2000."""
    plain = [a for a in assets if not a[0].endswith("-jp2")] or assets
    own = 20 if name == SCL else BY_NAME[name].resolution_m
    best = [a for a in plain if a[0].lower().endswith(f"_{own}m")] or plain
    if len(best) > 1:
        raise InputError(f"band {name} in several assets: {', '.join(k for k, _ in best)}", expected="one")
    return best[0]


def _radiometry(asset: dict[str, Any], properties: dict[str, Any], where: str, notes: list[str]) -> Radiometry:
    raster = (_bands(asset, "raster:bands", "bands") or [{}])[0]
    scale = raster.get("scale", raster.get("raster:scale", asset.get("raster:scale")))
    offset = raster.get("offset", raster.get("raster:offset", asset.get("raster:offset")))
    if scale is None and offset is None:
        return Radiometry()
    try:
        stated = from_scale_offset(
            float(0.0001 if scale is None else scale), float(offset or 0.0), f"{where} of the item"
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: scale or offset is no number: {error}") from error
    if properties.get(APPLIED) is True and stated.offset:
        notes.append(
            f"The item states an offset of {stated.offset:g} DN and that it was applied: it is not applied again."
        )
        return Radiometry(stated.quantification, 0.0, f"{APPLIED} of the item")
    return stated


def _grid(path: str, name: str, item: dict[str, Any], notes: list[str]) -> Grid:
    with open_quietly(path) as dataset:
        one_band(dataset, name, path)
        grid = grid_of_dataset(dataset, path)
        if grid is None:
            tile = tile_name(str(item.get("id", "")))
            grid = tile_grid(tile, dataset.width, dataset.height) if tile else None
            if grid is None:
                raise InputError(f"{path} has no georeference")
            notes.append(f"Files without georeference: placed by tile T{tile} in the item's id.")
    return grid


def _level(item: dict[str, Any], properties: dict[str, Any], bands: dict[str, SceneBand]) -> str:
    said = " ".join(str(v) for v in (properties.get("processing:level"), properties.get("s2:product_type"),
                                     item.get("collection"), item.get("id")))  # fmt: skip
    word = said.upper().replace("-", "").replace("_", "")
    l2a, l1c = any(t in word for t in ("L2A", "MSI2A")), any(t in word for t in ("L1C", "MSI1C"))
    if l2a != l1c:
        return "L2A" if l2a else "L1C"
    return "L1C" if "B10" in bands else ""
