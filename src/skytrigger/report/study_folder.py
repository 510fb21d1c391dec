"""What a study's cells hold, read with care: the study may be unfinished, or somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json, read_lines
from skytrigger.core.heads import Head
from skytrigger.learn.metrics import cross_entropy, metrics
from skytrigger.learn.predictions import Predictions, predictions_of, read_predictions
from skytrigger.measure import records
from skytrigger.measure.records import Record
from skytrigger.study.study_file import Cell, StudyFile, entry

HISTORY = ("epoch", "train_loss", "val_loss", "seconds", "images_per_s")
Read = TypeVar("Read")


@dataclass(frozen=True)
class Run:
    """One network trained with one seed.

    Attributes
    ----------
    found
        Metrics of its first head of classes; None before evaluation, and where it has no such head.
    figures
        metrics.json: what the application itself makes of the predictions is among them.
    """

    network: str
    seed: int
    history: list[dict[str, Any]]
    result: dict[str, Any]
    found: dict[str, Any] | None
    predictions: Predictions | None
    predictions_file: Path | None
    figures: dict[str, Any] = field(default_factory=dict)

    def of_head(self, head: Head) -> Run:
        """The same run as if `head`, one of classes, were its only one."""
        held = self.predictions
        if held is None or head.name not in held.answers:
            return replace(self, found=None, predictions=None, predictions_file=None)
        own = predictions_of(
            held.ids, (head,), {head.name: held.truth[head.name]}, {head.name: held.answers[head.name]}
        )
        return replace(self, found=metrics(own.logits, own.true, own.classes), predictions=own)

    @cached_property
    def image_ids(self) -> tuple[str, ...]:
        """Ids of the evaluated images, sorted."""
        return tuple(sorted(self._held.ids))

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """(n,) whether each image was recognised, in the order of the sorted ids."""
        held = self._held
        return np.asarray(held.logits.argmax(axis=1) == held.true)[self._order]

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """(n,) cross entropy of each image, nats, in the order of the sorted ids."""
        return np.asarray(cross_entropy(self._held.logits, self._held.true)[self._order])

    @property
    def _held(self) -> Predictions:
        if self.predictions is None:
            raise InputError(f"{self.network}, seed {self.seed}: no predictions")
        return self.predictions

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.argsort(np.array(self._held.ids)).astype(np.int64)


@dataclass(frozen=True)
class StudyFolder:
    """A study with all that its cells hold. `problems` are files that could not be read, in words."""

    file: StudyFile
    runs: list[Run]
    records: list[Record]
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.file.path.resolve().name

    @cached_property
    def networks(self) -> dict[str, list[Run]]:
        """Runs by network, in the study's order; seeds ascending."""
        found: dict[str, list[Run]] = {}
        for run in self.runs:
            found.setdefault(run.network, []).append(run)
        return {name: sorted(runs, key=lambda r: r.seed) for name, runs in found.items()}

    @property
    def trained(self) -> dict[str, list[Run]]:
        """Of the networks those runs that have finished an epoch."""
        kept = {name: [r for r in runs if r.history] for name, runs in self.networks.items()}
        return {name: runs for name, runs in kept.items() if runs}

    @property
    def heads(self) -> tuple[Head, ...]:
        """Of the first network that was evaluated."""
        return next((r.predictions.heads for r in self.runs if r.predictions is not None), ())

    def of_head(self, head: Head) -> StudyFolder:
        """The same study as if `head` were the networks' only one."""
        return replace(self, runs=[r.of_head(head) for r in self.runs])

    @property
    def synthetic(self) -> bool:
        """Whether the images were generated."""
        return entry(self.file.data, "source").get("kind") == "synthetic"

    def of_kind(self, kind: str) -> list[Cell]:
        """Cells of one kind."""
        return [c for c in self.file.cells if c.kind == kind]


def read_study(folder: Path) -> StudyFolder:
    """Read study.json and what its cells hold; bad files of single cells become `problems`."""
    file = StudyFile.read(folder)
    problems: list[str] = []
    return StudyFolder(file, _runs(file, problems), _records(file, problems), problems)


def network_words(cell: Cell) -> str:
    """Network of a cell, with the place on the study's axes where it has any."""
    variant = entry(cell.training.params, "variant")
    said = [f"{name.replace('_', ' ')} {value}" for name, value in variant.items() if name != "scaling"]
    return ", ".join([cell.network, *said])


def _runs(file: StudyFile, problems: list[str]) -> list[Run]:
    judged = {c.needs[0].key: c for c in file.cells if c.kind == "evaluate" and c.needs}
    runs = []
    for cell in file.cells:
        recipe = entry(cell.params, "recipe")
        if cell.kind != "train" or not isinstance(recipe.get("seed"), int):
            continue
        history = _tried(problems, _history, file.folder(cell)) or []
        judge = judged.get(cell.key)
        held, kept = None, None
        if judge is not None and judge.status == "done":
            kept = file.folder(judge) / "predictions.parquet"
            held = _tried(problems, read_predictions, kept)
        found = metrics(held.logits, held.true, held.classes) if held is not None and held.classes else None
        figures = _tried(problems, read_json, kept.with_name("metrics.json")) if held is not None and kept else {}
        if history or held:
            name, file_ = network_words(cell), kept if held is not None else None
            runs.append(Run(name, recipe["seed"], history, cell.result, found, held, file_, figures or {}))
    return runs


def _tried(problems: list[str], read: Callable[[Path], Read], path: Path) -> Read | None:
    try:
        return read(path)
    except InputError as error:
        problems.append(str(error))
        return None


def _history(path: Path) -> list[dict[str, Any]]:
    file = path / "history.jsonl"
    lines = read_lines(file) if file.is_file() else []
    for line in lines:
        if not all(isinstance(line.get(k), (int, float)) for k in HISTORY):
            raise InputError(f"{file} is not a history", expected=f"numbers called {', '.join(HISTORY)}")
    return lines


def _records(file: StudyFile, problems: list[str]) -> list[Record]:
    """Records of the study's own cells, and those that lie beside `cells/`; not those of another spec's cells."""
    files = [f for c in file.cells if c.status == "done" for f in sorted(file.folder(c).glob("records*.jsonl"))]
    inside = file.path / "cells"
    files += [f for f in sorted(file.path.rglob("records*.jsonl")) if not f.is_relative_to(inside)]
    found: list[Record] = []
    for one in files:
        found += _tried(problems, records.read, one) or []
    return found


def ranged(values: Sequence[float], form: str) -> str:
    """Smallest to largest over seeds."""
    if len(values) < 2:
        return "one seed"
    return f"{form.format(min(values))} to {form.format(max(values))}"
