"""What users get wrong: one clear error, or the documented trivial result."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skytrigger.core.errors import InputError
from skytrigger.core.extras import find
from skytrigger.hep.clue import BACKENDS, Workspace, cluster
from skytrigger.hep.clue import cpu as cpu_backend

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
        ({"layer": [1.0, 0.5, 2.0]}, r"layer\[1\] = 0.5"),
        ({"event": ["a", "b", "c"]}, "event is not an array of numbers"),
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
        ({"rules": "cmssw", "noise": [1.0, -2.0, 1.0]}, r"noise\[1\] = -2"),
        ({"rhoc": [1.0, 1.0, np.inf]}, r"rhoc\[2\] = inf"),
        ({"rules": ["paper"]}, "no rules called"),
        ({"period": 6.28}, "period 6.28"),
        ({"period": {"y": "6.28"}}, "period = '6.28'"),
        ({"kernel": "flat:x"}, "kernel 'flat:x'"),
        ({"kernel": 0.5}, "kernel 0.5"),
        ({"dc": "1"}, "dc = '1'"),
        ({"dc": [1.0, 2.0]}, r"dc = \[1.0, 2.0\]"),
        ({"dc": True + 1j}, "dc = "),
        ({"threads": "2"}, "threads = '2'"),
        ({"threads": 1.5}, "threads = 1.5"),
        ({"x": 1.0}, r"x has shape \(\)"),
        ({"x": "0 1 2"}, "x is not an array of numbers"),
        ({"x": [0.0, 1.0, None]}, r"x\[2\] is missing"),
        ({"x": [[0.0], [1.0, 2.0], [3.0]]}, "x is not an array of numbers"),
        ({"x": np.ma.masked_invalid([0.0, np.nan, 1.0])}, r"x\[1\] is missing"),
        ({"layer": np.ma.array([0, 1, 2], mask=[0, 0, 1])}, r"layer\[2\] is missing"),
        ({"weight": [1j, 1.0, 1.0]}, "weight is not an array of numbers"),
        ({"rules": "cmssw", "kappa": "9"}, "kappa = '9'"),
        ({"rules": "cmssw", "ecut": np.nan}, "ecut = nan"),
        ({"rules": "cmssw", "weight": [0.0, 9.0, 9.0], "y": [0.0, 0.0, np.nan]}, r"y\[2\] = nan"),
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
    with pytest.warns(RuntimeWarning, match="float32 numbers lie"):
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


def test_coarse_coordinates_are_said() -> None:
    x = 5e6 + 0.3 * np.arange(20)
    with pytest.warns(
        RuntimeWarning, match="x reaches 5.00001e\\+06, where float32 numbers lie 0.5 apart, and dc is 0.4"
    ):
        cluster(x, np.zeros(20), dc=0.4, rhoc=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cluster(x - 5e6, np.zeros(20), dc=0.4, rhoc=1.0)
        cluster(5e6 + np.arange(20.0), np.zeros(20), dc=0.4, rhoc=1.0)  # exact in float32


def _containers() -> dict[str, Any]:
    """The same numbers in what people hold them in."""
    import pyarrow as pa

    made: dict[str, Any] = {
        "list": list,
        "tuple": tuple,
        "masked": np.ma.array,
        "pyarrow": pa.array,
        "chunked": lambda v: pa.chunked_array([pa.array(v[:2]), pa.array(v[2:])]),
        "dlpack": _OnlyDlpack,
    }
    for module, name in (("pandas", "Series"), ("polars", "Series"), ("awkward", "Array"), ("torch", "tensor")):
        if (found := find(module)) is not None:
            made[module] = getattr(found, name)
    return made


class _OnlyDlpack:
    """An array of some other library."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    def __dlpack__(self, **options: Any) -> Any:
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()


@pytest.mark.parametrize("kind", _containers())
def test_arrays_of_other_libraries(kind: str) -> None:
    make = _containers()[kind]
    x, layer, weight = [0.0, 0.5, 9.0, 0.5], [0, 0, 0, 1], [1.0, 2.0, 3.0, 4.0]
    expected = cluster(x, np.zeros(4), layer, weight, dc=1.0, rhoc=2.0)
    found = cluster(make(x), make([0.0] * 4), make(layer), make(weight), dc=1.0, rhoc=2.0)
    np.testing.assert_array_equal(found.cluster_id, expected.cluster_id)
    np.testing.assert_array_equal(found.rho, expected.rho)


@pytest.mark.parametrize("module", ["pandas", "polars", "awkward", "pyarrow"])
def test_missing_values_of_other_libraries(module: str) -> None:
    library = pytest.importorskip(module)
    make = {"pandas": "Series", "polars": "Series", "awkward": "Array", "pyarrow": "array"}[module]
    with pytest.raises(InputError, match=r"x\[1\]|x is not"):
        cluster(getattr(library, make)([0.0, None, 2.0]), [0.0] * 3, dc=1.0, rhoc=1.0)


def test_a_kernel_may_be_a_text() -> None:
    found = cluster(**GOOD, kernel="flat:0.5")
    np.testing.assert_array_equal(found.rho, [1.5, 2, 1.5])


def test_a_dc_over_everything_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_backend, "LONG_PAIRS", 1e5)
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 500))
    with pytest.warns(RuntimeWarning, match="about .* comparisons"):
        found = cluster(x, y, dc=9.0, rhoc=1.0)
    assert (found.rho == 500).all()


def test_an_interrupt_ends_a_long_call(tmp_path: Path) -> None:
    """Some ten minutes of work, and Ctrl-C after a second of it."""
    program = (
        "import numpy as np, sys\n"
        "from skytrigger.hep.clue import cluster\n"
        "x, y = np.random.default_rng(0).random((2, 1_000_000))\n"
        "cluster(x[:10], y[:10], dc=0.1, rhoc=1.0)\n"
        "print('begin', flush=True)\n"
        "try:\n    cluster(x, y, dc=9.0, rhoc=1.0)\n"
        "except KeyboardInterrupt:\n    print('ended')\n"
    )
    words = [sys.executable, "-W", "ignore", "-c", program]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "begin\n"
            time.sleep(1)
            running.send_signal(signal.SIGINT)
            assert running.communicate(timeout=60)[0] == "ended\n"
        finally:
            running.kill()
