"""Which kernels a model file really runs, told by the engine while it runs: the proof of an INT8 claim."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import UnavailableError
from skytrigger.core.extras import require
from skytrigger.model.file import INPUT, ModelFile
from skytrigger.runtimes.openvino_session import kernel_of


def executed_kernels(model: ModelFile, runtime: str, tiles: NDArray[np.float32]) -> dict[str, int]:
    """Kernel -> times it ran for one batch of `tiles`.

    ONNX Runtime: operators of its own profile, such as ``QLinearConv``. OpenVINO: layer type and precision of the
    compiled graph, such as ``Convolution u8``.

    Raises
    ------
    UnavailableError
        A runtime that does not tell.
    """
    if runtime == "onnxruntime":
        return _onnxruntime(model, tiles)
    if runtime == "openvino":
        return _openvino(model, len(tiles))
    raise UnavailableError(f"runtime {runtime} does not tell its kernels", expected="onnxruntime or openvino")


def _onnxruntime(model: ModelFile, tiles: NDArray[np.float32]) -> dict[str, int]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.enable_profiling = True
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(model.content, options, providers=["CPUExecutionProvider"])
        session.run(None, {INPUT: tiles})
        events = json.loads(Path(session.end_profiling()).read_text())
    ran = Counter(e["args"]["op_name"] for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time"))
    return dict(sorted(ran.items()))


def _openvino(model: ModelFile, batch_size: int) -> dict[str, int]:
    ov = require("openvino", why="kernels")
    graph = ov.Core().read_model(model.content)
    graph.reshape({INPUT: [batch_size, len(model.card.channels), *model.card.size]})
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": ov.Type.f32, "INFERENCE_NUM_THREADS": 1}
    compiled = ov.Core().compile_model(graph, "CPU", config)
    ran = Counter(" ".join(kernel_of(node)) for node in compiled.get_runtime_model().get_ordered_ops())
    return dict(sorted(ran.items()))


def float_products(kernels: dict[str, int]) -> list[str]:
    """Kernels among these that multiply in floating point."""
    integer = ("QLinear", "QGemm", " u8", " i8", "Integer")
    kinds = ("Conv", "Gemm", "MatMul", "FullyConnected")
    return [k for k in kernels if any(p in k for p in kinds) and not any(i in k for i in integer)]
