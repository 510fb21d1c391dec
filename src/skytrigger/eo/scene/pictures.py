"""True colour and classes as images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skytrigger.eo.scene.cells import Cells
from skytrigger.eo.scene.decide import LandCover

Image = NDArray[np.uint8]


def true_colour(cover: LandCover, cells: Cells) -> Image:
    """(h, w, 3): the cells' pictures side by side, cut at the scene's edge, at most about `PICTURE_SIDE` a side."""
    picture = cover.cells.picture
    rows, columns = picture.shape[:2]
    side = cells.picture
    whole = picture.transpose(0, 2, 1, 3, 4).reshape(rows * side, columns * side, 3)
    step = cells.stride / side
    height, width = round(cells.grid.height / step), round(cells.grid.width / step)
    whole = whole[: max(height, 1), : max(width, 1)]
    return np.ascontiguousarray(whole)


def class_colours(cover: LandCover) -> Image:
    """(rows, columns, 4) RGBA, transparent where there is no data."""
    table = np.zeros((256, 4), np.uint8)
    for entry in cover.entries:
        table[entry.value] = (*entry.rgb, 255)
    return table[cover.codes]


def nice_length(about: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is at most `about`."""
    power = 10.0 ** np.floor(np.log10(about))
    return float(power * max(m for m in (1, 2, 5) if m * power <= about * (1 + 1e-9)))
