"""The machine's ceilings, measured in the same run as what is set against them (Williams et al. 2009)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from skytrigger.core.errors import SkytriggerError
from skytrigger.core.extras import find
from skytrigger.core.work import Work
from skytrigger.measure.records import Record, Samples

MATRIX = 1024
CUDA_MATRIX, CUDA_COPY_BYTES = 8192, 1 << 30  # a GPU is done with 1024 before the launch is
ROUNDS = 10


@dataclass(frozen=True)
class Ceilings:
    """Seconds of a matrix product and of a copy, and how large they were; a ceiling is the best of its samples."""

    samples: dict[str, Samples]
    how: dict[str, Any]

    @property
    def operations_per_s(self) -> float:
        """Of the fastest matrix product (2 n^3 operations) in float32."""
        return self.product("fp32")[0]

    def product(self, precision: str) -> tuple[float, str]:
        """Operations per second of the matrix product in `precision`, or in float32 where that was not measured."""
        found = precision if f"product_{precision}" in self.samples else "fp32"
        name = "product" if found == "fp32" else f"product_{found}"
        return float(2 * self.how["matrix"] ** 3 / min(self.samples[name].values)), found

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
    threads: int,
    device: str = "cpu",
    matrix: int | None = None,
    copy_bytes: int | None = None,
    rounds: int = ROUNDS,
) -> Ceilings:
    """Matrix product (float32; on a GPU TF32, FP16 and BF16, too) and copy, with torch, or NumPy where it is missing.

    Parameters
    ----------
    threads
        As the measured programs had.
    copy_bytes
        Size of the copied array: four times the last cache unless given; on a GPU 1 GiB.
    """
    from skytrigger.core.host import host_facts

    cuda = device.startswith("cuda")
    cached = 4 * max(host_facts()["cpu"]["cache_bytes"].values(), default=64 << 20)
    size = copy_bytes or (CUDA_COPY_BYTES if cuda else cached)
    matrix = matrix or (CUDA_MATRIX if cuda else MATRIX)
    torch = find("torch")
    if torch is None:
        rng = np.random.default_rng(0)
        a, b = (rng.standard_normal((matrix, matrix), dtype=np.float32) for _ in "ab")
        out = np.empty_like(a)
        source, target = np.ones(size // 4, np.float32), np.empty(size // 4, np.float32)
        taken = {
            "product": _best(lambda: np.matmul(a, b, out=out), lambda: None, rounds),
            "copy": _best(lambda: np.copyto(target, source), lambda: None, rounds),
        }
    else:
        taken = _with_torch(torch, threads, device, matrix, size, rounds)
    samples = {name: Samples("s", tuple(seconds)) for name, seconds in taken.items()}
    how = {"matrix": matrix, "copy_bytes": size, "threads": threads, "device": device,
           "library": f"torch {torch.__version__}" if torch else f"numpy {np.__version__}"}  # fmt: skip
    return Ceilings(samples, how)


def _with_torch(torch: Any, threads: int, device: str, matrix: int, size: int, rounds: int) -> dict[str, list[float]]:
    before, tf32 = torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32
    torch.set_num_threads(threads)
    cuda = device.startswith("cuda")
    synchronize = torch.cuda.synchronize if cuda else lambda: None
    kinds = {"product": (torch.float32, False)}
    if cuda:
        kinds |= {"product_tf32": (torch.float32, True), "product_fp16": (torch.float16, False),
                  "product_bf16": (torch.bfloat16, False)}  # fmt: skip
    taken = {}
    try:
        for name, (dtype, tensor_cores) in kinds.items():
            torch.backends.cuda.matmul.allow_tf32 = tensor_cores
            a, b = (torch.randn(matrix, matrix, device=device, dtype=dtype) for _ in "ab")
            out = torch.empty_like(a)
            taken[name] = _best(partial(torch.mm, a, b, out=out), synchronize, rounds)
        source = torch.ones(size // 4, device=device)
        target = torch.empty_like(source)
        taken["copy"] = _best(lambda: target.copy_(source), synchronize, rounds)
    finally:
        torch.set_num_threads(before)
        torch.backends.cuda.matmul.allow_tf32 = tf32
    return taken


@dataclass(frozen=True)
class RooflinePoint:
    """A measured time against the ceilings. `fraction` is of the nearer one, named by `bound`.

    `product` is the precision of the matrix product that was the compute ceiling.
    """

    operations_per_s: float
    bytes_per_s: float
    intensity: float
    bound: str
    fraction: float
    least_s: float
    product: str = "fp32"


def roofline_point(work: Work, seconds: float, ceilings: Ceilings, precision: str = "fp32") -> RooflinePoint:
    """Place a batch that took `seconds`; the shortest possible time is what the tighter ceiling allows.

    Over 1 means that the operations counted were not all done (e.g. Winograd convolutions) or that weights stayed in a
    cache between calls.
    """
    operations_per_s, product = ceilings.product(precision)
    compute_s, memory_s = work.operations / operations_per_s, work.least_bytes / ceilings.bytes_per_s
    least = max(compute_s, memory_s)
    bound = "compute" if compute_s >= memory_s else "memory"
    return RooflinePoint(
        work.operations / seconds, work.least_bytes / seconds, work.intensity, bound, least / seconds, least, product
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
