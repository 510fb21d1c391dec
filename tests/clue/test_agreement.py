"""Every backend gives the same result to the bit, on inputs where ties decide."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import ArrayLike

from skytrigger.hep.clue import Kernel, Workspace, cluster, cpu_chunk
from skytrigger.hep.clue import cpu as cpu_backend
from skytrigger.hep.clue.hits import Hits, check_hits
from skytrigger.hep.clue.rules import RULES, Cuts, resolve_cuts
from skytrigger.hep.clue.tiles import Grid, plan_grid

from .cases import random_case, same


def test_thousand_random_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_backend, "HITS_PER_THREAD", 1)
    space = Workspace()
    ties = 0
    for seed in range(1000):
        case = random_case(seed)
        expected = cluster(**case, backend="reference")
        ties += len(np.unique(expected.rho)) < len(expected)
        for options in (
            {"backend": "kdtree"},
            {"backend": "cpu", "workspace": space},
            {"backend": "cpu", "threads": 2, "workspace": space},
        ):
            assert not same(expected, cluster(**case, **options)), (seed, options)
    assert ties > 500  # the cases are what they claim to be


@pytest.mark.parametrize("axis", ["x", "y", None])
def test_periodic_and_deep(axis: str | None) -> None:
    for seed in range(40):
        case = random_case(seed, (5, 40, 60))
        span = max(np.ptp(case["x"]), np.ptp(case["y"]))
        if axis is None:
            case["z"] = np.random.default_rng(seed).integers(0, 6, len(case["x"])) * case["dc"] / 2
        else:
            case["period"] = {axis: float(span * 1.05 + 1e-3)}
        expected = cluster(**case, backend="reference")
        assert not same(expected, cluster(**case, backend="kdtree")), seed
        assert not same(expected, cluster(**case, backend="cpu")), seed


@pytest.mark.parametrize("text", ["flat:0.3", "exponential:2:0.7", "gaussian:0.1:0.5:1.2"])
def test_kernels(text: str) -> None:
    for seed in range(40):
        case = random_case(seed) | {"kernel": Kernel.parse(text)}
        expected = cluster(**case, backend="reference")
        assert not same(expected, cluster(**case, backend="kdtree")), seed
        assert not same(expected, cluster(**case, backend="cpu")), seed


def test_tile_sizes_do_not_show() -> None:
    rng = np.random.default_rng(1)
    n = 3000
    x, y, layer = rng.integers(0, 60, n) / 3, rng.integers(0, 60, n) / 3, rng.integers(0, 4, n)
    weight = rng.exponential(size=n)
    hits = check_hits(x, y, None, layer, weight, None, 3.0, None)
    cuts = resolve_cuts(RULES["paper"], 1.0, 1.5, 2.0, None)
    expected = cluster(x, y, layer, weight, dc=1.0, rhoc=3.0, seed_distance=1.5, outlier_distance=2.0, backend="kdtree")
    for per_hit in (0.1, 1.0, 8.0):
        for height in (0.3, 2.06, 9.0, 100.0):
            grid = plan_grid(hits, cuts, per_hit, height)
            for near in (0.05, 0.4, 1.0, 2.0):
                found = cpu_backend.cluster(hits, cuts, grid=replace(grid, near=np.float32(near)))
                assert not same(expected, found), (per_hit, height, near)


def test_lone_hits(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little of the search distance the density pass looks at, in every geometry."""

    def plan(hits: Hits, cuts: Cuts) -> Grid:
        return replace(plan_grid(hits, cuts), near=np.float32(float(cuts.search) * share))

    monkeypatch.setattr(cpu_backend, "plan_grid", plan)
    for seed in range(60):
        case = random_case(seed, (5, 40, 60))
        if seed % 3 == 1:
            case["z"] = np.random.default_rng(seed).integers(0, 6, len(case["x"])) * case["dc"] / 2
        if seed % 3 == 2:
            case["period"] = {"y": float(np.ptp(case["y"]) * 1.05 + 1e-3)}
        expected = cluster(**case, backend="reference")
        for share in (0.01, 0.3, 0.9):
            assert not same(expected, cluster(**case)), (seed, share)


def test_wide_search_is_planned_where_it_pays() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.random((2, 20_000))
    crowded, sparse = (resolve_cuts(RULES["paper"], dc, None, 2 * dc, None) for dc in (0.03, 0.002))
    hits = check_hits(x, y, None, None, None, None, 3.0, None)
    assert plan_grid(hits, crowded).near == crowded.dc
    assert plan_grid(hits, sparse).near == sparse.search


def test_chunks_and_threads_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    n = 4000
    x, y, event = rng.random(n) * 20, rng.random(n) * 20, np.sort(rng.integers(0, 9, n))
    layer = rng.integers(0, 5, n) * 1000 + 7
    monkeypatch.setattr(cpu_backend, "HITS_PER_THREAD", 1)
    for layers in (None, layer, event):  # in order; in order of events only; in order, one layer an event
        options = {"dc": 1.0, "rhoc": 4.0, "event": event, "layer": layers}
        expected = cluster(x, y, **options, backend="kdtree")
        for size in (64, 500, 10_000):
            monkeypatch.setattr(cpu_backend, "CHUNK", size)
            for threads in (1, 2, 5):
                assert not same(expected, cluster(x, y, **options, threads=threads)), (size, threads)


