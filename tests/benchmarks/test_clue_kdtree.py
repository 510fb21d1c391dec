"""The k-d trees that CLUE is timed against give its answer."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from skytrigger.hep.clue import cluster
from skytrigger.hep.clue.hitset import Hitset

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from clue_kdtree import imaging, nearest


def made(seed: int, n: int = 300) -> tuple[Hitset, dict[str, float]]:
    """Hits of three layers of two events; on a lattice, so that distances and densities tie, where the seed is even."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0, 4, (2, n)).astype(np.float32)
    weight = rng.integers(1, 4, n).astype(np.float32)
    if seed % 2 == 0:
        x, y = np.rint(x), np.rint(y)
    else:
        weight = rng.exponential(1, n).astype(np.float32)
    hits = Hitset(x, y, rng.integers(0, 3, n), weight, event=rng.integers(0, 2, n))
    return hits, {"dc": 1.0, "rhoc": 4.0, "seed_distance": float(rng.uniform(0.5, 3)),
                  "outlier_distance": float(rng.uniform(0.5, 3))}  # fmt: skip


@pytest.mark.parametrize("leaf", [0, 1, 3, 16])
def test_brute_force_says_the_same(leaf: int) -> None:
    """`leaf` 0 stands for the published program."""
    for seed in range(30):
        hits, options = made(seed)
        wanted = cluster(hits.x, hits.y, hits.layer, hits.weight, hits.event, **options, backend="reference")
        found = nearest(hits, options, leaf) if leaf else imaging(hits, options)
        np.testing.assert_array_equal(found.rho, wanted.rho, err_msg=str(seed))
        np.testing.assert_array_equal(found.nearest_higher, wanted.nearest_higher, err_msg=str(seed))
        np.testing.assert_array_equal(found.delta, wanted.delta, err_msg=str(seed))
        np.testing.assert_array_equal(found.cluster_id, wanted.cluster_id, err_msg=str(seed))
        assert wanted.n_clusters > 1


def test_one_hit_and_hits_in_one_place() -> None:
    options = {"dc": 1.0, "rhoc": 2.0, "seed_distance": 1.0, "outlier_distance": 2.0}
    zeros = np.zeros(200, np.float32)
    for n, clusters in ((1, 0), (200, 1)):
        hits = Hitset(zeros[:n], zeros[:n], np.zeros(n, np.int64), np.ones(n, np.float32))
        assert imaging(hits, options).n_clusters == nearest(hits, options, 1).n_clusters == clusters
