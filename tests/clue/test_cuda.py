"""The CUDA backend without a GPU: its kernels in Numba's simulator, and compiled as far as PTX."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.hep.clue import cluster

SCRIPT = Path(__file__).with_name("simulated_cuda.py")


def _run(first: int, last: int, largest: int, every: int, simulated: bool) -> str:
    environment = os.environ | ({"NUMBA_ENABLE_CUDASIM": "1"} if simulated else {})
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, (first, last, largest, every))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_simulated() -> None:
    assert "11 agree" in _run(0, 5, 5, 0, simulated=True)


@pytest.mark.slow
def test_simulated_thousand() -> None:
    if not os.environ.get("SKYTRIGGER_SLOW"):
        pytest.skip("some ten minutes: set SKYTRIGGER_SLOW=1")
    assert "1000 agree" in _run(1000, 1250, 5, 1, simulated=True)


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    from numba import cuda

    if not cuda.is_available():
        pytest.skip("no CUDA device")
    assert "4000 agree" in _run(0, 1000, 700, 1, simulated=False)


def test_without_a_gpu() -> None:
    from numba import cuda

    if cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UnavailableError, match="no CUDA device"):
        cluster([0.0], [0.0], dc=1.0, rhoc=1.0, backend="cuda")
    with pytest.raises(InputError, match="no CUDA strategy 5"):
        cluster([0.0], [0.0], dc=1.0, rhoc=1.0, backend="cuda", strategy=5)


def test_kernels_compile_without_fused_multiply_add(monkeypatch: pytest.MonkeyPatch) -> None:
    """PTX for sm_90, where numba-cuda and its compiler are installed; no GPU is needed."""
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("numba-cuda is not installed")
    from types import SimpleNamespace

    from numba import cuda, types

    dispatcher: Any = importlib.import_module("numba.cuda.dispatcher")
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=(9, 0)))
    from skytrigger.hep.clue import cuda_kernels, cuda_scan

    f, i, q, u, plan = (t[::1] for t in (types.float32, types.int32, types.int64, types.uint8, types.float64))
    real, whole, flag, three = types.float32, types.int64, types.boolean, types.UniTuple(types.float32, 3)
    weighting = types.Tuple((whole, real, real, real))
    signatures = {
        "count_tiles": (f, f, f, f, i, plan, q, i, i, i),
        "fill_tiles": (f, f, f, f, q, i, i, plan, i, f, f, f, f, q, i),
        "densities": (f, f, f, q, i, i, i, plan, real, real, weighting, whole, whole, whole, i, whole, q, f),
        "nearest_higher": (f, f, f, f, i, i, i, plan, three, real, flag, f, i, f, f, i, u, i),
        "clear": (i, plan, i),
        "scan_blocks": (i, plan, whole, i),
        "scan_totals": (i, whole),
        "add_totals": (i, plan, whole, i),
        "take_limb": (f, plan, i, whole, whole, whole, q),
        "assign": (i, u, i, i, plan, i, i),
    }
    for name, signature in signatures.items():
        kernel = getattr(cuda_kernels, name, None) or getattr(cuda_scan, name)
        try:
            ptx, _ = cuda.compile_ptx(kernel.py_func, types.void(*signature), cc=(9, 0))
        except (OSError, RuntimeError, ImportError) as error:
            pytest.skip(f"the compiler does not load: {error}")
        assert ("sqrt.rn.f32" in ptx) == (name in ("densities", "nearest_higher"))
        assert not re.search(r"fma\.rn\.f32", ptx)
        assert ".local" not in ptx  # no array of a thread in memory
