"""TIFF tiles: bands by their descriptions, no-data by its tag, in the type they are stored in."""

from __future__ import annotations

import html
import io
import math
import re
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.core.extras import install_command
from skytrigger.eo.bands import EUROSAT_ORDER, GREY, RGB, described_bands
from skytrigger.eo.geotags import GEO_TAGS, centre_lonlat
from skytrigger.eo.reading import LEFT_OUT, Reading
from skytrigger.eo.tiles import LIMIT_BANDS, LIMIT_BYTES, BadTile, Tile

DTYPES = ("uint8", "uint16", "int16", "float32")
# Floats that hold nothing are stored as this: no measured value, and zero to a network.
FLOAT_NO_DATA = float(np.finfo(np.float32).tiny)
ASSUMED_ORDER = f"13 bands without names are taken in EuroSAT's order: {','.join(EUROSAT_ORDER)}"
ASSUMED_GREY = "one band without a name is called grey"
ASK = "state them in the file's order: --band-names B01,B02,... (- leaves a band out)"
_GDAL_METADATA, _GDAL_NODATA, _RGB, _PALETTE = 42112, 42113, 2, 3
_ITEM = re.compile(r"<Item\b([^>]{1,300})>([^<]{0,400})</Item>")
_SAMPLE = re.compile(r'\bsample="(\d{1,3})"')
_OWN_COMPRESSIONS = (1, 8, 32946)  # none, deflate
_WHOLE_BITS = (8, 16, 32, 64)
_ORIENTATION, _COLOUR_MAP, _YCBCR = 274, 320, 6
_COLOURS = {0: "white below black", 5: "CMYK", 8: "CIELAB", 9: "ICCLAB"}  # photometric: values that are no radiance
_REMEDIES = {"u": "gdal_translate -ot Float32", "i": "gdal_translate -ot Float32", "f": "gdal_translate -ot Float32",
             "c": "its real part or its size is a tile"}  # fmt: skip
_FILLS = (-9999.0, -32768.0, float(np.finfo(np.float32).min))
FILL = "values of {:g} are taken as measured: no no-data tag says otherwise (gdal_edit.py -a_nodata {:g})"


