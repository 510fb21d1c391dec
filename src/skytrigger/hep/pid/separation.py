"""How well classes are told apart: ROC of every pair, and the temperature that makes probabilities true."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.learn.metrics import cross_entropy, log_softmax

POINTS = 101
TEMPERATURES = (0.2, 5.0)


def pair_rocs(logits: NDArray[np.float32], true: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """``a/b`` -> AUC and curve for telling a from b by the difference of their logits, among showers of the two.

    `efficiency` is the share of a that is kept where `rejection` of b is removed. Pairs with an empty class are left
    out.
    """
    found = {}
    for first, second in itertools.combinations(range(len(classes)), 2):
        score = logits[:, first].astype(np.float64) - logits[:, second]
        kept, removed = score[true == first], score[true == second]
        if not len(kept) or not len(removed):
            continue
        efficiency = np.linspace(0, 1, POINTS)
        cut = np.quantile(kept, 1 - efficiency, method="inverted_cdf")
        rejection = np.searchsorted(np.sort(removed), cut) / len(removed)
        found[f"{classes[first]}/{classes[second]}"] = {
            "auc": area(kept, removed),
            "n": [len(kept), len(removed)],
            "efficiency": efficiency.round(4).tolist(),
            "rejection": rejection.round(5).tolist(),
        }
    return found


def area(kept: NDArray[np.float64], removed: NDArray[np.float64]) -> float:
    """Probability that a kept score exceeds a removed one, ties half (Mann-Whitney)."""
    ordered = np.sort(removed)
    below = np.searchsorted(ordered, kept, side="left").sum()
    upto = np.searchsorted(ordered, kept, side="right").sum()
    return float((below + upto) / 2 / (len(kept) * len(removed)))


def temperature(logits: NDArray[np.float32], true: NDArray[np.int64]) -> float:
    """The T of least mean cross-entropy of ``logits / T`` (Guo et al. 2017), by golden section in ln T."""
    from scipy.optimize import minimize_scalar

    if not len(true):
        raise InputError("no showers to calibrate on", expected="a validation part")
    bounds = tuple(np.log(TEMPERATURES))
    found = minimize_scalar(
        lambda t: float(cross_entropy(logits / np.exp(t), true).mean()), bounds=bounds, method="bounded"
    )
    return float(np.exp(found.x))


def probabilities(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax of ``logits / temperature``."""
    return np.exp(log_softmax(logits / temperature))
