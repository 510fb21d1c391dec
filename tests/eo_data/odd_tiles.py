"""Odd tiles: what files can say beside their pixels, and what lies beside the files."""

from __future__ import annotations

import io
import json
import tarfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from eo_data.tile_files import Build, each, picture, planes, pngs, tif, tifs

FOUR = ["B2", "B3", "B4", "B8"]


def changed(change: Callable[[Any], None], dtype: str = "uint16", names: list[str] | None = FOUR) -> Build:
    """Four bands, then `change` of the open file."""
    import rasterio

    def write(path: Path, seed: int) -> None:
        tif(path, planes(seed, 4, dtype), names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(path, "r+") as opened:
                change(opened)

    return each(write)


def scales(*factors: float, offset: float = 0.0) -> Callable[[Any], None]:
    """Tags of scale and offset."""

    def change(opened: Any) -> None:
        opened.scales, opened.offsets = factors, (offset,) * 4

    return change


def palette(path: Path, seed: int, **how: str) -> None:
    """Without ``photometric="palette"`` a table of colours in a file that calls itself grey."""
    import rasterio

    colours = {k: (k, 0, 255 - k, 255) for k in range(256)}

    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", driver="GTiff", count=1, height=32, width=32, dtype="uint8", **how) as out:
            for step in (out.write, out.write_colormap) if not how else (out.write_colormap, out.write):
                step(*((1, colours) if step == out.write_colormap else (planes(seed, 1, "uint8"),)))


def by_tifffile(bands: int, **options: Any) -> Build:
    """8-bit TIFF by tifffile."""
    import tifffile

    def write(path: Path, seed: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = planes(seed, bands, "uint8")
        tifffile.imwrite(path, values[0] if bands == 1 else values.transpose(1, 2, 0), **options)

    return each(write)


def pages(path: Path, seed: int) -> None:
    import tifffile

    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path) as out:
        for k in range(2):
            out.write(planes(seed + k, 3, "uint8").transpose(1, 2, 0), photometric="rgb")


def bilevel(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 2, (32, 32)).astype(bool)).save(path)


def empty_rows(value: float, dtype: str, **options: Any) -> Build:
    """Eight of 32 rows hold `value`."""

    def write(path: Path, seed: int) -> None:
        values = planes(seed, 4, dtype)
        values[:, :8] = value
        tif(path, values, FOUR, **options)

    return each(write)


def mixed(write: Callable[[Path, int, bool], None]) -> Build:
    """The third tile is another than the rest."""
    return each(lambda path, seed: write(path, seed, path.stem == "Forest_3"))


def turned(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x112] = 6
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 48, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, exif=exif)


def see_through(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 4)).astype(np.uint8)
    pixels[..., 3] = 255
    pixels[:4, :, 3] = 0
    Image.fromarray(pixels).save(path)


def animated(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [Image.fromarray(np.full((32, 32, 3), seed % 100 + k, np.uint8)) for k in range(2)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def with_gamma(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", (100_000).to_bytes(4, "big"))
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32)).astype(np.uint8)).save(path, pnginfo=info)


def beside(build: Build, name: str, content: bytes) -> Build:
    """A file beside every tile: `name` with the tile's own name in it."""

    def write(root: Path) -> None:
        build(root)
        for path in [p for p in root.rglob("*") if p.is_file()]:
            other = path.parent / name.format(path.name)
            other.parent.mkdir(parents=True, exist_ok=True)
            other.write_bytes(content)

    return write


def left_behind(root: Path) -> None:
    """What other programs leave: hidden folders with pictures of their own, thumbnails, resource forks."""
    pngs()(root)
    for k, name in enumerate((".ipynb_checkpoints", "__MACOSX/Forest", "Forest/@eaDir", "River/.thumbs")):
        picture(root / name / "001.png", 70 + k)
    for name in ("Thumbs.db", ".DS_Store", "Forest/._001.png", "River/desktop.ini"):
        (root / name).write_bytes(b"x")


def linked(root: Path) -> None:
    pngs()(root.with_name("elsewhere"))
    for path in sorted(root.with_name("elsewhere").rglob("*.png")):
        link = root / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)


def json_shard(path: Path) -> None:
    """A WebDataset shard whose classes stand in JSON."""
    with tarfile.open(path, "w") as out:
        for n in range(6):
            picture(path.with_name("x.png"), n)
            told = json.dumps({"id": n, "label": n % 2}).encode()
            for ending, content in (("png", path.with_name("x.png").read_bytes()), ("json", told)):
                info = tarfile.TarInfo(f"{n:06}.{ending}")
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))


def sizes(path: Path, seed: int, other: bool) -> None:
    tif(path, planes(seed, 4, shape=(30, 32) if other else (32, 32)), FOUR)


def bands(path: Path, seed: int, other: bool) -> None:
    tif(path, planes(seed, 3 if other else 4), FOUR[:3] if other else FOUR)


