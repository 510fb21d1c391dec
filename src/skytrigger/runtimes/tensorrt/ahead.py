"""Engines ahead of time: built on one machine, laid into the cache of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.core.host import cores_in_mask
from skytrigger.model.file import read_model
from skytrigger.runtimes.open import check_precision, open_session
from skytrigger.runtimes.registry import file_precision
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
    check_precision(model, file_precision(precision), f"an engine in {precision} was asked for")
    if runtime == "tensorrt":
        if capabilities:
            raise InputError("tensorrt builds for the GPU of this machine only", remedy="no --compute-capability")
        session = open_session(model, runtime, precision, batch_size, device="cuda")
        engine, inspector = session.serialised, session.inspector  # type: ignore[attr-defined]
        record = {**engine.record, "inspector": inspector, "precision_run": session.engine.precision_run}
        session.close()
    else:
        unique = tuple(dict.fromkeys(capabilities))
        engine = cache.engine_for(model, Target(runtime, precision, unique, batch_size, threads=cores_in_mask()))
        record = engine.record
        if record["precision_run"] != precision:
            raise UnavailableError(f"{runtime} built this model in {record['precision_run']}, not in {precision}")
    out = Path(out)
    cache.write_pair(out, engine.plan, record)
    return {**record, "source": engine.source, "engine": str(out), "model_bytes": len(model.content)}
