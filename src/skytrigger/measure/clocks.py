"""A device's own clock. On the CPU `time.perf_counter_ns` is all there is to use."""

from __future__ import annotations

from typing import Any, Protocol

from skytrigger.core.extras import require


class DeviceClock(Protocol):
    """Time between two marks set on the device's stream."""

    def start(self) -> None:
        """Mark the beginning on the stream."""

    def stop(self) -> None:
        """Mark the end on the stream."""

    def seconds(self) -> float:
        """Seconds between the marks; valid once the stream has passed the second."""


class CudaClock:
    """CUDA events on one stream (0.5 us resolution), through torch.

    Parameters
    ----------
    stream
        The stream the work is issued to; default: torch's current one. Events on another stream measure nothing.
    """

    def __init__(self, stream: Any = None) -> None:
        cuda = require("torch", why="CUDA events").cuda
        self._stream = stream if stream is not None else cuda.current_stream()
        self._begin = cuda.Event(enable_timing=True)
        self._end = cuda.Event(enable_timing=True)

    def start(self) -> None:
        self._begin.record(self._stream)

    def stop(self) -> None:
        self._end.record(self._stream)

    def seconds(self) -> float:
        self._end.synchronize()
        return float(self._begin.elapsed_time(self._end)) * 1e-3
