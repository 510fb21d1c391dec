"""From hits to answers: clusters, images, inference, and what is written for each trackster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.files import atomic_path
from skytrigger.core.progress import track
from skytrigger.hep.clue.workspace import Workspace
from skytrigger.hep.pid.clustering import layer_clusters
from skytrigger.hep.pid.columns import Table, cells_of, tracksters_of
from skytrigger.hep.pid.data import ENERGY, IDENTITY
from skytrigger.hep.pid.evaluation import CALIBRATION, trained_range
from skytrigger.hep.pid.formats import read_tables
from skytrigger.hep.pid.geometry import CLASSES, MUON
from skytrigger.hep.pid.images import LAYOUTS, images, ranks
from skytrigger.hep.pid.networks import layout_of
from skytrigger.hep.pid.separation import probabilities
from skytrigger.hep.pid.tracksters import Tracksters
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.registry import DEFAULT
from skytrigger.runtimes.session import Session

ROWS = 1024
"""Tracksters at a time: memory does not grow with the file."""
STAGES = ("read", "cluster", "image", "infer", "write")


@dataclass
class Stopwatch:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    last: float = field(default_factory=time.perf_counter)

    def lap(self, stage: str) -> None:
        """What went by since the last lap belongs to `stage`."""
        now = time.perf_counter()
        self.seconds[stage] += now - self.last
        self.last = now


class Answers:
    """A network and what its card says about its answers."""

    def __init__(self, session: Session) -> None:
        card = session.card
        names = [head.name for head in card.heads]
        if names != [IDENTITY, ENERGY]:
            raise InputError(
                f"{session.model.path} has the heads {', '.join(names)}", expected=f"{IDENTITY}, {ENERGY}",
                remedy="a network of skytrigger pid train",
            )  # fmt: skip
        self.session, self.layout = session, layout_of((card.size[0], card.size[1]))
        known = card.notes.get(CALIBRATION) or {}
        self.temperature, self.factor = float(known.get("temperature", 1)), float(known.get("sigma_factor", 1))
        self.energies, self.etas = trained_range(card), trained_range(card, "eta")

    def columns(self, found: Tracksters, pictures: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Columns of the answers; energies of what is taken for a muon are NaN: they cannot be measured."""
        outputs = self.session.answers(pictures)
        chance = probabilities(outputs[IDENTITY], self.temperature)
        kind = chance.argmax(axis=1)
        values = outputs[ENERGY].astype(np.float64)
        energy = np.where(kind == MUON, np.nan, values[:, 0])
        table: dict[str, NDArray[Any]] = {"particle": np.array(CLASSES)[kind]}
        table |= {f"p_{name}": chance[:, i].astype(np.float32) for i, name in enumerate(CLASSES)}
        table["energy"] = energy.astype(np.float32)
        if values.shape[1] > 1:
            sigma = self.factor * np.exp(values[:, 1] / 2)
            table["energy_sigma"] = np.where(kind == MUON, np.nan, sigma).astype(np.float32)
        total = np.add.reduceat(found.clusters.energy.astype(np.float64), found.offsets[:-1])
        eta = np.add.reduceat(found.clusters.eta.astype(np.float64) * found.clusters.energy, found.offsets[:-1]) / total
        table |= {"cluster_energy": total.astype(np.float32), "eta": eta.astype(np.float32)}
        table["clusters"] = found.counts.astype(np.int32)
        left_out = ranks(found) >= LAYOUTS[self.layout].clusters
        table["clusters_left_out"] = np.add.reduceat(left_out.astype(np.int32), found.offsets[:-1])
        away = (np.abs(eta) < self.etas[0]) | (np.abs(eta) > self.etas[1])
        far = (energy < self.energies[0]) | (energy > self.energies[1])
        table["extrapolated"] = away | far
        return table


