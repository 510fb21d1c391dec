"""Replay a captured CUDA graph: the device's work without the launches, on fresh inputs each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skytrigger.core.extras import require

WARM_CALLS = 3


class GraphReplay:
    """Capture ``forward(static_input)`` once; each call copies a fresh input in, replays, and gives the static output.

    Parameters
    ----------
    forward
        Works on device tensors only, with fixed shapes and no synchronisation inside.
    example
        A device tensor with the shape and dtype of every input.
    cuda
        ``torch.cuda`` unless given.
    """

    def __init__(self, forward: Callable[[Any], Any], example: Any, cuda: Any = None) -> None:
        self._cuda = cuda or require("torch", why="CUDA graphs").cuda
        self._input = example.clone()
        side = self._cuda.Stream()
        side.wait_stream(self._cuda.current_stream())
        with self._cuda.stream(side):  # lazy initialisation must not be captured
            for _ in range(WARM_CALLS):
                forward(self._input)
        self._cuda.current_stream().wait_stream(side)
        self._graph = self._cuda.CUDAGraph()
        with self._cuda.graph(self._graph):
            self.output = forward(self._input)

    def __call__(self, tiles: Any) -> Any:
        """Refresh the input (asynchronous from pinned memory) and replay; `output` is overwritten by the next call."""
        self._input.copy_(tiles, non_blocking=True)
        self._graph.replay()
        return self.output

    def synchronize(self) -> None:
        """Wait for the device."""
        self._cuda.synchronize()