def test_seams_cut_no_group() -> None:
    event, layer = np.array([3, 3, 3, 8, 8, 9]), np.array([5, 1, 5, 0, 1, 0])
    x = np.zeros(6)

    def seams(layer: ArrayLike, event: ArrayLike | None) -> list[int] | None:
        found = check_hits(x, x, None, layer, None, event, 1.0, None).seams
        return None if found is None else sorted({*found.tolist()})

    assert seams(layer, event) == [0, 3, 5, 6]
    assert seams(np.sort(layer), None) == [0, 2, 4, 6]
    assert seams(layer, None) is None
    assert seams(layer, event[::-1]) is None
    assert seams(layer, event + 2**40) == [0, 3, 5, 6]
    assert seams(layer * 10**9, event * 10**9) == [0, 3, 5, 6]


def test_full_notes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.random((2, 6000)) * 4  # some 1,400 hits within the search distance of each
    expected = cluster(x, y, dc=0.5, rhoc=4.0, backend="kdtree")
    assert not same(expected, cluster(x, y, dc=0.5, rhoc=4.0))
    monkeypatch.setattr(cpu_chunk, "NOTES_PER_HIT", 0)  # 1,024 in all
    assert not same(expected, cluster(x, y, dc=0.5, rhoc=4.0))


def test_order_of_hits() -> None:
    """A permutation of the hits permutes densities, and whatever does not hang on a tie of densities."""
    rng = np.random.default_rng(4)
    n = 2000
    x, y, weight, layer = rng.random(n) * 30, rng.random(n) * 30, rng.exponential(size=n), rng.integers(0, 3, n)
    p = rng.permutation(n)
    first = cluster(x, y, layer, weight, dc=1.0, rhoc=1.0)
    second = cluster(x[p], y[p], layer[p], weight[p], dc=1.0, rhoc=1.0)
    np.testing.assert_array_equal(first.rho[p], second.rho)
    values, counts = np.unique(second.rho, return_counts=True)
    alone = np.isin(second.rho, values[counts == 1])
    assert alone.sum() > n / 2
    np.testing.assert_array_equal(first.delta[p][alone], second.delta[alone])
    np.testing.assert_array_equal(first.is_seed[p][alone], second.is_seed[alone])


def test_events_are_as_if_alone() -> None:
    cases = [random_case(seed, (40, 60)) for seed in (7, 8, 9)]
    parts = [{k: c[k] for k in ("x", "y")} for c in cases]
    options = {"dc": 0.3, "rhoc": 2.0}
    alone = [cluster(**p, **options) for p in parts]
    event = np.repeat(np.arange(3), [len(p["x"]) for p in parts])
    together = cluster(
        np.concatenate([p["x"] for p in parts]), np.concatenate([p["y"] for p in parts]), event=event, **options
    )
    for number, one in enumerate(alone):
        own = event == number
        np.testing.assert_array_equal(together.rho[own], one.rho)
        np.testing.assert_array_equal(together.is_seed[own], one.is_seed)
        before = sum(a.n_clusters for a in alone[:number])
        shifted = np.where(one.cluster_id >= 0, one.cluster_id + before, -1)
        np.testing.assert_array_equal(together.cluster_id[own], shifted)


def test_densities_are_exact_sums() -> None:
    rng = np.random.default_rng(5)
    n = 120
    x, y = rng.random((2, n))
    for weight in (rng.exponential(size=n), 10.0 ** rng.uniform(-35, 25, n), np.full(n, 1e-42)):
        energy = weight.astype(np.float32)
        found = cluster(x, y, weight=energy, dc=0.4, rhoc=1.0)
        x32, y32 = x.astype(np.float32), y.astype(np.float32)
        dx, dy = x32[:, None] - x32, y32[:, None] - y32
        near = np.sqrt(dx * dx + dy * dy) <= np.float32(0.4)
        for i in range(n):
            exact = math.fsum(energy[near[i]].tolist())  # float64, itself rounded: float32 may differ by the half case
            assert found.rho[i] in (np.float32(exact), np.nextafter(np.float32(exact), np.float32(0)))
            assert abs(float(found.rho[i]) - exact) <= np.spacing(np.float32(exact)) * 0.5000001


def test_crowds_whose_notes_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crowded blocks are searched without notes, the sparse ones before and after them with theirs."""
    monkeypatch.setattr(cpu_chunk, "NOTES_PER_HIT", 0)  # 1,024 in all
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.random(60) * 9, 4 + rng.random(130), rng.random(60) * 9 + 20])
    y = np.concatenate([rng.random(60) * 9, 4 + rng.random(130), rng.random(60) * 9])
    for kernel in (None, "exponential:1:0.5"):
        for outlier in (0.5, 1.5):
            options = {"dc": 0.5, "rhoc": 4.0, "outlier_distance": outlier, "kernel": kernel}
            assert not same(cluster(x, y, **options, backend="kdtree"), cluster(x, y, **options))
