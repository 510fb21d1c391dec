"""The machine's ceilings, measured in the same run as what is set against them (Williams et al. 2009)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from skytrigger.core.errors import SkytriggerError
from skytrigger.core.extras import find
from skytrigger.measure.operations import Work
from skytrigger.measure.records import Record, Samples

MATRIX = 1024
ROUNDS = 10


@dataclass(frozen=True)
class Ceilings:
    """Seconds of a matrix product and of a copy, and how large they were; a ceiling is the best of its samples."""

    samples: dict[str, Samples]
    how: dict[str, Any]

    @property
    def operations_per_s(self) -> float:
        """Of the fastest matrix product (2 n^3 operations)."""
        return float(2 * self.how["matrix"] ** 3 / min(self.samples["product"].values))

    @property
    def bytes_per_s(self) -> float:
        """Of the fastest copy, which reads and writes: twice its size."""
        return float(2 * self.how["copy_bytes"] / min(self.samples["copy"].values))

    @staticmethod
    def of(record: Record) -> Ceilings:
        """From a record of kind ``ceilings``."""
        return Ceilings(record.samples, record.extra)


def _best(call: Callable[[], object], synchronize: Callable[[], object], rounds: int) -> list[float]:
    """Seconds of each of `rounds` calls after a warm one."""
    call()
    synchronize()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        synchronize()
        seconds.append(time.perf_counter() - start)
    return seconds


def measure_ceilings(
    threads: int, device: str = "cpu", matrix: int = MATRIX, copy_bytes: int | None = None, rounds: int = ROUNDS
) -> Ceilings:
    """Matrix product (float32) and copy, with torch where there is one and NumPy otherwise.

    Parameters
    ----------
    threads
        As the measured programs had.
    copy_bytes
        Size of the copied array: four times the last cache unless given.
    """
    from skytrigger.measure.host import host_facts

    size = copy_bytes or 4 * max(host_facts()["cpu"]["cache_bytes"].values(), default=64 << 20)
    torch = find("torch")
    if torch is None:
        rng = np.random.default_rng(0)
        a, b = (rng.standard_normal((matrix, matrix), dtype=np.float32) for _ in "ab")
        out = np.empty_like(a)
        source, target = np.ones(size // 4, np.float32), np.empty(size // 4, np.float32)
        product = _best(lambda: np.matmul(a, b, out=out), lambda: None, rounds)
        copy = _best(lambda: np.copyto(target, source), lambda: None, rounds)
    else:
        product, copy = _with_torch(torch, threads, device, matrix, size, rounds)
    samples = {"product": Samples("s", tuple(product)), "copy": Samples("s", tuple(copy))}
    how = {"matrix": matrix, "copy_bytes": size, "threads": threads, "device": device,
           "library": f"torch {torch.__version__}" if torch else f"numpy {np.__version__}"}  # fmt: skip
    return Ceilings(samples, how)


def _with_torch(
    torch: Any, threads: int, device: str, matrix: int, size: int, rounds: int
) -> tuple[list[float], list[float]]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    synchronize = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    try:
        a, b = (torch.randn(matrix, matrix, device=device) for _ in "ab")
        out = torch.empty_like(a)
        source = torch.ones(size // 4, device=device)
        target = torch.empty_like(source)
        product = _best(lambda: torch.mm(a, b, out=out), synchronize, rounds)
        copy = _best(lambda: target.copy_(source), synchronize, rounds)
    finally:
        torch.set_num_threads(before)
    return product, copy


@dataclass(frozen=True)
class RooflinePoint:
    """A measured time against the ceilings. `fraction` is of the nearer one, named by `bound`."""

    operations_per_s: float
    bytes_per_s: float
    intensity: float
    bound: str
    fraction: float
    least_s: float


def roofline_point(work: Work, seconds: float, ceilings: Ceilings) -> RooflinePoint:
    """Place a batch that took `seconds`; the shortest possible time is what the tighter ceiling allows.

    Over 1 means that the operations counted were not all done (e.g. Winograd convolutions) or that weights stayed in a
    cache between calls.
    """
    compute_s, memory_s = work.operations / ceilings.operations_per_s, work.least_bytes / ceilings.bytes_per_s
    least = max(compute_s, memory_s)
    bound = "compute" if compute_s >= memory_s else "memory"
    return RooflinePoint(
        work.operations / seconds, work.least_bytes / seconds, work.intensity, bound, least / seconds, least
    )


def in_own_process(threads: int, device: str = "cpu") -> Ceilings:
    """`measure_ceilings` in a child, so that its libraries and threads do not stay in the caller."""
    child = subprocess.run(
        [sys.executable, "-m", "skytrigger.measure.roofline", str(threads), device],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if child.returncode:
        raise SkytriggerError(f"the machine's ceilings could not be measured: {child.stderr.strip()[-300:]}")
    found = json.loads(child.stdout.splitlines()[-1])
    return Ceilings({k: Samples(**s) for k, s in found["samples"].items()}, found["how"])


if __name__ == "__main__":
    print(json.dumps(asdict(measure_ceilings(int(sys.argv[1]), sys.argv[2]))))
