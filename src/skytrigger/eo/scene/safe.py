"""SAFE products: what their metadata say about bands, radiometry and grid.

GDAL's SENTINEL2 driver would stack the bands of a resolution in one dataset; here each band is opened alone, so that
bands and blocks are decoded side by side and the offset of each band is read where the product states it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from skytrigger.core.errors import InputError
from skytrigger.eo.bands import BY_NAME
from skytrigger.eo.scene.band_names import SCL, bands_in, known_band
from skytrigger.eo.scene.checksums import manifest_checksums
from skytrigger.eo.scene.grid import Grid, grid_of_dataset
from skytrigger.eo.scene.model import Scene, SceneBand
from skytrigger.eo.scene.radiometry import Radiometry
from skytrigger.eo.scene.raster_band import RasterBand, band_reader, one_band, open_quietly, shown
from skytrigger.eo.scene.tree import Tree, parse_xml, stem, suffix

PRODUCT = re.compile(r"(^|/)(MTD_MSIL(1C|2A)|S2._OPER_MTD_SAFL(1C|2A).*)\.xml$")
IMAGES = (".jp2", ".tif", ".tiff")
# band_id of the offset lists, as Spectral_Information numbers the physical bands; files come in other orders
PHYSICAL = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")


@dataclass(frozen=True)
class ProductMetadata:
    """What MTD_MSIL1C.xml or MTD_MSIL2A.xml states."""

    name: str
    level: str
    time: str
    baseline: str
    radiometry: dict[str, Radiometry]
    images: tuple[str, ...]
    granules: int


def texts(root: Element, tag: str) -> list[Element]:
    """Elements of a local name anywhere below; namespaces differ between baselines."""
    return [e for e in root.iter() if e.tag.rsplit("}", 1)[-1] == tag]


def first(root: Element, tag: str) -> str:
    """Text of the first such element, or empty."""
    found = texts(root, tag)
    return (found[0].text or "").strip() if found else ""


def read_product(content: bytes, where: str) -> ProductMetadata:
    """Parse the product's metadata.

    Raises
    ------
    InputError
        Not a Sentinel-2 product's, no quantification, or offsets for some bands only.
    """
    root = parse_xml(content, where)
    level = {"Level-1C": "L1C", "Level-2A": "L2A", "Level-2Ap": "L2A"}.get(first(root, "PROCESSING_LEVEL"), "")
    if not level:
        raise InputError(f"{where}: processing level {first(root, 'PROCESSING_LEVEL')!r}", expected="L1C or L2A")
    tag = "QUANTIFICATION_VALUE" if level == "L1C" else "BOA_QUANTIFICATION_VALUE"
    return ProductMetadata(
        first(root, "PRODUCT_URI").removesuffix(".SAFE"),
        level,
        first(root, "PRODUCT_START_TIME") or first(root, "DATATAKE_SENSING_START"),
        first(root, "PROCESSING_BASELINE"),
        _radiometry(root, _number(first(root, tag), f"{where}: {tag}"), level, where),
        tuple((e.text or "").strip() for e in texts(root, "IMAGE_FILE") + texts(root, "IMAGE_ID")),
        len(texts(root, "Granule")) or len(texts(root, "Granules")),
    )


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{where} is {text!r}", expected="a number") from None


def _radiometry(root: Element, quantification: float, level: str, where: str) -> dict[str, Radiometry]:
    """For each band; without any offset element a product has none (baselines before 04.00)."""
    tag = "RADIO_ADD_OFFSET" if level == "L1C" else "BOA_ADD_OFFSET"
    names = dict(enumerate(PHYSICAL))
    for entry in texts(root, "Spectral_Information"):
        name = known_band(entry.get("physicalBand", ""))
        number = entry.get("bandId", "")
        if name and number.isdecimal():
            names[int(number)] = name
    offsets: dict[str, float] = {}
    for entry in texts(root, tag):
        number = entry.get("band_id", "")
        if not number.isdecimal() or int(number) not in names:
            raise InputError(f"{where}: {tag} of band_id {number!r}", expected="0 to 12")
        name = names[int(number)]
        if name in offsets:
            raise InputError(f"{where}: two {tag} for {name}")
        offsets[name] = _number((entry.text or "").strip(), f"{where}: {tag} of {name}")
    expected = [n for n in names.values() if level == "L1C" or n != "B10"]
    missing = [n for n in expected if n not in offsets] if offsets else []
    if missing:
        raise InputError(f"{where}: {tag} for {len(offsets)} bands, none for {', '.join(missing)}")
    found = {n: Radiometry(quantification, offsets.get(n, 0.0), where) for n in names.values()}
    for radiometry in found.values():
        radiometry.check()
    return found


def read_tile_grids(content: bytes, where: str) -> dict[int, Grid]:
    """Resolution (m) -> grid, from the granule's MTD_TL.xml."""
    root = parse_xml(content, where)
    crs = first(root, "HORIZONTAL_CS_CODE")
    if not re.fullmatch(r"EPSG:\d+", crs):
        raise InputError(f"{where}: HORIZONTAL_CS_CODE {crs!r}", expected="EPSG:326nn or EPSG:327nn")
    grids = {}
    corners = {e.get("resolution"): e for e in texts(root, "Geoposition")}
    for size in texts(root, "Size"):
        resolution = size.get("resolution", "")
        corner = corners.get(resolution)
        if corner is None:
            raise InputError(f"{where}: no Geoposition of {resolution} m")

        def number(element: Element, tag: str) -> float:
            return _number(first(element, tag), f"{where}: {tag}")

        grids[int(resolution)] = Grid(
            crs,
            number(corner, "ULX"),
            number(corner, "ULY"),
            number(corner, "XDIM"),
            int(number(size, "NCOLS")),
            int(number(size, "NROWS")),
        )
    return grids


