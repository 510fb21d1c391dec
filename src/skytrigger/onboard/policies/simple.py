"""Policies as they fly or were published, each on the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from skytrigger.onboard.policies.base import Outlook, Policy
from skytrigger.onboard.rows import Rows


class CloudDrop(Policy):
    """Cloudy tiles are dropped, the rest is first in, first out: PhiSat-1's rule (Giuffrida et al. 2021), by tile."""

    name = "cloud-drop"
    why_dropped = "found cloudy"

    def admit(self, rows: Rows, outlook: Outlook) -> Any:
        return ~rows["cloudy"]


class TileFilter(Policy):
    """Tiles found clear and of a wanted class, sure enough, are kept; the KTH/Unibap study's fixed filter."""

    name = "tile-filter"
    why_dropped = "found cloudy, of no wanted class, or not sure enough"

    def admit(self, rows: Rows, outlook: Outlook) -> Any:
        wanted = outlook.worth.targets
        sure = rows["confidence"] >= outlook.spec.policy.filter_confidence
        return ~rows["cloudy"] & wanted[rows["kind"]] & sure


class Elide(Policy):
    """Kodan's rule (Denby et al. 2023), as far as values allow: tiles below the mean value of clear ones are dropped.

    Kodan specialises networks by context as well; here there is one network.
    """

    name = "elide"
    why_dropped = "its expected value is below the mean of the clear tiles so far"

    def __init__(self) -> None:
        self.total = self.count = 0.0

    def admit(self, rows: Rows, outlook: Outlook) -> Any:
        clear = ~rows["cloudy"]
        self.total += float((rows["n"] * rows["value"])[clear].sum())
        self.count += float(rows["n"][clear].sum())
        return clear & (rows["value"] >= (self.total / self.count if self.count else 0.0))


class Change(Policy):
    """Clear tiles that differ from their on-board reference are kept, first in, first out: Earth+ (Du et al. 2024)."""

    name = "change"
    why_dropped = "found cloudy, or as its reference"

    def admit(self, rows: Rows, outlook: Outlook) -> Any:
        return ~rows["cloudy"] & rows["changed"]


class ClassPriority(Policy):
    """By the worth of the class found, cloudy ones last; within a class first in, first out."""

    name = "class"

    def order(self, rows: Rows, now_s: float, outlook: Outlook) -> Any:
        rank = np.argsort(np.argsort(outlook.worth.weights, kind="stable"), kind="stable")
        grade = np.where(rows["cloudy"], -1, rank[rows["kind"]])
        return grade * 1e9 - rows["t_s"]
