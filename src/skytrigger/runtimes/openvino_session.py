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
from skytrigger.model.native_inputs import PHASE, native_of
from skytrigger.runtimes.code_writer import code_writer
from skytrigger.runtimes.input_type import with_input_type
from skytrigger.runtimes.offers import Offer, precision
from skytrigger.runtimes.session import Answers, EngineFacts, Session, Tiles, feeds
from skytrigger.runtimes.spec import EngineSpec

_NAMES = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "u8": "int8", "i8": "int8"}

PLANES = ("uint16",)  # other tiles it turns into codes in planes faster itself


class OpenVinoSession(Session):
    """Compiled for the exact batch: with a dynamic batch OpenVINO loses its static memory plan."""

    fixed_batch = True

    def __init__(self, model: ModelFile, spec: EngineSpec) -> None:
        ov = require("openvino", why="runtime openvino")
        super().__init__(model, spec)
        core = ov.Core()
        device = spec.device.upper().replace("CUDA", "GPU")
        if device.split(".")[0] not in {d.split(".")[0] for d in core.available_devices}:
            raise UnavailableError(
                f"OpenVINO {ov.__version__} sees no device {device} here", expected=", ".join(core.available_devices)
            )
        start = time.perf_counter()
        self._writer = code_writer(model, spec, spec.input_type in PLANES)
        graph = core.read_model(self._writer.content if self._writer else _from_tiles(model, spec))
        graph.reshape(self._shapes())
        if model.card.precision == "int8":
            pool_by_windows(graph)
        hint = {"bf16": ov.Type.bf16, "fp16": ov.Type.f16}.get(spec.precision, ov.Type.f32)
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": spec.streams}
        if device == "CPU":
            config["INFERENCE_NUM_THREADS"] = spec.threads * spec.streams  # of all streams together
        self._compiled = core.compile_model(graph, device, config)
        self._outputs = [self._compiled.output(head.name) for head in self.heads]
        self._requests = [self._compiled.create_infer_request() for _ in range(spec.streams)]
        if self._writer:
            for request, codes in zip(self._requests, self._writer.buffers, strict=True):
                request.set_input_tensor(ov.Tensor(codes, shared_memory=True))
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

    def _shapes(self) -> dict[str, list[int]]:
        """Of each input, for the exact batch."""
        size, native = self.spec.batch_size, self.model.native
        if self._writer:
            return {INPUT: [size, *self._writer.shape]}
        found = {g.input: [size, len(g.channels), g.side, g.side] for g in native} or {INPUT: [size, *self._shape]}
        return found | ({PHASE: [2]} if any(g.phases > 1 for g in native) else {})

    def _infer(self, tiles: Tiles, stream: int) -> Answers:
        request = self._requests[stream]
        with self._busy[stream]:
            given = self._feeds(tiles, stream)
            # codes lie where the request reads them; answers are copied, because the next call overwrites them
            results = request.infer(None if self._writer else given, share_inputs=True, share_outputs=True)
            return tuple(np.array(results[output], dtype=np.float32) for output in self._outputs)


def _from_tiles(model: ModelFile, spec: EngineSpec) -> bytes:
    """The model's content for tiles of the spec's input type."""
    by_int32 = spec.input_type == "uint16" and model.card.precision == "int8"
    return with_input_type(model, spec.input_type, by_int32=by_int32)


def pool_by_windows(graph: Any) -> None:
    """Means over whole images as pooling with a window of that size, in place; `graph` has a fixed shape.

    OpenVINO's general ReduceMean hands out its work badly: with two threads it takes as long as a convolution. The sums
    are of whole numbers and so the same.
    """
    from openvino import opset1

    for node in graph.get_ordered_ops():
        if node.get_type_name() != "ReduceMean" or node.get_input_partial_shape(0).is_dynamic:
            continue
        given, made = list(node.get_input_shape(0)), list(node.get_output_shape(0))
        if len(given) == 4 and made == [*given[:2], 1, 1]:  # whatever computes the axes
            pooled = opset1.avg_pool(node.input_value(0), [1, 1], [0, 0], [0, 0], given[2:], True)
            node.output(0).replace(pooled.output(0))


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
    entry = info[key] if key in info else ""  # noqa: SIM401 - an RTMap has no get()
    return getattr(entry, "value", entry)


def executed_kernels(model: ModelFile, tiles: NDArray[np.float32]) -> dict[str, int]:
    """Layer type and precision of the compiled graph's nodes, such as ``Convolution u8``, and how many there are."""
    ov = require("openvino", why="kernels")
    graph = ov.Core().read_model(model.content)
    given = feeds(native_of(tiles, model.native) if model.native else tiles)
    graph.reshape({name: list(values.shape) for name, values in given.items()})
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": ov.Type.f32, "INFERENCE_NUM_THREADS": 1}
    compiled = ov.Core().compile_model(graph, "CPU", config)
    ran = Counter(" ".join(kernel_of(node)) for node in compiled.get_runtime_model().get_ordered_ops())
    return dict(sorted(ran.items()))


def offer(name: str, isa: list[str]) -> list[Offer]:
    """Devices and precisions here."""
    import openvino

    names = {"FP32": "fp32", "FP16": "fp16", "BF16": "bf16", "INT8": "int8"}
    core = openvino.Core()
    devices = []
    for device in core.available_devices:
        can = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
        kinds = [precision(names[c]) for c in can if c in names]
        devices.append(
            {"device": device.lower(), "name": core.get_property(device, "FULL_DEVICE_NAME"), "precisions": kinds}
        )
    return devices
