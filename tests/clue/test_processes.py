"""Threads, processes, batch systems: the same result, no hang, no crash."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from skytrigger.hep.clue import Workspace, cluster
from skytrigger.hep.clue import cpu as cpu_backend
from skytrigger.hep.clue.workspace import kept_workspace

SPACE = Workspace()


def _points(seed: int, n: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.random.default_rng(seed).random((2, n)) * 20
    return x, y


def labels(seed: int, space: Workspace | None = None, threads: int = 1) -> list[int]:
    """Of one input; at module level, so that other processes find it."""
    return cluster(*_points(seed), dc=1.0, rhoc=5.0, workspace=space, threads=threads).cluster_id.tolist()


def shared(seed: int) -> list[int]:
    """With this module's workspace, as a forked process inherits it."""
    return labels(seed, SPACE, threads=2)


def test_one_workspace_for_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_backend, "HITS_PER_THREAD", 1)
    expected = [labels(seed) for seed in range(6)]
    space = Workspace()
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda k: labels(k % 6, space, threads=1 + k % 2), range(60)))
    assert found == [expected[k % 6] for k in range(60)]


def test_calls_without_a_workspace_in_many_threads() -> None:
    expected = [labels(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda k: labels(k % 4), range(40))) == expected * 10


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After threads of the workspace have been at work, and while its lock is held."""
    monkeypatch.setattr(cpu_backend, "HITS_PER_THREAD", 1)
    expected = [shared(seed) for seed in range(4)]
    context = multiprocessing.get_context(method)
    with SPACE.held(), context.Pool(2) as pool:
        assert pool.map_async(shared, range(4)).get(timeout=120) == expected


def test_joblib() -> None:
    joblib = pytest.importorskip("joblib")
    expected = [labels(seed) for seed in range(4)]
    assert joblib.Parallel(n_jobs=2, timeout=120)(joblib.delayed(labels)(seed) for seed in range(4)) == expected
    found = joblib.Parallel(n_jobs=2, timeout=120)(joblib.delayed(labels)(seed, SPACE) for seed in range(4))
    assert found == expected


def test_dask_in_processes() -> None:
    distributed = pytest.importorskip("distributed")
    expected = [labels(seed) for seed in range(4)]
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None) as local,
        distributed.Client(local) as client,
    ):
        assert client.gather(client.map(labels, range(4), space=Workspace())) == expected


def test_a_workspace_travels_empty() -> None:
    space = Workspace()
    labels(0, space)
    assert space.n_bytes > 0
    assert pickle.loads(pickle.dumps(space)).n_bytes == 0


def test_each_thread_keeps_its_own() -> None:
    labels(0)
    mine = kept_workspace()
    assert mine.n_bytes > 0
    assert kept_workspace() is mine
    others = []
    thread = threading.Thread(target=lambda: others.append(kept_workspace()))
    thread.start()
    thread.join()
    assert others[0] is not mine


PROGRAM = (
    "import numpy as np\n"
    "from skytrigger.hep.clue import cluster\n"
    "print(cluster([0.0, 0.5, 9.0], [0.0] * 3, dc=1.0, rhoc=2.0).cluster_id.tolist())\n"
)


def _run(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | environment, capture_output=True, text=True, timeout=120
    )


def test_compilation_is_announced_once(tmp_path: Path) -> None:
    first = _run(NUMBA_CACHE_DIR=str(tmp_path))
    assert first.stdout == "[0, 0, -1]\n"
    assert "compiling CLUE's loops" in first.stderr
    again = _run(NUMBA_CACHE_DIR=str(tmp_path))
    assert again.stdout == first.stdout
    assert again.stderr == ""


def test_no_folder_for_compiled_code(tmp_path: Path) -> None:
    """A home that cannot be written: Numba finds no place, one line says so, and the call works."""
    program = (
        "from numba.core import caching\n"
        "caching.CacheImpl._locator_classes = []\n" + PROGRAM  # what Numba sees where nothing is writable, also as root
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.stdout == "[0, 0, -1]\n", done.stderr
    assert done.stderr.count("cannot be kept") == 1
    assert "Traceback" not in done.stderr
