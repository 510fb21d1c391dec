"""One policy through one day: blocks arrive, memory fills, passes empty it, faults happen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skytrigger.onboard import checkpoint, tally
from skytrigger.onboard.policies.base import Outlook, Policy
from skytrigger.onboard.queue import Queue, Taken
from skytrigger.onboard.rows import BULK, Rows
from skytrigger.onboard.spec import TIERS, Spec
from skytrigger.onboard.tally import Tally
from skytrigger.onboard.value import Worth

Floats = NDArray[np.float64]
JUMP, RESET, ARRIVE, SLICE = range(4)  # of one moment, in this order
ALERT_KEY = 1e6  # above every value of a bit
CHECKPOINT_S = 5.0


class Stream(Protocol):
    """What a replay takes: a day of scenes, or a run of a collider's events."""

    spec: Spec
    plan: Any
    worth: Worth
    classes: tuple[str, ...]
    dtype: np.dtype[np.void]
    found: Any

    def rows(self, block: int) -> Rows:
        """Rows of a block, the caller's to change."""
        ...


Watch = Callable[[str, Taken, Queue, Floats], None]


@dataclass(frozen=True, order=True)
class Event:
    """Something at a moment: `index` a block, pass or fault, `end_s` a slice's end."""

    t_s: float
    kind: int
    index: int
    end_s: float = 0.0


def events(stream: Stream) -> list[Event]:
    """All of a day, in order."""
    spec, plan = stream.spec, stream.plan
    found = [Event(float(t), ARRIVE, b) for b, t in enumerate(plan.blocks.ready_s)]
    dead = []
    for i, fault in enumerate(spec.fault):
        if fault.kind == "reset":
            found.append(Event(fault.at_s, RESET, i))
            dead.append((fault.at_s, fault.at_s + fault.lasts_s))
        elif fault.kind == "clock_jump":
            found.append(Event(fault.at_s, JUMP, i))
    for number, one in enumerate(plan.passes):
        if number in plan.missed:
            continue
        for a, b in _outside(one.start_s, one.end_s, dead):
            cuts = np.append(np.arange(a, b, spec.slice_s), b)
            found += [Event(float(u), SLICE, number, float(v)) for u, v in pairwise(cuts) if v > u]
    return sorted(found)


