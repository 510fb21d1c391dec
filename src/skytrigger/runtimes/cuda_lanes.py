"""Sessions of PyTorch code on a CUDA GPU: a stream each lane, buffers at fixed addresses, CUDA graphs.

Pageable tiles are copied as they are (the driver stages them); tiles in page-locked memory (`page_locked`) are read by
the GPU itself while other lanes compute.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from skytrigger.core.errors import UnavailableError
from skytrigger.core.extras import require
from skytrigger.model.file import ModelFile
from skytrigger.runtimes.input_type import as_tensor
from skytrigger.runtimes.session import Answers, Session
from skytrigger.runtimes.spec import EngineSpec

Forward = Callable[[Any], tuple[Any, ...]]  # device tiles in the session's input type -> device answers float32
MAX_GRAPHS = 16
WARM_CALLS = 3
# capture forbids others to synchronise the device, and cuDNN's settings are the whole process's: never two at a time
capture_lock = threading.RLock()


def page_locked(tiles: NDArray[Any]) -> NDArray[Any]:
    """A copy in page-locked memory, from which a GPU copies at the full speed of its link and without the CPU.

    Raises
    ------
    UnavailableError
        No CUDA GPU.
    """
    torch = require("torch", why="page-locked memory")
    if not torch.cuda.is_available():
        raise UnavailableError("page-locked memory needs a CUDA GPU, and torch sees none here")
    raw = torch.empty(tiles.nbytes, dtype=torch.uint8, pin_memory=True).numpy()
    locked: NDArray[Any] = raw.view(tiles.dtype).reshape(tiles.shape)
    locked[...] = tiles
    return locked


def gpu_of(name: str) -> Any:
    """The torch device called `name`.

    Raises
    ------
    UnavailableError
        No such GPU.
    """
    torch = require("torch", why="CUDA")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UnavailableError(f"no device called {name!r}", expected="cuda or cuda:N") from error
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise UnavailableError(f"device {name!r}: this machine has {torch.cuda.device_count()} GPU(s)")
    return device


class LaneSession(Session):
    """A session of lanes, each with ``stream``, ``upload(tiles)``, ``enqueue(count)`` and ``download(count)``."""

    _torch: Any
    _lanes: list[Any]

    @property
    def stream(self) -> Any:
        """The first lane's stream, for a device clock."""
        return self._lanes[0].stream

    def _infer(self, tiles: NDArray[Any], stream: int) -> Answers:
        lane = self._lanes[stream]
        with self._torch.cuda.stream(lane.stream):  # also makes its device this thread's
            lane.upload(tiles)
            lane.enqueue(len(tiles))
            downloaded: Answers = lane.download(len(tiles))
        return downloaded

    def enqueue(self, count: int, stream: int = 0) -> None:
        """Start the work on the `count` tiles that the last `run` left on the device: no transfers, no waiting.

        What a device-resident figure measures; follow it by `synchronize`.
        """
        lane = self._lanes[stream]
        with self._torch.cuda.stream(lane.stream):
            lane.enqueue(count)

    def synchronize(self) -> None:
        """Wait for all lanes."""
        for lane in self._lanes:
            lane.stream.synchronize()

    def close(self) -> None:
        """Free graphs and buffers, and what they hold."""
        super().close()
        self.synchronize()
        self._lanes = []


