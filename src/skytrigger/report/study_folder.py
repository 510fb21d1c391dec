"""A study folder as it lies there, perhaps unfinished, perhaps from somebody else: read with care."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json, read_lines
from skytrigger.learn.metrics import cross_entropy, metrics
from skytrigger.learn.predictions import Predictions, read_predictions
from skytrigger.measure import records
from skytrigger.measure.records import Record

HISTORY = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds", "images_per_s")


@dataclass(frozen=True)
class CellEntry:
    """A cell of study.json; `path` lies inside the study's folder."""

    kind: str
    label: str
    status: str
    error: str
    key: str
    needs: tuple[str, ...]
    path: Path
    params: dict[str, Any]
    result: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One network trained with one seed. `found` are its metrics, None before evaluation."""

    network: str
    seed: int
    history: list[dict[str, Any]]
    result: dict[str, Any]
    found: dict[str, Any] | None
    predictions: Predictions | None
    predictions_file: Path | None

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
    """All that a study folder holds. `problems` are files that could not be read, in words."""

    path: Path
    spec: dict[str, Any]
    host: dict[str, Any]
    data: dict[str, Any]
    cells: list[CellEntry]
    runs: list[Run]
    records: list[Record]
    problems: list[str] = field(default_factory=list)

    @property
    def networks(self) -> dict[str, list[Run]]:
        """Runs by network, in the study's order; seeds ascending."""
        found: dict[str, list[Run]] = {}
        for run in self.runs:
            found.setdefault(run.network, []).append(run)
        return {name: sorted(runs, key=lambda r: r.seed) for name, runs in found.items()}

    @property
    def synthetic(self) -> bool:
        """Whether the images were generated."""
        source = self.data.get("source")
        return isinstance(source, dict) and source.get("kind") == "synthetic"

    def of_kind(self, kind: str) -> list[CellEntry]:
        """Cells of one kind."""
        return [c for c in self.cells if c.kind == kind]

    def network_of(self, cell: CellEntry) -> str:
        """The network that a cell is about, by way of what it needs."""
        by_key = {c.key: c for c in self.cells}
        for _ in range(4):
            if cell.kind == "train" or not cell.needs or cell.needs[0] not in by_key:
                break
            cell = by_key[cell.needs[0]]
        return str(_object(cell.params, "recipe").get("model", cell.label))


def read_study(folder: Path) -> StudyFolder:
    """Read study.json and what its cells hold.

    Raises
    ------
    InputError
        study.json is missing, corrupt, or points outside its folder. Bad files of single cells become `problems`.
    """
    file = folder / "study.json"
    raw = read_json(file)
    if not isinstance(raw, dict) or not isinstance(raw.get("cells"), list):
        raise InputError(f"{file} is not a study", expected="an object with a list of cells")
    if raw.get("schema") != 1:
        raise InputError(f"{file}: schema {raw.get('schema')!r}", expected="1", remedy="update skytrigger")
    cells = [_cell(row, folder, f"{file}, cell {i}") for i, row in enumerate(raw["cells"], 1)]
    problems: list[str] = []
    runs = _runs(cells, problems)
    found = _records(folder, cells, problems)
    return StudyFolder(
        folder, _object(raw, "spec"), _object(raw, "host"), _object(raw, "data"), cells, runs, found, problems
    )


def _object(raw: dict[str, Any], name: str) -> dict[str, Any]:
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def _cell(row: Any, folder: Path, where: str) -> CellEntry:
    if not isinstance(row, dict) or not isinstance(row.get("folder"), str) or not isinstance(row.get("needs"), list):
        raise InputError(f"{where} is not a cell", expected="kind, label, status, folder, needs, ...")
    path = folder / row["folder"]
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{where} lies outside the study: {row['folder']!r}")
    kind, label, status, error, key = (str(row.get(k, "")) for k in ("kind", "label", "status", "error", "key"))
    needs = tuple(map(str, row["needs"]))
    return CellEntry(kind, label, status, error, key, needs, path, _object(row, "params"), _object(row, "result"))


def _runs(cells: Sequence[CellEntry], problems: list[str]) -> list[Run]:
    judged = {c.needs[0]: c for c in cells if c.kind == "evaluate" and c.needs}
    runs = []
    for cell in cells:
        recipe = _object(cell.params, "recipe")
        if cell.kind != "train" or not isinstance(recipe.get("seed"), int):
            continue
        history = _tried(lambda p=cell.path: _history(p), problems) or []
        judge = judged.get(cell.key)
        found, held, file = None, None, None
        if judge is not None and judge.status == "done":
            file = judge.path / "predictions.parquet"
            held = _tried(lambda f=file: read_predictions(f), problems)
            if held is not None:
                found = metrics(held.logits, held.true, held.classes)
        if history or found:
            runs.append(Run(str(recipe.get("model")), recipe["seed"], history, cell.result, found, held,
                            file if held is not None else None))  # fmt: skip
    return runs


def _tried(read: Any, problems: list[str]) -> Any:
    try:
        return read()
    except InputError as error:
        problems.append(str(error))
        return None


def _history(path: Path) -> list[dict[str, Any]]:
    file = path / "history.jsonl"
    if not file.is_file():
        return []
    lines = read_lines(file)
    for line in lines:
        if not all(isinstance(line.get(k), (int, float)) for k in HISTORY):
            raise InputError(f"{file} is not a history", expected=f"numbers called {', '.join(HISTORY)}")
    return lines


def _records(folder: Path, cells: Sequence[CellEntry], problems: list[str]) -> list[Record]:
    """Records of the study's own cells, and those that lie beside `cells/`; not those of another spec's cells."""
    files = [
        f for c in cells if c.kind == "bench" and c.status == "done" for f in sorted(c.path.glob("records*.jsonl"))
    ]
    inside = folder / "cells"
    files += [f for f in sorted(folder.rglob("records*.jsonl")) if not f.is_relative_to(inside)]
    found: list[Record] = []
    for file in files:
        found += _tried(lambda f=file: records.read(f), problems) or []
    return found