def open_safe(tree: Tree, product_file: str, reduce: int) -> Scene:
    """The product whose main metadata is `product_file`.

    Raises
    ------
    InputError
        Several granules, no or several tile metadata, an image that contradicts them, a band twice.
    """
    folder = product_file.rpartition("/")[0]
    inside = f"{folder}/" if folder else ""
    where = product_file.rpartition("/")[2]
    product = read_product(tree.read(product_file), where)
    tiles = [
        n for n in tree.names if n.startswith(f"{inside}GRANULE/") and re.search(r"/(MTD_TL|S2._OPER_MTD_.*)\.xml$", n)
    ]
    if product.granules > 1 or len(tiles) > 1:
        count = max(product.granules, len(tiles))
        raise InputError(f"{tree.root}: a product of {count} granules", expected="one granule, as since December 2016")
    if not tiles:
        raise InputError(f"{tree.root}: no GRANULE/*/MTD_TL.xml", remedy="the whole product, as downloaded")
    grids = read_tile_grids(tree.read(tiles[0]), tiles[0].rpartition("/")[2])
    bands: dict[str, SceneBand] = {}
    full: Grid | None = None
    cut = False
    for name, path in _images(tree, inside, product).items():
        reader = band_reader(name, tree.gdal_path(path), 1, reduce)
        grid, own = _grid(reader, name, grids)
        cut = cut or own
        full = grid if full is None or grid.pixel_m < full.pixel_m else full
        radiometry = product.radiometry.get(name, Radiometry())
        bands[name] = SceneBand(name, grid.coarser(2**reader.reduce), radiometry, reader)
    name = product.name or (folder or tree.root.name).removesuffix(".SAFE")
    notes = ("The images are not those of the whole granule: placed by their own georeference.",) if cut else ()
    facts = {"checksums": manifest_checksums(tree, inside)} | ({"full_grid": full} if reduce else {})
    return Scene(
        name, str(tree.root), "SAFE", product.level, bands, product.time, reduce, product.baseline, notes, facts
    )


def _images(tree: Tree, inside: str, product: ProductMetadata) -> dict[str, str]:
    """Band -> its image at the band's own resolution."""
    listed = {image.rpartition("/")[2].rsplit(".", 1)[0] for image in product.images}
    found: dict[str, list[str]] = {}
    for path in tree.names:
        if not path.startswith(f"{inside}GRANULE/") or "/IMG_DATA/" not in path or suffix(path) not in IMAGES:
            continue
        names = bands_in(stem(path))
        if len(names) == 1 and (not listed or stem(path) in listed):
            found.setdefault(names.pop(), []).append(path)
    lost = sorted({b for i in listed for b in bands_in(i)} - set(found))
    if lost:
        raise InputError(
            f"{tree.root}: no image of {', '.join(lost)}",
            expected="all that the metadata list",
            remedy="download again",
        )
    return {name: choose_resolution(name, paths) for name, paths in sorted(found.items())}


def choose_resolution(name: str, paths: list[str]) -> str:
    """Of several images of a band the one of its own resolution, else the finest; two of one resolution are refused."""
    if len(paths) == 1:
        return paths[0]
    sizes: dict[int, list[str]] = {}
    for path in paths:
        match = re.search(r"_(\d+)m$", stem(path), re.IGNORECASE) or re.search(r"R(\d+)m/", path, re.IGNORECASE)
        sizes.setdefault(int(match.group(1)) if match else 0, []).append(path)
    own = 20 if name == SCL else BY_NAME[name].resolution_m
    best = sizes.get(own) or sizes[min(sizes)]
    if 0 in sizes or len(best) > 1:
        raise InputError(f"band {name} twice: {', '.join(sorted(paths))}", expected="one file a band")
    return best[0]


def _grid(reader: RasterBand, name: str, grids: dict[int, Grid]) -> tuple[Grid, bool]:
    """Grid at full resolution, and whether it is the image's own and none of the metadata's: that of a cut-out."""
    with open_quietly(reader.path) as dataset:
        one_band(dataset, name, shown(reader.path))
        size = (dataset.width, dataset.height)
        own = grid_of_dataset(dataset, shown(reader.path))
    if own is not None:
        return own, own not in grids.values()
    for grid in grids.values():
        if (grid.width, grid.height) == size:
            return grid, False
    raise InputError(
        f"{shown(reader.path)} has {size[0]} x {size[1]} pixels and no georeference of its own",
        expected=", ".join(f"{g.width} x {g.height}" for g in grids.values()) + " by its metadata",
    )
