"""What users get wrong: one clear error, or the documented trivial result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from skytrigger.core.errors import InputError
from skytrigger.hep.clue import BACKENDS, Workspace, cluster

GOOD: dict[str, Any] = {"x": [0.0, 1.0, 2.0], "y": [0.0, 0.0, 0.0], "dc": 1.0, "rhoc": 1.0}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"x": [0.0, np.nan, 1.0]}, r"x\[1\] = nan"),
        ({"y": [0.0, 0.0, np.inf]}, r"y\[2\] = inf"),
        ({"x": [0.0, 1e300, 1.0]}, r"x\[1\]"),
        ({"x": [[0.0, 1.0, 2.0]]}, "shape"),
        ({"x": ["a", "b", "c"]}, "numbers"),
        ({"y": [0.0]}, "y has 1 values, x has 3"),
        ({"z": [0.0]}, "z has 1"),
        ({"weight": [1.0, -2.0, 1.0]}, r"weight\[1\] = -2"),
        ({"weight": [1.0, np.nan, 1.0]}, r"weight\[1\]"),
        ({"weight": [1.0, 3e38, 1.0]}, "sum"),
        ({"weight": [1.0]}, "weight has 1"),
        ({"layer": [0, 1]}, "layer has shape"),
        ({"layer": [0.5, 1.0, 2.0]}, "fractions"),
        ({"event": ["a", "b", "c"]}, "event has dtype"),
        ({"dc": 0.0}, "dc = 0"),
        ({"dc": -1.0}, "dc = -1"),
        ({"dc": np.nan}, "dc = nan"),
        ({"dc": np.inf}, "dc = inf"),
        ({"dc": 1e-60}, "dc = 1e-60"),
        ({"dc": None}, "dc is not given"),
        ({"rhoc": None}, "rhoc is not given"),
        ({"rhoc": [1.0, 2.0]}, "rhoc has 2"),
        ({"rhoc": np.nan}, "rhoc"),
        ({"seed_distance": 0.0}, "seed_distance"),
        ({"outlier_distance": -1.0}, "outlier_distance"),
        ({"rules": "mine"}, "no rules called 'mine'"),
        ({"backend": "gpu"}, "no backend called 'gpu'"),
        ({"threads": 0}, "threads"),
        ({"noise": 1.0}, "noise"),
        ({"period": {"y": -1.0}}, "period"),
        ({"period": {"w": 1.0}}, "period"),
        ({"period": {"z": 1.0}}, "period of z"),
        ({"period": {"x": 1.0}}, "spans 2, more than its period"),
        ({"rules": "cmssw", "noise": [1.0, 2.0]}, "noise"),
        ({"rules": "cmssw", "noise": [1.0, -2.0, 1.0]}, "noise"),
    ],
)
def test_refused(change: dict[str, Any], word: str) -> None:
    with pytest.raises(InputError, match=word):
        cluster(**(GOOD | change))


@pytest.mark.parametrize("backend", [b for b in BACKENDS if b != "cuda"])
def test_no_hits(backend: str) -> None:
    found = cluster([], [], [], [], dc=1.0, rhoc=1.0, backend=backend)
    assert len(found) == found.n_clusters == 0
    assert found.rho.dtype == found.delta.dtype == np.float32
    assert len(cluster([], [], rules="cmssw", backend=backend)) == 0


@pytest.mark.parametrize("backend", ["kdtree", "cpu"])
def test_dc_larger_than_the_detector(backend: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 300))
    found = cluster(x, y, dc=1e6, rhoc=1.0, backend=backend)
    assert (found.rho == 300).all()
    assert found.n_clusters == 1
    assert found.is_seed[299]


def test_all_hits_in_one_place() -> None:
    """n^2 pairs, memory in proportion to n."""
    sizes = []
    for n in (3_000, 12_000):
        space = Workspace()
        found = cluster(np.full(n, 3.25), np.full(n, -1.0), dc=1.0, rhoc=1.0, workspace=space)
        assert (found.rho == n).all()
        assert (found.delta[:-1] == 0).all()
        assert (found.nearest_higher[:-1] == n - 1).all()
        assert (found.cluster_id == 0).all()
        sizes.append(space.n_bytes)
    assert sizes[1] < 4.5 * sizes[0]
    assert sizes[1] < 12_000 * 200
    few = cluster(np.full(2000, 3.25), np.full(2000, -1.0), dc=1.0, rhoc=1.0, backend="kdtree")
    assert (few.rho == 2000).all()


def test_far_outside_and_tiny() -> None:
    x = [0.0, 1e17, -1e17, 1e17]
    found = cluster(x, np.zeros(4), dc=1e-3, rhoc=1.0)
    np.testing.assert_array_equal(found.rho, [1, 2, 1, 2])


def test_labels_of_any_size() -> None:
    layer = np.array([-(2**40), 2**40, 0, 2**40])
    found = cluster(np.zeros(4), np.zeros(4), layer, dc=1.0, rhoc=1.0, event=[5.0, 5.0, 5.0, 5.0])
    np.testing.assert_array_equal(found.rho, [1, 2, 1, 2])
    np.testing.assert_array_equal(found.cluster_id, [0, 2, 1, 2])


def test_numbers_of_any_kind() -> None:
    expected = cluster(**GOOD)
    for dtype in (np.int16, np.uint8, np.float64, np.float16):
        found = cluster(**(GOOD | {"x": np.array(GOOD["x"], dtype), "y": np.array(GOOD["y"], dtype)[::1]}))
        np.testing.assert_array_equal(found.cluster_id, expected.cluster_id)
    strided = np.zeros(6)
    strided[::2] = GOOD["x"]
    np.testing.assert_array_equal(cluster(**(GOOD | {"x": strided[::2]})).cluster_id, expected.cluster_id)


def test_workspace_is_no_result() -> None:
    space = Workspace()
    first = cluster(**GOOD, workspace=space)
    kept = first.rho.copy(), first.cluster_id.copy()
    cluster([5.0, 5.0, 5.0], [0.0, 0.0, 0.0], dc=1.0, rhoc=9.0, workspace=space)
    np.testing.assert_array_equal(first.rho, kept[0])
    np.testing.assert_array_equal(first.cluster_id, kept[1])