class CudaSession(LaneSession):
    """A session whose work is torch's to queue; subclasses say how a batch on the device becomes answers."""

    graphs = False

    def __init__(self, model: ModelFile, spec: EngineSpec) -> None:
        torch = require("torch", why=f"runtime {spec.runtime}")
        if not torch.cuda.is_available():
            raise UnavailableError(f"device {spec.device!r}: torch sees no CUDA GPU here")
        super().__init__(model, spec)
        self._torch, self._device = torch, gpu_of(spec.device)
        self._lanes = []

    def _open_lanes(self, forward_of: Callable[[int], Forward]) -> None:
        """One lane a stream, each warmed (and captured) for the batch size asked for."""
        for number in range(self.spec.streams):
            lane = Lane(self, forward_of(number))
            self._lanes.append(lane)
            with self._torch.cuda.stream(lane.stream):
                lane.prepare(self.spec.batch_size)

    def resident(self, tiles: Any) -> tuple[Any, ...]:
        """See `Session`; the work is queued on the first lane's stream, which must be the current one."""
        answers: tuple[Any, ...] = self._lanes[0].answer(tiles)
        return answers

    @property
    def facts(self) -> dict[str, Any]:
        """Those of every session, and whether batches are replayed graphs."""
        return {**super().facts, "cuda_graphs": self.graphs}


class Lane:
    """One stream. Methods are called with it current; answers of a call are overwritten by the next."""

    def __init__(self, session: CudaSession, forward: Forward) -> None:
        torch, spec = session._torch, session.spec
        self._torch, self._forward, self._graphs = torch, forward, session.graphs
        self.stream = torch.cuda.Stream(session._device)
        kind = getattr(torch, {"uint16": "int16"}.get(spec.input_type, spec.input_type))
        shape = (spec.batch_size, *session._shape)
        self._tiles = torch.empty(shape, dtype=kind, device=session._device).zero_()
        # page-locked: the copy runs on the stream, without a bounce through the driver's own buffer
        self._host = [
            torch.empty((spec.batch_size, head.outputs), dtype=torch.float32, pin_memory=True) for head in session.heads
        ]
        with capture_lock:
            torch.cuda.synchronize(session._device)  # the buffers were made on another stream
        self.replays: dict[int, tuple[Any, Any]] = {}
        self._answers: tuple[Any, ...] = ()

    def upload(self, tiles: NDArray[Any]) -> None:
        """Tiles into the fixed device buffer, which graphs read."""
        self._tiles[: len(tiles)].copy_(as_tensor(self._torch, tiles), non_blocking=True)

    def answer(self, tiles: Any) -> tuple[Any, ...]:
        """Start the work on tiles that lie on the device; graphs read the fixed buffer, all else reads them there."""
        if not self._graphs:
            return self._forward(tiles)
        self._tiles[: len(tiles)].copy_(tiles, non_blocking=True)
        self.enqueue(len(tiles))
        return self._answers

    def download(self, count: int) -> Answers:
        """Wait for the stream and copy the answers of the last `enqueue` out."""
        for host, values in zip(self._host, self._answers, strict=True):
            host[:count].copy_(values, non_blocking=True)
        self.stream.synchronize()
        return tuple(host[:count].numpy().copy() for host in self._host)

    def enqueue(self, count: int) -> None:
        """Start the work on the first `count` tiles."""
        if self._graphs and count not in self.replays and len(self.replays) < MAX_GRAPHS:
            self.prepare(count)
        if count not in self.replays:
            self._answers = self._forward(self._tiles[:count])
            return
        graph, self._answers = self.replays[count]
        graph.replay()

    def prepare(self, count: int) -> None:
        """Run a few times, so that all is allocated and compiled, then capture where graphs are wanted."""
        tiles = self._tiles[:count]
        # a graph keeps the algorithms that cuDNN finds fastest now; eager calls keep to its heuristics: it would search
        # again in every thread
        cudnn = self._torch.backends.cudnn
        with capture_lock:
            before, cudnn.benchmark = cudnn.benchmark, self._graphs
            try:
                for _ in range(WARM_CALLS):
                    self._forward(tiles)
                self.stream.synchronize()
                if self._graphs:
                    self._capture(tiles)
            finally:
                cudnn.benchmark = before

    def _capture(self, tiles: Any) -> None:
        graph = self._torch.cuda.CUDAGraph()
        with self._torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            answers = self._forward(tiles)
        self.replays[len(tiles)] = (graph, answers)
