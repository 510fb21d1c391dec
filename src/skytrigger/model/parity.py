"""Does the exported model answer as the trained network does?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import SkytriggerError
from skytrigger.core.heads import CLASSES, ONLY, Head

# Largest error allowed, relative to the largest logit of the same image. float32 sums of a few
# thousand terms in another order differ by about 1e-6, float16 products by 2**-11 each.
TOLERANCE = {"fp32": 1e-4, "fp16": 3e-2, "bf16": 1e-1}


def parity(reference: NDArray[np.float32], logits: NDArray[np.float32]) -> dict[str, Any]:
    """Relative errors and changed decisions of `logits` against `reference`, both (n, classes).

    The error of an image is ``max |a - b| / max |a|`` over its logits. `largest_margin_changed` is
    the reference's own margin, in logits, of the surest decision that changed.
    """
    difference = np.abs(reference - logits).max(axis=1)
    scale = np.maximum(np.abs(reference).max(axis=1), 1e-30)
    before, after = reference.argmax(axis=1), logits.argmax(axis=1)
    changed = np.flatnonzero(before != after)
    margins = reference[changed, before[changed]] - reference[changed, after[changed]]
    error = difference / scale
    return {
        "images": len(reference),
        "relative_error_max": float(error.max()),
        "relative_error_median": float(np.median(error)),
        "changed_decisions": len(changed),
        "largest_margin_changed": float(margins.max()) if len(changed) else 0.0,
    }


def parity_of_heads(
    heads: Sequence[Head], reference: Sequence[NDArray[np.float32]], answers: Sequence[NDArray[np.float32]]
) -> dict[str, Any]:
    """`parity` of the one head ``logits``; of several the worst head's error, all decisions, and each under ``heads``.

    A value has no largest logit to be set against: its scale is the head's largest value on these images.
    """
    found = {}
    for head, exact, got in zip(heads, reference, answers, strict=True):
        if head.kind == CLASSES:
            found[head.name] = parity(exact, got)
            continue
        error = np.abs(exact - got).max(axis=1) / max(float(np.abs(exact).max()), 1e-30)
        found[head.name] = {
            "images": len(exact), "relative_error_max": float(error.max()),
            "relative_error_median": float(np.median(error)), "changed_decisions": 0, "largest_margin_changed": 0.0,
        }  # fmt: skip
    if list(found) == [ONLY]:
        return found[ONLY]
    worst = max(found.values(), key=lambda one: one["relative_error_max"])
    total = {name: sum(one[name] for one in found.values()) for name in ("changed_decisions",)}
    return {**worst, **total, "heads": found}


def require_parity(result: dict[str, Any], precision: str) -> None:
    """Raise SkytriggerError where the relative error is over the precision's tolerance (int8 has none:
    its accuracy is what counts, and is measured)."""
    limit = TOLERANCE.get(precision)
    worst = result["relative_error_max"]
    if limit is not None and not worst <= limit:
        raise SkytriggerError(
            f"the exported {precision} model differs from the trained network by {worst:.2e} of the largest output "
            f"({result['changed_decisions']} of {result['images']} decisions changed)\n  allowed: {limit:.0e}"
        )
