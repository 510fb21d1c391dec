"""From a model file to a session on an engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.core.host import cores_in_mask
from skytrigger.model.file import ModelFile, read_model
from skytrigger.runtimes.registry import DEFAULT, RUNTIMES, Runtime, runtime_of
from skytrigger.runtimes.session import Session
from skytrigger.runtimes.spec import EngineSpec


def open_session(
    model_file: str | Path | ModelFile,
    runtime: str | EngineSpec = DEFAULT,
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
    runtime
        Its name; or a whole `EngineSpec`, which then stands for all that follows.
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
    if isinstance(runtime, EngineSpec):
        spec = runtime
    else:
        cores = cores_in_mask() if threads is None else threads
        spec = EngineSpec("", runtime, precision, batch_size, cores, streams, device, input_type)
    row = runtime_of(spec.check().runtime)
    model = model_file if isinstance(model_file, ModelFile) else read_model(model_file)
    spec = replace(spec, model=str(model.path))
    if spec.precision not in row.precisions:
        raise UnavailableError(
            f"runtime {row.name} has no precision {spec.precision!r}", expected=", ".join(row.precisions)
        )
    if model.native:
        _check_native(row, spec)
    check_precision(model, spec.file_precision, f"precision {spec.precision} was asked for")
    session: Session = getattr(row.load(), row.opener)(model, spec)
    if session.engine.precision_run != spec.precision:
        session.close()
        raise UnavailableError(
            f"{row.name} on {spec.device} runs this model in {session.engine.precision_run}, not in {spec.precision}",
            remedy="another runtime or precision; see skytrigger doctor",
        )
    return session


def _check_native(row: Runtime, spec: EngineSpec) -> None:
    """Raise UnavailableError where windows of native pixels are not what the engine can take."""
    if not row.native or spec.device.startswith("cuda"):
        able = [r.name for r in RUNTIMES.values() if r.native]
        raise UnavailableError(
            f"runtime {row.name} on {spec.device} takes no native pixels", expected=f"{', '.join(able)} on a CPU"
        )
    if spec.input_type != "float32":
        raise UnavailableError(f"input type {spec.input_type!r} for a network on native pixels", expected="float32")


def check_precision(model: ModelFile, precision: str, asked: str) -> None:
    """Raise InputError unless the file's weights are in `precision`."""
    if model.card.precision != precision:
        raise InputError(
            f"{model.path} holds {model.card.precision} weights, {asked}",
            remedy=f"skytrigger export RUN --precision {precision}",
        )
