"""What a trigger asks of a filter: how many fakes go, at how many true pairs kept.

A doublet's score is its logit for ``true`` minus that for ``fake``. Efficiency is the share of true
doublets at or above a threshold, rejection the share of fakes below it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.seeds import generator

Vector = NDArray[np.float64]
EFFICIENCIES = (0.5, 0.9, 0.95, 0.99)
RESAMPLES = 1000


@dataclass(frozen=True)
class Curve:
    """The ROC curve: one point per distinct score, from the highest threshold to the lowest.

    `efficiency` and `rejection` are of the doublets with a score >= `threshold`, and of the rest.
    """

    threshold: Vector
    efficiency: Vector
    rejection: Vector

    @property
    def auc(self) -> float:
        """Area under efficiency against 1 - rejection: the probability that a true doublet scores higher
        than a fake one, ties counting half (Mann & Whitney 1947)."""
        fakes = np.concatenate([[0.0], 1 - self.rejection])
        trues = np.concatenate([[0.0], self.efficiency])
        return float(np.sum(np.diff(fakes) * (trues[1:] + trues[:-1]) / 2))

    def at(self, efficiency: float) -> tuple[float, float, float]:
        """(threshold, efficiency, rejection) at the highest threshold that keeps at least `efficiency`."""
        i = int(np.searchsorted(self.efficiency, efficiency - 1e-12))
        return float(self.threshold[i]), float(self.efficiency[i]), float(self.rejection[i])


def scores(logits: NDArray[np.float32]) -> Vector:
    """(n,) from logits (n, 2)."""
    return logits[:, 1].astype(np.float64) - logits[:, 0].astype(np.float64)


def curve(score: Vector, true: NDArray[np.int64], weight: NDArray[Any] | None = None) -> Curve:
    """The ROC curve of scores (n,) and labels (n,) 0 or 1, each doublet counted `weight` times.

    Raises
    ------
    InputError
        Only one class, or scores that are not finite.
    """
    return _Ranked.of(score, true).curve(weight)


@dataclass(frozen=True)
class _Ranked:
    """Doublets in order of falling score, ties in one group: what a resample does not change."""

    order: NDArray[np.int64]
    true: NDArray[np.bool_]
    last: NDArray[np.int64]
    threshold: Vector

    @staticmethod
    def of(score: Vector, true: NDArray[np.int64]) -> _Ranked:
        if not np.isfinite(score).all():
            raise InputError(f"{int((~np.isfinite(score)).sum())} scores are not finite")
        if len(np.unique(true)) < 2:
            raise InputError("all doublets are of one class", expected="true and fake ones: there is no ROC otherwise")
        order = np.argsort(-score, kind="stable")
        falling = score[order]
        last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
        return _Ranked(order, true[order] == 1, last, falling[last])

    def curve(self, weight: NDArray[Any] | None = None) -> Curve:
        held = np.ones(len(self.order)) if weight is None else weight[self.order].astype(np.float64)
        kept_true = np.cumsum(np.where(self.true, held, 0.0))[self.last]
        kept_fake = np.cumsum(np.where(self.true, 0.0, held))[self.last]
        return Curve(self.threshold, kept_true / kept_true[-1], 1 - kept_fake / kept_fake[-1])


def filter_metrics(
    logits: NDArray[np.float32],
    true: NDArray[np.int64],
    group: NDArray[np.int64],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """AUC and rejection with 95 % bootstrap intervals, working points, calibration.

    Parameters
    ----------
    group
        (n,) what is drawn together (`split.families`): repeats of a doublet, and doublets that share clusters.
        Were rows drawn alone, intervals of a file that holds every doublet eight times would be
        three times too narrow and more.

    Returns
    -------
    dict
        ``auc``, ``rejection`` (by efficiency), ``n``, ``families``, ``intervals_95``,
        ``working_points``, ``calibration``, ``roc`` (at most 200 points).
    """
    score = scores(logits)
    whole = curve(score, true)
    spread = _resampled(score, true, group, resamples, seed)
    bounds = np.quantile(spread, [0.025, 0.975], axis=0)
    points = [whole.at(e) for e in EFFICIENCIES]
    keys = [f"{e:g}" for e in EFFICIENCIES]
    fakes, trues = int((true == 0).sum()), int((true == 1).sum())
    return {
        "auc": whole.auc,
        "rejection": {key: point[2] for key, point in zip(keys, points, strict=True)},
        "n": len(true),
        "families": len(np.unique(group)),
        "true": trues,
        "fake": fakes,
        "intervals_95": {
            "auc": bounds[:, 0].tolist(),
            "rejection": {key: bounds[:, i + 1].tolist() for i, key in enumerate(keys)},
        },
        "working_points": [
            {
                "efficiency": point[1],
                "threshold": point[0],
                "probability": float(_sigmoid(np.array(point[0]))),
                "rejection": point[2],
                "interval_95": bounds[:, i + 1].tolist(),
                "purity": point[1] * trues / (point[1] * trues + (1 - point[2]) * fakes),
            }
            for i, point in enumerate(points)
        ],
        "calibration": calibration(score, true),
        "roc": _thinned(whole),
    }


def auc_difference(
    a: Vector,
    b: Vector,
    true: NDArray[np.int64],
    group: NDArray[np.int64],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float, float]:
    """AUC of scores `a` minus that of `b` on the same doublets, and its 95 % paired bootstrap interval."""
    rows, weight = _distinct_rows(a, b, true, group)
    both = [_Ranked.of(score[rows], true[rows]) for score in (a, b)]
    drawn = [[r.curve(count).auc for r in both] for count in _draws(true[rows], group[rows], weight, resamples, seed)]
    low, high = np.quantile(np.subtract(*np.array(drawn).T), [0.025, 0.975])
    return curve(a, true).auc - curve(b, true).auc, float(low), float(high)


def _distinct_rows(*columns: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row of each distinct combination, and how often it occurs: a file of repeats costs no more than its
    distinct doublets."""
    table = np.stack([np.asarray(c, dtype=np.float64) for c in columns], axis=1)
    _, rows, weight = np.unique(table, axis=0, return_index=True, return_counts=True)
    return rows, weight


