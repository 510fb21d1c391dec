"""A GPU of host memory under torch.cuda's names, and a runtime whose engines are run by ONNX Runtime.

Engines are real (built ahead of time); what is simulated is where they run: streams, page-locked and device memory,
and capture, which records launches with the addresses and shapes of that moment and runs nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

LAYERS = (
    "Layers:\nName: c, LayerType: correlation, Inputs: [ { Name: a, Datatype: Float }], Constants: [], "
    "Outputs: [ { Name: b, Datatype: Float }], TacticName: , StreamId: 0, Metadata: [ONNX Layer: conv]\n"
)


class Gpu:
    """What all the pieces share."""

    def __init__(self, model: bytes, classes: int) -> None:
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self.classes = classes
        self.capturing: Graph | None = None
        self.captures = self.replays = self.launches = 0
        self.capturable = True
        self.refused_plans = 0

    def launch(self, work: Any) -> None:
        if self.capturing is not None:
            self.capturing.work.append(work)
        else:
            self.launches += 1
            work()


class Graph:
    gpu: Gpu

    def __init__(self) -> None:
        self.work: list[Any] = []

    def replay(self) -> None:
        self.gpu.replays += 1
        for work in self.work:
            work()


class Stream:
    cuda_stream = 7

    def __init__(self, device: Any = None) -> None: ...

    def synchronize(self) -> None: ...


class Context:
    def __init__(self, gpu: Gpu) -> None:
        self.gpu, self.addresses, self.shape, self.captured = gpu, {}, (), False

    def set_device_memory(self, address: int, size: int) -> None:
        assert size >= Engine.device_memory_size_v2

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert not self.captured or shape == self.shape, "a graph refers to this context with another shape"
        self.shape = shape
        return True

    def is_stream_capturable(self, stream: int) -> bool:
        return self.gpu.capturable

    def execute_async_v3(self, stream: int) -> bool:
        shape, tiles, logits = self.shape, self.addresses["tiles"], self.addresses["logits"]

        def work() -> None:
            found = self.gpu.session.run(None, {"tiles": _array(tiles, shape).copy()})[0]
            _array(logits, (shape[0], self.gpu.classes))[:] = found

        self.captured |= self.gpu.capturing is not None
        self.gpu.launch(work)
        return True


def _array(address: int, shape: tuple[int, ...]) -> np.ndarray:
    buffer = (ctypes.c_float * int(np.prod(shape))).from_address(address)
    return np.frombuffer(buffer, np.float32).reshape(shape)


class Kernels:
    def serialize(self) -> bytes:
        return b"kernels"

    def deserialize(self, content: bytes) -> bool:
        return content == b"kernels"


class Engine:
    device_memory_size_v2 = 64

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu

    def create_engine_inspector(self) -> Engine:
        return self

    def get_engine_information(self, form: Any) -> str:
        return LAYERS

    def create_runtime_config(self) -> Engine:
        return self

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None: ...

    def create_runtime_cache(self) -> Kernels:
        return Kernels()

    def set_runtime_cache(self, cache: Kernels) -> bool:
        return True

    def create_execution_context(self, config: Any) -> Context:
        return Context(self.gpu)


def install(monkeypatch: pytest.MonkeyPatch, gpu: Gpu, library: Any, capability: tuple[int, int] = (8, 6)) -> None:
    """Put the simulation in the place of torch.cuda and of the library's Runtime."""

    class Runtime:
        def __init__(self, log: Any) -> None: ...

        def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
            if gpu.refused_plans:
                gpu.refused_plans -= 1
                return None
            return Engine(gpu)

    @contextlib.contextmanager
    def graph(graph: Graph, **options: Any) -> Iterator[None]:
        gpu.capturing = graph
        gpu.captures += 1
        yield
        gpu.capturing = None

    Graph.gpu = gpu
    empty = torch.empty

    def host_empty(*args: Any, device: Any = None, pin_memory: bool = False, **options: Any) -> torch.Tensor:
        return empty(*args, **options)

    monkeypatch.setattr(library, "Runtime", Runtime)
    monkeypatch.setattr(torch, "empty", host_empty)
    for name, value in {
        "is_available": lambda: True, "get_device_capability": lambda device=None: capability,
        "get_device_name": lambda device=None: "Simulated GPU", "device": lambda device: contextlib.nullcontext(),
        "Stream": Stream, "stream": lambda stream: contextlib.nullcontext(), "CUDAGraph": Graph, "graph": graph,
        "synchronize": lambda device=None: None,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, value)
