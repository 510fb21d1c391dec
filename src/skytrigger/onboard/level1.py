"""The replay's machinery on a collider's events: crossings at a rate, a pipeline, an accept rate, dead time.

An event is a tile, the pipeline is the memory, the accepted rate is the link, the time in which a decision has to be
there is the deadline. The score of an event is the transverse energy of its largest CLUE cluster; its value is the
share of signal among events of that score, counted on half of the really clustered ones; the other half is replayed.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.files import write_json, write_text
from skytrigger.core.seeds import generator
from skytrigger.onboard import tally
from skytrigger.onboard.contacts import Pass
from skytrigger.onboard.device import dead_time_curve
from skytrigger.onboard.metrics import interval
from skytrigger.onboard.policies.base import Outlook, Policy
from skytrigger.onboard.policies.by_value import AgeWeighted
from skytrigger.onboard.replay import Replay
from skytrigger.onboard.rows import BULK, LOSSLESS, Rows, row_type
from skytrigger.onboard.spec import Choice, Mission, Spec, number
from skytrigger.onboard.spec_file import fill, spec_text
from skytrigger.onboard.value import Worth

Floats = NDArray[np.float64]
CLASSES = ("background", "signal")
STEP_EVENTS = 100  # crossings that arrive together: 2.5 microseconds at 40 MHz
BINS = 40
SEEDS = 5
LOAD = 0.9  # of the accept rate that fixed rules fill: at all of it their waiting would outgrow the latency


@dataclass(frozen=True)
class Events:
    """What is generated."""

    rate_hz: float = number(40e6, 1)
    crossings: int = number(100_000, STEP_EVENTS, 100_000_000)
    really: int = number(800, 20, 1_000_000)
    hits: int = number(600, 50, 300_000)
    layers: int = number(12, 1, 1000)
    signal: float = number(0.002, 0, 1)
    signal_energy: float = number(0.5, 0, 100)


@dataclass(frozen=True)
class Trigger:
    """What decides."""

    accept_hz: float = number(750e3, 1)
    latency_s: float = number(12.5e-6, 0)
    event_bit: float = number(8e6, 1)
    decision_s: float = number(24e-9, 0)
    places: int = number(4, 1, 10_000)
    rates_hz: tuple[float, ...] = (100e3, 750e3)


@dataclass(frozen=True)
class Level1:
    """The preset's spec."""

    name: str = "l1"
    seed: int = 0
    events: Events = Events()
    trigger: Trigger = Trigger()


@dataclass(frozen=True)
class Scores:
    """Scores of really clustered events, by kind, halved: the first half teaches the values, the second is replayed."""

    edges: Floats
    value: Floats
    chance: Floats
    auc: float


def score_event(spec: Level1, index: int, signal: bool) -> float:
    """Transverse energy of an event's largest CLUE cluster; a signal has one more, compact shower."""
    from skytrigger.hep.clue.api import cluster
    from skytrigger.hep.clue.events import FIRST_LAYER_Z, pu200_event

    e = spec.events
    hits = pu200_event(e.hits, e.layers, seed=2 * (spec.seed * 1_000_003 + index) + signal)
    x, y, weight = hits.x, hits.y, hits.weight
    if signal:
        rng = generator(spec.seed, "shower", index)
        n = 3 * e.layers
        radius, phi = rng.uniform(40, 140), rng.uniform(0, 2 * np.pi)
        more = rng.exponential(1.0, n)
        total = e.signal_energy * float(weight.sum()) * rng.lognormal(0.0, 0.5)
        x = np.concatenate([x, radius * np.cos(phi) + rng.normal(0, 0.8, n)]).astype(np.float32)
        y = np.concatenate([y, radius * np.sin(phi) + rng.normal(0, 0.8, n)]).astype(np.float32)
        weight = np.concatenate([weight, more * total / more.sum()]).astype(np.float32)
    across = (weight * np.hypot(x, y) / FIRST_LAYER_Z).astype(np.float32)
    found = cluster(x, y, None, across, dc=2.0, rhoc=2.0, threads=1)  # layers laid upon one another: showers whole
    of = found.cluster_id >= 0
    return float(np.bincount(found.cluster_id[of], across[of]).max()) if of.any() else 0.0


