"""The study folder: content-addressed cells, and study.json that lists them in order.

::

    OUT/study.json                      spec, data facts, host, and the state of every cell
    OUT/cells/<kind>-<label>-<key>/     what the cell computed; result.json is written last
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json, sha256_json, write_json

SCHEMA = 1


@dataclass
class Cell:
    """One unit of work.

    Attributes
    ----------
    kind
        ``train``, ``evaluate``, ``export`` or ``bench``.
    label
        For people: network, seed, engine.
    params
        All that decides the result, JSON only; its hash is the cell's address.
    needs
        Cells that must be done first.
    cost
        Rough relative time, for the progress bar only.
    status
        ``open``, ``done``, ``failed``, ``unavailable`` (this machine cannot) or ``skipped`` (a need failed).
    """

    kind: str
    label: str
    params: dict[str, Any]
    needs: tuple[Cell, ...] = ()
    cost: float = 1.0
    status: str = "open"
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Content address."""
        return sha256_json([self.kind, self.params, [n.key for n in self.needs]])

    @property
    def folder(self) -> str:
        """Folder below the study's."""
        return f"cells/{self.kind}-{self.label}-{self.key[:10]}"


class Store:
    """Where a study's cells lie."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def folder(self, cell: Cell) -> Path:
        """The cell's own folder."""
        return self.path / cell.folder

    def load(self, cell: Cell) -> bool:
        """Take over the result of an earlier run, if it is complete."""
        file = self.folder(cell) / "result.json"
        if not file.is_file():
            return False
        found = read_json(file)
        if not isinstance(found, dict) or found.get("key") != cell.key:
            raise InputError(f"{file} does not belong to its folder", remedy="delete that folder")
        cell.status, cell.result = "done", found["result"]
        return True

    def finish(self, cell: Cell, result: dict[str, Any]) -> None:
        """Write the result; from here on the cell is done, whatever happens."""
        write_json(self.folder(cell) / "result.json", {"key": cell.key, "kind": cell.kind, "result": result})
        cell.status, cell.result = "done", result

    def write_index(self, head: dict[str, Any], cells: list[Cell]) -> None:
        """Write study.json."""
        rows = []
        for cell in cells:
            row = {k: v for k, v in asdict(cell).items() if k not in ("needs", "cost")}
            rows.append(row | {"key": cell.key, "folder": cell.folder, "needs": [n.key for n in cell.needs]})
        write_json(self.path / "study.json", {"schema": SCHEMA, **head, "cells": rows})

    def drop_strays(self, cells: list[Cell]) -> list[str]:
        """Names of cell folders of another spec that lie here too; they are left alone."""
        mine = {c.folder.removeprefix("cells/") for c in cells}
        root = self.path / "cells"
        return sorted(p.name for p in root.iterdir() if p.name not in mine) if root.is_dir() else []


def remove_cell(folder: Path) -> None:
    """Delete a cell's folder, so that it is computed again."""
    shutil.rmtree(folder, ignore_errors=True)
