"""TensorRT and TensorRT-RTX on a CUDA GPU: contexts on several streams, pinned buffers, CUDA graphs.

Memory, streams and graphs are `torch.cuda`'s: the project depends on torch already, it speaks the same CUDA
runtime as both libraries, and its pointers and stream handles go straight into `execute_async_v3`. cuda-python
would be one more dependency for the same calls; ctypes would restate their error handling.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import SkytriggerError, UnavailableError
from skytrigger.core.extras import find, require
from skytrigger.core.files import write_bytes
from skytrigger.core.progress import say
from skytrigger.model.file import INPUT, ModelFile
from skytrigger.runtimes.cuda_lanes import LaneSession, capture_lock
from skytrigger.runtimes.offers import Offer, on_cuda
from skytrigger.runtimes.registry import runtime_of
from skytrigger.runtimes.session import Answers, EngineFacts
from skytrigger.runtimes.spec import EngineSpec
from skytrigger.runtimes.tensorrt import cache
from skytrigger.runtimes.tensorrt.build import Target, check_capabilities, library, logger
from skytrigger.runtimes.tensorrt.layers import layers_of, precision_of_layers, summary

MAX_GRAPHS = 16  # shapes captured per stream; a graph holds launch parameters only, but each capture takes time


class TensorRtSession(LaneSession):
    """An engine with one lane (context, stream, buffers, graphs) per stream; any batch up to `batch_size`."""

    def __init__(self, model: ModelFile, spec: EngineSpec) -> None:
        if spec.input_type != "float32":
            raise UnavailableError(f"runtime {spec.runtime} takes no {spec.input_type} tiles", expected="float32")
        torch, device, gpu, capability = find_gpu(spec)
        super().__init__(model, spec)
        self._torch, self._device = torch, device
        self._trt = library(spec.runtime)
        self._log = logger(self._trt)
        timed = gpu if spec.runtime == "tensorrt" else None
        target = Target(spec.runtime, spec.precision, (capability,), spec.batch_size, timed, spec.threads)
        start = time.perf_counter()
        with torch.cuda.device(device):
            self._runtime = self._trt.Runtime(self._log)
            serialised = cache.engine_for(model, target)
            engine = self._runtime.deserialize_cuda_engine(serialised.plan)
            if engine is None and serialised.source == "cache":
                say(f"skytrigger: the cached engine does not load here ({self._reason()}); built again")
                serialised = cache.engine_for(model, target, fresh=True)
                engine = self._runtime.deserialize_cuda_engine(serialised.plan)
            if engine is None:
                raise SkytriggerError(f"{spec.runtime} built an engine that does not load: {self._reason()}")
            self._engine = engine
            self._inspect(serialised)
            kernels = cache.kernels_path(serialised, gpu) if spec.runtime == "tensorrt_rtx" else None
            config = self._runtime_config(kernels)
            self._lanes = [_Lane(self, config) for _ in range(spec.streams)]
            for lane in self._lanes:  # compile and capture now, not in the first timed call
                with torch.cuda.stream(lane.stream):
                    lane.prepare(spec.batch_size)
            if kernels:
                self._keep_kernels(kernels)
        self.serialised = serialised
        self.engine = EngineFacts(
            version=str(self._trt.__version__),
            provider=f"{gpu} (compute capability {capability})",
            precision_run=self._precision_run,
            engine_hash=serialised.record["plan_sha256"],
            engine_bytes=len(serialised.plan),
            build_s=time.perf_counter() - start,
        )

    @property
    def facts(self) -> dict[str, Any]:
        """Those of every session, and what only an engine has."""
        return {
            **super().facts,
            "engine_source": self.serialised.source,
            "engine_note": self.serialised.note,
            "engine_built_in_s": self.serialised.record["build_s"],
            "rewritten": self.serialised.record["rewritten"],
            "inspector": self.inspector,
            "cuda_graphs": all(lane.graphs for lane in self._lanes),
        }

    def _inspect(self, serialised: cache.Engine) -> None:
        """Layers and precision, read back from the engine that will run."""
        text = self._engine.create_engine_inspector().get_engine_information(self._trt.LayerInformationFormat.ONELINE)
        layers = layers_of(text)
        self.inspector = summary(layers)
        self._precision_run = precision_of_layers(layers, serialised.record["key"]["settings"]["tf32"])

    def _runtime_config(self, kernels: Path | None) -> Any:
        """How contexts are made: on memory of ours; for `tensorrt_rtx`, with kernels kept on disk."""
        trt = self._trt
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if kernels is None:
            return config
        # lazily specialised kernels arrive in the background, after a graph has captured the general ones
        config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        config.cuda_graph_strategy = trt.CudaGraphStrategy.DISABLED  # captured here, the same way for both libraries
        self._kernels = config.create_runtime_cache()
        if kernels.is_file() and not self._kernels.deserialize(kernels.read_bytes()):
            say(f"skytrigger: compiled kernels {kernels.name} do not fit this machine; compiled again")
        if not config.set_runtime_cache(self._kernels):
            raise SkytriggerError(f"tensorrt_rtx refused its kernel cache: {self._reason()}")
        return config

    def _keep_kernels(self, kernels: Path) -> None:
        content = bytes(self._kernels.serialize())
        if not kernels.is_file() or kernels.read_bytes() != content:
            write_bytes(kernels, content)

    def _reason(self) -> str:
        return " ".join(self._log.errors[-1:])[:300] or "no reason given"


class _Lane:
    """One stream with buffers at fixed addresses, and for each batch size a CUDA graph with its own context.

    A graph may refer to what its context holds, so no context serves two shapes once it is captured; they share one
    piece of working memory, since a stream runs one at a time. Methods are called with the stream current.
    """

    def __init__(self, session: TensorRtSession, config: Any) -> None:
        torch, size = session._torch, session.spec.batch_size
        self._session, self._torch, self._config = session, torch, config
        device = session._device
        self.stream = torch.cuda.Stream(device)
        image, outputs = session._shape, [head.outputs for head in session.heads]
        self._tiles = torch.empty((size, *image), dtype=torch.float32, device=device)
        self._answers = [torch.empty((size, count), dtype=torch.float32, device=device) for count in outputs]
        self._memory_bytes = max(1, session._engine.device_memory_size_v2)
        self._memory = torch.empty(self._memory_bytes, dtype=torch.uint8, device=device)
        # page-locked: the copies run on the stream, without a bounce through the driver's own buffer
        self._tiles_host = torch.empty((size, *image), dtype=torch.float32, pin_memory=True)
        self._host = [torch.empty((size, count), dtype=torch.float32, pin_memory=True) for count in outputs]
        self._tiles.zero_()
        torch.cuda.synchronize(device)  # the buffers were made on another stream
        self._plain = self._context()  # for shapes that are not captured
        self._contexts: list[Any] = []  # of the graphs, kept alive
        self.graphs: dict[int, Any] = {}
        self._not_captured: set[int] = set()

    def _context(self) -> Any:
        context = self._session._engine.create_execution_context(self._config)
        if context is None:
            raise SkytriggerError(f"no execution context: {self._session._reason()}")
        context.set_device_memory(self._memory.data_ptr(), self._memory_bytes)
        context.set_tensor_address(INPUT, self._tiles.data_ptr())
        for head, values in zip(self._session.heads, self._answers, strict=True):
            context.set_tensor_address(head.name, values.data_ptr())
        return context

    def upload(self, tiles: NDArray[np.float32]) -> None:
        """Tiles into the fixed device buffer: graphs read it, so each replay sees fresh input."""
        count = len(tiles)
        self._tiles_host.numpy()[:count] = tiles
        self._tiles[:count].copy_(self._tiles_host[:count], non_blocking=True)

    def download(self, count: int) -> Answers:
        """Answers of the last `enqueue`, copied: the next call overwrites the buffers."""
        for host, values in zip(self._host, self._answers, strict=True):
            host[:count].copy_(values[:count], non_blocking=True)
        self.stream.synchronize()
        return tuple(host.numpy()[:count].copy() for host in self._host)

    def enqueue(self, count: int) -> None:
        """Run the engine on the first `count` tiles of the buffer."""
        if count not in self.graphs and count not in self._not_captured:
            self.prepare(count)
        graph = self.graphs.get(count)
        if graph is None:
            self._execute(self._plain, count)
        else:
            graph.replay()

    def prepare(self, count: int) -> None:
        """Run once, so that all is allocated and compiled, then capture the shape."""
        if len(self.graphs) >= MAX_GRAPHS:
            self._not_captured.add(count)
            return
        context = self._context()
        self._execute(context, count)
        self.stream.synchronize()
        capturable = getattr(context, "is_stream_capturable", None)  # tensorrt_rtx alone can tell
        if capturable is not None and not capturable(self.stream.cuda_stream):
            self._not_captured.add(count)
            return
        graph = self._torch.cuda.CUDAGraph()
        with capture_lock, self._torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            self._execute(context, count)
        self._contexts.append(context)
        self.graphs[count] = graph

    def _execute(self, context: Any, count: int) -> None:
        if not context.set_input_shape(INPUT, (count, *self._tiles.shape[1:])):
            raise SkytriggerError(f"the engine refuses a batch of {count}: {self._session._reason()}")
        if not context.execute_async_v3(self.stream.cuda_stream):
            raise SkytriggerError(f"the engine failed: {self._session._reason()}")


def find_gpu(spec: EngineSpec) -> tuple[Any, Any, str, str]:
    """Torch, its device, the GPU's name and compute capability ("8.9"); or everything that is missing, by name.

    Raises
    ------
    UnavailableError
        No CUDA device asked for, no GPU, no library, or a GPU the library does not support.
    """
    runtime = spec.runtime
    if not spec.device.startswith("cuda"):
        raise UnavailableError(
            f"runtime {runtime} runs on NVIDIA GPUs only, device {spec.device!r} was asked for",
            remedy="--device cuda",
        )
    torch = require("torch", why=f"runtime {runtime}")
    row = runtime_of(runtime)
    missing, remedies = [], []
    if not torch.cuda.is_available():
        missing.append(f"no CUDA GPU (torch {torch.__version__} sees none)")
        remedies.append("a machine with an NVIDIA GPU and a CUDA build of torch")
        if runtime == "tensorrt_rtx":
            remedies.append("engines alone can be built here: skytrigger export MODEL.onnx --engine tensorrt_rtx")
    else:
        device = torch.device(spec.device)
        major, minor = torch.cuda.get_device_capability(device)
        check_capabilities(runtime, (f"{major}.{minor}",))
    if find(row.package) is None:
        missing.append(f"the package {row.package!r} is not installed or does not load")
        remedies.append(f"{row.install} (extra {row.extra!r})")
    if missing:
        raise UnavailableError(f"runtime {runtime} cannot run here: " + "; ".join(missing), remedy="; ".join(remedies))
    return torch, device, torch.cuda.get_device_name(device), f"{major}.{minor}"


def offer(name: str, isa: list[str]) -> list[Offer]:
    """The GPUs that the library supports."""
    trt = library(name)

    def unsupported(capability: tuple[int, int]) -> bool:
        known = getattr(trt, "ComputeCapability", None) if name == "tensorrt_rtx" else None
        return known is not None and f"SM{capability[0]}{capability[1]}" not in known.__members__

    try:
        return [{**gpu, "version": trt.__version__} for gpu in on_cuda(name, unsupported)]
    except UnavailableError as error:
        if name != "tensorrt_rtx":
            raise
        ahead = "engines can be built here: skytrigger export MODEL.onnx --engine tensorrt_rtx --compute-capability 8.9"
        raise UnavailableError(error.problem, remedy=f"{error.remedy}; {ahead}") from error