def read(content: bytes, reading: Reading) -> Tile:
    """The tile in a TIFF's bytes, or `BadTile`."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        pages = _image_pages(tiff)
        for page in pages:
            _check_page(page, len(content), len(pages))
        pixels = _pixels(content, pages)
        page = pages[0]
        wanted = (*GEO_TAGS, _GDAL_METADATA, _GDAL_NODATA, _ORIENTATION)
        values = {code: tag.value for code in wanted if (tag := page.tags.get(code)) is not None}
        photometric = int(page.photometric)
    if pixels.dtype.name not in DTYPES:
        remedy = "gdal_translate -ot Int16" if pixels.dtype == np.int8 else _REMEDIES[pixels.dtype.kind]
        raise BadTile(f"{pixels.dtype} values; {', '.join(DTYPES)} are read ({remedy})")
    if (turned := int(values.get(_ORIENTATION, 1))) != 1:
        raise BadTile(f"its orientation tag is {turned}: turned or mirrored as it is stored; write it upright")
    lonlat = centre_lonlat(values, *pixels.shape[1:])
    pixels, no_data = _no_data(pixels, values.get(_GDAL_NODATA))
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        bad = int(pixels.size - np.isfinite(pixels).sum())
        raise BadTile(f"{bad} NaN or infinite values, and no no-data tag that says so (gdal_edit.py -a_nodata nan)")
    metadata = str(values.get(_GDAL_METADATA, ""))
    reading, said = scaled(metadata, len(pixels), reading)
    if (
        photometric in (_RGB, _YCBCR)
        and pixels.dtype == np.uint8
        and not reading.band_names
        and "description" not in metadata
    ):
        return _picture(pixels, lonlat, no_data)
    channels, notes = _named(metadata, len(pixels), reading)
    notes += said + tuple(
        FILL.format(v, v) for v in _FILLS if no_data is None and pixels.dtype.kind in "if" and v in pixels
    )
    kept = [k for k, name in enumerate(channels) if name != LEFT_OUT]
    if len(kept) < len(channels):
        pixels, channels = np.ascontiguousarray(pixels[kept]), tuple(channels[k] for k in kept)
    return Tile(pixels, channels, reading.units(pixels.dtype), lonlat, no_data, notes)


def _image_pages(tiff: Any) -> list[Any]:
    """The pages that are bands: overviews are not, and a mask is refused, since nobody would see it left out."""
    first = tiff.pages[0]
    if len(tiff.pages) > 4 * LIMIT_BANDS:
        raise BadTile(f"{len(tiff.pages)} pages")
    others = [tiff.pages[k] for k in range(1, len(tiff.pages))]
    if any(int(page.subfiletype) & 4 for page in others):
        raise BadTile("it holds a mask as a page of its own; write no-data as a value (GDAL_NODATA) instead")
    pages = [first, *(page for page in others if not int(page.subfiletype) & 1)]
    if len(pages) > 1 and first.samplesperpixel > 1:
        raise BadTile(f"{len(pages)} pages of {first.samplesperpixel} bands: which is the tile is not clear")
    if len(pages) > LIMIT_BANDS:
        raise BadTile(f"{len(pages)} pages")
    return pages


def _check_page(page: Any, file_bytes: int, pages: int) -> None:
    """Refuse a page before any of its pixels are allocated or read."""
    samples, height, width = int(page.samplesperpixel), int(page.imagelength), int(page.imagewidth)
    depth = page.dtype.itemsize if page.dtype is not None else 0
    if not depth:
        raise BadTile(f"{page.bitspersample} bits per sample, expected 8, 16 or 32")
    if colours := _COLOURS.get(int(page.photometric)):
        raise BadTile(f"its colours are stored as {colours}; write red, green and blue, or grey")
    if min(samples, height, width) < 1 or samples > LIMIT_BANDS:
        raise BadTile(f"claims {samples} bands of {width}x{height} pixels")
    claimed = samples * height * width * depth
    if claimed * pages > LIMIT_BYTES or int(page.imagedepth) != 1:
        raise BadTile(f"claims {samples} bands of {width}x{height} pixels, {claimed * pages} bytes")
    if int(page.photometric) == _PALETTE or _COLOUR_MAP in page.tags:
        raise BadTile("a TIFF with a palette; write its colours (gdal_translate -expand rgb)")
    ends = [offset + size for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if not ends or max(ends) > file_bytes or min(page.dataoffsets) < 8:
        raise BadTile(f"truncated: pixel data up to byte {max(ends, default=0)} of {file_bytes}")
    if page.compression == 1 and page.bitspersample in _WHOLE_BITS and sum(page.databytecounts) < claimed:
        raise BadTile(f"{sum(page.databytecounts)} bytes of pixels, {claimed} needed")
    if page.compression != 1:
        _check_compressed(page, len(ends))


def _check_compressed(page: Any, segments: int) -> None:
    """Refuse what unpacks to more than its strips or tiles hold; tifffile sets no bound."""
    samples = 1 if page.planarconfig == 2 else int(page.samplesperpixel)
    width, height = int(page.imagewidth), min(int(page.rowsperstrip), int(page.imagelength))
    if page.is_tiled:
        width, height = int(page.tilewidth), int(page.tilelength)
    bound = width * height * samples * page.dtype.itemsize
    if bound * segments > LIMIT_BYTES:
        raise BadTile(f"claims {segments} parts of {width}x{height} pixels")
    if page.compression not in _OWN_COMPRESSIONS:
        return  # GDAL's readers fill buffers of the claimed size
    for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        page.parent.filehandle.seek(offset)
        if len(zlib.decompressobj().decompress(page.parent.filehandle.read(size), bound + 1)) > bound:
            raise BadTile(f"a part unpacks to more than its {bound} bytes")


def _pixels(content: bytes, pages: list[Any]) -> NDArray[Any]:
    """(c, h, w) pixels; by GDAL where the compression is none of tifffile's own."""
    other = [page.compression for page in pages if page.compression not in _OWN_COMPRESSIONS]
    bits = int(pages[0].bitspersample)
    if not other and bits in _WHOLE_BITS and int(pages[0].photometric) != _YCBCR:
        return _bands_first(pages[0]) if len(pages) == 1 else np.concatenate([_bands_first(page) for page in pages])
    name = f"compression {getattr(other[0], 'name', other[0])}" if other else f"values of {bits} bits"
    if len(pages) > 1:
        raise BadTile(f"TIFF {name} with a page for each band; none and deflate are read so")
    from skytrigger.eo.gdal import read_all

    try:
        pixels = read_all(content, "GTiff")
    except UnavailableError as error:
        command = install_command("rasterio")
        raise BadTile(f"TIFF {name}; none and deflate are read, others by rasterio: {command}") from error
    return _checked(pixels, pages[0])


def _bands_first(page: Any) -> NDArray[Any]:
    pixels = np.asarray(page.asarray())
    if page.samplesperpixel == 1:
        pixels = pixels[None]
    elif page.planarconfig == 1:
        pixels = pixels.transpose(2, 0, 1)
    return _checked(pixels, page)


