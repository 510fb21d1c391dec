"""What a replay is judged by: numbers of one run, and their intervals over seeds of the scenes' order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.measure.stats import wilson_bounds
from skytrigger.onboard import tally
from skytrigger.onboard.facts import TILE_M
from skytrigger.onboard.oracle import Offers
from skytrigger.onboard.stream import DayStream
from skytrigger.onboard.tally import Tally
from skytrigger.onboard.windows import class_shares

Floats = NDArray[np.float64]
Metrics = dict[str, float | None]
SHARES = ("value_of_oracle", "value_of_offered", "target_recall", "kept_share", "sent_share")


def metrics_of(run: Tally, stream: DayStream, best_value: float) -> Metrics:
    """Numbers of one run; None where there is nothing to divide by."""
    spec, classes, targets = stream.spec, stream.classes, stream.worth.targets
    value, bits = tally.total(run, "value"), tally.total(run, "bits")
    live = float(stream.plan.blocks.live.sum())
    joules = live * spec.classifier.seconds_per_tile * spec.classifier.power_W
    km2 = live * (TILE_M / 1000) ** 2
    sent_targets, sensed_targets = (float(a[:-1][targets].sum()) for a in (run.sent_true, run.sensed_true))
    found: Metrics = {
        "value": value,
        "value_of_oracle": _over(value, best_value),
        "value_per_Gbit": _over(value, bits / 1e9),
        "value_of_offered": _over(value, tally.total(run, "value_offered")),
        "target_recall": _over(sent_targets, sensed_targets),
        "sent_bit": bits,
        "sent_tiles": tally.total(run, "tiles"),
        "sent_share": _over(tally.total(run, "tiles"), live),
        "bits_per_km2": _over(bits, km2),
        "latency_p50_s": tally.quantile_s(run.latency.sum(axis=0), 0.5),
        "latency_p90_s": tally.quantile_s(run.latency.sum(axis=0), 0.9),
        "target_latency_p50_s": tally.quantile_s(run.latency[:-1][targets].sum(axis=0), 0.5),
        "memory_peak_bit": tally.total(run, "peak_bit"),
        "evicted_tiles": tally.total(run, "evicted"),
        "dropped_tiles": tally.total(run, "dropped"),
        "kept_share": _over(live - tally.total(run, "dropped"), live),
        "joules_per_tile": _over(joules, live),
        "joules_per_value": _over(joules, value),
    }
    for k, name in enumerate(classes):
        for share in (50, 90):
            found[f"latency_p{share}_s.{name}"] = tally.quantile_s(run.latency[k], share / 100)
    return found


def _over(a: float, b: float) -> float | None:
    return a / b if b else None


def interval(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean with Student's 95 % interval over seeds; no interval from one."""
    known = np.array([v for v in values if v is not None], np.float64)
    if not len(known):
        return {"value": None, "low": None, "high": None}
    mean = float(known.mean())
    if len(known) < 2:
        return {"value": mean, "low": None, "high": None}
    from scipy.special import stdtrit

    half = float(stdtrit(len(known) - 1, 0.975)) * float(known.std(ddof=1)) / math.sqrt(len(known))
    return {"value": mean, "low": mean - half, "high": mean + half}


def over_seeds(runs: Sequence[Metrics]) -> dict[str, dict[str, Any]]:
    """Metric -> its mean and interval; those of shares are cut at 0 and 1."""
    found = {name: interval([r[name] for r in runs]) for name in runs[0]}
    for name in SHARES:
        if found[name]["low"] is not None:
            found[name]["low"], found[name]["high"] = max(0.0, found[name]["low"]), min(1.0, found[name]["high"])
    return found


def offers_of(stream: DayStream) -> Offers:
    """The day's tiles by their true ground: what the oracle chooses from."""
    k, w, plan = len(stream.classes), stream.worth, stream.plan
    by_state = np.zeros((k, 2, 2))
    by_state[:, 0, 1], by_state[:, 0, 0] = w.weights, w.weights * w.unchanged
    kind = np.repeat(np.arange(k), 4)
    parts: list[tuple[Floats, ...]] = []
    for block in range(len(plan.blocks.t_s)):
        counts = stream.ground_counts(block)
        for level, area in enumerate(plan.area_levels):
            n = counts[level].astype(np.float64)
            some = np.flatnonzero((n > 0) & (by_state.ravel() > 0))
            parts.append(_part(stream, block, n[some], by_state.ravel()[some] * area, kind[some], 0.0))
        rows = stream.rows(block)
        rows = rows[(rows["tile"] >= 0) & (rows["worth"].sum(axis=1) > 0)]
        if len(rows):
            early = -plan.blocks.seconds[block] / 2
            worth = rows["worth"].astype(np.float64).sum(axis=1)
            parts.append(_part(stream, block, np.ones(len(rows)), worth, rows["worth"].argmax(axis=1), early))
    columns = [np.concatenate(c) for c in zip(*parts, strict=True)] if parts else [np.empty(0)] * 7
    return Offers(*columns)


