"""One tile from the bytes of one file: GeoTIFF or JPEG, every claim checked before it is believed."""

from __future__ import annotations

import io
import math
import re
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.eo import utm
from skytrigger.eo.bands import EUROSAT_ORDER, RGB, band_name

LIMIT_BYTES = 1 << 26  # of a file and of its pixels; a EuroSAT tile has 107 kB
LIMIT_BANDS = 64
NOWHERE = (math.nan, math.nan)
TIFF_SUFFIXES, JPEG_SUFFIXES = (".tif", ".tiff"), (".jpg", ".jpeg")

_DESCRIPTION = re.compile(r'<Item name="DESCRIPTION" sample="(\d{1,3})" role="description">([^<]{1,40})</Item>')


class BadTile(Exception):
    """A file that is no usable tile; its text is the reason."""


@dataclass(frozen=True)
class Tile:
    """Pixels (c, h, w), band names, units (``DN`` or ``rgb8``), and the centre's (lon, lat) in degrees or NaN."""

    pixels: NDArray[Any]
    channels: tuple[str, ...]
    units: str
    lonlat: tuple[float, float] = NOWHERE


def decode(content: bytes, name: str) -> Tile:
    """The tile in a file's bytes; `name` decides by its suffix between TIFF and JPEG.

    Raises
    ------
    BadTile
        With the reason: corrupt, truncated, too large, wrong dtype, NaN, wrong number of bands.
    """
    if not content:
        raise BadTile("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _tiff(content) if name.lower().endswith(TIFF_SUFFIXES) else _jpeg(content)
    except BadTile:
        raise
    except MemoryError as error:
        raise BadTile("its pixels do not fit into memory") from error
    except Exception as error:  # parsers of untrusted bytes raise anything
        raise BadTile(f"corrupt or truncated: {type(error).__name__}: {error}"[:200]) from error


def _jpeg(content: bytes) -> Tile:
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
        width, height = image.size
        if width * height * 3 > LIMIT_BYTES:
            raise BadTile(f"claims {width}x{height} pixels")
        if image.mode != "RGB":
            raise BadTile(f"a JPEG of mode {image.mode}, expected RGB")
        if not content.rstrip(b"\0\r\n ").endswith(b"\xff\xd9"):
            raise BadTile("truncated: the JPEG has no end marker")
        pixels = np.asarray(image)
    return Tile(np.ascontiguousarray(pixels.transpose(2, 0, 1)), RGB, "rgb8")


def _tiff(content: bytes) -> Tile:
    import tifffile

    if content[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        raise BadTile("not a TIFF")
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        pages: Any = tiff.pages
        page = pages[0]
        count = 1 if page.samplesperpixel > 1 else len(pages)
        if not 1 <= count <= LIMIT_BANDS:
            raise BadTile(f"{count} pages")
        for each in range(count):
            _check_page(pages[each], len(content), count)
        pixels = _bands_first(page) if count == 1 else np.concatenate([_bands_first(pages[k]) for k in range(count)])
        values = {code: tag.value for code in (*_GEO_TAGS, 42112) if (tag := page.tags.get(code)) is not None}
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        bad = int(pixels.size - np.isfinite(pixels).sum())
        raise BadTile(f"{bad} NaN or infinite values; {pixels.dtype}, expected uint16")
    if pixels.dtype != np.uint16:
        raise BadTile(f"{pixels.dtype} values, expected uint16")
    channels = _band_names(str(values.get(42112, "")), len(pixels))
    return Tile(pixels, channels, "DN", _centre_lonlat(values, *pixels.shape[1:]))


def _check_page(page: Any, file_bytes: int, pages: int) -> None:
    """Refuse a page before any of its pixels are allocated or read."""
    samples, height, width = int(page.samplesperpixel), int(page.imagelength), int(page.imagewidth)
    depth = page.dtype.itemsize if page.dtype is not None else 0
    if not depth:
        raise BadTile(f"{page.bitspersample} bits per sample, expected 16")
    if min(samples, height, width) < 1 or samples > LIMIT_BANDS:
        raise BadTile(f"claims {samples} bands of {width}x{height} pixels")
    claimed = samples * height * width * depth
    if claimed * pages > LIMIT_BYTES or int(page.imagedepth) != 1:
        raise BadTile(f"claims {samples} bands of {width}x{height} pixels, {claimed * pages} bytes")
    ends = [offset + size for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if not ends or max(ends) > file_bytes or min(page.dataoffsets) < 8:
        raise BadTile(f"truncated: pixel data up to byte {max(ends, default=0)} of {file_bytes}")
    if page.compression == 1 and sum(page.databytecounts) < claimed:
        raise BadTile(f"{sum(page.databytecounts)} bytes of pixels, {claimed} needed")
    if page.compression != 1:
        _check_compressed(page, len(ends))


def _check_compressed(page: Any, segments: int) -> None:
    """Refuse what unpacks to more than its strips or tiles hold; tifffile sets no bound."""
    if page.compression not in (8, 32946):
        raise BadTile(
            f"TIFF compression {getattr(page.compression, 'name', page.compression)}; none and deflate are read"
        )
    samples = 1 if page.planarconfig == 2 else int(page.samplesperpixel)
    width, height = int(page.imagewidth), min(int(page.rowsperstrip), int(page.imagelength))
    if page.is_tiled:
        width, height = int(page.tilewidth), int(page.tilelength)
    bound = width * height * samples * page.dtype.itemsize
    if bound * segments > LIMIT_BYTES:
        raise BadTile(f"claims {segments} parts of {width}x{height} pixels")
    for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        page.parent.filehandle.seek(offset)
        if len(zlib.decompressobj().decompress(page.parent.filehandle.read(size), bound + 1)) > bound:
            raise BadTile(f"a part unpacks to more than its {bound} bytes")


def _bands_first(page: Any) -> NDArray[Any]:
    pixels = np.asarray(page.asarray())
    if page.samplesperpixel == 1:
        pixels = pixels[None]
    elif page.planarconfig == 1:
        pixels = pixels.transpose(2, 0, 1)
    expected = (page.samplesperpixel, page.imagelength, page.imagewidth)
    if pixels.shape != expected:
        raise BadTile(f"pixels of shape {pixels.shape}, its tags claim {expected}")
    return np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("="), copy=False))


def _band_names(gdal_metadata: str, count: int) -> tuple[str, ...]:
    """Names from GDAL's band descriptions where every band has one, else EuroSAT's order for 13 bands."""
    found = {int(sample): text for sample, text in _DESCRIPTION.findall(gdal_metadata)}
    if sorted(found) == list(range(count)):
        try:
            names = tuple(band_name(found[k]) for k in range(count))
        except InputError:
            names = ()
        if len(set(names)) == count:
            return names
    if count != len(EUROSAT_ORDER):
        raise BadTile(f"{count} bands, expected {len(EUROSAT_ORDER)}")
    return EUROSAT_ORDER


_SCALE, _TIEPOINT, _TRANSFORM, _KEYS = 33550, 33922, 34264, 34735
_GEO_TAGS = (_SCALE, _TIEPOINT, _TRANSFORM, _KEYS)


def _centre_lonlat(tags: dict[int, Any], height: int, width: int) -> tuple[float, float]:
    """Longitude and latitude of the tile's centre from its GeoTIFF tags, NaN where they do not tell."""
    try:
        keys = tags.get(_KEYS, ())
        geo = {keys[k]: keys[k + 3] for k in range(4, len(keys), 4) if keys[k + 1] == 0}
        shift = 0.5 if geo.get(1025) == 2 else 0.0  # RasterPixelIsPoint: coordinates are of pixel centres
        column, row = width / 2 - shift, height / 2 - shift
        if _TRANSFORM in tags:
            m = tags[_TRANSFORM]
            x, y = m[0] * column + m[1] * row + m[3], m[4] * column + m[5] * row + m[7]
        else:
            i, j, _, x0, y0 = tags[_TIEPOINT][:5]
            x, y = x0 + (column - i) * tags[_SCALE][0], y0 - (row - j) * tags[_SCALE][1]
        zone = utm.utm_zone(int(geo.get(3072, 0)))
        if zone is not None:
            lon, lat = map(float, utm.to_lonlat(x, y, zone[0], south=zone[1]))
        elif geo.get(1024) == 2 and geo.get(2048) == 4326:
            lon, lat = float(x), float(y)
        else:
            return NOWHERE
    except (KeyError, IndexError, TypeError, ValueError, struct.error):
        return NOWHERE
    inside = abs(lon) <= 180 and abs(lat) <= 90
    return (lon, lat) if inside else NOWHERE
