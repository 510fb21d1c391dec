"""OpenVINO: CPU, GPU and NPU by name; successor of the toolkit of the Movidius stick."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import UnavailableError
from skytrigger.core.extras import require
from skytrigger.model.file import INPUT, ModelFile
from skytrigger.runtimes.input_type import with_input_type
from skytrigger.runtimes.session import EngineFacts, Request, Session

PRECISIONS = ("fp32", "bf16", "fp16", "int8")
_NAMES = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "u8": "int8", "i8": "int8"}


class OpenVinoSession(Session):
    """Compiled for the exact batch: with a dynamic batch OpenVINO loses its static memory plan."""

    fixed_batch = True

    def __init__(self, model: ModelFile, request: Request) -> None:
        ov = require("openvino", why="runtime openvino")
        super().__init__(model, request)
        core = ov.Core()
        device = request.device.upper().replace("CUDA", "GPU")
        if device.split(".")[0] not in {d.split(".")[0] for d in core.available_devices}:
            raise UnavailableError(
                f"OpenVINO {ov.__version__} sees no device {device} here", expected=", ".join(core.available_devices)
            )
        start = time.perf_counter()
        graph = core.read_model(with_input_type(model, request.input_type))
        graph.reshape({INPUT: [request.batch_size, *self._shape]})
        hint = {"bf16": ov.Type.bf16, "fp16": ov.Type.f16}.get(request.precision, ov.Type.f32)
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": request.streams}
        if device == "CPU":
            config["INFERENCE_NUM_THREADS"] = request.threads * request.streams  # of all streams together
        self._compiled = core.compile_model(graph, device, config)
        self._requests = [self._compiled.create_infer_request() for _ in range(request.streams)]
        build_s = time.perf_counter() - start
        devices = self._compiled.get_property("EXECUTION_DEVICES")
        if not any(str(d).split(".")[0] == device.split(".")[0] for d in devices):
            raise UnavailableError(f"OpenVINO runs on {devices}", expected=device)
        self.engine = EngineFacts(
            version=ov.__version__,
            provider=",".join(map(str, devices)),
            precision_run=_precision_run(self._compiled),
            engine_hash=model.sha256,
            engine_bytes=len(model.content),
            build_s=build_s,
        )

    def _infer(self, tiles: NDArray[Any], stream: int) -> NDArray[np.float32]:
        # shared input; the output is copied because the next call overwrites it
        results = self._requests[stream].infer({INPUT: tiles}, share_inputs=True)
        return np.array(results[0], dtype=np.float32)


def _precision_run(compiled: Any) -> str:
    """What most convolutions and matrix products of the compiled graph run in."""
    votes: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ordered_ops():
        kind, precision = kernel_of(node)
        if kind in ("Convolution", "FullyConnected", "MatMul", "GroupConvolution"):
            votes[_NAMES.get(precision, "other")] += 1
    return votes.most_common(1)[0][0] if votes else "fp32"


def kernel_of(node: Any) -> tuple[str, str]:
    """Layer type and precision of a node of the compiled graph."""
    info = node.get_rt_info()
    return str(_value(info, "layerType")), str(_value(info, "runtimePrecision")).lower()


def _value(info: Any, key: str) -> Any:
    found = info[key] if key in info else ""  # noqa: SIM401 - an RTMap has no get()
    return getattr(found, "value", found)
