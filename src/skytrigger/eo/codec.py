"""How a model's tiles lie in files, for the bench's stages: 13-band GeoTIFF, or JPEG for RGB."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.card import ModelCard
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.tiles import decode


class Tiff:
    """EuroSAT's GeoTIFF files of all bands, of which the model wants some."""

    dtype = np.uint16

    def __init__(self, channels: tuple[str, ...]) -> None:
        self.channels = [EUROSAT_ORDER.index(c) for c in channels]

    def encode(self, tile: NDArray[Any]) -> bytes:
        """With zeros in the bands that the model does not want."""
        import tifffile

        bands = np.zeros((*tile.shape[1:], len(EUROSAT_ORDER)), np.uint16)
        bands[..., self.channels] = tile.transpose(1, 2, 0)
        file = io.BytesIO()
        tifffile.imwrite(file, bands, planarconfig="contig", photometric="minisblack")
        return file.getvalue()

    def decode(self, content: bytes) -> NDArray[Any]:
        """All 13 bands."""
        return decode(content, "tile.tif").pixels


class Jpeg:
    """EuroSAT's JPEG files."""

    dtype = np.uint8
    channels = slice(None)

    def encode(self, tile: NDArray[Any]) -> bytes:
        """With the quality that EuroSAT's files have."""
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(tile.transpose(1, 2, 0))).save(file, "JPEG", quality=90)
        return file.getvalue()

    def decode(self, content: bytes) -> NDArray[Any]:
        """Red, green and blue."""
        return decode(content, "tile.jpg").pixels


def codec_of(card: ModelCard) -> Tiff | Jpeg | None:
    """Of the files that a model's tiles come from; None for other kinds of data."""
    if card.units == "rgb8" and len(card.channels) == 3:
        return Jpeg()
    if card.units == "DN" and set(card.channels) <= set(EUROSAT_ORDER):
        return Tiff(card.channels)
    return None