def learn_scores(spec: Level1) -> Scores:
    """Cluster the events and count."""
    scores = np.array([[score_event(spec, i, bool(s)) for i in range(spec.events.really)] for s in (0, 1)])
    half = spec.events.really // 2
    taught, judged = scores[:, :half], scores[:, half:]
    # fine where background is rare: that is where accepting happens
    edges = np.unique(np.quantile(taught.ravel(), np.linspace(0, 1, BINS + 1)))[1:-1]
    share = np.array([1 - spec.events.signal, spec.events.signal])
    counts = np.stack([np.bincount(np.digitize(s, edges), minlength=len(edges) + 1) for s in taught])
    mass = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True) * share[:, None]
    value = np.maximum.accumulate(mass[1] / mass.sum(axis=0))  # a higher score is never worth less
    seen = np.stack([np.bincount(np.digitize(s, edges), minlength=len(edges) + 1) for s in judged])
    auc = float(np.mean(judged[1][:, None] > judged[0][None, :]) + 0.5 * np.mean(judged[1][:, None] == judged[0]))
    return Scores(edges, value, seen / seen.sum(axis=1, keepdims=True), auc)


@dataclass
class _Plan:
    """What a replay asks of a plan."""

    blocks: Any
    passes: tuple[Pass, ...]
    missed: frozenset[int] = frozenset()

    def capacity_bit(self, rate_bit_s: float) -> float:
        return rate_bit_s * (self.passes[0].end_s - self.passes[0].start_s)


@dataclass
class _Steps:
    t_s: Floats
    ready_s: Floats
    live: NDArray[np.int64]


@dataclass
class EventStream:
    """Crossings as a replay's stream."""

    level1: Level1
    scores: Scores
    accept_hz: float
    seed: int
    spec: Spec = field(init=False)

    def __post_init__(self) -> None:
        e, t = self.level1.events, self.level1.trigger
        steps = e.crossings // STEP_EVENTS
        at = np.asarray((np.arange(steps) + 1) * (STEP_EVENTS / e.rate_hz), np.float64)
        live = np.full(steps, STEP_EVENTS)
        self.classes: tuple[str, ...] = CLASSES
        self.dtype, self.found = row_type(2), np.empty(0)
        self.plan = _Plan(_Steps(at, at, live), (Pass("accept", 0.0, float(at[-1]) + t.latency_s),))
        forever = np.full(2, np.inf)
        self.worth = Worth(
            np.array([0.0, 1.0]), 1.0, forever, np.full(2, t.latency_s), forever, forever, np.array([False, True])
        )
        mission = replace(
            Mission(), memory_bit=t.event_bit * t.latency_s * e.rate_hz, tile_bit=t.event_bit,
            downlink_bit_s=self.accept_hz * t.event_bit,
        )  # fmt: skip
        self.spec = Spec(mission=mission, slice_s=STEP_EVENTS / e.rate_hz, policy=Choice(passes_known=False))

    def rows(self, block: int) -> Rows:
        """The crossings of a step, alike ones together."""
        rng = generator(self.level1.seed, "crossings", self.seed, block)
        kinds = rng.multinomial(STEP_EVENTS, [1 - self.level1.events.signal, self.level1.events.signal])
        drawn = rng.multinomial(kinds, self.scores.chance)
        n = drawn.sum(axis=0)
        some = np.flatnonzero(n)
        rows = np.zeros(len(some), self.dtype)
        rows["n"], rows["tile"], rows["block"], rows["tier"] = n[some], BULK, block, LOSSLESS
        rows["bits"], rows["value"] = self.spec.mission.tile_bit, self.scores.value[some]
        rows["t_s"], rows["kind"] = self.plan.blocks.t_s[block], 1
        rows["half_life_s"], rows["deadline_s"] = np.inf, self.level1.trigger.latency_s
        rows["area"], rows["confidence"] = 1.0, self.scores.value[some]
        rows["truth"][:, :2] = (drawn[:, some] / n[some]).T
        rows["worth"][:, 1] = rows["truth"][:, 1]
        return rows


class Prescale(Policy):
    """Every n-th event, whatever it is: what an accept rate without a decision gives."""

    name = "prescale"

    def __init__(self) -> None:
        self.owed = 0.0

    def keep(self, rows: Rows, share: Any) -> Any:
        """Of each row a share, over time exactly; which rows are left."""
        before = self.owed + np.concatenate([[0.0], np.cumsum(rows["n"] * share)])
        self.owed = float(before[-1] % 1.0)
        kept = np.floor(before[1:] + 1e-9) - np.floor(before[:-1] + 1e-9)
        rows["n"] = np.minimum(rows["n"], kept).astype(np.int64)
        return rows["n"] > 0

    def admit(self, rows: Rows, outlook: Outlook) -> Any:
        return self.keep(rows, LOAD * outlook.link_share)


