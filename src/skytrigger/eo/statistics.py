"""Channel statistics, exact, without the pixels that hold no data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError
from skytrigger.core.progress import track
from skytrigger.eo.store_facts import no_data_values

PERCENTILES = (1, 50, 99)
_BLOCK_TILES = 256
_INTEGERS = (np.uint8, np.uint16, np.int16)
_HALF, _SIGN = 1 << 16, np.uint32(1 << 31)


@dataclass(frozen=True)
class ChannelStatistics:
    """Over all pixels of one channel that hold data, in the data's units; `std` is the population's."""

    name: str
    mean: float
    std: float
    min: float
    max: float
    p1: float
    p50: float
    p99: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def histograms(dataset: Dataset) -> NDArray[np.int64]:
    """(c, 256 or 65536) counts of every value from the type's smallest on, read in blocks; no-data is not counted.

    Raises
    ------
    InputError
        The images are not uint8, uint16 or int16.
    """
    if dataset.x.dtype not in _INTEGERS:
        raise InputError(f"histograms of {dataset.x.dtype} images", expected="uint8, uint16 or int16")
    kind = np.iinfo(dataset.x.dtype)
    levels, low = int(kind.max) - int(kind.min) + 1, int(kind.min)
    counts = np.zeros((len(dataset.channels), levels), np.int64)
    for block in _blocks(dataset, "channel statistics"):
        for channel in range(len(counts)):
            values = block[:, channel].ravel()
            counts[channel] += np.bincount(values.astype(np.int64) - low if low else values, minlength=levels)
    for value in no_data_values(dataset.source):
        counts[:, int(value) - low] = 0
    return counts


def _blocks(dataset: Dataset, title: str) -> Iterator[NDArray[Any]]:
    with track(title, len(dataset)) as advance:
        for start in range(0, len(dataset), _BLOCK_TILES):
            block = np.asarray(dataset.x[start : start + _BLOCK_TILES])
            yield block
            advance(len(block))


def channel_statistics(dataset: Dataset) -> list[ChannelStatistics]:
    """Statistics of every channel. A percentile q is the smallest value with q % of the pixels at or below it.

    Raises
    ------
    InputError
        A type that is no tile's, or a channel without a pixel that holds data.
    """
    if dataset.x.dtype == np.float32:
        return _of_floats(dataset)
    low = np.iinfo(dataset.x.dtype).min if dataset.x.dtype.kind in "iu" else 0
    results = []
    for name, counts in zip(dataset.channels, histograms(dataset), strict=True):
        levels = np.arange(len(counts), dtype=np.float64) + low
        total = _held(name, int(counts.sum()))
        mean = float(counts @ levels / total)
        deviation = float(np.sqrt(counts @ (levels - mean) ** 2 / total))
        used = np.flatnonzero(counts) + low
        p1, p50, p99 = (np.searchsorted(np.cumsum(counts), _ranks(total)) + low).tolist()
        results.append(ChannelStatistics(name, mean, deviation, int(used[0]), int(used[-1]), p1, p50, p99))
    return results


def _held(name: str, pixels: int) -> int:
    if not pixels:
        raise InputError(f"{name} holds no data in any pixel", expected="at least one", remedy="--bands without it")
    return pixels


def _ranks(total: int) -> NDArray[np.float64]:
    return np.ceil(np.asarray(PERCENTILES) / 100 * total)


def _ordered(values: NDArray[Any]) -> NDArray[np.uint32]:
    """Whole numbers in the order of the floats: the sign's bit flipped, all bits of what is negative."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _value(order: int) -> float:
    """The float at a place of `_ordered`."""
    whole = np.uint32(order)
    bits = np.array([whole ^ _SIGN if whole & _SIGN else ~whole], np.uint32)
    return float(bits.view(np.float32)[0])


def _of_floats(dataset: Dataset) -> list[ChannelStatistics]:
    """By three passes: mean and the upper halves' counts, deviation and the lower halves within, no sorting."""
    empty = np.asarray(no_data_values(dataset.source), np.float32)
    channels = range(len(dataset.channels))
    upper = np.zeros((len(channels), _HALF), np.int64)
    sums, squares = np.zeros((2, len(channels)))
    low, high = np.full(len(channels), np.inf), np.full(len(channels), -np.inf)
    for block in _blocks(dataset, "channel statistics"):
        for c in channels:
            values = _with_data(block[:, c], empty)
            if len(values):
                upper[c] += np.bincount(_ordered(values) >> 16, minlength=_HALF)
                sums[c] += values.sum(dtype=np.float64)
                low[c], high[c] = min(low[c], values.min()), max(high[c], values.max())
    totals = [_held(name, int(upper[c].sum())) for c, name in enumerate(dataset.channels)]
    mean = sums / totals
    halves = [np.searchsorted(np.cumsum(upper[c]), _ranks(totals[c])) for c in channels]
    lower = np.zeros((len(channels), len(PERCENTILES), _HALF), np.int64)
    for block in _blocks(dataset, "channel percentiles"):
        for c in channels:
            values = _with_data(block[:, c], empty)
            squares[c] += np.square(values - mean[c]).sum()
            order = _ordered(values)
            for k, half in enumerate(halves[c]):
                lower[c, k] += np.bincount(order[order >> 16 == half] & 0xFFFF, minlength=_HALF)
    results = []
    for c, name in enumerate(dataset.channels):
        before = np.cumsum(upper[c]) - upper[c]
        found = [
            _value((int(half) << 16) | int(np.searchsorted(np.cumsum(lower[c, k]), rank - before[half])))
            for k, (half, rank) in enumerate(zip(halves[c], _ranks(totals[c]), strict=True))
        ]
        deviation = float(np.sqrt(squares[c] / totals[c]))
        results.append(ChannelStatistics(name, float(mean[c]), deviation, float(low[c]), float(high[c]), *found))
    return results


def _with_data(values: NDArray[Any], empty: NDArray[np.float32]) -> NDArray[Any]:
    flat = values.ravel()
    return flat[~np.isin(flat, empty)] if len(empty) else flat
