"""Policies that weigh value: by bit, by age, by deadline, by tier."""

from __future__ import annotations

from typing import Any

import numpy as np

from skytrigger.onboard.policies.base import Outlook, Policy
from skytrigger.onboard.rows import LOSSLESS, Rows, fading
from skytrigger.onboard.spec import TIERS


class ValuePerBit(Policy):
    """The expected value of a bit, highest first: the greedy rule of the fractional knapsack (Dantzig 1957)."""

    name = "value"
    alerts_first = True

    def order(self, rows: Rows, now_s: float, outlook: Outlook) -> Any:
        return rows["value"] / rows["bits"]


class AgeWeighted(Policy):
    """Value per bit as it will be at the next pass (now, where passes are not known): what has expired goes last."""

    name = "age"
    dynamic = True
    alerts_first = True

    def order(self, rows: Rows, now_s: float, outlook: Outlook) -> Any:
        at = np.fmax(now_s, outlook.next_pass_s)
        left = fading(rows["half_life_s"], rows["deadline_s"], at - rows["t_s"])
        return rows["value"] * left / rows["bits"]


class EarliestDeadline(Policy):
    """Of what is worth anything and in time, the earliest deadline first; equal ones by value per bit."""

    name = "deadline"
    dynamic = True

    def order(self, rows: Rows, now_s: float, outlook: Outlook) -> Any:
        due = rows["t_s"] + rows["deadline_s"]
        density = rows["value"] / rows["bits"]
        bounded = np.where(np.isfinite(due), due, 1e12)
        useful = (rows["value"] > 0) & (due >= now_s)
        return np.where(useful, -bounded + density / (1 + density), -1e15 + density)


class Tiered(Policy):
    """Value per bit over tiers: the whole tile where it is worth most, a lossy one below, class and confidence else.

    `lossy_below` and `class_below` are shares of the largest class weight.
    """

    name = "tiers"
    alerts_first = True
    lossy_below, class_below = 0.3, 0.02

    def tier(self, rows: Rows, outlook: Outlook) -> Any:
        best = float(outlook.worth.weights.max()) or 1.0
        share = rows["value"] / best
        tiers = np.where(share < self.class_below, TIERS.index("class"), TIERS.index("lossy"))
        return np.where(share >= self.lossy_below, LOSSLESS, tiers)

    def order(self, rows: Rows, now_s: float, outlook: Outlook) -> Any:
        return rows["value"] / rows["bits"]
