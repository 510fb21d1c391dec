"""Buffers that live between calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Workspace:
    """Scratch memory of `cluster`, grown to the largest call so far and kept.

    Results are never views of it. One workspace serves one call at a time; concurrent callers each take their own.
    """

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, int], NDArray[Any]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._pool_size = 0
        self.device: dict[str, Any] = {}
        """Device arrays of the backend `cuda`."""

    def array(self, name: str, size: int, dtype: Any, part: int = 0) -> NDArray[Any]:
        """Uninitialised array of at least `size`; `part` keeps apart what threads use at the same time."""
        found = self._arrays.get((name, part))
        if found is None or len(found) < size or found.dtype != dtype:
            found = np.empty(size + size // 8, dtype)
            self._arrays[name, part] = found
        return found

    def pool(self, threads: int) -> ThreadPoolExecutor:
        """Worker threads, kept like the memory."""
        if self._pool is None or self._pool_size < threads:
            if self._pool is not None:
                self._pool.shutdown()
            self._pool, self._pool_size = ThreadPoolExecutor(threads), threads
        return self._pool

    @property
    def n_bytes(self) -> int:
        """Host memory held."""
        return sum(a.nbytes for a in self._arrays.values())
