"""Synthetic events, positions, the scan, pictures and the detector of two materials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skytrigger.core.errors import InputError
from skytrigger.hep.clue import Clusters, cluster
from skytrigger.hep.clue.detector import cluster_detector, eta_phi
from skytrigger.hep.clue.events import blobs, pu200_event, pu200_events, toy_detector, toy_layer
from skytrigger.hep.clue.hitset import Hitset
from skytrigger.hep.clue.pictures import layer_picture
from skytrigger.hep.clue.positions import cluster_table
from skytrigger.hep.clue.tuning import scan, score


def test_pu200_event() -> None:
    hits = pu200_event(30_000, n_layers=48, seed=3)
    assert len(hits) == 30_000
    assert set(np.unique(hits.layer)) == set(range(48))
    assert (hits.weight > 0).all()
    radius = np.hypot(hits.x, hits.y)
    inner, outer = (radius < 60).sum() / (60**2 - 32**2), (radius > 120).sum() / (155**2 - 120**2)
    assert inner > 4 * outer
    assert hits.truth is not None
    assert 0.08 < (hits.truth >= 0).mean() < 0.25
    cells = np.stack([hits.layer, hits.x.view(np.int32), hits.y.view(np.int32)])
    assert np.unique(cells, axis=1).shape[1] == 30_000
    again = pu200_event(30_000, n_layers=48, seed=3)
    np.testing.assert_array_equal(hits.x, again.x)
    assert not np.array_equal(hits.x, pu200_event(30_000, n_layers=48, seed=4).x)


@pytest.mark.parametrize(("n_hits", "n_layers"), [(0, 96), (10, 0), (40_000, 1)])
def test_impossible_events(n_hits: int, n_layers: int) -> None:
    with pytest.raises(InputError):
        pu200_event(n_hits, n_layers)


def test_other_sets() -> None:
    events = pu200_events(3, 200, 4)
    assert len(events) == 600
    assert events.event is not None
    np.testing.assert_array_equal(np.bincount(events.event), [200, 200, 200])
    x, y = toy_layer(500)
    toy = toy_detector(x, y, 7)
    np.testing.assert_array_equal(toy.x[500:1000], x)
    assert toy.layer[-1] == 6
    assert len(toy) == 3500
    b = blobs(2000)
    found = cluster(b.x, b.y, dc=0.5, rhoc=3.0)
    assert 10 < found.n_clusters < 400


def _hits(x: list[float], y: list[float], weight: list[float], truth: list[int]) -> Hitset:
    n = len(x)
    return Hitset(
        np.float32(x), np.float32(y), np.zeros(n, np.int32), np.float32(weight), truth=np.array(truth, np.int32)
    )


def _clusters(ids: list[int], seeds: list[int]) -> Clusters:
    n = len(ids)
    return Clusters(
        np.array(ids, np.int32),
        np.isin(np.arange(n), seeds),
        np.ones(n, np.float32),
        np.ones(n, np.float32),
        np.full(n, -1, np.int32),
    )


def test_positions() -> None:
    hits = _hits([0, 1, 9, 5], [0, 0, 0, 5], [3, 1, 4, 2], [0, 0, 0, 0])
    table = cluster_table(hits, _clusters([0, 0, 0, -1], [0]), w0=2.9, max_distance=20.0)
    w = np.maximum(0, 2.9 + np.log(np.array([3, 1, 4]) / 8))
    assert table.energy[0] == 8
    assert table.n_hits[0] == 3
    assert table.seed[0] == 0
    assert table.x[0] == pytest.approx((w * [0, 1, 9]).sum() / w.sum())
    near = cluster_table(hits, _clusters([0, 0, 0, -1], [0]))  # only what is within 1.3 of the most energetic
    assert near.x[0] == pytest.approx(9)
    faint = cluster_table(_hits([0, 1], [0, 0], [1, 1], [0, 0]), _clusters([0, 0], [1]), w0=0.0)
    assert faint.x[0] == 0  # nothing has a weight: the first of the most energetic
    assert len(cluster_table(hits, _clusters([-1] * 4, []))) == 0


def test_score() -> None:
    hits = _hits([0, 1, 2, 3], [0] * 4, [4, 2, 1, 1], [0, 0, 1, -1])
    perfect = score(hits, _clusters([0, 0, 1, -1], [0, 2]))
    assert perfect.f1 == perfect.efficiency == perfect.purity == 1
    nothing = score(hits, _clusters([-1] * 4, []))
    assert nothing.f1 == 0
    merged = score(hits, _clusters([0, 0, 0, 0], [0]))
    assert merged.efficiency == 1
    assert merged.purity == pytest.approx((6 / 8 * 6 + 1 / 8 * 1) / 7)
    split = score(hits, _clusters([0, 1, 2, -1], [0, 1, 2]))
    assert split.purity == 1
    assert split.efficiency == pytest.approx((4 / 6 * 6 + 1) / 7)
    with pytest.raises(InputError, match="truth"):
        score(_hits([0], [0], [1], [-1]), _clusters([0], [0]))


def test_scan_finds_the_better_setting() -> None:
    hits = pu200_events(2, 3000, 8, seed=2)
    trials = scan(hits, dc=[0.3, 2.0], rhoc=[6.0])
    assert [t.dc for t in trials] == [2.0, 0.3]
    assert len(trials[0].scores) == 2
    assert trials[0].f1_error > 0
    one = hits.take(np.flatnonzero(hits.event == 1))
    found = cluster(one.x, one.y, one.layer, one.weight, dc=2.0, rhoc=6.0)
    assert score(one, found) == trials[0].scores[1]
    with pytest.raises(InputError):
        scan(hits, dc=[], rhoc=[1.0])


def test_scan_on_dask() -> None:
    distributed = pytest.importorskip("distributed")
    hits = pu200_events(2, 500, 4, seed=2)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as local:
        there = scan(hits, dc=[2.0], rhoc=[6.0], scheduler=local.scheduler_address)
    assert there == scan(hits, dc=[2.0], rhoc=[6.0])


def test_picture(tmp_path: Path) -> None:
    hits = pu200_event(500, 4)
    found = cluster(hits.x, hits.y, hits.layer, hits.weight, dc=1.3, rhoc=3.0)
    layer_picture(tmp_path / "a.png", hits, found)
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(InputError, match="layer 99"):
        layer_picture(tmp_path / "b.png", hits, found, layer=99)
    with pytest.raises(InputError, match="kind of picture"):
        layer_picture(tmp_path / "b.bmp", hits, found)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_detector_of_two_materials() -> None:
    hits = pu200_event(4000, 8, seed=5)
    assert hits.z is not None
    plastic = hits.layer >= 6
    found = cluster_detector(hits.x, hits.y, hits.z, hits.layer, hits.weight, plastic, noise=0.3)
    silicon = np.flatnonzero(~plastic)
    alone = cluster(
        hits.x[silicon], hits.y[silicon], hits.layer[silicon], hits.weight[silicon], rules="cmssw", noise=0.3
    )
    np.testing.assert_array_equal(found.rho[silicon], alone.rho)
    np.testing.assert_array_equal(found.is_seed[silicon], alone.is_seed)
    eta, phi = eta_phi(hits.x, hits.y, hits.z)
    two = np.flatnonzero(plastic)
    other = cluster(
        eta[two], phi[two], hits.layer[two], hits.weight[two], rules="cmssw", noise=0.3, dc=0.0315,
        period={"y": 6.2831860}, backend="reference",
    )  # fmt: skip
    np.testing.assert_array_equal(found.rho[two], other.rho)
    np.testing.assert_array_equal(np.diff(found.cluster_id[found.is_seed]), 1)
    assert found.n_clusters == alone.n_clusters + other.n_clusters
    with pytest.raises(InputError, match="y has"):
        cluster_detector(hits.x, hits.y[:5], hits.z, hits.layer, hits.weight, plastic)
