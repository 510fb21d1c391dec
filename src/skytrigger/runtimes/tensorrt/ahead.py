"""Engines ahead of time: built on one machine, laid into the cache of another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.model.file import read_model
from skytrigger.runtimes.open import AUTOCAST, open_session
from skytrigger.runtimes.tensorrt import cache
from skytrigger.runtimes.tensorrt.build import Target


def build_ahead(
    model_file: str | Path,
    runtime: str,
    out: str | Path,
    capabilities: tuple[str, ...] = (),
    batch_size: int = 64,
    precision: str | None = None,
) -> dict[str, Any]:
    """Write the engine `out` and its record `out`.json.

    Parameters
    ----------
    capabilities
        CUDA compute capabilities; `tensorrt` takes none: it builds for the GPU of this machine.
    precision
        By default the file's own.

    Returns
    -------
    dict
        The record (see `tensorrt_cache.Engine`), ``source``, ``engine`` (path) and ``model_bytes``.
    """
    if not 1 <= batch_size <= 1 << 16:
        raise InputError(f"batch size = {batch_size}", expected="1 to 65536")
    model = read_model(model_file)
    precision = precision or model.card.precision
    if model.card.precision != ("fp32" if precision in AUTOCAST else precision):
        raise InputError(
            f"{model.path} holds {model.card.precision} weights, an engine in {precision} was asked for",
            remedy=f"skytrigger export RUN --precision {precision}",
        )
    if runtime == "tensorrt":
        if capabilities:
            raise InputError("tensorrt builds for the GPU of this machine only", remedy="no --compute-capability")
        session = open_session(model, runtime, precision, batch_size, device="cuda")
        engine, inspector = session.found, session.inspector  # type: ignore[attr-defined]
        record = {**engine.record, "inspector": inspector, "precision_run": session.engine.precision_run}
        session.close()
    else:
        unique = tuple(dict.fromkeys(capabilities))
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        engine = cache.engine_for(model, Target(runtime, precision, unique, batch_size, threads=threads))
        record = engine.record
        if record["precision_run"] != precision:
            raise UnavailableError(f"{runtime} built this model in {record['precision_run']}, not in {precision}")
    out = Path(out)
    cache.write_pair(out, engine.plan, record)
    return {**record, "source": engine.source, "engine": str(out), "model_bytes": len(model.content)}
