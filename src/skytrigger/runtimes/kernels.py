"""Which kernels a model file really runs, told by the engine while it runs: the proof of an INT8 claim."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import UnavailableError
from skytrigger.model.file import ModelFile
from skytrigger.runtimes.registry import RUNTIMES, runtime_of


def executed_kernels(model: ModelFile, runtime: str, tiles: NDArray[np.float32]) -> dict[str, int]:
    """Kernel -> times it ran for one batch of `tiles`, in the engine's own words.

    Raises
    ------
    UnavailableError
        A runtime that does not tell.
    """
    ask = getattr(runtime_of(runtime).load(), "executed_kernels", None)
    if ask is None:
        telling = [name for name, row in RUNTIMES.items() if row.on_cpu and hasattr(row.load(), "executed_kernels")]
        raise UnavailableError(f"runtime {runtime} does not tell its kernels", expected=" or ".join(telling))
    kernels: dict[str, int] = ask(model, tiles)
    return kernels
