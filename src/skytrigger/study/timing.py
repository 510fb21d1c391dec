"""The bench cell: one model file on every engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from skytrigger.core.errors import UnavailableError
from skytrigger.measure.host import host_facts
from skytrigger.measure.records import Record, append
from skytrigger.measure.scenarios import offline, single_stream
from skytrigger.runtimes.model_file import read_model
from skytrigger.runtimes.open import open_session
from skytrigger.study.cells import Bench, Tick, model_file
from skytrigger.study.store import Cell


def run_bench(bench: Bench, cell: Cell, tick: Tick) -> dict[str, Any]:
    model = read_model(model_file(bench, cell))
    size = cell.params["batch_size"]
    index = bench.split.part("val")[:size]
    tiles = bench.dataset.x[np.resize(index, size)].astype(np.float32)
    file = bench.store.folder(cell) / "records.jsonl"
    file.unlink(missing_ok=True)
    unavailable = {}
    for engine in cell.params["engines"]:
        runtime, _, precision = engine.partition(":")
        try:
            session = open_session(model, runtime, precision, size, threads=cell.params["threads"], device=cell.params["device"])
        except UnavailableError as error:
            unavailable[engine] = str(error)
            continue
        scenario = single_stream if size == 1 else offline
        found = scenario(lambda: session.run(tiles), session.synchronize, items=size, duration_s=cell.params["seconds"])
        what = {"network": model.card.name, "scenario": found.scenario, "data_hash": bench.dataset.content_hash, **session.facts}
        append(file, Record("latency" if size == 1 else "throughput", what, host_facts(), found.samples, conditions=found.conditions, extra={"warmup": found.warmup}))
        session.close()
        tick(cell.cost / len(cell.params["engines"]), f"{cell.label} {engine}")
    return {"unavailable": unavailable}
