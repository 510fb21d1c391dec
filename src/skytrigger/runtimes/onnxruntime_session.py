"""ONNX Runtime."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import UnavailableError
from skytrigger.model.file import ModelFile
from skytrigger.model.native_inputs import native_of
from skytrigger.runtimes.code_writer import code_writer
from skytrigger.runtimes.input_type import with_input_type
from skytrigger.runtimes.offers import Offer, cpu_precisions, precision
from skytrigger.runtimes.session import Answers, EngineFacts, Session, Tiles, feeds
from skytrigger.runtimes.spec import EngineSpec

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeSession(Session):
    """The provider asked for, or an error; the precision read back from the optimised graph."""

    def __init__(self, model: ModelFile, spec: EngineSpec) -> None:
        import onnxruntime as ort

        super().__init__(model, spec)
        self._outputs = [head.name for head in self.heads]
        kind = spec.device.split(":")[0]
        provider = PROVIDERS.get(kind)
        if provider is None or provider not in ort.get_available_providers():
            raise UnavailableError(
                f"onnxruntime {ort.__version__} here has no provider for device {spec.device!r}",
                expected=", ".join(ort.get_available_providers()),
                remedy="pip install 'skytrigger[gpu]' for CUDA",
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = spec.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # idle workers must not burn the cores that another stream or the caller needs
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spec.streams == 1 else "0")
        start = time.perf_counter()
        self._writer = code_writer(model, spec)
        given = self._writer.content if self._writer else with_input_type(model, spec.input_type)
        with tempfile.TemporaryDirectory() as folder:
            optimised = Path(folder) / "optimised.onnx"
            if kind == "cpu":
                options.optimized_model_filepath = str(optimised)
            self._session = ort.InferenceSession(given, options, providers=[provider])
            build_s = time.perf_counter() - start
            content = optimised.read_bytes() if optimised.is_file() else given
        used = self._session.get_providers()[0]
        if used != provider:
            raise UnavailableError(f"onnxruntime fell back to {used}", expected=provider)
        self.engine = EngineFacts(
            version=ort.__version__,
            provider=used,
            precision_run=precision_of(content),
            engine_hash=hashlib.sha256(content).hexdigest(),
            engine_bytes=len(content),
            build_s=build_s,
        )

    def _infer(self, tiles: Tiles, stream: int) -> Answers:
        if self._writer is None:
            return tuple(self._session.run(self._outputs, feeds(tiles)))
        with self._busy[stream]:
            return tuple(self._session.run(self._outputs, self._feeds(tiles, stream)))


def precision_of(content: bytes) -> str:
    """Precision in which most convolutions and matrix products of an ONNX graph run.

    Quantised operators count as int8; a float operator has the type of its weights. An optimised
    graph of the CPU provider shows float16 weights cast back to float32 where it has no kernels.
    """
    import onnx

    model = onnx.load_model_from_string(content)
    types = {t.name: t.data_type for t in model.graph.initializer}
    made = {out: node for node in model.graph.node for out in node.output}
    names = {onnx.TensorProto.FLOAT: "fp32", onnx.TensorProto.FLOAT16: "fp16", onnx.TensorProto.BFLOAT16: "bf16"}
    votes: dict[str, int] = {}
    for node in model.graph.node:
        kind = node.op_type
        if kind.startswith(("QLinearConv", "QGemm", "QLinearMatMul", "MatMulInteger", "ConvInteger")):
            vote = "int8"
        elif kind in ("Conv", "FusedConv", "NchwcConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"):
            weight = node.input[1]
            if weight in types:
                vote = names.get(types[weight], "other")
            else:
                source = made.get(weight)
                cast = {a.name: a.i for a in source.attribute} if source and source.op_type == "Cast" else {}
                vote = names.get(cast.get("to", onnx.TensorProto.FLOAT), "fp32")
        else:
            continue
        votes[vote] = votes.get(vote, 0) + 1
    return max(votes, key=lambda v: votes[v]) if votes else "fp32"


def executed_kernels(model: ModelFile, tiles: NDArray[np.float32]) -> dict[str, int]:
    """Operators of ONNX Runtime's own profile, such as ``QLinearConv``, and how often each ran for one batch."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.enable_profiling = True
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(model.content, options, providers=["CPUExecutionProvider"])
        session.run(None, feeds(native_of(tiles, model.native) if model.native else tiles))
        events = json.loads(Path(session.end_profiling()).read_text())
    ran = Counter(e["args"]["op_name"] for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time"))
    return dict(sorted(ran.items()))


def offer(name: str, isa: list[str]) -> list[Offer]:
    """Devices and precisions here."""
    import onnxruntime

    devices: list[Offer] = []
    for provider in onnxruntime.get_available_providers():
        if provider == "CPUExecutionProvider":
            kinds = [*cpu_precisions(isa, halves_run=False), precision("fp16", False, "computed in fp32 between casts")]
            devices.append({"device": "cpu", "provider": provider, "precisions": kinds})
        elif provider in ("CUDAExecutionProvider", "TensorrtExecutionProvider"):
            kinds = [precision("fp32"), precision("fp16")]
            devices.append(
                {"device": "cuda", "provider": provider, "precisions": kinds, "note": "built in; needs a GPU"}
            )
    return devices
