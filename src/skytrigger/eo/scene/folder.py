"""Folders of band files, and one raster with named bands."""

from __future__ import annotations

import re
from pathlib import Path

from skytrigger.core.errors import InputError
from skytrigger.eo.bands import BY_NAME, mere_numbers, spelt
from skytrigger.eo.scene.band_names import SCL, bands_in, known_band
from skytrigger.eo.scene.grid import Grid, grid_of_dataset
from skytrigger.eo.scene.mgrs import tile_grid, tile_name
from skytrigger.eo.scene.model import Scene, SceneBand
from skytrigger.eo.scene.radiometry import Radiometry, from_scale_offset
from skytrigger.eo.scene.raster_band import band_reader, one_band, open_quietly, shown
from skytrigger.eo.scene.safe import IMAGES, PRODUCT, ProductMetadata, choose_resolution, read_product
from skytrigger.eo.scene.tree import Tree, stem, suffix

OTHERS = re.compile(r"L[COTEM]\d\d_|HLS\.L30\.", re.IGNORECASE)  # as USGS and NASA call Landsat's files


def open_folder(tree: Tree, reduce: int) -> Scene:
    """One file a band, named by it (``B02.tif``, ``T32TQM_20240601T100559_B8A.jp2``); other rasters are left alone.

    Radiometry is read from MTD_MSIL1C.xml or MTD_MSIL2A.xml beside the files, else from the files' own scale and
    offset.

    Raises
    ------
    InputError
        No band files, a band twice, a name with two bands, no georeference.
    """
    found: dict[str, list[str]] = {}
    for path in tree.names:
        names = bands_in(stem(path)) if suffix(path) in IMAGES else set()
        if names and OTHERS.match(stem(path)):
            raise InputError(f"{path} is of Landsat, whose bands have other numbers", expected="Sentinel-2")
        if len(names) > 1:
            raise InputError(f"{path} names {' and '.join(sorted(names))}", expected="one band a file")
        if names:
            found.setdefault(names.pop(), []).append(path)
    if not found:
        raise InputError(
            f"{tree.root} holds no product that is known",
            expected="a SAFE or EOPF Zarr product, a STAC item, or files named by band such as B02.jp2",
        )
    product = _metadata_beside(tree)
    images = {name: choose_resolution(name, paths) for name, paths in sorted(found.items())}
    notes: list[str] = []
    grids = _grids(tree, images, notes)
    bands = {n: _band_file(tree, p, n, product, grids[n], reduce) for n, p in images.items()}
    level = product.level if product else ("L1C" if "B10" in bands else "")
    name = product.name if product and product.name else tree.root.name
    full = min((g for n, g in grids.items() if n != SCL), key=lambda g: g.pixel_m)
    return Scene(
        name,
        str(tree.root),
        "band files",
        level,
        bands,
        product.time if product else "",
        reduce,
        product.baseline if product else "",
        tuple(notes),
        {"full_grid": full} if reduce else {},
    )


def _metadata_beside(tree: Tree) -> ProductMetadata | None:
    files = [n for n in tree.names if PRODUCT.search(n)]
    if len(files) > 1:
        raise InputError(f"{tree.root}: metadata of several products: {', '.join(files)}", expected="one product")
    return read_product(tree.read(files[0]), files[0].rpartition("/")[2]) if files else None


def _band_file(tree: Tree, path: str, name: str, product: ProductMetadata | None, grid: Grid, reduce: int) -> SceneBand:
    reader = band_reader(name, tree.gdal_path(path), 1, reduce)
    with open_quietly(tree.gdal_path(path)) as dataset:
        one_band(dataset, name, path)
        stated = _tags(dataset, 1, path)
    radiometry = product.radiometry.get(name, Radiometry()) if product else stated
    return SceneBand(name, grid.coarser(2**reader.reduce), radiometry, reader)


def _grids(tree: Tree, images: dict[str, str], notes: list[str]) -> dict[str, Grid]:
    """Grid of each band: its file's own; where it has none, of a band with as many pixels, or by the tile's name."""
    own: dict[str, Grid] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for name, path in images.items():
        with open_quietly(tree.gdal_path(path)) as dataset:
            sizes[name] = (dataset.width, dataset.height)
            grid = grid_of_dataset(dataset, path)
        if grid:
            own[name] = grid
    placed: dict[str, Grid] = {}
    for name, size in sizes.items():
        twin = next((n for n, g in own.items() if (g.width, g.height) == size), None)
        placed[name] = own[name] if name in own else own[twin] if twin else _grid_by_name(tree, images[name], *size)
    without = [n for n in images if n not in own]
    if without:
        source = "bands with as many pixels" if own else "the tile's name and the number of pixels"
        notes.append(f"{', '.join(without)} without georeference: placed by {source}.")
    return placed


def _grid_by_name(tree: Tree, path: str, width: int, height: int) -> Grid:
    tile = tile_name(stem(path)) or tile_name(tree.root.name)
    grid = tile_grid(tile, width, height) if tile else None
    if grid is None:
        raise InputError(
            f"{path} has no georeference, and no name of a whole Sentinel-2 tile tells where its {width} x {height} "
            "pixels lie",
            expected="a CRS and a geotransform, or T19UDP (say) in the name of the file or folder",
            remedy="gdal_translate -a_srs EPSG:326nn -a_ullr LEFT TOP RIGHT BOTTOM",
        )
    return grid


def _tags(dataset: object, index: int, where: str) -> Radiometry:
    scale, offset = dataset.scales[index - 1], dataset.offsets[index - 1]  # type: ignore[attr-defined]
    if scale == 1.0 and offset == 0.0:
        return Radiometry()
    return from_scale_offset(scale, offset, f"scale and offset in {stem(where)}")


def open_raster(path: Path | str, reduce: int) -> Scene:
    """One raster whose bands are named in their descriptions.

    Raises
    ------
    InputError
        Bands without names, a band twice, no georeference.
    """
    text = str(path)
    with open_quietly(text) as dataset:
        described = [(d or "").strip() for d in dataset.descriptions]
        names = [SCL if known_band(d) == SCL else spelt(d) for d in described]
        if not any(names) or mere_numbers(described):
            said = f"are called {described[0]!r} to {described[-1]!r}" if any(names) else "have no names"
            raise InputError(
                f"{shown(text)}: its {dataset.count} bands {said}",
                expected=f"descriptions {', '.join(BY_NAME)}",
                remedy="name them (rio edit-info, gdal_edit.py -set_description), or give a folder of band files",
            )  # fmt: skip
        twice = sorted({n for n in names if n and names.count(n) > 1})
        if twice:
            raise InputError(f"{shown(text)}: band {', '.join(twice)} twice")
        grid = grid_of_dataset(dataset, shown(text))
        if grid is None:
            raise InputError(f"{shown(text)} has no georeference", remedy="gdal_translate -a_srs ... -a_ullr ...")
        stated = {n: _tags(dataset, i + 1, text) for i, n in enumerate(names) if n}
    bands = {}
    for i, name in enumerate(names):
        if name:
            reader = band_reader(name, text, i + 1, reduce)
            bands[name] = SceneBand(name, grid.coarser(2**reader.reduce), stated[name], reader)
    level = "L1C" if "B10" in bands else ""
    facts = {"full_grid": grid} if reduce else {}
    return Scene(stem(text), text, "raster", level, bands, reduce=reduce, facts=facts)
