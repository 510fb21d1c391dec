"""Buffers that live between calls."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEPT_BYTES = 256 << 20
"""Most that each thread keeps for its calls without a workspace; some 2.5 million hits take that."""


class Workspace:
    """Scratch memory of `cluster`, grown to the largest call so far and kept.

    Results are never views of it. One workspace serves one call at a time: a second thread waits. It may be handed to
    other processes (by fork or pickled), where it begins anew.
    """

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, int], NDArray[Any]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._pool_size = 0
        self._lock = threading.Lock()
        self._process = os.getpid()
        self.device: dict[str, Any] = {}
        """Device arrays of the backend `cuda`."""

    def __reduce__(self) -> tuple[type[Workspace], tuple[()]]:
        return Workspace, ()

    @contextmanager
    def held(self) -> Iterator[Workspace]:
        """The workspace for one call."""
        if self._process != os.getpid():  # forked: threads did not come along, and the lock may be held by one
            self.__init__()  # type: ignore[misc]
        with self._lock:
            yield self

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


_kept = threading.local()


def kept_workspace() -> Workspace:
    """This thread's workspace for calls that bring none: fresh memory costs a third of a call. Begins anew where the
    last call left more than `KEPT_BYTES`."""
    space: Workspace | None = getattr(_kept, "space", None)
    if space is None or space.n_bytes > KEPT_BYTES:
        space = _kept.space = Workspace()
    return space
