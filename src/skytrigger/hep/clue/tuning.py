"""Which dc, rhoc and distances suit the data: a scan with a score from the truth."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.progress import track
from skytrigger.hep.clue.api import cluster_hits
from skytrigger.hep.clue.hitset import Hitset
from skytrigger.hep.clue.results import Clusters
from skytrigger.hep.clue.workspace import Workspace


@dataclass(frozen=True)
class Score:
    """How well clusters reproduce the true objects, all from 0 to 1 and weighted by energy.

    An object is a shower on a layer of an event. Its efficiency is the share of its energy in its best cluster, its
    purity the share of that cluster's energy that is its own (pile-up and noise in it count against), its F1 their
    harmonic mean; best: the highest F1.
    """

    f1: float
    efficiency: float
    purity: float


@dataclass(frozen=True)
class Trial:
    """One set of parameters and its scores, one an event."""

    dc: float
    rhoc: float
    seed_distance: float
    outlier_distance: float
    scores: tuple[Score, ...]
    n_clusters: int

    @property
    def f1(self) -> float:
        """Mean over the events."""
        return float(np.mean([s.f1 for s in self.scores]))

    @property
    def f1_error(self) -> float:
        """Standard error of that mean; NaN for one event."""
        values = [s.f1 for s in self.scores]
        return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")

    def row(self) -> dict[str, float | int]:
        """As a table row."""
        efficiency = float(np.mean([s.efficiency for s in self.scores]))
        purity = float(np.mean([s.purity for s in self.scores]))
        return {
            "dc": self.dc,
            "rhoc": self.rhoc,
            "seed_distance": self.seed_distance,
            "outlier_distance": self.outlier_distance,
            "f1": self.f1,
            "efficiency": efficiency,
            "purity": purity,
            "n_clusters": self.n_clusters,
            "n_events": len(self.scores),
        }


def score(hits: Hitset, clusters: Clusters) -> Score:
    """Score of one clustering; hits of truth -1 belong to no object."""
    if hits.truth is None:
        raise InputError("a scan needs to know the truth", expected="a column truth, -1 for noise")
    energy = hits.weight.astype(np.float64)
    event = np.zeros(len(hits), np.int64) if hits.event is None else hits.event
    true = hits.truth >= 0
    if not true.any() or energy[true].sum() == 0:
        raise InputError("no hit belongs to a true object", expected="truth of 0 or more somewhere")
    cluster_energy = np.bincount(clusters.cluster_id + 1, energy)
    objects, own = np.unique(np.stack([event[true], hits.layer[true], hits.truth[true]]), axis=1, return_inverse=True)
    own = own.reshape(-1)
    object_energy = np.bincount(own, energy[true], objects.shape[1])
    pair, which = np.unique(np.stack([own, clusters.cluster_id[true]]), axis=1, return_inverse=True)
    shared = np.bincount(which.reshape(-1), energy[true])
    kept = pair[1] >= 0
    first, second, shared = pair[0][kept], pair[1][kept], shared[kept]
    with np.errstate(divide="ignore", invalid="ignore"):
        efficiency = np.nan_to_num(shared / object_energy[first])
        purity = np.nan_to_num(shared / cluster_energy[second + 1])
        f1 = np.nan_to_num(2 * efficiency * purity / (efficiency + purity))
    best = _best(first, f1, len(object_energy))

    def mean(values: NDArray[np.float64]) -> float:
        found = np.where(best >= 0, np.append(values, 0.0)[best], 0.0)
        return float((found * object_energy).sum() / object_energy.sum())

    return Score(mean(f1), mean(efficiency), mean(purity))


def _best(group: NDArray[np.int64], value: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Place of the largest value of each group, -1 where a group has none."""
    order = np.lexsort((value, group))
    last = np.flatnonzero(np.diff(group[order], append=n))
    best = np.full(n, -1)
    best[group[order][last]] = order[last]
    return best


def _try(
    hits: Hitset, settings: Sequence[tuple[float, ...]], deep: bool, options: dict[str, Any]
) -> list[tuple[Score, int]]:
    """All settings on one event."""
    space = Workspace()
    results = []
    for dc, rhoc, seed, outlier in settings:
        distances = {"dc": dc, "seed_distance": seed, "outlier_distance": outlier}
        alone = replace(hits, event=None)
        found = cluster_hits(alone, three_dimensional=deep, rhoc=rhoc, workspace=space, **distances, **options)
        results.append((score(hits, found), found.n_clusters))
    return results


def scan(
    hits: Hitset,
    dc: Sequence[float],
    rhoc: Sequence[float],
    seed_factor: Sequence[float] = (1.0,),
    outlier_factor: Sequence[float] = (2.0,),
    scheduler: str | None = None,
    three_dimensional: bool = False,
    **options: Any,
) -> list[Trial]:
    """Cluster every event with every combination and score it against the truth; best F1 first.

    Distances are factors of dc. With a Dask `scheduler` address each event is a task there; else events follow each
    other here. `three_dimensional` takes z into the distance; a column of noise is used by rules that know noise.
    `options` go to `cluster`.
    """
    if hits.truth is None:
        raise InputError("a scan needs to know the truth", expected="a column truth, -1 for noise")
    if not len(hits):
        raise InputError("no hits to scan", expected="at least one event")
    settings = [(d, r, d * s, d * o) for d, r, s, o in itertools.product(dc, rhoc, seed_factor, outlier_factor)]
    if not settings:
        raise InputError("nothing to scan", expected="at least one value of each parameter")
    events = _split_events(hits)
    results: list[list[tuple[Score, int]]] = []
    if scheduler is None:
        with track("scan", len(events)) as advance:
            for event in events:
                results.append(_try(event, settings, three_dimensional, options))
                advance()
    else:
        distributed = require("distributed", why="a scan on Dask")
        with distributed.Client(scheduler) as client:
            results = client.gather(
                client.map(_try, events, settings=settings, deep=three_dimensional, options=options)
            )
    trials = [
        Trial(*setting, tuple(r[i][0] for r in results), sum(r[i][1] for r in results))
        for i, setting in enumerate(settings)
    ]
    return sorted(trials, key=lambda t: -t.f1)


def _split_events(hits: Hitset) -> list[Hitset]:
    if hits.event is None:
        return [hits]
    order = np.argsort(hits.event, kind="stable")
    starts = np.flatnonzero(np.diff(hits.event[order], prepend=hits.event.min() - 1))
    return [hits.take(own) for own in np.split(order, starts[1:])]
