"""JPEG and PNG: pictures of red, green and blue, or grey throughout."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import UnavailableError
from skytrigger.core.extras import install_command
from skytrigger.eo.bands import GREY, RGB
from skytrigger.eo.tiles import LIMIT_BYTES, BadTile, Tile

if TYPE_CHECKING:
    from PIL import Image

OPAQUE = "an alpha channel that is opaque throughout is left out"
PALETTE = "a palette's colours are taken as red, green and blue"
TRAILING = "bytes after the end of the JPEG are left out"
TURNED = "pictures are turned as their EXIF orientation says"
_ORIENTATION = 0x112


def read_jpeg(content: bytes) -> Tile:
    """A JPEG of red, green and blue, or grey."""
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=["JPEG"]) as opened:
        _check_size(*opened.size, 3)
        if opened.mode not in ("RGB", "L"):
            raise BadTile(f"a JPEG of mode {opened.mode}, expected RGB or grey: convert it")
        end = _jpeg_end(content)
        if end is None:
            raise BadTile("truncated: the JPEG has no end marker")
        notes = (TRAILING,) if content[end:].strip(b"\0\r\n ") else ()
        image, turned = _upright(opened)
        return _picture(np.asarray(image), (*notes, *turned))


def _upright(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """As every viewer shows it."""
    from PIL import ImageOps

    if image.getexif().get(_ORIENTATION, 1) == 1:
        return image, ()
    return ImageOps.exif_transpose(image), (TURNED,)


def _jpeg_end(content: bytes) -> int | None:
    """Place behind the picture's end marker; that of a thumbnail inside a segment is none."""
    at = 2
    while at + 4 <= len(content):
        if content[at] != 0xFF:
            return None
        marker = content[at + 1]
        if marker == 0xD9:
            return at + 2
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 1 if marker == 0xFF else 2
            continue
        at += 2 + int(struct.unpack_from(">H", content, at + 2)[0])
        if marker == 0xDA:  # coded data follow, up to the next marker that is no stuffed byte and no restart
            while True:
                at = content.find(b"\xff", at)
                if at < 0 or at + 1 >= len(content):
                    return None
                if content[at + 1] == 0 or 0xD0 <= content[at + 1] <= 0xD7:
                    at += 2
                else:
                    break
    return len(content) if content[at : at + 2] == b"\xff\xd9" else None


def read_png(content: bytes) -> Tile:
    """A PNG of 8 or 16 bits: colours, palette, grey, an alpha channel that is opaque."""
    from PIL import Image

    width, height, depth, colour = struct.unpack_from(">IIBB", content, 16)
    _check_size(width, height, 4 * (2 if depth == 16 else 1))
    if depth == 16 and colour != 0:  # Pillow would cut these to 8 bits
        return _without_alpha(_by_gdal(content), ())
    with Image.open(io.BytesIO(content), formats=["PNG"]) as opened:
        if (frames := getattr(opened, "n_frames", 1)) > 1:
            raise BadTile(f"an animation of {frames} frames: which is the tile is not clear")
        image, notes = _upright(opened)
        notes += (PALETTE,) if image.mode == "P" else ()
        if "transparency" in image.info and depth != 16:
            return _without_alpha(np.asarray(image.convert("RGBA" if image.mode != "L" else "LA")), notes)
        if image.mode in ("RGBA", "LA"):
            return _without_alpha(np.asarray(image), notes)
        if image.mode == "1":
            return _picture(np.asarray(image.convert("L")), notes)
        if image.mode.startswith("I") and depth == 16:
            return _picture(np.asarray(image).astype(np.uint16), notes)
        return _picture(np.asarray(image.convert("RGB") if image.mode == "P" else image), notes)


def _by_gdal(content: bytes) -> NDArray[Any]:
    from skytrigger.eo.gdal import read_all

    try:
        return np.moveaxis(read_all(content, "PNG"), 0, -1)
    except UnavailableError as error:
        raise BadTile(f"a PNG of 16 bits a colour is read by rasterio: {install_command('rasterio')}") from error


def _check_size(width: int, height: int, bytes_each: int) -> None:
    if width * height * bytes_each > LIMIT_BYTES:
        raise BadTile(f"claims {width}x{height} pixels")


def _without_alpha(pixels: NDArray[Any], notes: tuple[str, ...]) -> Tile:
    """The picture under an alpha channel, the last of (h, w, c), that hides nothing."""
    if pixels.shape[-1] in (1, 3):
        return _picture(pixels, notes)
    alpha = pixels[..., -1]
    if hidden := int((alpha != np.iinfo(alpha.dtype).max).sum()):
        raise BadTile(f"{hidden} of {alpha.size} pixels are transparent: what they show is not known; fill them first")
    return _picture(pixels[..., :-1], (*notes, OPAQUE))


def _picture(pixels: NDArray[Any], notes: tuple[str, ...]) -> Tile:
    """(h, w), (h, w, 1) or (h, w, 3) pixels as a tile."""
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    if len(planes) not in (1, 3) or planes.dtype not in (np.uint8, np.uint16):
        raise BadTile(f"a picture of {len(planes)} channels of {planes.dtype}")
    channels, kind = ((GREY,), "grey") if len(planes) == 1 else (RGB, "rgb")
    return Tile(np.ascontiguousarray(planes), channels, f"{kind}{8 * planes.dtype.itemsize}", notes=notes)
