"""Rows of the queue: tiles that are alike on board are one row; a really classified tile is a row of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.onboard.spec import TIERS

Rows = NDArray[np.void]
LOSSLESS = TIERS.index("lossless")
BULK = -1  # `tile` of rows that stand for many


def row_type(classes: int) -> np.dtype[np.void]:
    """The structured type of a row.

    What a policy may look at: ``n`` (tiles), ``bits`` (of one), ``value`` (expected, of one, when fresh), ``t_s``
    (sensed), ``half_life_s``, ``deadline_s`` (infinite: none), ``kind`` (class found), ``confidence``, ``cloudy``,
    ``changed`` (as found), ``area`` (factor), ``alert``, ``tier``. What it may not: ``worth`` (classes,) and ``truth``
    (classes + 1,), true value by true class and shares of true classes, the last one cloud; the tally counts by these.
    """
    names: list[Any] = [
        ("key", "f8"),
        ("n", "i8"),
        ("bits", "f8"),
        ("value", "f8"),
        ("t_s", "f8"),
        ("half_life_s", "f8"),
        ("deadline_s", "f8"),
        ("kind", "i1"),
        ("tier", "i1"),
        ("cloudy", "?"),
        ("changed", "?"),
        ("alert", "?"),
        ("confidence", "f4"),
        ("area", "f4"),
        ("tile", "i4"),
        ("block", "i4"),
        ("worth", "f4", (classes,)),
        ("truth", "f4", (classes + 1,)),
    ]
    return np.dtype(names)


def fading(half_life_s: Any, deadline_s: Any, age_s: Any) -> Any:
    """What is left of a value at an age: halved every half-life, nothing past the deadline."""
    left = np.exp2(-np.maximum(age_s, 0.0) / half_life_s)
    return np.where(np.asarray(age_s) <= deadline_s, left, 0.0)
