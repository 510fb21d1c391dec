"""Open whatever a Sentinel-2 scene comes as, by what it is, not by what it is called."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.files import read_json
from skytrigger.eo.scene.folder import open_folder, open_raster
from skytrigger.eo.scene.model import Scene, SceneBand
from skytrigger.eo.scene.radiometry import parse_offset
from skytrigger.eo.scene.raster_band import GDAL_OPTIONS
from skytrigger.eo.scene.safe import IMAGES, PRODUCT, open_safe
from skytrigger.eo.scene.stac_product import ITEM_LIMIT, fetch_item, is_item, open_item
from skytrigger.eo.scene.tree import open_tree
from skytrigger.eo.scene.zarr_product import is_zarr, open_zarr

KNOWN = (
    "a SAFE folder or zip, an EOPF Zarr folder or zip, a folder of band files, a raster with named bands, a STAC item"
)


def open_scene(path: str | Path, *, reduce: int = 0, offset: str = "metadata") -> Scene:
    """Open a product; its bands are read when they are asked for.

    Parameters
    ----------
    path
        A SAFE folder, its main metadata file or a zip of it (L1C, L2A); an EOPF Zarr folder or zip; a folder of band
        files; one raster whose band descriptions are band names; a STAC item, also at http(s).
    reduce
        0: full resolution; 1, 2: half, quarter, by JPEG 2000's resolution levels or a GeoTIFF's overviews.
    offset
        ``metadata``, or what is to be believed instead: ``none``, or DN to add such as ``-1000``.

    Raises
    ------
    InputError
        Not such a product, damaged, a band twice, grids that do not nest.
    """
    if not 0 <= reduce <= 3:
        raise InputError(f"--reduce {reduce}", expected="0 to 3")
    said = parse_offset(offset)
    rasterio = require("rasterio", why="scenes")
    with rasterio.Env(**GDAL_OPTIONS):
        scene = _open(str(path), reduce)
    try:
        if said is not None:
            scene = replace(scene, bands={n: _with_offset(b, said, offset) for n, b in scene.bands.items()})
        for band in scene.bands.values():
            band.radiometry.check()
        scene.factors()
    except BaseException:
        scene.close()
        raise
    return scene


def _with_offset(band: SceneBand, value: float, word: str) -> SceneBand:
    if band.name == "SCL":
        return band
    return replace(band, radiometry=band.radiometry.overridden(value, word))


def _open(text: str, reduce: int) -> Scene:
    if text.startswith(("http://", "https://")):
        if text.split("?")[0].lower().endswith(IMAGES):
            return open_raster(f"/vsicurl/{text}", reduce)
        return replace(open_item(fetch_item(text), text.rsplit("/", 1)[0] + "/", reduce), source=text)
    if text.startswith("s3://"):
        return open_raster(f"/vsis3/{text[5:]}", reduce)
    path = Path(text)
    if not path.exists():
        raise InputError(f"{path} does not exist", expected=KNOWN)
    if is_zarr(path):
        if reduce:
            raise InputError(f"--reduce {reduce}: {path} is Zarr", expected="JPEG 2000 or GeoTIFF with overviews")
        return open_zarr(path)
    if path.is_dir() or zipfile.is_zipfile(path):
        return _open_tree(path, reduce)
    if PRODUCT.search(path.name):
        return _open_tree(path.parent, reduce)
    if path.suffix.lower() in (".json", ".geojson"):
        if not is_item(path):
            raise InputError(f"{path} is no STAC item", expected="type Feature, with assets")
        item = read_json(path, limit_bytes=ITEM_LIMIT)
        return replace(open_item(item, f"{path.parent}/", reduce), source=text)
    if path.suffix.lower() in IMAGES:
        return open_raster(path, reduce)
    raise InputError(f"{path} is no scene that is known", expected=KNOWN)


def _open_tree(path: Path, reduce: int) -> Scene:
    tree = open_tree(path)
    if not path.is_dir() and any(n.rpartition("/")[2] in ("zarr.json", ".zgroup") for n in tree.names):
        return open_zarr(path)
    products = [n for n in tree.names if PRODUCT.search(n) and n.count("/") <= 1]
    granules = [n for n in tree.names if "GRANULE/" in n]
    if products and granules:
        if len(products) > 1:
            raise InputError(f"{path} holds {len(products)} products", expected="one", remedy="name one of them")
        return open_safe(tree, products[0], reduce)
    return open_folder(tree, reduce)
