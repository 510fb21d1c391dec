"""PyTorch, eager and compiled, on the model file's own graph."""

from __future__ import annotations

import shutil
import time

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import UnavailableError
from skytrigger.core.extras import require
from skytrigger.runtimes.model_file import ModelFile
from skytrigger.runtimes.session import EngineFacts, Request, Session

PRECISIONS = ("fp32", "bf16", "fp16")


class TorchSession(Session):
    """Eager execution, channels-last (a third faster than contiguous on these convolutions)."""

    compiled = False

    def __init__(self, model: ModelFile, request: Request) -> None:
        torch = require("torch", why=f"runtime {request.runtime}")
        super().__init__(model, request)
        from skytrigger.runtimes.onnx_graph import module_of

        if request.device.startswith("cuda") and not torch.cuda.is_available():
            raise UnavailableError(f"device {request.device!r}: torch sees no CUDA GPU here")
        self._torch = torch
        self._device = torch.device(request.device)
        start = time.perf_counter()
        torch.set_num_threads(request.threads)
        module = module_of(model.graph()).eval().to(self._device)
        if request.precision == "bf16" and self._device.type == "cpu" and not torch.cpu._is_avx512_bf16_supported():
            raise UnavailableError("this CPU has no bfloat16 products", remedy="--precision fp32")
        self._module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.compiled:
            if self._device.type == "cpu" and not (shutil.which("c++") or shutil.which("g++")):
                raise UnavailableError("torch.compile needs a C++ compiler", remedy="apt-get install g++")
            self._module = torch.compile(self._module, dynamic=False)
            self._infer(np.zeros((request.batch_size, *self._shape), np.float32), 0)
        self.engine = EngineFacts(
            version=torch.__version__,
            provider=f"{self._device.type} {'compiled' if self.compiled else 'eager'}",
            precision_run=request.precision,
            engine_hash=model.sha256,
            engine_bytes=len(model.content),
            build_s=time.perf_counter() - start,
        )

    def _infer(self, tiles: NDArray[np.float32], stream: int) -> NDArray[np.float32]:
        torch = self._torch
        bf16 = self.request.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=bf16):
            images = torch.from_numpy(tiles).to(self._device)
            logits: NDArray[np.float32] = self._module(images).float().cpu().numpy()
        return logits

    def synchronize(self) -> None:
        """Wait for the GPU."""
        if self._device.type == "cuda":
            self._torch.cuda.synchronize(self._device)


class CompiledTorchSession(TorchSession):
    """`torch.compile` for the exact batch."""

    compiled = True
    fixed_batch = True
