"""How work reaches the GPU: by Numba's own launches and copies, or captured once and replayed as a CUDA graph.

A Numba launch of twenty arguments takes the CPU longer than most of these kernels run; a replay is one short call for
all of them. Copies of a `GraphQueue` go between page-locked memory and the device, on its own stream.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import SkytriggerError
from skytrigger.core.extras import require
from skytrigger.hep.clue.workspace import Workspace

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for the default stream
Trace = Callable[[str, Any], None]


class PlainQueue:
    """Launches and copies as Numba does them, one after the other."""

    stream: Any = 0

    def enter(self) -> None:
        """Make this thread one that works with the GPU."""

    def forget(self) -> None:
        """Arrays are replaced."""

    def to_device(self, target: Any, values: NDArray[Any], first: int = 0) -> None:
        """Copy `values` to a device array, from its place `first` on."""
        target[first : first + len(values)].copy_to_device(values, stream=self.stream)

    def to_host(self, source: Any, target: NDArray[Any]) -> None:
        """Copy the beginning of a device array to `target`."""
        source[: len(target)].copy_to_host(target, stream=self.stream)

    def launch(self, key: Hashable, launches: Callable[[], None]) -> None:
        """Queue kernels; `key` names all that they depend on, beside what they read from memory."""
        launches()

    def wait(self) -> None:
        """Until all is done."""
        from numba import cuda

        (self.stream or cuda).synchronize()


class GraphQueue(PlainQueue):
    """A stream of its own; what is launched with one key for the second time is captured, and replayed from then on.

    Arrays are page-locked on the host's side.
    """

    def __init__(self) -> None:
        from numba import cuda

        self._driver = require("cuda.bindings.driver", why="the cuda backend of CLUE")
        cuda.current_context()
        self.handle = self.check(self._driver.cuStreamCreate(NON_BLOCKING))
        self.stream = cuda.external_stream(int(self.handle))
        self._last: Hashable = None
        self._graph: Any = None
        self._pointers: dict[int, tuple[Any, int]] = {}

    def check(self, answer: tuple[Any, ...]) -> Any:
        """The value of a driver call, or its error."""
        if int(answer[0]) != 0:
            _, name = self._driver.cuGetErrorName(answer[0])
            raise SkytriggerError(f"the CUDA driver says {name.decode() if name else answer[0]}")
        return answer[1] if len(answer) > 1 else None

    def _pointer(self, array: Any) -> int:
        """Device address; the array is kept with it, so that its id stays its own."""
        found = self._pointers.get(id(array))
        if found is None or found[0] is not array:
            found = self._pointers[id(array)] = (array, int(array.__cuda_array_interface__["data"][0]))
        return found[1]

    def enter(self) -> None:
        """See `PlainQueue`."""
        from numba import cuda

        cuda.current_context()

    def forget(self) -> None:
        """Arrays are replaced: pointers and captured launches hold no longer."""
        self._pointers.clear()
        self._last = None

    def to_device(self, target: Any, values: NDArray[Any], first: int = 0) -> None:
        """See `PlainQueue`; `values` are page-locked."""
        place = self._pointer(target) + first * values.itemsize
        self.check(self._driver.cuMemcpyHtoDAsync(place, values.ctypes.data, values.nbytes, self.handle))

    def to_host(self, source: Any, target: NDArray[Any]) -> None:
        """See `PlainQueue`; `target` is page-locked."""
        self.check(
            self._driver.cuMemcpyDtoHAsync(target.ctypes.data, self._pointer(source), target.nbytes, self.handle)
        )

    def launch(self, key: Hashable, launches: Callable[[], None]) -> None:
        """The first call compiles what is not compiled yet; the second is captured."""
        if key != self._last:
            self._free()
            launches()
            self._last = key
            return
        if self._graph is None:
            mode = self._driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
            self.check(self._driver.cuStreamBeginCapture(self.handle, mode))
            try:
                launches()
            finally:
                graph = self.check(self._driver.cuStreamEndCapture(self.handle))
            self._graph = self.check(self._driver.cuGraphInstantiate(graph, 0))
            self.check(self._driver.cuGraphDestroy(graph))
        self.check(self._driver.cuGraphLaunch(self._graph, self.handle))

    def _free(self) -> None:
        if self._graph is not None:
            self.check(self._driver.cuStreamSynchronize(self.handle))
            self.check(self._driver.cuGraphExecDestroy(self._graph))
            self._graph = None

    def wait(self) -> None:
        """Until all is done."""
        self.check(self._driver.cuStreamSynchronize(self.handle))


def open_queue() -> PlainQueue:
    """Graphs where there is a GPU; the simulator has none."""
    from skytrigger.hep.clue.cuda_device import SIMULATED

    return PlainQueue() if SIMULATED else GraphQueue()


class Leases:
    """Page-locked memory that is handed out as arrays and taken again when nothing refers to them any more.

    The GPU writes results straight into it: no copy from a buffer of ours into fresh memory, which takes longer than
    the transfer itself. Locking pages takes a millisecond, so it is not done for each call.
    """

    def __init__(self) -> None:
        self.free: list[NDArray[np.uint8]] = []

    def take(self, size: int) -> NDArray[np.uint8]:
        """`size` bytes that are nobody else's."""
        from numba import cuda

        for place, buffer in enumerate(self.free):
            if len(buffer) >= size:
                return np.asarray(_Lease(self.free.pop(place), self.free))[:size]
        self.free.clear()  # all too small
        buffer = np.asarray(cuda.pinned_array(size + size // 8 + 64, np.uint8))
        return np.asarray(_Lease(buffer, self.free))[:size]


class _Lease:
    """What the arrays of one hand-out hold on to."""

    def __init__(self, buffer: NDArray[np.uint8], free: list[NDArray[np.uint8]]) -> None:
        self._buffer, self._free = buffer, free
        self.__array_interface__ = buffer.__array_interface__

    def __del__(self) -> None:
        self._free.append(self._buffer)


def leases_of(workspace: Workspace) -> Leases:
    """Those of a workspace."""
    found: Leases = workspace.device.setdefault("leases", Leases())
    return found
