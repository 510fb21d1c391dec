"""Everything computed from truth and answers: accuracy and its like of logits, errors of values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.heads import Head
from skytrigger.measure.accuracy import calibration_error
from skytrigger.measure.stats import wilson


def log_softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Row-wise log of softmax in float64, safe for large logits."""
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return result


def cross_entropy(logits: NDArray[Any], true: NDArray[np.int64]) -> NDArray[np.float64]:
    """Negative log probability of the true class, nats, one per image."""
    result: NDArray[np.float64] = -log_softmax(logits)[np.arange(len(true)), true]
    return result


def confusion(true: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts (classes, classes): row = true class, column = predicted class."""
    counts = np.bincount(true * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def expected_calibration_error(logits: NDArray[Any], true: NDArray[np.int64], bins: int = 15) -> float:
    """`measure.accuracy.calibration_error` of logits (n, classes): the confidence is the largest probability."""
    probability = np.exp(log_softmax(logits))
    return calibration_error(probability.max(axis=1), probability.argmax(axis=1) == true, bins)


def _bounds(k: int, n: int) -> list[float] | None:
    if not n:
        return None
    interval = wilson(k, n)
    return [interval.low, interval.high]


def metrics(logits: NDArray[Any], true: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """metrics.json: accuracy with its Wilson interval, loss, calibration, per-class figures, confusion.

    Precision of a class never predicted and recall of a class without images are None.
    """
    predicted = logits.argmax(axis=1)
    counts = confusion(true, predicted, len(classes))
    right = int(np.trace(counts))
    per_class = {}
    for i, name in enumerate(classes):
        hit, actual, claimed = int(counts[i, i]), int(counts[i].sum()), int(counts[:, i].sum())
        per_class[name] = {
            "images": actual,
            "precision": hit / claimed if claimed else None,
            "recall": hit / actual if actual else None,
            "recall_interval_95": _bounds(hit, actual),
            "f1": 2 * hit / (actual + claimed) if actual + claimed else None,
        }
    return {
        "images": len(true),
        "correct": right,
        "accuracy": right / len(true),
        "accuracy_interval_95": _bounds(right, len(true)),
        "loss": float(cross_entropy(logits, true).mean()),
        "expected_calibration_error": expected_calibration_error(logits, true),
        "per_class": per_class,
        "classes": list(classes),
        "confusion": counts.tolist(),
    }


def value_metrics(values: NDArray[Any], true: NDArray[Any], head: Head) -> dict[str, Any]:
    """metrics.json of a head of values (n, k): for each the error's mean (bias), mean size (mae) and root mean square.

    Images whose truth is NaN do not count. Intervals: Student's t over images; None for fewer than two.
    """
    found = {}
    for place, name in enumerate(head.names):
        known = ~np.isnan(true[:, place])
        error = values[known, place].astype(np.float64) - true[known, place]
        square = _mean(error**2)
        rmse = {key: None if value is None else np.sqrt(np.maximum(value, 0)).tolist() for key, value in square.items()}
        found[name] = {"images": int(known.sum()), "unit": head.unit}
        for figure, entries in (("bias", _mean(error)), ("mae", _mean(np.abs(error))), ("rmse", rmse)):
            found[name] |= {figure: entries["mean"], f"{figure}_interval_95": entries["interval"]}
    return {"images": len(true), "values": found}


def _mean(sample: NDArray[np.float64]) -> dict[str, Any]:
    from scipy.stats import t

    mean = float(sample.mean()) if len(sample) else None
    if mean is None or len(sample) < 2:
        return {"mean": mean, "interval": None}
    half = float(t.ppf(0.975, len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample)))
    return {"mean": mean, "interval": [mean - half, mean + half]}