def answer_events(
    events: str | Path,
    model: str | Path,
    out: str | Path,
    *,
    runtime: str = DEFAULT,
    batch_size: int = 64,
    threads: int = 1,
    rows: int = ROWS,
) -> dict[str, Any]:
    """Cluster the hits of a file (or take its clusters), and write what the network says about each trackster.

    Each row of the file is a trackster. Returns counts, seconds by stage and showers per second.

    Raises
    ------
    InputError
        See `columns.tracksters_of` and `columns.cells_of`; a row whose hits make no cluster is answered with particle
        ``none`` and NaN.
    """
    out, watch, n, none = Path(out), Stopwatch(), 0, 0
    if out.suffix.lower() not in (".parquet", ".csv"):
        raise InputError(f"cannot write {out}", expected=".parquet or .csv")
    session = open_session(model, runtime, batch_size=batch_size, threads=threads)
    counts = dict.fromkeys(CLASSES, 0)
    try:
        answers = Answers(session)
        watch.last = time.perf_counter()
        with atomic_path(out) as temporary, track("answer", 1) as advance:
            writer = _Writer(temporary, out.suffix.lower())
            try:
                for found, number in _tracksters(events, rows, threads, watch):
                    pictures = images(found, answers.layout) if len(found) else None
                    watch.lap("image")
                    table = answers.columns(found, pictures) if pictures is not None else {}
                    watch.lap("infer")
                    filled = _filled(table, number, n)
                    for name in CLASSES:
                        counts[name] += int((filled["particle"] == name).sum())
                    none += int((filled["particle"] == "none").sum())
                    writer.write(filled)
                    n += len(number)
                    watch.lap("write")
            finally:
                writer.close()
            advance(1)
        watch.lap("write")
    finally:
        session.close()
    seconds = sum(watch.seconds.values())
    return {
        "events": str(events), "model": str(model), "out": str(out), "n": n, "without_clusters": none,
        "particles": counts, "seconds": seconds, "seconds_by_stage": watch.seconds, "showers_per_s": n / seconds,
        "runtime": runtime, "batch_size": batch_size, "threads": threads,
    }  # fmt: skip


def _tracksters(
    events: str | Path, rows: int, threads: int, watch: Stopwatch
) -> Iterator[tuple[Tracksters, NDArray[np.int64]]]:
    """Tracksters that have clusters, and for every row of the file its place among them, -1 where it has none."""
    space = Workspace()
    for table in read_tables(events, rows):
        watch.lap("read")
        found = _clusters(table, str(events), space, threads)
        filled = np.flatnonzero(found.counts)
        number = np.full(len(found), -1)
        number[filled] = np.arange(len(filled))
        kept = found if len(filled) == len(found) else found.take(filled)
        watch.lap("cluster")
        yield kept, number


def _clusters(table: Table, where: str, space: Workspace, threads: int) -> Tracksters:
    if "hit" in table.lists:
        return layer_clusters(cells_of(table, where), table.rows, space, threads)
    return tracksters_of(table, where)


def _filled(table: dict[str, NDArray[Any]], number: NDArray[np.int64], first: int) -> dict[str, NDArray[Any]]:
    """A row for every row of the events; those without clusters say so."""
    rows: dict[str, NDArray[Any]] = {"row": first + np.arange(len(number))}
    if not table:
        return rows | {"particle": np.full(len(number), "none")}
    for name, values in table.items():
        if (number >= 0).all():
            rows[name] = values
            continue
        empty = {"U": "none", "f": np.nan}.get(values.dtype.kind, 0)
        padded = np.append(values, np.array([empty], values.dtype if values.dtype.kind != "U" else None))
        rows[name] = padded[number]
    return rows


class _Writer:
    """Parquet or CSV, batch by batch."""

    def __init__(self, path: Path, suffix: str) -> None:
        self.path, self.suffix = path, suffix
        self.writer: Any = None

    def write(self, table: dict[str, NDArray[Any]]) -> None:
        import pyarrow as pa
        from pyarrow import csv, parquet

        batch = pa.table({name: pa.array(values) for name, values in table.items()})
        if self.writer is None:
            make = csv.CSVWriter if self.suffix == ".csv" else parquet.ParquetWriter
            self.writer = make(self.path, batch.schema)
        self.writer.write_table(batch)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
