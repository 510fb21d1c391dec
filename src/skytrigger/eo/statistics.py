"""Channel statistics of integer images, exact, in one pass over the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError
from skytrigger.core.progress import track

PERCENTILES = (1, 50, 99)
_BLOCK_TILES = 256


@dataclass(frozen=True)
class ChannelStatistics:
    """Over all pixels of one channel, in the data's units; `std` is the population's."""

    name: str
    mean: float
    std: float
    min: int
    max: int
    p1: int
    p50: int
    p99: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def histograms(dataset: Dataset) -> NDArray[np.int64]:
    """(c, 256 or 65536) counts of every stored value, read in blocks.

    Raises
    ------
    InputError
        The images are not uint8 or uint16.
    """
    if dataset.x.dtype not in (np.uint8, np.uint16):
        raise InputError(f"statistics of {dataset.x.dtype} images", expected="uint8 or uint16")
    levels = np.iinfo(dataset.x.dtype).max + 1
    counts = np.zeros((len(dataset.channels), levels), np.int64)
    with track("channel statistics", len(dataset)) as advance:
        for start in range(0, len(dataset), _BLOCK_TILES):
            block = np.asarray(dataset.x[start : start + _BLOCK_TILES])
            for channel in range(len(counts)):
                counts[channel] += np.bincount(block[:, channel].ravel(), minlength=levels)
            advance(len(block))
    return counts


def channel_statistics(dataset: Dataset) -> list[ChannelStatistics]:
    """Statistics of every channel. A percentile q is the smallest value with q % of the pixels at or below it."""
    levels: NDArray[np.float64] | None = None
    results = []
    for name, counts in zip(dataset.channels, histograms(dataset), strict=True):
        levels = np.arange(len(counts), dtype=np.float64) if levels is None else levels
        total = counts.sum()
        mean = float(counts @ levels / total)
        deviation = float(np.sqrt(counts @ (levels - mean) ** 2 / total))
        used = np.flatnonzero(counts)
        ranks = np.ceil(np.asarray(PERCENTILES) / 100 * total)
        p1, p50, p99 = np.searchsorted(np.cumsum(counts), ranks).tolist()
        results.append(ChannelStatistics(name, mean, deviation, int(used[0]), int(used[-1]), p1, p50, p99))
    return results
