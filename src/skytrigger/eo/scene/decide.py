"""From logits and measures to the map's codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.eo.scene.clouds import CLOUDY_SHARE
from skytrigger.eo.scene.legend import NO_DATA, Entry, legend
from skytrigger.eo.scene.planes import MIN_SEEN
from skytrigger.eo.scene.reject import Reject
from skytrigger.eo.scene.results import CellRows

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class LandCover:
    """A finished map; all arrays (rows, columns).

    Attributes
    ----------
    codes
        Values of `entries`, 255 where there is too little data.
    probabilities
        (rows, columns, classes) softmax of the logits.
    distance
        To the training tiles in band space; NaN where the model has no limits.
    cells
        The measures that this came from.
    """

    codes: NDArray[np.uint8]
    confidence: Floats
    probabilities: Floats
    distance: Floats
    cells: CellRows
    planes: tuple[str, ...]
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]

    def count(self, value: int) -> int:
        """Cells of a value."""
        return int((self.codes == value).sum())


def decide(cells: CellRows, planes: tuple[str, ...], classes: tuple[str, ...], reject: Reject | None) -> LandCover:
    """In this order: too little data, cloudy, none of the classes, the likeliest class."""
    probabilities = softmax(cells.logits)
    confidence = probabilities.max(axis=-1)
    codes = probabilities.argmax(axis=-1).astype(np.uint8)
    distance = np.full(codes.shape, np.nan, np.float32)
    seen = cells.seen >= MIN_SEEN
    if reject is not None and all(b in planes for b in reject.bands):
        distance = reject.distances(cells.means, cells.spreads, planes)
        distance[~seen] = np.nan
        codes[(distance > reject.distance) | (confidence < reject.confidence)] = len(classes)
    codes[np.nan_to_num(cells.cloud) > CLOUDY_SHARE] = len(classes) + 1
    codes[~seen] = NO_DATA
    confidence = np.where(seen, confidence, 0).astype(np.float32)
    return LandCover(codes, confidence, probabilities, distance, cells, planes, classes, legend(classes))


def softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Floats = e / e.sum(axis=-1, keepdims=True)
    return result


def mean_of(cover: LandCover, band: str) -> Any:
    """(rows, columns) band mean, reflectance."""
    return cover.cells.means[..., cover.planes.index(band)] / 10_000.0
