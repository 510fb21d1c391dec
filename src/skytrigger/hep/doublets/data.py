"""`--data` of the doublet commands: a file, or the simulator."""

from __future__ import annotations

from pathlib import Path

from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError
from skytrigger.hep.doublets.reader import read_doublets
from skytrigger.hep.doublets.simulator import DEFAULT_COUNT, simulate

SYNTHETIC = "synthetic"
LIMIT = 10_000_000


def load_doublets(where: str, *, channels: int = 2, seed: int = 0) -> Dataset:
    """The doublets of a file, or ``synthetic``, ``synthetic:COUNT``: `channels` and `seed` are the simulator's."""
    word, _, count = where.partition(":")
    if word != SYNTHETIC or Path(where).exists():
        return read_doublets(where)
    if count and not (count.isdecimal() and 2 <= int(count) <= LIMIT):
        raise InputError(f"--data {where!r}", expected=f"synthetic:COUNT with COUNT from 2 to {LIMIT}")
    return simulate(int(count) if count else DEFAULT_COUNT, seed, channels)