def _checked(pixels: NDArray[Any], page: Any) -> NDArray[Any]:
    expected = (page.samplesperpixel, page.imagelength, page.imagewidth)
    if pixels.shape != expected:
        raise BadTile(f"pixels of shape {pixels.shape}, its tags claim {expected}")
    return np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("="), copy=False))


def _no_data(pixels: NDArray[Any], tag: Any) -> tuple[NDArray[Any], float | None]:
    """Pixels and the value that stands for no data, from the tag GDAL_NODATA; None where no pixel can have it."""
    if tag is None:
        return pixels, None
    text = str(tag).strip().strip("\0").strip()
    try:
        value = float(text)
    except ValueError as error:
        raise BadTile(f"its no-data tag says {text[:40]!r}, expected a number") from error
    if pixels.dtype.kind == "f":
        holes = np.isnan(pixels) if math.isnan(value) else pixels == np.float32(value)
        return np.where(holes, np.float32(FLOAT_NO_DATA), pixels), FLOAT_NO_DATA
    kind = np.iinfo(pixels.dtype)
    return pixels, value if kind.min <= value <= kind.max and value.is_integer() else None


def _picture(pixels: NDArray[Any], lonlat: tuple[float, float], no_data: float | None) -> Tile:
    """A TIFF that calls itself red, green and blue, 8 bits each."""
    if len(pixels) == 3:
        return Tile(pixels, RGB, "rgb8", lonlat, no_data)
    from skytrigger.eo.pictures import OPAQUE

    if len(pixels) == 4 and (pixels[3] == 255).all():
        return Tile(np.ascontiguousarray(pixels[:3]), RGB, "rgb8", lonlat, no_data, (OPAQUE,))
    raise BadTile(f"red, green, blue and {len(pixels) - 3} more that nothing names; {ASK}")


def _items(gdal_metadata: str, role: str) -> dict[int, str]:
    """Band (0-based) -> what GDAL's metadata say in this role."""
    found = {}
    for attributes, text in _ITEM.findall(gdal_metadata):
        sample = _SAMPLE.search(attributes)
        if sample and f'role="{role}"' in attributes:
            found[int(sample[1])] = html.unescape(text)
    return found


def scaled(gdal_metadata: str, count: int, reading: Reading) -> tuple[Reading, tuple[str, ...]]:
    """`reading` with the scale that the tags of all bands say, and a note; what one factor cannot say is refused."""
    scales, offsets = ({k: float(v) for k, v in _items(gdal_metadata, role).items()} for role in ("scale", "offset"))
    factors = {scales.get(k, 1.0) for k in range(count)}
    if any(offsets.values()) or len(factors) > 1:
        told = f"{scales.get(0, 1.0):g} x stored {offsets.get(0, 0.0):+g} in the first band"
        raise BadTile(f"its tags say that values are {told}: offsets and factors of single bands are not read "
                      "(gdal_translate -unscale -ot Float32)")  # fmt: skip
    (factor,) = factors
    if factor == 1 or (reading.scale is not None and math.isclose(reading.scale, factor, rel_tol=1e-6)):
        return reading, ()
    if reading.scale is not None:
        raise BadTile(f"its tags say a factor of {factor:g}, --scale says {reading.scale:g}")
    return replace(reading, scale=factor), (f"the scale tag, {factor:g}, is reflectance of one stored count",)


def descriptions_of(gdal_metadata: str) -> dict[int, str]:
    """Band (0-based) -> what GDAL's metadata call it."""
    return _items(gdal_metadata, "description")


def _named(gdal_metadata: str, count: int, reading: Reading) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names as stated or described, EuroSAT's for 13 bands of which the file says nothing; and what was assumed."""
    found = descriptions_of(gdal_metadata)
    described: tuple[str, ...] = ()
    problem = "" if found or 'role="description"' not in gdal_metadata else "descriptions that cannot be read"
    if found:
        try:
            described = described_bands(found, count)
        except InputError as error:
            problem = error.problem
    if stated := reading.band_names:
        if len(stated) != count:
            raise BadTile(f"{count} bands, --band-names names {len(stated)}")
        wrong = [(s, d) for s, d in zip(stated, described, strict=False) if s not in (LEFT_OUT, d)]
        if wrong:
            raise BadTile(f"its descriptions say {wrong[0][1]} where --band-names says {wrong[0][0]}")
        return stated, ()
    if problem:
        raise BadTile(f"{problem}; {ASK}")
    if described:
        return described, ()
    if count == len(EUROSAT_ORDER):
        return EUROSAT_ORDER, (ASSUMED_ORDER,)
    if count == 1:
        return (GREY,), (ASSUMED_GREY,)
    raise BadTile(f"{count} bands without names; {ASK}")
