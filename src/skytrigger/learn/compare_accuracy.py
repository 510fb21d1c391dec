"""Two networks' predictions on the same images: is the difference in accuracy real?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.heads import CLASSES
from skytrigger.learn.metrics import log_softmax
from skytrigger.learn.predictions import Predictions, predictions_of, read_predictions
from skytrigger.measure.accuracy import (
    calibration_interval,
    confusion_change,
    flips,
    mcnemar,
    non_inferior,
    smallest_difference,
)
from skytrigger.measure.seed_variance import seed_difference, seed_variance
from skytrigger.measure.stats import Interval

LEVEL = 0.95


@dataclass(frozen=True)
class Aligned:
    """Answers of several seeds on the same images: `predicted` and `confidence` (seeds, n)."""

    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]


def compare_accuracy(
    files_a: Sequence[Path], files_b: Sequence[Path], margin: float | None = None, head: str | None = None
) -> dict[str, Any]:
    """Everything that can be said about B against A.

    Parameters
    ----------
    files_a, files_b
        Predictions; several on a side are seeds of one recipe.
    margin
        Non-inferiority margin in percentage points, fixed before looking.
    head
        Which head of classes; by default the only one.

    Returns
    -------
    dict
        Figures, ``verdict`` (``better``, ``worse``, ``not established``), ``claims`` and ``limits`` in words.

    Raises
    ------
    InputError
        Files that do not fit each other, or heads of classes of which none is named.
    """
    if margin is not None and not 0 < margin < 100:
        raise InputError(f"margin {margin}", expected="percentage points between 0 and 100")
    sides = [[of_classes(read_predictions(f), f, head) for f in files] for files in (files_a, files_b)]
    first = sides[0][0]
    ids, true, notes = _common(first, sides[0] + sides[1], [*files_a, *files_b])
    a, b = (_aligned(side, ids, first.classes) for side in sides)
    right_a, right_b = a.predicted == true, b.predicted == true
    result: dict[str, Any] = {"aspect": "accuracy", "images": len(true), "notes": notes}
    result["a"] = _side(right_a, a, files_a)
    result["b"] = _side(right_b, b, files_b)
    seeds = min(len(right_a), len(right_b))
    if seeds > 1:
        _over_seeds(result, right_a, right_b, margin)
    else:
        _one_each(result, right_a[0], right_b[0], margin)
    result["flips"] = flips(true, a.predicted[0], b.predicted[0])
    result["cells"] = _cells(true, a.predicted[0], b.predicted[0], first.classes)
    if others := [h.name for h in read_predictions(files_a[0]).heads if h.name != first.heads[0].name]:
        result["notes"] = [*notes, f"compared on {first.heads[0].name}"]
        result["limits"].append(f"anything about {', '.join(others)}")
    result["limits"] += [
        "anything about images of another kind than these (other sensor, season, region)",
        "anything about which choice is best if these images were also used to choose",
    ]
    return result


def of_classes(found: Predictions, file: Path, head: str | None = None) -> Predictions:
    """The predictions of one head of classes."""
    names = [h.name for h in found.heads if h.kind == CLASSES]
    if head is None and len(names) == 1:
        head = names[0]
    if head not in names:
        problem = f"no head of classes called {head!r}" if head else f"{len(names)} heads of classes"
        raise InputError(f"{file} has {problem}", expected=f"one of {', '.join(names)}" if names else "classes")
    if len(found.heads) == 1:
        return found
    (chosen,) = (h for h in found.heads if h.name == head)
    return predictions_of(found.ids, (chosen,), found.truth, found.answers)


def _common(
    first: Predictions, everyone: Sequence[Predictions], files: Sequence[Path]
) -> tuple[list[str], NDArray[np.int64], list[str]]:
    """Images that all have, their true classes, and a note where some are left out."""
    shared = set(first.ids)
    for found, file in zip(everyone, files, strict=True):
        if set(found.classes) != set(first.classes):
            raise InputError(f"{file} has classes {', '.join(found.classes)}", expected=", ".join(first.classes))
        shared &= set(found.ids)
    if not shared:
        raise InputError(
            f"{files[0]} and the others have no image in common", expected="predictions on the same images"
        )
    ids = sorted(shared)
    labels = [[found.classes[i] for i in found.true[_rows(found, ids)]] for found in everyone]
    for file, theirs in zip(files, labels, strict=True):
        if theirs != labels[0]:
            odd = next(i for i, (x, y) in enumerate(zip(theirs, labels[0], strict=True)) if x != y)
            raise InputError(f"{file} calls {ids[odd]} {theirs[odd]}, {files[0]} calls it {labels[0][odd]}",
                             expected="the same true classes")  # fmt: skip
    left_out = max(len(found.ids) for found in everyone) - len(ids)
    notes = [f"compared on the {len(ids)} images that all have; up to {left_out} left out"] if left_out else []
    place = {name: i for i, name in enumerate(first.classes)}
    return ids, np.array([place[name] for name in labels[0]], dtype=np.int64), notes


def _rows(found: Predictions, ids: Sequence[str]) -> NDArray[np.int64]:
    place = {name: i for i, name in enumerate(found.ids)}
    return np.array([place[i] for i in ids], dtype=np.int64)


def _aligned(side: Sequence[Predictions], ids: Sequence[str], classes: Sequence[str]) -> Aligned:
    predicted, confidence = [], []
    for found in side:
        order = [found.classes.index(name) for name in classes]
        logits = found.logits[_rows(found, ids)][:, order]
        predicted.append(logits.argmax(axis=1))
        confidence.append(np.exp(log_softmax(logits).max(axis=1)))
    return Aligned(np.array(predicted, dtype=np.int64), np.array(confidence))


def _side(right: NDArray[np.bool_], side: Aligned, files: Sequence[Path]) -> dict[str, Any]:
    found = seed_variance(right)
    return {
        "files": [str(f) for f in files],
        "seeds": len(right),
        "accuracy": found.accuracy.to_json(),
        "seed_sd": None if math.isnan(found.seed_sd) else found.seed_sd,
        "image_se": found.image_se,
        "calibration_error": calibration_interval(side.confidence[0], right[0]).to_json(),
    }


def _one_each(
    result: dict[str, Any], right_a: NDArray[np.bool_], right_b: NDArray[np.bool_], margin: float | None
) -> None:
    test = mcnemar(right_a, right_b, LEVEL)
    shown = smallest_difference(test.n, test.discordant)
    result |= {
        "method": "exact McNemar test; Tango's score interval",
        "difference": test.difference.to_json(),
        "p_value": test.p,
        "a_only_right": test.a_only,
        "b_only_right": test.b_only,
        "smallest_difference_shown": None if math.isnan(shown) else shown,
    }
    established = test.p <= 1 - LEVEL
    _verdict(result, established, test.difference, margin, non_inferior(test, margin / 100) if margin else None)
    result["limits"].append(
        "anything about the two recipes in general: one trained network stands on each side, another seed may turn it"
    )


def _over_seeds(
    result: dict[str, Any], right_a: NDArray[np.bool_], right_b: NDArray[np.bool_], margin: float | None
) -> None:
    difference = seed_difference(right_a, right_b, LEVEL)
    result |= {
        "method": "mean over seeds; images and seeds both as random (Welch-Satterthwaite)",
        "difference": difference.to_json(),
        "p_value": None,
        "smallest_difference_shown": None,
    }
    established = not difference.low <= 0 <= difference.high
    _verdict(result, established, difference, margin, difference.low > -margin / 100 if margin else None)


def _verdict(
    result: dict[str, Any], established: bool, difference: Interval, margin: float | None, shown: bool | None
) -> None:
    points = f"{100 * difference.low:+.2f} to {100 * difference.high:+.2f} points"
    verdict = "not established"
    if established:
        verdict = "better" if difference.estimate > 0 else "worse"
        claims = [f"B is {'more' if verdict == 'better' else 'less'} accurate than A on images like these, by {points}"]
        limits = []
    else:
        claims = [f"the true difference in accuracy is likely within {points}"]
        limits = ["that A and B are equally accurate: no difference was established, which is not the same"]
    if margin:
        result["non_inferior"] = bool(shown)
        if shown:
            claims.append(f"B is not more than {margin:g} points less accurate than A (non-inferior)")
        else:
            limits.append(f"that B is within {margin:g} points of A: non-inferiority is not shown")
    result |= {"verdict": verdict, "margin_points": margin, "claims": claims, "limits": limits}


def _cells(
    true: NDArray[np.int64], predicted_a: NDArray[np.int64], predicted_b: NDArray[np.int64], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Confusion-matrix cells whose change is established, largest first."""
    change = confusion_change(true, predicted_a, predicted_b, len(classes), level=LEVEL)
    cells = [
        {
            "true": classes[i],
            "predicted": classes[j],
            "a": int(change.counts_a[i, j]),
            "b": int(change.counts_b[i, j]),
            "change": float(change.change[i, j]),
            "low": float(change.low[i, j]),
            "high": float(change.high[i, j]),
            "p_holm": float(change.p_holm[i, j]),
        }
        for i, j in change.established()
    ]
    return sorted(cells, key=lambda c: -abs(float(str(c["change"]))))
