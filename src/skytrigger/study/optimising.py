"""What a search for the fastest engine needs from the measuring bench."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.bench.compare_times import TIMED, compare_times
from skytrigger.bench.run import Job, Options, bench
from skytrigger.core.dataset import Dataset
from skytrigger.measure.records import Record
from skytrigger.optimize.engines import Engine
from skytrigger.optimize.training import Advance

TILES = 128


@dataclass
class BenchMeasure:
    """`optimize.engines.Measure` by `study.bench`: each engine a process of its own, on real validation images."""

    advance: Advance = lambda cost, note: None

    def __call__(
        self,
        engines: Sequence[Engine],
        *,
        seconds: float,
        control: bool,
        energy_seconds: float,
        dataset: Dataset,
        rows: Any,
        stored: str | None,
    ) -> tuple[dict[Engine, Record], dict[Engine, str]]:
        from skytrigger.model.file import read_model

        jobs = {Job(**asdict(engine)): engine for engine in engines}
        done: dict[Engine, Record] = {}
        refused: dict[Engine, str] = {}
        channels = {job: read_model(job.model).card.channels for job in jobs}
        with tempfile.TemporaryDirectory() as folder:
            tiles = Path(folder) / "tiles.npy"
            # engines of one run see the same images; files for fewer channels draw theirs by the card's statistics
            shared = len(set(channels.values())) == 1
            if shared:
                some = dataset.select(next(iter(channels.values())))
                np.save(tiles, some.x[np.resize(rows, TILES)].astype(stored or np.float32))
            options = Options(
                seconds=seconds,
                control=control,
                energy_seconds=energy_seconds,
                tiles=str(tiles) if shared else None,
                stored=stored,
                data_hash=dataset.content_hash if shared else None,
            )
            found = bench(list(jobs), options, lambda cost, note: self.advance(0.2 * cost, note))
        labels: dict[tuple[Any, ...], Engine] = {}
        for job, engine in jobs.items():
            labels.setdefault(_key(asdict(job), read_model(job.model).sha256), engine)
        for record in found.records:
            if record.kind in TIMED:
                engine = labels[_key(record.what, record.what["model_hash"])]
                done.setdefault(engine, record)
        for job, engine in jobs.items():
            why = found.unavailable.get(job.label) or found.failed.get(job.label)
            if why and engine not in done:
                refused[engine] = why
        return done, refused


def _key(what: Any, model_hash: str) -> tuple[Any, ...]:
    names = ("runtime", "precision", "batch_size", "threads", "streams", "device", "input_type")
    return (model_hash, *(what[k] for k in names))


def paired_ratio(first: Record, second: Record) -> dict[str, Any]:
    """`optimize.engines.Ratio`: time of `second` over `first`, both of one run, and what `first` is of the two."""
    cell = compare_times([first], [second])["cells"][0]
    verdict = {"better": "slower", "worse": "faster"}.get(cell["verdict"], cell["verdict"])
    return {"times": cell["ratio"], "verdict": verdict, "paired": cell["paired"], "reasons": cell["reasons"]}
