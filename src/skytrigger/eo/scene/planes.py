"""Which bands are looked at in a tile besides those that the network reads, and what for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skytrigger.eo.bands import RGB
from skytrigger.eo.scene.clouds import SCREEN_BANDS
from skytrigger.eo.scene.model import Scene

# Where one of these is 0 there is no data: light scattered by the air keeps them above 0 over lit ground, while far
# infrared over water may be 0; the first and last bands on the focal plane are among them, so swath edges are found.
DATA_BANDS = ("B01", "B02", "B03")
MIN_SEEN = 0.5  # a cell has a class where at least this share of its window's pixels in the scene has data


@dataclass(frozen=True)
class Planes:
    """Bands of a tile.

    Attributes
    ----------
    names
        The network's, in its order, then what else is looked at.
    channels
        How many of them the network reads.
    read
        What is read of the scene: `names`, and SCL where there is one.
    screened
        Those that clouds are looked for in; none where the scene has SCL, or too few of them.
    references, every
        Places of the bands whose zeros mean no data: each of them must have data, or without `every` any.
    colours
        Band -> 0, 1, 2 of the true-colour picture.
    """

    names: tuple[str, ...]
    channels: int
    read: tuple[str, ...]
    screened: tuple[str, ...]
    references: tuple[int, ...]
    every: bool
    colours: dict[str, int]


def planes_of(scene: Scene, channels: tuple[str, ...]) -> Planes:
    """For a network of these channels on this scene."""
    screened = () if "SCL" in scene.bands else tuple(n for n in SCREEN_BANDS if n in scene.bands)
    if not {"B02", "B11"} <= set(screened):
        screened = ()
    more = [n for n in (*RGB, *DATA_BANDS, *screened) if n in scene.bands and n not in channels]
    names = (*channels, *dict.fromkeys(more))
    data = tuple(names.index(n) for n in DATA_BANDS if n in names)
    return Planes(
        names, len(channels), (*names, "SCL") if "SCL" in scene.bands else names, screened,
        data or tuple(range(len(names))), bool(data),
        {n: i for i, n in enumerate(RGB)} if all(n in names for n in RGB) else {},
    )  # fmt: skip


def without_band(means: NDArray[np.float32], channels: int) -> NDArray[np.bool_]:
    """(...,) whether a tile of (..., planes) means has no pixel of some band: a file written in part, or a hole."""
    found: NDArray[np.bool_] = (means[..., :channels] == 0).any(axis=-1)
    return found
