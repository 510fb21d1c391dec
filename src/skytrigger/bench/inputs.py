"""What a measured call is fed with: rotating inputs, and caches emptied in between."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.core.host import host_facts

INPUTS, MOST_BYTES = 4, 64 << 20


def rotating(run: Callable[[Any], object], inputs: Sequence[Any]) -> Callable[[], object]:
    """A call without arguments that runs the next of `inputs` each time, so that no input stays hot by itself."""
    turn = itertools.cycle(inputs)
    return lambda: run(next(turn))


class CacheFlush:
    """Write over a buffer twice the largest cache, so that the next call finds weights and input in memory only."""

    def __init__(self, cache_bytes: int | None = None) -> None:
        size = cache_bytes or max(host_facts()["cpu"]["cache_bytes"].values(), default=32 << 20)
        self._buffer = np.zeros(2 * size // 8, dtype=np.int64)

    def __call__(self) -> None:
        self._buffer += 1


def batches(card: ModelCard, items: int, kind: str, file: str | None = None) -> list[NDArray[Any]]:
    """Several different batches of `items` tiles in the type `kind` (64 MiB of float32 in all at most).

    Parameters
    ----------
    file
        .npy of tiles (n, c, h, w), repeated; without it they are drawn with the card's statistics.

    Raises
    ------
    InputError
        Tiles that `kind` cannot hold.
    """
    shape = (items, len(card.channels), *card.size)
    count = max(1, min(INPUTS, MOST_BYTES // (4 * int(np.prod(shape)))))
    if file:
        tiles = np.load(file, mmap_mode="r", allow_pickle=False)
        if kind not in ("float32", tiles.dtype.name):
            with np.errstate(all="ignore"):
                kept = tiles.astype(kind)
            if not np.array_equal(kept.astype(np.float64), tiles.astype(np.float64)):
                raise InputError(f"tiles of {file} do not fit the type {kind}", expected="values it holds")
        rows = np.arange(count * items) % len(tiles)
        return [np.ascontiguousarray(tiles[part], dtype=kind) for part in rows.reshape(count, items)]
    rng = np.random.default_rng(0)
    mean, std = (np.asarray(v, np.float32)[None, :, None, None] for v in (card.mean, card.std))
    top = np.iinfo(kind).max if np.dtype(kind).kind == "u" else np.inf
    whole = not card.units.startswith(("float", "reflectance"))  # counts are whole numbers
    noise = (mean + std * rng.standard_normal(shape, np.float32) for _ in range(count))
    drawn = (np.rint(tiles) if whole else tiles for tiles in noise)
    return [np.clip(tiles, 0, top).astype(kind) for tiles in drawn]
