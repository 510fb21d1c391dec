"""What a measured call is fed with: rotating inputs, and caches emptied in between."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from skytrigger.core.host import host_facts


def rotating(run: Callable[[Any], object], inputs: Sequence[Any]) -> Callable[[], object]:
    """A call without arguments that runs the next of `inputs` each time, so that no input stays hot by itself."""
    turn = itertools.cycle(inputs)
    return lambda: run(next(turn))


class CacheFlush:
    """Write over a buffer twice the largest cache, so that the next call finds weights and input in memory only."""

    def __init__(self, cache_bytes: int | None = None) -> None:
        size = cache_bytes or max(host_facts()["cpu"]["cache_bytes"].values(), default=32 << 20)
        self._buffer = np.zeros(2 * size // 8, dtype=np.int64)

    def __call__(self) -> None:
        self._buffer += 1
