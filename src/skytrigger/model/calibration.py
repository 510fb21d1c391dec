"""Ranges of a float graph's tensors on calibration images: whole, by percentile, or by least information lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.model.file import INPUT
from skytrigger.model.qdq import Ranges

if TYPE_CHECKING:
    import onnx

METHODS = ("minmax", "percentile", "entropy")
PERCENTILE = 99.99
BINS = 2048
LEVELS = 128
BATCH = 32


def tensor_ranges(
    model: onnx.ModelProto, tensors: Sequence[str], tiles: NDArray[Any], methods: Sequence[str] = METHODS
) -> dict[str, Ranges]:
    """For each of `methods` the (low, high) of each of `tensors` over the images `tiles` (n, c, h, w), raw units.

    ``percentile`` cuts 0.005 % off either end (off the upper end alone where nothing is negative); ``entropy`` cuts
    |x| where the clipped, quantised distribution is nearest in Kullback-Leibler divergence to the exact one.
    """
    if unknown := [m for m in methods if m not in METHODS]:
        raise InputError(f"calibration method {unknown[0]!r}", expected=", ".join(METHODS))
    session = _session(model, tensors)
    whole: Ranges = {}
    for values in _batches(session, tensors, tiles):
        for name, v in values.items():
            low, high = whole.get(name, (np.inf, -np.inf))
            whole[name] = (min(low, float(v.min())), max(high, float(v.max())))
    found: dict[str, Ranges] = {"minmax": whole}
    if set(methods) - {"minmax"}:
        counts = {name: np.zeros(BINS, np.int64) for name in tensors}
        sizes = {name: np.zeros(BINS, np.int64) for name in tensors}
        for values in _batches(session, tensors, tiles):
            for name, v in values.items():
                low, high = whole[name]
                counts[name] += np.histogram(v, BINS, (low, high if high > low else low + 1))[0]
                largest = max(-low, high, 1e-12)
                sizes[name] += np.histogram(np.abs(v), BINS, (0.0, largest))[0]
        found["percentile"] = {name: _percentile(counts[name], *whole[name]) for name in tensors}
        if "entropy" in methods:
            found["entropy"] = {name: _entropy(sizes[name], *whole[name]) for name in tensors}
    return {m: found[m] for m in methods}


def _session(model: onnx.ModelProto, tensors: Sequence[str]) -> Any:
    import onnx
    import onnxruntime

    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    outputs = {o.name for o in opened.graph.output}
    for name in tensors:
        if name not in outputs and name != INPUT:
            opened.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(opened.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _batches(session: Any, tensors: Sequence[str], tiles: NDArray[Any]) -> Any:
    for start in range(0, len(tiles), BATCH):
        batch = tiles[start : start + BATCH].astype(np.float32)
        asked = [name for name in tensors if name != INPUT]
        values = dict(zip(asked, session.run(asked, {INPUT: batch}), strict=True))
        yield {**values, **({INPUT: batch} if INPUT in tensors else {})}


def _percentile(counts: NDArray[np.int64], low: float, high: float) -> tuple[float, float]:
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    share = np.cumsum(counts) / max(1, counts.sum())
    cut = (100 - PERCENTILE) / 100
    upper = edges[1 + min(BINS - 1, int(np.searchsorted(share, 1 - (cut if low >= 0 else cut / 2))))]
    lower = low if low >= 0 else edges[int(np.searchsorted(share, cut / 2))]
    return float(lower), float(upper)


def _entropy(counts: NDArray[np.int64], low: float, high: float) -> tuple[float, float]:
    """Threshold of least divergence over a histogram of |x| (Migacz 2017, "8-bit inference with TensorRT")."""
    width = max(-low, high, 1e-12) / BINS
    counts = counts.copy()
    counts[0] = counts[1]  # what a ReLU cut off tells nothing of the range
    best, kept = np.inf, BINS
    for bins in range(LEVELS, BINS + 1, 16):
        divergence = _divergence(counts, bins)
        if divergence < best:
            best, kept = divergence, bins
    threshold = kept * width
    return max(low, -threshold), min(high, threshold)


def _divergence(counts: NDArray[np.int64], bins: int) -> float:
    exact = counts[:bins].astype(np.float64)
    held = exact > 0
    exact[-1] += counts[bins:].sum()
    level = np.arange(bins) * LEVELS // bins
    sums = np.bincount(level, counts[:bins], LEVELS)
    full = np.bincount(level, held, LEVELS)
    coarse = np.where(held, (sums / np.maximum(full, 1))[level], 0.0)
    p, q = exact / max(exact.sum(), 1), coarse / max(coarse.sum(), 1e-12)
    used = p > 0
    return float(np.sum(p[used] * np.log(p[used] / np.maximum(q[used], 1e-12))))
