"""Run by `test_cuda.py` in a process of its own: the CUDA kernels in Numba's simulator, or on a GPU."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from pathlib import Path

import numpy as np

from skytrigger.hep.clue import Kernel, Workspace, cluster
from skytrigger.hep.clue import cuda as backend

spec = importlib.util.spec_from_file_location("cases", Path(__file__).with_name("cases.py"))
assert spec
assert spec.loader
cases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cases)


def main(first: int, last: int, largest: int, every: int) -> None:
    """Random cases first..last with up to `largest` hits; all strategies on the first two or on `every` one."""
    warnings.simplefilter("ignore", RuntimeWarning)  # int64 overflow in a sum that is then done over in limbs
    backend.PACK_HITS = (1, max(1, largest // 3))
    space, repeats = Workspace(), 2 if os.environ.get("NUMBA_ENABLE_CUDASIM") else 3
    sizes = tuple(n for n in (1, 2, 3, 5, 8, 60, 700) if n <= largest)
    checked = 0
    for seed in range(first, last):
        case = cases.random_case(seed, sizes)
        rng = np.random.default_rng(seed)
        if seed % 5 == 1:
            case["z"] = rng.integers(0, 4, len(case["x"])) * case["dc"] / 2
        if seed % 5 == 2:
            case["period"] = {"y": float(np.ptp(case["y"]) * 1.05 + 1e-3)}
        if seed % 5 == 3:
            text = ("exponential:2:0.7", "gaussian:0.1:0.5:1.2", "flat:0.3")[seed % 3]
            case["kernel"] = Kernel.parse(text)
        if seed % 2 and "layer" in case:  # in the order of layers: batches end between them
            case["layer"] = np.sort(case["layer"])
        expected = cluster(**case, backend="reference")
        for strategy in (1, 2, 3, 4) if every or seed < first + 2 else (2 + 2 * (seed % 2),):
            # memory of the host and captured launches are used again from the second and third call on
            found = [cluster(**case, backend="cuda", strategy=strategy, workspace=space) for _ in range(repeats)]
            for one in found:
                different = cases.same(expected, one)
                assert not different, (seed, strategy, different)
            checked += 1
    print(f"{checked} agree")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]))
