"""The bench cell: one model file on every engine, all in one counterbalanced run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.bench.run import Job, Options, bench
from skytrigger.core.errors import SkytriggerError, UnavailableError
from skytrigger.core.files import write_text
from skytrigger.core.host import cores_in_mask
from skytrigger.study.cells import Study, Tick, model_file
from skytrigger.study.store import Cell


def run_bench(study: Study, cell: Cell, tick: Tick) -> dict[str, Any]:
    """Measure on real tiles of the validation part; records.jsonl is written when all engines are through."""
    params = cell.params
    size = params["batch_size"]
    threads = params["threads"] or cores_in_mask()
    index = np.resize(study.split.val, max(size, 16))
    with tempfile.TemporaryDirectory() as folder:
        tiles = Path(folder) / "tiles.npy"
        np.save(tiles, study.dataset.x[index].astype(np.float32))
        jobs = []
        for engine in params["engines"]:
            runtime, _, precision = engine.partition(":")
            jobs.append(Job(str(model_file(study, cell)), runtime, precision, size, threads, device=params["device"]))
        # with 10 blocks a sign-flip p cannot fall below 0.01: too much for five engines after Holm
        options = Options(
            seconds=params["seconds"], min_blocks=12, tiles=str(tiles), data_hash=study.dataset.content_hash,
            energy_seconds=params.get("energy_seconds", 0.0), ceilings=params.get("ceilings", True),
        )  # fmt: skip
        share = cell.cost / len(jobs)
        found = bench(jobs, options, lambda part, note: tick(part * share, note))
    if not found.records:
        if found.failed:
            raise SkytriggerError("; ".join(found.failed.values()))
        raise UnavailableError("; ".join(found.unavailable.values()))
    lines = "".join(record.to_json() + "\n" for record in found.records)
    write_text(study.store.folder(cell) / "records.jsonl", lines)
    return {"measured": len(found.records), "unavailable": found.unavailable, "failed": found.failed}