def _outside(a: float, b: float, dead: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """What of a stretch is left beside others."""
    parts = [(a, b)]
    for low, high in dead:
        parts = [p for x, y in parts for p in ((x, min(y, low)), (max(x, high), y)) if p[1] > p[0]]
    return parts


class Replay:
    """A day under one policy.

    Parameters
    ----------
    watch
        Called with ``sent`` or ``evicted``, what left, the queue after it and the rows' keys: for tests.
    """

    def __init__(self, stream: Stream, policy: Policy, watch: Watch | None = None) -> None:
        self.stream, self.policy, self.spec, self.watch = stream, policy, stream.spec, watch
        sensed = max(1.0, float(stream.plan.blocks.live.sum()) * self.spec.mission.tile_bit)
        share = min(1.0, stream.plan.capacity_bit(self.spec.mission.downlink_bit_s) / sensed)
        self.outlook = Outlook(self.spec, stream.worth, stream.classes, link_share=share)
        self.queue = Queue(stream.dtype, self.spec.mission.memory_bit)
        self.events = events(stream)
        plan = stream.plan
        self.tally = tally.empty_tally(len(stream.classes), len(plan.passes), len(stream.found), len(self.events))
        self.next = 0
        self.credit_bit = self.offset_s = 0.0
        self.credit_pass, self.jumped_from = -1, len(plan.blocks.t_s)
        self.last_block = -1
        self.pass_kind = np.zeros(len(stream.classes))
        self._order: tuple[int, NDArray[np.int64]] | None = None

    # -- the way through a day

    def run(self, path: Path | None = None) -> Tally:
        """To the day's end, from the checkpoint at `path` where there is one; it is written every few seconds."""
        if path is not None and (state := checkpoint.load(path)):
            self._restore(state)
        saved = time.monotonic()
        while self.next < len(self.events):
            self.step()
            if path is not None and time.monotonic() - saved > CHECKPOINT_S:
                checkpoint.save(path, self.state())
                saved = time.monotonic()
        tally.add(self.tally, "peak_bit", self.queue.peak_bit - tally.total(self.tally, "peak_bit"))
        return self.tally

    def step(self) -> None:
        """One event."""
        event = self.events[self.next]
        self.next += 1
        if event.kind == ARRIVE:
            self._arrive(event)
        elif event.kind == SLICE:
            self._send(event)
        elif event.kind == RESET:
            self._reset()
        else:
            self.offset_s += self.spec.fault[event.index].by_s
            self.jumped_from = min(self.jumped_from, self.last_block + 1)
        self.queue.settle()
        self.tally.memory[self.tally.marks] = event.t_s, self.queue.used_bit, self.queue.tiles
        self.tally.marks += 1

    def _arrive(self, event: Event) -> None:
        rows = self.stream.rows(event.index)
        self.last_block = event.index
        t = self.tally
        n = rows["n"].astype(np.float64)
        tally.add(t, "value_offered", float((rows["worth"].sum(axis=1) * n).sum()))
        tally.add(t, "tiles_offered", float(n.sum()))
        t.sensed_true += (rows["truth"] * n[:, None]).sum(axis=0)
        rows["t_s"] += self.offset_s
        single = rows["tile"] != BULK
        t.value[rows["tile"][single]] = rows["value"][single]
        outlook = self._outlook(event.t_s)
        kept = np.asarray(self.policy.admit(rows, outlook), bool)
        tally.add(t, "dropped", float(n[~kept].sum()))
        t.status[rows["tile"][single & ~kept]] = tally.DROPPED
        rows = rows[kept]
        rows["tier"] = self.policy.tier(rows, outlook)
        self._resize(rows)
        single = rows["tile"] != BULK
        t.tier[rows["tile"][single]], t.tile_bits[rows["tile"][single]] = rows["tier"][single], rows["bits"][single]
        rows["key"] = self._keys(rows, event.t_s + self.offset_s, outlook)
        self.queue.append(rows)
        if self.queue.over:
            self._evict(event.t_s)

    def _resize(self, rows: Rows) -> None:
        """Bits and worth of what is kept of each tile."""
        tiers = self.spec.tiers
        for name, bits, worth in (
            ("lossy", tiers.lossy_bit_share * self.spec.mission.tile_bit, tiers.lossy_worth),
            ("class", tiers.class_bit, tiers.class_worth),
        ):
            of = rows["tier"] == TIERS.index(name)
            rows["bits"][of] = bits
            rows["value"][of] *= worth
            rows["worth"][of] *= np.float32(worth)

    def _keys(self, rows: Rows, now_s: float, outlook: Outlook) -> Floats:
        keys = np.asarray(self.policy.order(rows, now_s, outlook), np.float64)
        return np.where(rows["alert"], ALERT_KEY + keys, keys) if self.policy.alerts_first else keys

    def _evict(self, t_s: float) -> None:
        rows = self.queue.rows
        keys = self._keys(rows, t_s + self.offset_s, self._outlook(t_s)) if self.policy.dynamic else rows["key"].copy()
        gone = self.queue.evict(keys)
        tally.count_gone(self.tally, gone, tally.EVICTED)
        if self.watch:
            self.watch("evicted", gone, self.queue, keys)

    def _send(self, event: Event) -> None:
        if self.offset_s:
            self._synchronise()
        rate = self.spec.mission.downlink_bit_s
        if event.index != self.credit_pass:
            self.credit_pass, self.credit_bit = event.index, 0.0
            self.pass_kind[:] = 0.0
        capacity = self.credit_bit + (event.end_s - event.t_s) * rate
        order = self._sending_order(event.t_s)
        taken = self.queue.send(order, capacity, self._most(event.index))
        self.pass_kind += np.bincount(taken.rows["kind"], taken.rows["n"] * taken.rows["bits"], len(self.pass_kind))
        used = float(taken.bits_done[-1]) if len(taken.bits_done) else 0.0
        begin = event.t_s - self.credit_bit / rate
        tally.count_sent(self.tally, taken, begin, rate, event.index, self.stream.worth)
        # a tile that is half down goes on in the next slice; what no tile waits for is lost
        rows = self.queue.rows
        left = order[np.argmax(rows["n"][order] > 0)] if len(order) else -1
        waiting = len(order) and rows["n"][left] > 0
        self.credit_bit = min(capacity - used, float(rows["bits"][left])) if waiting else 0.0
        if self.watch:
            self.watch("sent", taken, self.queue, self.queue.rows["key"])

    def _sending_order(self, t_s: float) -> NDArray[np.int64]:
        """Rows that wait, highest first; kept while nothing came, where the order does not hang on time."""
        if self._order is None or self._order[0] != self.queue.version or self.policy.dynamic:
            self.queue.compact()
            rows = self.queue.rows
            keys = self._keys(rows, t_s, self._outlook(t_s)) if self.policy.dynamic else rows["key"]
            self._order = (self.queue.version, np.argsort(-keys, kind="stable"))
        order = self._order[1]
        left = order[np.argmax(self.queue.rows["n"][order] > 0) :] if len(order) else order
        self._order = (self.queue.version, left)
        return left

    def _most(self, number: int) -> Floats | None:
        """(classes,) bits that each class may still take of this pass; None where there are no quotas."""
        quota = self.stream.worth.quota
        if not np.isfinite(quota).any():
            return None
        one = self.stream.plan.passes[number]
        capacity = (one.end_s - one.start_s) * self.spec.mission.downlink_bit_s
        return np.asarray(np.maximum(0.0, np.where(np.isfinite(quota), quota, np.inf) * capacity - self.pass_kind))

    # -- what goes wrong

    def _reset(self) -> None:
        """The computer starts again: what it held in working memory is gone, the mass memory is read back."""
        state = checkpoint.unpack(checkpoint.pack({"rows": self.queue.rows}))
        peak = self.queue.peak_bit
        self.queue = Queue(self.stream.dtype, self.spec.mission.memory_bit)
        self.queue.restore(state["rows"], peak)
        self._order, self.credit_bit = None, 0.0

    def _synchronise(self) -> None:
        """The ground's time at a pass: stamps that were made with the wrong clock are put right."""
        rows = self.queue.rows
        rows["t_s"][rows["block"] >= self.jumped_from] -= self.offset_s
        self.offset_s, self.jumped_from = 0.0, len(self.stream.plan.blocks.t_s)
        rows["key"] = self._keys(rows, self.events[self.next - 1].t_s, self._outlook(self.events[self.next - 1].t_s))
        self._order = None

    def _outlook(self, t_s: float) -> Outlook:
        if not self.spec.policy.passes_known:
            return self.outlook
        plan = self.stream.plan
        starts = self._starts()
        i = int(np.searchsorted(starts, t_s + 1e-9, side="right"))
        if i and plan.passes[i - 1].end_s > t_s:
            i -= 1  # within a pass it is now
        if i >= len(starts):
            return self.outlook
        one = plan.passes[i]
        bits = (one.end_s - max(t_s, one.start_s)) * self.spec.mission.downlink_bit_s
        return replace(self.outlook, next_pass_s=max(t_s, one.start_s) + self.offset_s, next_bits=bits)

    def _starts(self) -> Floats:
        return np.array([p.start_s for p in self.stream.plan.passes])

    # -- what a kill leaves

    def state(self) -> dict[str, Any]:
        """All that the rest of the day hangs on."""
        self.queue.compact()
        policy = {f"policy_{k}": v for k, v in vars(self.policy).items()}
        own = {k: getattr(self, k) for k in _OWN}
        return {"rows": self.queue.rows, "peak_bit": self.queue.peak_bit, **own, **policy, **self.tally.state()}

    def _restore(self, state: dict[str, Any]) -> None:
        self.queue.restore(state["rows"], float(state["peak_bit"]))
        for k in _OWN:
            now = getattr(self, k)
            setattr(self, k, state[k].copy() if isinstance(now, np.ndarray) else type(now)(state[k]))
        for k in list(vars(self.policy)):
            kept = state[f"policy_{k}"]
            setattr(self.policy, k, kept.item() if kept.ndim == 0 else kept.copy())
        self.tally = tally.restored(state)


_OWN = ("next", "credit_bit", "offset_s", "credit_pass", "jumped_from", "last_block", "pass_kind")
