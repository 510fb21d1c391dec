"""The one place that knows which runtimes there are."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.model.file import ModelFile, read_model
from skytrigger.runtimes.input_type import check_input_type
from skytrigger.runtimes.session import Request, Session

# name -> (module, what makes a session); modules are imported when asked for
RUNTIMES = {
    "torch": ("torch.session", "torch_session"),
    "torch-compiled": ("torch.session", "torch_session"),
    "onnxruntime": ("onnxruntime_session", "OnnxRuntimeSession"),
    "openvino": ("openvino_session", "OpenVinoSession"),
    "tensorrt": ("tensorrt.session", "TensorRtSession"),
    "tensorrt_rtx": ("tensorrt.session", "TensorRtSession"),
    "hopper": ("hopper.session", "HopperSession"),
}
AUTOCAST = {"bf16", "tf32"}  # precisions an engine makes from a float32 file; all others come from the file


def open_session(
    model_file: str | Path | ModelFile,
    runtime: str = "onnxruntime",
    precision: str = "fp32",
    batch_size: int = 1,
    threads: int | None = None,
    streams: int = 1,
    device: str = "cpu",
    input_type: str = "float32",
) -> Session:
    """Open a model file on an engine; nothing falls back silently.

    Parameters
    ----------
    threads
        CPU threads of one stream's work; by default every core of this process's mask.
    streams
        Batches that run side by side.
    input_type
        Of the tiles that `run` takes: float32, or what the data is stored in (see `runtimes.input_type`).

    Raises
    ------
    InputError
        Unknown runtime, impossible numbers, a file of another precision.
    UnavailableError
        This machine lacks the package, device, provider or precision.
    """
    if runtime not in RUNTIMES:
        raise InputError(f"no runtime called {runtime!r}", expected=", ".join(RUNTIMES))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = cores if threads is None else threads
    if not 1 <= threads <= cores:
        raise InputError(f"threads = {threads}", expected=f"1 to {cores}, the cores this process may use")
    if not 1 <= batch_size <= 1 << 16:
        raise InputError(f"batch size = {batch_size}", expected="1 to 65536")
    if not 1 <= streams <= 64:
        raise InputError(f"streams = {streams}", expected="1 to 64")
    check_input_type(input_type)
    model = model_file if isinstance(model_file, ModelFile) else read_model(model_file)
    module_name, class_name = RUNTIMES[runtime]
    module = importlib.import_module(f"skytrigger.runtimes.{module_name}")
    offered: tuple[str, ...] = module.PRECISIONS
    if precision not in offered:
        raise UnavailableError(f"runtime {runtime} has no precision {precision!r}", expected=", ".join(offered))
    source = "fp32" if precision in AUTOCAST else precision
    if model.card.precision != source:
        raise InputError(
            f"{model.path} holds {model.card.precision} weights, precision {precision} was asked for",
            remedy=f"skytrigger export RUN --precision {source}",
        )
    session: Session = getattr(module, class_name)(
        model, Request(runtime, precision, batch_size, threads, streams, device, input_type)
    )
    if session.engine.precision_run != precision:
        session.close()
        raise UnavailableError(
            f"{runtime} on {device} runs this model in {session.engine.precision_run}, not in {precision}",
            remedy="another runtime or precision; see skytrigger doctor",
        )
    return session