class Menu(Prescale):
    """A fixed cut on the score: all above it, of the score at the cut as many as the accept rate has room for."""

    name = "menu"

    def __init__(self, cut: float = 0.0, share: float = 1.0) -> None:
        super().__init__()
        self.cut, self.share = cut, share

    def admit(self, rows: Rows, outlook: Outlook) -> Any:
        return self.keep(
            rows, np.where(rows["value"] > self.cut, 1.0, np.where(rows["value"] == self.cut, self.share, 0))
        )


def menu_of(scores: Scores, signal: float, share: float) -> Menu:
    """The menu that lets a share of the crossings pass."""
    levels, of = np.unique(scores.value, return_inverse=True)
    by_level = np.bincount(of.ravel(), np.array([1 - signal, signal]) @ scores.chance)
    above = np.append(np.cumsum(by_level[::-1])[::-1][1:], 0.0)
    at = int(np.flatnonzero(above <= share)[0])
    return Menu(float(levels[at]), float(min(1.0, (share - above[at]) / max(by_level[at], 1e-300))))


def replay_level1(out: str | Path, preset: str = "l1") -> dict[str, Any]:
    """Efficiency against accepted rate of each policy, and the dead time; into ``summary.json`` of `out`."""
    text, _ = spec_text(preset)
    spec: Level1 = fill(Level1, tomllib.loads(text), ())
    scores = learn_scores(spec)
    e, t = spec.events, spec.trigger
    curve = []
    for rate in sorted({*t.rates_hz, t.accept_hz}):
        share = rate / e.rate_hz
        kinds = (Prescale, partial(menu_of, scores, e.signal, LOAD * share), AgeWeighted)
        curve += [_point(spec, scores, rate, make) for make in kinds]
    dead = dead_time_curve(t.decision_s, t.places, np.array([0.25, 0.5, 0.75, 0.9, e.rate_hz * t.decision_s, 1.1, 1.5]))
    points = [{"offered_tiles_per_s": d["rate_hz"], "kept_share": 1 - d["lost"]} for d in dead]
    summary: dict[str, Any] = {
        "preset": spec.name, "synthetic": True, "auc": scores.auc, "curve": curve, "seeds": SEEDS,
        "dead_time": {"device": f"{t.decision_s * 1e9:g} ns an event, {t.places} places", "points": points},
        "facts": {"crossings": e.crossings, "clustered": 2 * e.really, "rate_hz": e.rate_hz, "signal": e.signal},
    }  # fmt: skip
    summary["text"] = _text(summary, t.accept_hz)
    write_text(Path(out) / "spec.toml", text)
    write_json(Path(out) / "summary.json", {k: v for k, v in summary.items() if k != "text"})
    return summary


def _point(spec: Level1, scores: Scores, rate_hz: float, make: Any) -> dict[str, Any]:
    efficiency, accepted, name = [], [], ""
    for seed in range(SEEDS):
        policy: Policy = make()
        name = policy.name
        stream = EventStream(spec, scores, rate_hz, seed)
        run = Replay(stream, policy).run()
        efficiency.append(tally.total(run, "value") / max(run.sensed_true[1], 1.0))
        accepted.append(tally.total(run, "tiles") / spec.events.crossings * spec.events.rate_hz)
    return {
        "policy": name, "accept_hz": rate_hz, "accepted_hz": interval(accepted), "efficiency": interval(efficiency),
    }  # fmt: skip


def _text(summary: dict[str, Any], accept_hz: float) -> str:
    f = summary["facts"]
    lines = [
        f"l1: {f['crossings']:,} crossings at {f['rate_hz'] / 1e6:g} MHz, {f['signal']:.2%} signal (synthetic); "
        f"{f['clustered']:,} really clustered by CLUE, the others by statistics",
        f"{'accepted':>10}  " + "  ".join(f"{p:>22}" for p in ("prescale", "menu", "age")) + "   efficiency",
    ]
    for rate in sorted({p["accept_hz"] for p in summary["curve"]}):
        row = {p["policy"]: p["efficiency"] for p in summary["curve"] if p["accept_hz"] == rate}
        of = [row[p] for p in ("prescale", "menu", "age")]
        said = [f"{v['value']:.1%} ({v['low']:.1%} to {v['high']:.1%})" for v in of]
        cells = "  ".join(f"{text:>22}" for text in said)
        lines.append(f"{rate / 1e3:6.0f} kHz  {cells}" + ("   <" if rate == accept_hz else ""))
    worst = next(p for p in summary["dead_time"]["points"] if abs(p["offered_tiles_per_s"] - f["rate_hz"]) < 1)
    device = summary["dead_time"]["device"]
    lines.append(f"dead time at {f['rate_hz'] / 1e6:g} MHz, {device}: {1 - worst['kept_share']:.1%}")
    return "\n".join(lines)