def orders(path: Path, seed: int, other: bool) -> None:
    tif(path, planes(seed, 4)[:: -1 if other else 1], FOUR[:: -1 if other else 1])


def types(path: Path, seed: int, other: bool) -> None:
    tif(path, planes(seed, 4, "float32" if other else "uint16"), FOUR)


MASK = b"<PAMDataset><PAMRasterBand band='1'><NoDataValue>0</NoDataValue></PAMRasterBand></PAMDataset>"
# (what there is, how it is made, what is in the answer, whether it is refused)
ODD: tuple[tuple[str, Build, str, bool], ...] = (
    ("a scale tag in the TIFF", changed(scales(*[1e-2] * 4), "float32"), "float32 reflectance/0.01", False),
    ("scale and offset tags", changed(scales(*[1e-4] * 4, offset=-0.1)), "0.0001 x stored -0.1", True),
    ("a scale tag for each band", changed(scales(1e-4, 2e-4, 1e-4, 1e-4)), "factors of single bands", True),
    ("big-endian", tifs(4, FOUR, endianness="BIG"), "uint16 DN", False),
    ("bands in planes", tifs(4, FOUR, interleave="band"), "uint16 DN", False),
    ("BigTIFF", tifs(4, FOUR, bigtiff="YES"), "uint16 DN", False),
    ("TIFF in tiles", tifs(4, FOUR, tiled=True, blockxsize=16, blockysize=16), "uint16 DN", False),
    ("deflate with a predictor", tifs(4, FOUR, compress="deflate", predictor=3, dtype="float32"), "float32", False),
    ("values of 12 bits (extra `geo`)", tifs(4, FOUR, nbits=12), "uint16 DN", False),
    ("JPEG in TIFF (extra `geo`)", tifs(3, dtype="uint8", compress="jpeg", photometric="ycbcr"), "uint8 rgb8", False),
    ("TIFF with a palette", each(partial(palette, photometric="palette")), "gdal_translate -expand rgb", True),
    ("TIFF with a colour table beside grey", each(palette), "gdal_translate -expand rgb", True),
    ("TIFF of CMYK", by_tifffile(4, photometric="separated"), "stored as CMYK", True),
    ("TIFF whose 0 is white", by_tifffile(1, photometric="miniswhite"), "stored as white below black", True),
    ("TIFF with an orientation tag", by_tifffile(3, photometric="rgb", extratags=[(274, "H", 1, 3, True)]),
     "orientation tag is 3", True),
    ("TIFF with two pictures", each(pages), "2 pages of 3 bands", True),
    ("TIFF of 1 bit (extra `geo`)", each(bilevel), "uint8 DN", False),
    ("uint32", tifs(4, FOUR, dtype="uint32"), "gdal_translate -ot Float32", True),
    ("NaN where there is nothing, and a tag that says so", empty_rows(np.nan, "float32", nodata=float("nan")),
     "no data: 1,536 pixels", False),
    ("NaN without a tag", empty_rows(np.nan, "float32"), "gdal_edit.py -a_nodata nan", True),
    ("-9999 without a tag", empty_rows(-9999, "int16"), "values of -9999 are taken as measured", False),
    ("a mask beside the TIFF (`.msk`)", beside(tifs(4, FOUR), "{}.msk", b"x"), "a mask (.msk) lies beside it", True),
    ("a no-data value in `.aux.xml`", beside(tifs(4, FOUR), "{}.aux.xml", MASK), "has a NoDataValue", True),
    ("statistics in `.aux.xml`", beside(tifs(4, FOUR), "{}.aux.xml", b"<PAMDataset/>"), "uint16 DN", False),
    ("one tile of another size", mixed(sizes), "32x30 pixels where most tiles have 32x32", True),
    ("one tile of other bands", mixed(bands), "bands B02,B03,B04 where most tiles have B02,B03,B04,B08", True),
    ("one tile of another order of bands", mixed(orders), "4 x 32x32 uint16", False),
    ("one tile of another type", mixed(types), "float32 values where most tiles have uint16", True),
    ("PNG, partly transparent", each(see_through, ending="png"), "128 of 1024 pixels are transparent", True),
    ("PNG of 1 bit", pngs("1"), "uint8 grey8", False),
    ("PNG with a gamma", each(with_gamma, ending="png"), "uint8 grey8", False),
    ("an animated PNG", each(animated, ending="png"), "an animation of 2 frames", True),
    ("JPEG that its EXIF says to turn", each(turned, ending="jpg"), "3 x 48x16 uint8 rgb8", False),
    ("JPEG of CMYK", each(lambda p, s: picture(p, s, "CMYK"), ending="jpg"), "mode CMYK", True),
    ("what file managers leave: hidden folders, `__MACOSX`", left_behind, "6 tiles of 2 classes", False),
    ("links to files elsewhere", linked, "a symbolic link that leaves the folder", True),
)  # fmt: skip
