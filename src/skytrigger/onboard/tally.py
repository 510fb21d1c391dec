"""What a replay counts: bounded arrays, so that a day of any length fits, and so that a checkpoint is a few of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.onboard.queue import Taken
from skytrigger.onboard.rows import BULK, fading
from skytrigger.onboard.value import Worth

Floats = NDArray[np.float64]
WAITING, SENT, EVICTED, DROPPED, LOST = range(5)
STATUS = ("waiting", "sent", "evicted", "dropped", "lost")
_EDGES = np.concatenate([[0.0], np.geomspace(1e-8, 30 * 86_400.0, 1500)])  # seconds; known to 2.3 %


@dataclass
class Tally:
    """Counts of one replay.

    Attributes
    ----------
    totals
        By name of `TOTALS`.
    sent_true, sensed_true, latency
        Tiles by true class (the last: cloud); `latency` (classes + 1, bins) over `_EDGES`.
    pass_bit, pass_items
        By pass.
    status, t_ground_s, in_pass, tile_bits, tier
        By really classified tile.
    memory
        (n, 3): time, bits, tiles waiting, at each event.
    """

    totals: Floats
    sent_true: Floats
    sensed_true: Floats
    latency: Floats
    pass_bit: Floats
    pass_items: Floats
    status: NDArray[np.int8]
    t_ground_s: Floats
    in_pass: NDArray[np.int32]
    tile_bits: Floats
    tier: NDArray[np.int8]
    value: Floats
    memory: Floats
    marks: int = 0

    def state(self) -> dict[str, Any]:
        """Arrays by name, for a checkpoint."""
        return {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}


TOTALS = ("value", "bits", "tiles", "value_offered", "tiles_offered", "evicted", "evicted_bit", "dropped", "peak_bit",
          "expired", "alerts_sent")  # fmt: skip


def empty_tally(classes: int, passes: int, tiles: int, events: int) -> Tally:
    """Zeros."""
    return Tally(
        np.zeros(len(TOTALS)),
        np.zeros(classes + 1),
        np.zeros(classes + 1),
        np.zeros((classes + 1, len(_EDGES))),
        np.zeros(passes),
        np.zeros(passes),
        np.zeros(tiles, np.int8),
        np.full(tiles, np.nan),
        np.full(tiles, -1, np.int32),
        np.zeros(tiles),
        np.full(tiles, -1, np.int8),
        np.zeros(tiles),
        np.zeros((events, 3)),
    )


def restored(state: Any) -> Tally:
    """A tally from a checkpoint."""
    parts: dict[str, Any] = {f.name: state[f.name].copy() for f in fields(Tally)}
    return Tally(**{**parts, "marks": int(parts["marks"])})


def add(tally: Tally, name: str, amount: float) -> None:
    """To a total."""
    tally.totals[TOTALS.index(name)] += amount


def total(tally: Tally, name: str) -> float:
    """One of `TOTALS`."""
    return float(tally.totals[TOTALS.index(name)])


def count_sent(tally: Tally, taken: Taken, begin_s: float, rate_bit_s: float, number: int, worth: Worth) -> None:
    """Rows that went down from `begin_s` on.

    Raises
    ------
    RuntimeError
        A tile that was sent before: the queue would be broken.
    """
    rows = taken.rows
    if not len(rows):
        return
    n, size = rows["n"].astype(np.float64), rows["n"] * rows["bits"]
    # a row of many goes down over a while: its middle stands for it
    when = begin_s + (taken.bits_done - np.where(rows["tile"] == BULK, size / 2, 0.0)) / rate_bit_s
    age = when - rows["t_s"]
    left = fading(worth.half_life_s, worth.deadline_s, age[:, None])
    value = (rows["worth"] * left).sum(axis=1) * n
    for name, amount in (("value", value.sum()), ("bits", size.sum()), ("tiles", n.sum())):
        add(tally, name, float(amount))
    add(tally, "alerts_sent", float(n[rows["alert"]].sum()))
    truth = rows["truth"] * n[:, None]
    tally.sent_true += truth.sum(axis=0)
    place = np.clip(np.searchsorted(_EDGES, np.maximum(age, 0.0), side="right") - 1, 0, len(_EDGES) - 1)
    for k in range(truth.shape[1]):
        tally.latency[k] += np.bincount(place, truth[:, k], len(_EDGES))
    tally.pass_bit[number] += size.sum()
    tally.pass_items[number] += n.sum()
    single = rows["tile"] != BULK
    tiles = rows["tile"][single]
    if (tally.status[tiles] == SENT).any():
        raise RuntimeError(f"tile {tiles[tally.status[tiles] == SENT][0]} was sent twice")
    tally.status[tiles], tally.t_ground_s[tiles], tally.in_pass[tiles] = SENT, when[single], number


def count_gone(tally: Tally, taken: Taken, status: int) -> None:
    """Rows that were evicted."""
    rows = taken.rows
    add(tally, "evicted", float(rows["n"].sum()))
    add(tally, "evicted_bit", float((rows["n"] * rows["bits"]).sum()))
    tally.status[rows["tile"][rows["tile"] != BULK]] = status


def quantile_s(counts: Floats, share: float) -> float | None:
    """Latency below which a share of tiles came down; None where none did."""
    done = np.cumsum(counts)
    if done[-1] <= 0:
        return None
    i = int(np.searchsorted(done, share * done[-1]))
    low, high = _EDGES[i], _EDGES[min(i + 1, len(_EDGES) - 1)]
    return float((low + high) / 2)
