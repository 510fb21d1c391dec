"""Policies that weigh value: by bit, by age, by deadline, by tier."""

from __future__ import annotations

from typing import Any

import numpy as np

from skytrigger.onboard.policies.base import Outlook, Policy
from skytrigger.onboard.rows import LOSSLESS, Rows, fading
from skytrigger.onboard.spec import TIERS

_VALUES = np.concatenate([[0.0], np.geomspace(1e-6, 1e4, 400)])
_CHOICES = np.array([TIERS.index("class"), TIERS.index("lossy"), LOSSLESS])


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
        at = np.fmax(now_s, outlook.next_pass_s) + outlook.spec.slice_s  # when it will be down at the latest
        left = fading(rows["half_life_s"], rows["deadline_s"], at - rows["t_s"])
        return rows["value"] * left / rows["bits"]


class EarliestDeadline(Policy):
    """Of what is worth anything and in time, the earliest deadline first; equal ones by value per bit."""

    name = "deadline"
    dynamic = True

    def order(self, rows: Rows, now_s: float, outlook: Outlook) -> Any:
        due = rows["t_s"] + rows["deadline_s"]
        density = rows["value"] / rows["bits"]
        rank = density / (density + 1e-5)  # 0 to 1, so that it never outweighs a second
        late = np.where(np.isfinite(due), due, 1e8)  # after any deadline, before what is of no use
        useful = (rows["value"] > 0) & (due >= now_s + outlook.spec.slice_s)
        return np.where(useful, -late, -1e9) + rank


class Tiered(Policy):
    """Each tile in the tier that is worth most after a price on bits: whole, lossy, or its class and confidence alone.

    The price is the Lagrangian one of the multiple-choice knapsack (Sinha & Zoltners 1979): that at which the choices
    of the tiles seen so far just fill the link's share. It is found by halving over a histogram of their values.
    """

    name = "tiers"
    alerts_first = True
    why_dropped = "the policy keeps everything"

    def __init__(self) -> None:
        self.counts = np.zeros(len(_VALUES))

    def tier(self, rows: Rows, outlook: Outlook) -> Any:
        place = np.clip(np.searchsorted(_VALUES, rows["value"]), 0, len(_VALUES) - 1)
        self.counts += np.bincount(place, rows["n"], len(_VALUES))
        price = self._price(outlook)
        return _CHOICES[self._choice(rows["value"], price, outlook)]

    @staticmethod
    def _choice(value: Any, price: float, outlook: Outlook) -> Any:
        t, bits = outlook.spec.tiers, outlook.spec.mission.tile_bit
        size = np.array([t.class_bit, t.lossy_bit_share * bits, bits])
        worth = np.array([t.class_worth, t.lossy_worth, 1.0])
        return (np.asarray(value)[:, None] * worth - price * size).argmax(axis=1)

    def _price(self, outlook: Outlook) -> float:
        t, bits = outlook.spec.tiers, outlook.spec.mission.tile_bit
        size = np.array([t.class_bit, t.lossy_bit_share * bits, bits])
        room = outlook.link_share * bits * self.counts.sum()
        low, high = 0.0, float(_VALUES[-1]) / bits
        for _ in range(50):
            price = (low + high) / 2
            used = float((self.counts * size[self._choice(_VALUES, price, outlook)]).sum())
            low, high = (price, high) if used > room else (low, price)
        return high

    def order(self, rows: Rows, now_s: float, outlook: Outlook) -> Any:
        return rows["value"] / rows["bits"]