def _draws(
    true: NDArray[np.int64], group: NDArray[np.int64], weight: NDArray[np.int64], resamples: int, seed: int
) -> Iterator[NDArray[np.int64]]:
    """How often each row is in a draw of groups with replacement; draws of one class (tiny files) are left out."""
    random = generator(seed, "bootstrap")
    number = np.unique(group, return_inverse=True)[1].reshape(-1)
    groups = int(number.max()) + 1
    drawn = 0
    while drawn < resamples:
        count = np.bincount(random.integers(0, groups, groups), minlength=groups)[number] * weight
        if 0 < np.dot(count, true) < count.sum():
            drawn += 1
            yield count


def _resampled(score: Vector, true: NDArray[np.int64], group: NDArray[np.int64], resamples: int, seed: int) -> Vector:
    """(resamples, 1 + efficiencies): AUC and rejections of the draws."""
    rows, weight = _distinct_rows(score, true, group)
    ranked = _Ranked.of(score[rows], true[rows])
    curves = (ranked.curve(count) for count in _draws(true[rows], group[rows], weight, resamples, seed))
    return np.array([[c.auc, *(c.at(e)[2] for e in EFFICIENCIES)] for c in curves])


def calibration(score: Vector, true: NDArray[np.int64], bins: int = 10) -> dict[str, Any]:
    """How far ``1 / (1 + exp(-score))`` is a probability: Brier score, log loss, reliability in equal-width bins.

    Of a balanced file: where true pairs are rarer, the probabilities are too high by the prior odds.
    """
    probability = _sigmoid(score)
    place = np.minimum((probability * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    mean = np.bincount(place, probability, bins) / np.maximum(count, 1)
    share = np.bincount(place, true, bins) / np.maximum(count, 1)
    return {
        "brier": float(np.mean((probability - true) ** 2)),
        "log_loss": float(np.mean(np.logaddexp(0, np.where(true == 1, -score, score)))),
        "expected_error": float(np.sum(count * np.abs(mean - share)) / len(true)),
        "bins": [
            {"probability": float(mean[i]), "true_share": float(share[i]), "n": int(count[i])}
            for i in range(bins)
            if count[i]
        ],
    }


def _sigmoid(score: Vector) -> Vector:
    return np.exp(-np.logaddexp(0, -score))


def _thinned(whole: Curve, points: int = 200) -> dict[str, list[float]]:
    index = np.unique(np.linspace(0, len(whole.threshold) - 1, points).astype(int))
    return {"efficiency": whole.efficiency[index].tolist(), "rejection": whole.rejection[index].tolist()}
