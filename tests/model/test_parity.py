"""Parity against loops over images, and the tolerance of each precision at its bound."""

from __future__ import annotations

import numpy as np
import pytest

from skytrigger.core.errors import SkytriggerError
from skytrigger.core.heads import Head
from skytrigger.model.parity import TOLERANCE, parity, parity_of_heads, require_parity

RNG = np.random.default_rng(0)


def slow(reference: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    errors, margins = [], []
    for a, b in zip(reference.tolist(), logits.tolist(), strict=True):
        errors.append(max(abs(x - y) for x, y in zip(a, b, strict=True)) / max(map(abs, a)))
        was, now = a.index(max(a)), b.index(max(b))
        if was != now:
            margins.append(a[was] - a[now])
    return {
        "images": len(reference), "relative_error_max": max(errors), "relative_error_median": float(np.median(errors)),
        "changed_decisions": len(margins), "largest_margin_changed": max(margins, default=0.0),
    }  # fmt: skip


@pytest.mark.parametrize("size", [0.01, 1.0])
def test_errors_and_decisions_image_by_image(size: float) -> None:
    reference = RNG.normal(size=(40, 4))
    logits = reference + size * RNG.normal(size=(40, 4))
    found = parity(reference, logits)
    assert found == pytest.approx(slow(reference, logits))
    assert (found["changed_decisions"] > 5) == (size == 1.0)


def test_images_without_any_logit() -> None:
    found = parity(np.zeros((2, 3)), np.zeros((2, 3)))
    assert (found["relative_error_max"], found["changed_decisions"]) == (0.0, 0)
    assert parity(np.zeros((1, 2)), np.full((1, 2), 1e-31))["relative_error_max"] == pytest.approx(0.1)


def test_several_heads_are_judged_by_their_worst() -> None:
    classes, energy = Head("kind", "classes", ("a", "b")), Head("energy", "values", ("e", "t"), "GeV")
    reference, values = RNG.normal(size=(6, 2)), np.array([[4.0, 0.0], [1.0, -8.0], [0.0, 0.5]] * 2)
    logits, read = reference[:, ::-1], values + np.array([0.0, 0.4])
    read[0, 0] += 2.0
    one = parity(reference, logits)
    found = parity_of_heads([classes, energy], [reference, values], [logits, read])
    assert found["heads"]["kind"] == one
    assert found["heads"]["energy"] == {
        "images": 6, "relative_error_max": 0.25, "relative_error_median": pytest.approx(0.05), "changed_decisions": 0,
        "largest_margin_changed": 0.0,
    }  # fmt: skip
    assert {k: found[k] for k in one} == one  # the classes' error is the worse
    assert found["changed_decisions"] == 6
    near = parity_of_heads([classes, energy], [reference, values], [reference, read])
    assert (near["relative_error_max"], near["changed_decisions"]) == (0.25, 0)
    nothing = parity_of_heads([energy], [values * 0], [values * 0])
    assert nothing["relative_error_max"] == 0.0
    logits_only = Head("logits", "classes", ("a", "b"))
    assert parity_of_heads([logits_only], [reference], [logits]) == one
    assert parity_of_heads([classes], [reference], [logits])["heads"] == {"kind": one}


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-4), ("fp16", 3e-2), ("bf16", 1e-1)])
def test_the_tolerance_of_a_precision(precision: str, limit: float) -> None:
    assert TOLERANCE[precision] == limit
    told = {"relative_error_max": limit, "changed_decisions": 2, "images": 9}
    require_parity(told, precision)
    for worst in (1.01 * limit, float("nan")):
        with pytest.raises(SkytriggerError, match="2 of 9 decisions"):
            require_parity({**told, "relative_error_max": worst}, precision)
    require_parity({**told, "relative_error_max": 5.0}, "int8")
