"""One tile from the bytes of one file: TIFF, JPEG or PNG, every claim checked before it is believed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from skytrigger.eo.geotags import NOWHERE
from skytrigger.eo.reading import Reading

LIMIT_BYTES = 1 << 26  # of a file and of its pixels; a EuroSAT tile has 107 kB
LIMIT_BANDS = 64
TIFF_SUFFIXES, JPEG_SUFFIXES, PNG_SUFFIXES = (".tif", ".tiff"), (".jpg", ".jpeg"), (".png",)
SUFFIXES = TIFF_SUFFIXES + JPEG_SUFFIXES + PNG_SUFFIXES
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STARTS = {
    "TIFF": TIFF_STARTS,
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF8",),
    "BMP": (b"BM",),
    "WebP": (b"RIFF",),
    "JPEG 2000": (b"\0\0\0\x0cjP  ",),
    "zip": (b"PK\x03\x04",),
    "HDF5": (b"\x89HDF",),
}


class BadTile(Exception):
    """A file that is no usable tile; its text is the reason."""


@dataclass(frozen=True)
class Tile:
    """What a file holds.

    Attributes
    ----------
    pixels
        (c, h, w) in the file's own type: uint8, uint16, int16 or float32.
    channels, units
        Names of the bands; ``DN``, ``reflectance``, ``float``, ``rgb8``, ``grey8``, ``rgb16``, ``grey16``.
    lonlat
        Of the centre, degrees, or NaN.
    no_data
        The value of pixels that hold nothing, where the file states one.
    notes
        What the reader took for granted or turned into something else.
    """

    pixels: NDArray[Any]
    channels: tuple[str, ...]
    units: str
    lonlat: tuple[float, float] = NOWHERE
    no_data: float | None = None
    notes: tuple[str, ...] = ()


def kind_of(content: bytes) -> str:
    """What the first bytes say a file is, or an empty text."""
    return next((kind for kind, starts in _STARTS.items() if content.startswith(starts)), "")


def decode(content: bytes, name: str, reading: Reading | None = None) -> Tile:
    """The tile in a file's bytes; `name` decides by its suffix between TIFF, JPEG and PNG.

    Raises
    ------
    BadTile
        With the reason: corrupt, truncated, too large, a type that is not read, NaN, bands without names.
    """
    from skytrigger.eo import pictures, tiff

    if not content:
        raise BadTile("the file is empty")
    suffix = name.lower()
    wanted = "TIFF" if suffix.endswith(TIFF_SUFFIXES) else "PNG" if suffix.endswith(PNG_SUFFIXES) else "JPEG"
    found = kind_of(content)
    if found != wanted:
        raise BadTile(f"not a {wanted}{f' but a {found}, by its first bytes: rename it' if found else ''}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if wanted == "TIFF":
                return tiff.read(content, reading or Reading())
            return pictures.read_png(content) if wanted == "PNG" else pictures.read_jpeg(content)
    except BadTile:
        raise
    except MemoryError as error:
        raise BadTile("its pixels do not fit into memory") from error
    except Exception as error:  # parsers of untrusted bytes raise anything
        raise BadTile(f"corrupt or truncated: {type(error).__name__}: {error}"[:200].split(" <_io")[0]) from error
