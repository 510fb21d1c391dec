"""study.json and the content-addressed cells beside it: the one place where both are written and read.

::

    OUT/study.json                      spec, data facts, host, the command, and the state of every cell
    OUT/cells/<kind>-<label>-<key>/     what the cell computed; result.json is written last
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json, sha256_json, write_json

SCHEMA = 1
NAME = "study.json"


@dataclass
class Cell:
    """One unit of work.

    Attributes
    ----------
    kind
        ``train``, ``evaluate``, ``export`` or ``bench``.
    label
        For people: network, variant, seed, batch.
    params
        All that decides the result, JSON only; its hash is the cell's address.
    needs
        Cells that must be done first.
    cost
        Rough relative time, for the progress bar only.
    status
        ``open``, ``done``, ``failed``, ``unavailable`` (this machine cannot) or ``skipped`` (a need failed).
    read_key, read_folder
        As study.json has them, for a cell that was read from there.
    """

    kind: str
    label: str
    params: dict[str, Any]
    needs: tuple[Cell, ...] = ()
    cost: float = 1.0
    status: str = "open"
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    read_key: str = ""
    read_folder: str = ""

    @property
    def key(self) -> str:
        """Content address."""
        return self.read_key or sha256_json([self.kind, self.params, [n.key for n in self.needs]])

    @property
    def folder(self) -> str:
        """Folder below the study's."""
        return self.read_folder or f"cells/{self.kind}-{self.label}-{self.key[:10]}"

    @property
    def training(self) -> Cell:
        """The training that this cell goes back to; the cell itself where there is none."""
        return self if self.kind == "train" or not self.needs else self.needs[0].training

    @property
    def network(self) -> str:
        """The network that the cell is about."""
        recipe = self.training.params.get("recipe")
        return str(recipe.get("model", self.label)) if isinstance(recipe, dict) else self.label

    def to_json(self) -> dict[str, Any]:
        """Its row in study.json."""
        row = {k: getattr(self, k) for k in ("kind", "label", "params", "status", "error", "result")}
        return row | {"key": self.key, "folder": self.folder, "needs": [n.key for n in self.needs]}


@dataclass
class StudyFile:
    """A study: what it was asked, on what, where, and its cells. `command` makes it again; empty: none is known."""

    path: Path
    spec: dict[str, Any] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    cells: list[Cell] = field(default_factory=list)

    def folder(self, cell: Cell) -> Path:
        """The cell's own folder."""
        return self.path / cell.folder

    def load(self, cell: Cell) -> bool:
        """Take over the result of an earlier run, if it is complete."""
        file = self.folder(cell) / "result.json"
        if not file.is_file():
            return False
        found = read_json(file)
        if not isinstance(found, dict) or found.get("key") != cell.key or not isinstance(found.get("result"), dict):
            raise InputError(f"{file} does not belong to its folder", remedy="delete that folder")
        cell.status, cell.result = "done", found["result"]
        return True

    def finish(self, cell: Cell, result: dict[str, Any]) -> None:
        """Write the result; from here on the cell is done, whatever happens."""
        write_json(self.folder(cell) / "result.json", {"key": cell.key, "kind": cell.kind, "result": result})
        cell.status, cell.result = "done", result

    def write(self) -> None:
        """Write study.json."""
        head = {"schema": SCHEMA, "spec": self.spec, "host": self.host, "data": self.data}
        head |= {"command": self.command} if self.command else {}
        write_json(self.path / NAME, {**head, "cells": [cell.to_json() for cell in self.cells]})

    @staticmethod
    def read(path: str | Path) -> StudyFile:
        """Of the study in a folder, perhaps unfinished, perhaps somebody else's.

        Raises
        ------
        InputError
            study.json is missing, corrupt, or points outside its folder.
        """
        path = Path(path)
        raw, where = read_json(path / NAME), path / NAME
        if not isinstance(raw, dict) or not isinstance(raw.get("cells"), list):
            raise InputError(f"{where} is not a study", expected="an object with a list of cells")
        if raw.get("schema") != SCHEMA:
            raise InputError(f"{where}: schema {raw.get('schema')!r}", expected=str(SCHEMA), remedy="update skytrigger")
        cells: dict[str, Cell] = {}
        for i, row in enumerate(raw["cells"], 1):
            cell = _cell(row, path, f"{where}, cell {i}", cells)
            cells[cell.key] = cell
        spec, host, data = (entry(raw, name) for name in ("spec", "host", "data"))
        return StudyFile(path, spec, host, data, str(raw.get("command", "")), list(cells.values()))


def entry(raw: Any, name: str) -> dict[str, Any]:
    """The object called `name` in another; empty where there is none."""
    value = raw.get(name) if isinstance(raw, dict) else None
    return value if isinstance(value, dict) else {}


def _cell(row: Any, root: Path, where: str, before: dict[str, Cell]) -> Cell:
    if not isinstance(row, dict) or not isinstance(row.get("folder"), str) or not isinstance(row.get("needs"), list):
        raise InputError(f"{where} is not a cell", expected="kind, label, status, folder, needs, ...")
    if not (root / row["folder"]).resolve().is_relative_to(root.resolve()):
        raise InputError(f"{where} lies outside the study: {row['folder']!r}")
    kind, label, status, error, key = (str(row.get(k, "")) for k in ("kind", "label", "status", "error", "key"))
    needs = tuple(before[str(n)] for n in row["needs"] if str(n) in before)
    return Cell(kind, label, entry(row, "params"), needs, 1.0, status, error, entry(row, "result"), key or where,
                row["folder"])  # fmt: skip
