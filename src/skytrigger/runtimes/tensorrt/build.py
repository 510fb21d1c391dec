"""Building TensorRT engines: one code for `tensorrt` and `tensorrt_rtx`, whose interfaces agree.

Networks are strongly typed: the ONNX types and QDQ pairs decide the precision of every layer, as version 11 alone
allows and 10 can. Two precisions are made from a float32 file: TF32, a setting of the builder, and BF16, by typing
the graph.

`tensorrt_rtx` compiles for compute capabilities it is given, on any machine, without a GPU. `tensorrt` times kernels
on the GPU it builds for.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError, SkytriggerError, UnavailableError
from skytrigger.core.extras import install_command, require
from skytrigger.core.files import write_bytes
from skytrigger.core.progress import say
from skytrigger.model.file import INPUT, ModelFile
from skytrigger.runtimes.registry import runtime_of
from skytrigger.runtimes.tensorrt.layers import HEAD, Layer, layers_of
from skytrigger.runtimes.tensorrt.quantisation import symmetric_int8
from skytrigger.runtimes.tensorrt.types import typed_in

RTX_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")


@dataclass(frozen=True)
class Target:
    """What an engine is built for.

    Attributes
    ----------
    runtime
        ``tensorrt`` or ``tensorrt_rtx``.
    capabilities
        CUDA compute capabilities, e.g. ``("8.6", "8.9")``; for `tensorrt` that of the GPU it is built on.
    batch_size
        The profile takes 1 to `batch_size` images and is tuned for `batch_size`.
    gpu
        Name of the GPU whose kernels were timed; None for `tensorrt_rtx`, whose engines are those of a capability.
    """

    runtime: str
    precision: str
    capabilities: tuple[str, ...]
    batch_size: int
    gpu: str | None = None
    threads: int = 1


@dataclass(frozen=True)
class Built:
    """A serialised engine, the layers that the builder reports (empty below version 11) and its warnings."""

    plan: bytes
    layers: tuple[Layer, ...]
    warnings: tuple[str, ...]
    build_s: float


def library(runtime: str) -> Any:
    """The module of `runtime`, or UnavailableError with the install command."""
    return require(runtime_of(runtime).package, why=f"runtime {runtime}")


def check_capabilities(runtime: str, capabilities: tuple[str, ...]) -> None:
    """Refuse what `runtime` cannot build for."""
    if runtime != "tensorrt_rtx":
        return
    if not capabilities:
        raise InputError("no compute capability to build for", remedy="--compute-capability 8.9")
    for capability in capabilities:
        if capability not in RTX_CAPABILITIES:
            hopper = " (Hopper)" if capability == "9.0" else ""
            raise UnavailableError(
                f"tensorrt_rtx does not support compute capability {capability}{hopper}",
                expected=", ".join(RTX_CAPABILITIES),
                remedy=f"tensorrt on that GPU: {install_command('tensorrt')}, then --runtime tensorrt",
            )


def prepared(model: ModelFile, precision: str) -> tuple[bytes, dict[str, int]]:
    """The ONNX bytes that TensorRT gets, and what had to be rewritten (int8 only)."""
    if precision not in ("int8", "bf16"):
        return model.content, {}
    graph, rewritten = model.graph(), {}
    if precision == "int8":
        rewritten = symmetric_int8(graph)
    else:
        import onnx

        typed_in(graph, onnx.TensorProto.BFLOAT16)
    return graph.SerializeToString(deterministic=True), rewritten


def build_engine(content: bytes, card: ModelCard, target: Target, timing_cache: Path | None = None) -> Built:
    """Build an engine.

    Parameters
    ----------
    content
        ONNX, `prepared`.
    timing_cache
        File with the kernel timings of earlier builds; read and written by `tensorrt` (in `tensorrt_rtx`, which
        times nothing ahead of time, these calls do nothing).

    Raises
    ------
    UnavailableError
        The library is not installed or does not support the graph or the target.
    SkytriggerError
        The build failed for another reason.
    """
    check_capabilities(target.runtime, target.capabilities)
    trt = library(target.runtime)
    log = logger(trt)
    start = time.perf_counter()
    builder = trt.Builder(log)
    builder.max_threads = target.threads
    with warnings.catch_warnings():  # the flag is the rule from version 11 on, and deprecated there
        warnings.simplefilter("ignore", DeprecationWarning)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, network, log, content, target)
    config = builder.create_builder_config()
    _configure(trt, builder, config, card, target)
    if target.runtime == "tensorrt" and timing_cache is not None:
        _load_timings(config, timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _build_error(log, target)
    if target.runtime == "tensorrt" and timing_cache is not None:
        write_bytes(timing_cache, bytes(config.get_timing_cache().serialize()))
    text = next((m for m in log.messages if m.startswith(HEAD)), "")
    return Built(bytes(plan), tuple(layers_of(text)), tuple(dict.fromkeys(log.warnings)), time.perf_counter() - start)


def settings(trt: Any, target: Target) -> dict[str, Any]:
    """Builder settings that change the engine; part of its cache key."""
    return {
        "strongly_typed": True,
        "tf32": target.precision == "tf32",
        "user_allocation": hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"),
        "profiling": "detailed",
    }


def _configure(trt: Any, builder: Any, config: Any, card: ModelCard, target: Target) -> None:
    wanted = settings(trt, target)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # the inspector's; the kernels are the same
    if wanted["tf32"]:
        config.set_flag(trt.BuilderFlag.TF32)
    else:  # on by default: a float32 engine would keep 10 of the 23 bits
        config.clear_flag(trt.BuilderFlag.TF32)
    if wanted["user_allocation"]:  # without it tensorrt_rtx may allocate while it runs, and not be captured
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    if target.runtime == "tensorrt_rtx":
        config.num_compute_capabilities = len(target.capabilities)
        for index, capability in enumerate(target.capabilities):
            name = f"SM{capability.replace('.', '')}"
            value = trt.ComputeCapability.__members__.get(name)
            if value is None or not config.set_compute_capability(value, index):
                raise UnavailableError(f"tensorrt_rtx {trt.__version__} cannot build for {capability}")
    profile = builder.create_optimization_profile()
    image = (len(card.channels), *card.size)
    profile.set_shape(INPUT, (1, *image), (target.batch_size, *image), (target.batch_size, *image))
    config.add_optimization_profile(profile)


def _parse(trt: Any, network: Any, log: Any, content: bytes, target: Target) -> None:
    parser = trt.OnnxParser(network, log)
    if parser.parse(content):
        return
    lines = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        where = f"operator {error.node_operator()}" if error.node_operator() else "the graph"
        if error.node_name():
            where += f" of node {error.node_name()!r}"
        if "UNSUPPORTED" in str(error.code()):
            lines.append(f"{where} (number {error.node()}) is not supported")
        else:
            lines.append(f"{where}: {error.desc()}")
    raise UnavailableError(
        f"{target.runtime} {trt.__version__} cannot take this model: " + "; ".join(dict.fromkeys(lines)),
        remedy="another network, or --runtime onnxruntime",
    )


def _build_error(log: Any, target: Target) -> SkytriggerError:
    reason = " ".join(log.errors[-1:]) or "the builder gave no reason"
    what = f"{target.runtime} cannot build this engine for compute capability {', '.join(target.capabilities)}: "
    if "FP32 GEMM is not supported" in reason:
        return UnavailableError(
            what + "7.5 has no FP32 matrix products",
            expected="an FP16 model",
            remedy="skytrigger export RUN --precision fp16",
        )
    return SkytriggerError(what + reason[:500])


def _load_timings(config: Any, path: Path) -> None:
    content = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(content)
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        say(f"skytrigger: timing cache {path.name} is not this GPU's or damaged: begun anew")
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def logger(trt: Any) -> Any:
    """A logger that keeps what is said; created here because its base class is the library's."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.warnings: list[str] = []
            self.messages: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR:
                self.errors.append(message)
            elif severity == trt.ILogger.WARNING:
                self.warnings.append(message)
            else:
                self.messages.append(message)

    return Log()