def _part(
    stream: DayStream, block: int, n: Floats, value: Floats, kind: NDArray[np.int64], early: float
) -> tuple[Floats, ...]:
    blocks, w, one = stream.plan.blocks, stream.worth, np.ones(len(n))
    return (
        one * blocks.ready_s[block],
        one * (blocks.t_s[block] + early),
        n,
        one * stream.spec.mission.tile_bit,
        np.round(value, 9),
        w.half_life_s[kind],
        w.deadline_s[kind],
    )


def recall_at(stream: DayStream, share: float = 0.1, resamples: int = 500) -> dict[str, Any]:
    """Recall of clear target tiles where a share of all bits sensed is sent, highest expected value first.

    Each really classified tile weighs what its true ground has in the stream over how often it was classified.

    Returns
    -------
    dict
        ``value`` with ``low`` and ``high``, a bootstrap over the pool's tiles, all classes: wide where a class of large
        share has few tiles. ``targets``: of the pool's target tiles alone, each counted once, at the same cut in value
        (Wilson); what the other classes' tiles leave open about the cut is not in it.
    """
    spec, found, worth, k = stream.spec.stream, stream.found, stream.worth, len(stream.classes)
    by_class = class_shares(stream.spec, stream.classes)
    cover, change = (np.array([1 - p, p]) for p in (spec.cloud, spec.changed))
    prior = (by_class[:, None, None] * cover[:, None] * change).ravel()
    state = (found.true * 2 + found.cloudy) * 2 + found.changed
    value = worth.expected(found.probabilities, found.cloud_seen, found.change_seen & ~found.cloud_seen, 1.0)
    order = np.argsort(-value, kind="stable")
    target = worth.targets[found.true] & ~found.cloudy
    sources, of = np.unique(found.source, return_inverse=True)

    def sent_at(times: Floats) -> tuple[NDArray[np.bool_], Floats]:
        held = np.bincount(state, times, 4 * k)
        weight = times * prior[state] / np.maximum(held[state], 1e-300)
        sent = np.empty(len(order), bool)
        sent[order] = np.cumsum(weight[order]) <= share * weight.sum() * (1 + 1e-9)
        return sent, weight * target

    def recall(times: Floats) -> float:
        sent, wanted = sent_at(times)
        return float(wanted[sent].sum() / wanted.sum()) if wanted.sum() else float("nan")

    rng = np.random.default_rng(0)
    even = np.full(len(sources), 1 / len(sources))
    drawn = [recall(rng.multinomial(len(sources), even)[of.ravel()].astype(np.float64)) for _ in range(resamples)]
    known = [d for d in drawn if np.isfinite(d)]
    low, high = np.quantile(known, [0.025, 0.975]) if known else (np.nan, np.nan)
    result = {"value": min(1.0, recall(np.ones(len(found)))), "low": float(low), "high": min(1.0, float(high))}
    return {
        **{name: x if np.isfinite(x) else None for name, x in result.items()},
        "share_of_bits": share,
        "target_share": float(prior.reshape(k, 2, 2)[worth.targets][:, 0].sum()),
        "tiles": len(sources),
        "targets": _tiles_down(of.ravel()[target], sent_at(np.ones(len(found)))[0][target]),
    }


def _tiles_down(tile: NDArray[np.int64], sent: NDArray[np.bool_]) -> dict[str, Any]:
    """Of distinct tiles, each counted as the share of its windows in which it was sent."""
    numbers, of = np.unique(tile, return_inverse=True)
    if not len(numbers):
        return {"n": 0, "down": 0.0, "low": None, "high": None}
    down = float((np.bincount(of.ravel(), sent) / np.bincount(of.ravel())).sum())
    low, high = wilson_bounds(down / len(numbers), len(numbers))
    return {"n": len(numbers), "down": down, "low": low, "high": high}
