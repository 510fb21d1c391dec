"""PyTorch, eager and compiled, on the model file's own graph."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from skytrigger.core.errors import UnavailableError
from skytrigger.core.extras import require
from skytrigger.model.file import ModelFile
from skytrigger.runtimes.cuda_lanes import CudaSession
from skytrigger.runtimes.input_type import as_float, as_tensor
from skytrigger.runtimes.offers import Offer, cpu_precisions, precision
from skytrigger.runtimes.session import Answers, EngineFacts, Session, Tiles, feeds
from skytrigger.runtimes.spec import EngineSpec

_arithmetic_lock = threading.Lock()


def torch_session(model: ModelFile, spec: EngineSpec) -> Session:
    """The session class for the request's device and runtime."""
    compiled = spec.runtime == "torch-compiled"
    kind = spec.device.split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UnavailableError(f"runtime torch has no device {spec.device!r}", expected="cpu, cuda or cuda:N")
    if kind == "cuda":
        return CudaTorchSession(model, spec, compiled)
    return FixedTorchSession(model, spec, True) if compiled else TorchSession(model, spec, False)


class TorchSession(Session):
    """On the CPU: channels-last (a third faster than contiguous on these convolutions)."""

    def __init__(self, model: ModelFile, spec: EngineSpec, compiled: bool) -> None:
        torch = require("torch", why=f"runtime {spec.runtime}")
        super().__init__(model, spec)
        self._torch = torch
        start = time.perf_counter()
        torch.set_num_threads(spec.threads)
        if spec.precision == "tf32":
            raise UnavailableError("a CPU has no tf32 products", remedy="--precision fp32")
        if spec.precision == "bf16" and not torch.cpu._is_avx512_bf16_supported():
            raise UnavailableError("this CPU has no bfloat16 products", remedy="--precision fp32")
        if compiled:
            _need_compiler()
        self._inputs = [i.name for i in model.graph().graph.input]
        self._forward = _module(torch, model, spec, compiled)
        if compiled:
            self._infer(self.given(np.zeros((spec.batch_size, *self._shape), spec.input_type)), 0)
        self.engine = _facts(torch, model, spec, compiled, start)

    def _infer(self, tiles: Tiles, stream: int) -> Answers:
        given = feeds(tiles)
        tensors = [as_tensor(self._torch, given[name]) for name in self._inputs]
        return tuple(values.numpy() for values in self.resident(*tensors))

    def resident(self, *tiles: Any) -> tuple[Any, ...]:
        """See `Session`; a tensor for each input."""
        torch, bf16 = self._torch, self.spec.precision == "bf16"
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return tuple(values.float() for values in self._forward(*tiles))


class FixedTorchSession(TorchSession):
    """`torch.compile` for the exact batch."""

    fixed_batch = True


class CudaTorchSession(CudaSession):
    """On a GPU: eager calls as users write them, or compiled and replayed as CUDA graphs. No fp32 is quietly tf32."""

    def __init__(self, model: ModelFile, spec: EngineSpec, compiled: bool) -> None:
        super().__init__(model, spec)
        self.graphs = self.fixed_batch = compiled
        torch, start = self._torch, time.perf_counter()
        if spec.precision == "bf16" and torch.cuda.get_device_capability(self._device) < (8, 0):
            raise UnavailableError("this GPU has no bfloat16 products", remedy="--precision fp16")
        module = _module(torch, model, spec, compiled, self._device)
        precision = spec.precision

        def forward(images: Any) -> Any:
            autocast = torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16")
            with torch.inference_mode(), autocast, _products(torch, precision):
                return tuple(values.float() for values in module(images))

        self._open_lanes(lambda number: forward)
        self.engine = _facts(torch, model, spec, compiled, start)


def _module(torch: Any, model: ModelFile, spec: EngineSpec, compiled: bool, device: Any = "cpu") -> Any:
    """The graph as a function of tiles in the request's input type."""
    from skytrigger.runtimes.torch.graph import module_of

    module = module_of(model.graph(), [head.name for head in model.card.heads]).eval().to(device)
    if not model.native:  # whose tables of weights, one a phase, have a dimension more
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    kind = spec.input_type

    def forward(*tiles: Any) -> Any:
        return module(*tiles) if kind == "float32" else module(as_float(torch, tiles[0], kind))

    if not compiled:
        return forward
    # what was compiled is kept with the code object, for eight kinds of input: each session gets one of its own
    forward.__code__ = forward.__code__.replace()
    return torch.compile(forward, dynamic=False, fullgraph=True)


@contextlib.contextmanager
def _products(torch: Any, precision: str) -> Iterator[None]:
    """float32 or tf32 as asked for: by torch's default, float32 convolutions round their factors to tf32."""
    if precision not in ("fp32", "tf32"):
        yield
        return
    backends, tf32 = torch.backends, precision == "tf32"
    with _arithmetic_lock:  # torch keeps this for the whole process
        if hasattr(backends.cudnn, "conv"):  # 2.9 on; the two ways must not be mixed
            places, name = (backends.cudnn.conv, backends.cuda.matmul), "fp32_precision"
            wanted: Any = "tf32" if tf32 else "ieee"
        else:
            places, name, wanted = (backends.cudnn, backends.cuda.matmul), "allow_tf32", tf32
        before = [getattr(place, name) for place in places]
        for place in places:
            setattr(place, name, wanted)
        try:
            yield
        finally:
            for place, value in zip(places, before, strict=True):
                setattr(place, name, value)


def _facts(torch: Any, model: ModelFile, spec: EngineSpec, compiled: bool, start: float) -> EngineFacts:
    kind = spec.device.split(":")[0]
    return EngineFacts(
        version=torch.__version__,
        provider=f"{kind} {'compiled' if compiled else 'eager'}",
        precision_run=spec.precision,
        engine_hash=model.sha256,
        engine_bytes=len(model.content),
        build_s=time.perf_counter() - start,
    )


def _need_compiler() -> None:
    if not (shutil.which("c++") or shutil.which("g++")):
        raise UnavailableError("torch.compile needs a C++ compiler", remedy="apt-get install g++")


def offer(name: str, isa: list[str]) -> list[Offer]:
    """Devices and precisions here."""
    import torch

    if name == "torch-compiled":
        _need_compiler()
    precisions = [p for p in cpu_precisions(isa, halves_run=True) if p["name"] != "int8"]
    devices: list[Offer] = [{"device": "cpu", "precisions": precisions}]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            bf16 = torch.cuda.get_device_capability(index) >= (8, 0)
            kinds = [precision("fp32"), precision("fp16"), precision("bf16", bf16), precision("tf32", bf16)]
            devices.append({"device": f"cuda:{index}", "name": torch.cuda.get_device_name(index), "precisions": kinds})
    return devices
