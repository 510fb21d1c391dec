"""What is known of each cell, and the parts of it that an interrupted run has kept."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.files import atomic_path, read_json, write_json

Floats = NDArray[np.float32]
PARTS = ".parts"
MIN_SEEN = 0.5  # a cell has a class where at least this share of its window's pixels in the scene has data


@dataclass(frozen=True)
class CellRows:
    """Some rows of cells; all arrays begin with (rows, columns).

    Attributes
    ----------
    logits
        (r, c, classes); zero where there is too little data.
    valid
        Share of the cell with data, 0 to 1; what lies outside the scene has none.
    seen
        Share of valid pixels among those of the window that lie in the scene: what decides whether there is a class.
    cloud
        Share of valid pixels that are cloudy; NaN where the scene cannot be screened.
    means, spreads
        (r, c, planes) mean and standard deviation of each band over the window's valid pixels, model DN.
    picture
        (r, c, p, p, 3) uint8 true colour.
    """

    logits: Floats
    valid: Floats
    seen: Floats
    cloud: Floats
    means: Floats
    spreads: Floats
    picture: NDArray[np.uint8]


def empty_rows(rows: int, columns: int, classes: int, planes: int, side: int) -> CellRows:
    """Room for results; `side`: pixels of a cell's picture."""

    def floats(*more: int) -> Floats:
        return np.zeros((rows, columns, *more), np.float32)

    picture = np.zeros((rows, columns, side, side, 3), np.uint8)
    return CellRows(floats(classes), floats(), floats(), floats(), floats(planes), floats(planes), picture)


def joined(parts: list[CellRows]) -> CellRows:
    """One below the other."""
    return CellRows(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(CellRows)))


class Parts:
    """Finished chunks in ``OUT/.parts``, for the run whose `key` they carry; another run's are deleted."""

    def __init__(self, out: Path, key: str) -> None:
        self._folder, self._key = out / PARTS, key
        name = self._folder / "key.json"
        try:
            same = name.is_file() and read_json(name) == key
        except InputError:
            same = False
        if not same:
            shutil.rmtree(self._folder, ignore_errors=True)
            write_json(name, key)

    def _path(self, first: int, last: int) -> Path:
        return self._folder / f"{first:06d}-{last:06d}.npz"

    def has(self, first: int, last: int) -> bool:
        """Whether the rows of cells [first, last) are there."""
        return self._path(first, last).is_file()

    def save(self, first: int, last: int, rows: CellRows) -> None:
        """Keep them, whole or not at all."""
        with atomic_path(self._path(first, last)) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, **{f.name: getattr(rows, f.name) for f in fields(CellRows)})

    def load(self, first: int, last: int) -> CellRows | None:
        """What was kept, or None where it is damaged."""
        try:
            with np.load(self._path(first, last), allow_pickle=False) as content:
                return CellRows(*(content[f.name] for f in fields(CellRows)))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None

    def clear(self) -> None:
        """The map is written: they are not needed any more."""
        shutil.rmtree(self._folder, ignore_errors=True)
