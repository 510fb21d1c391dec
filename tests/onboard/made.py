"""Small streams made by hand: rows in blocks, passes, a memory. No orbit, no network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from skytrigger.onboard.contacts import Pass
from skytrigger.onboard.rows import BULK, LOSSLESS, row_type
from skytrigger.onboard.spec import Choice, Mission, Spec
from skytrigger.onboard.value import Worth


@dataclass
class Tile:
    """One row to be sensed."""

    t_s: float
    value: float
    count: int = 1
    bits: float = 1.0
    kind: int = 0
    worth: float | None = None
    cloudy: bool = False
    changed: bool = True
    alert: bool = False
    confidence: float = 0.9


class MadeStream:
    """What `Replay` takes, from a list of tiles: each its own block."""

    def __init__(
        self, tiles: list[Tile], passes: list[tuple[float, float]], memory: float, rate: float = 1.0, *,
        weights: tuple[float, ...] = (1.0, 2.0, 3.0), half_life: Any = np.inf, deadline: Any = np.inf,
        quota: Any = np.inf, spec: Spec | None = None,
    ) -> None:  # fmt: skip
        self.tiles, self.classes = sorted(tiles, key=lambda t: t.t_s), ("a", "b", "c")
        k = len(self.classes)
        self.dtype, self.found = row_type(k), np.empty(sum(t.count == 1 for t in tiles))
        t = np.array([x.t_s for x in self.tiles])
        count = np.array([x.count for x in self.tiles], np.int64)
        self.plan: Any = SimpleNamespace(
            blocks=SimpleNamespace(t_s=t, ready_s=t, live=count),
            passes=tuple(Pass(f"p{i}", a, b) for i, (a, b) in enumerate(passes)),
            missed=frozenset(f.contact for f in (spec.fault if spec else ()) if f.kind == "missed_pass"),
            capacity_bit=lambda rate: rate * sum(b - a for a, b in passes),
        )
        full = lambda x: np.broadcast_to(np.asarray(x, float), (k,)).copy()  # noqa: E731
        self.worth = Worth(
            np.array(weights),
            1.0,
            full(half_life),
            full(deadline),
            full(np.inf),
            full(quota),
            np.array([False, True, True]),
        )
        mission = replace(Mission(), memory_bit=memory, downlink_bit_s=rate, tile_bit=1.0)
        base = spec or Spec(policy=Choice(passes_known=False), slice_s=1.0)
        self.spec = replace(base, mission=mission)
        self.number = np.cumsum([x.count == 1 for x in self.tiles]) - 1

    def rows(self, block: int) -> Any:
        one = self.tiles[block]
        rows = np.zeros(1, self.dtype)
        rows["n"], rows["bits"], rows["value"], rows["t_s"] = one.count, one.bits, one.value, one.t_s
        rows["kind"], rows["cloudy"], rows["changed"], rows["alert"] = one.kind, one.cloudy, one.changed, one.alert
        rows["tile"] = self.number[block] if one.count == 1 else BULK
        rows["tier"], rows["block"], rows["confidence"], rows["area"] = LOSSLESS, block, one.confidence, 1.0
        rows["half_life_s"] = self.worth.half_life_s[one.kind]
        rows["deadline_s"] = self.worth.deadline_s[one.kind]
        rows["worth"][0, one.kind] = one.value if one.worth is None else one.worth
        rows["truth"][0, one.kind] = 1.0
        return rows
