"""What a network on native pixels takes: one window a resolution, and how windows come from tiles at 10 m.

A model file says in its metadata which `Group` of bands each input holds. Windows of a `Group` with `halo` reach that
many native pixels over the tile's border, since cubic interpolation looks there; a group with a `grid` holds means of
blocks of the tile instead, for bands whose own pixels do not begin where tiles do.

Where only tiles at 10 m are known (a data set), native pixels are those whose upsampling is nearest to the tile: exact
where the tile was upsampled from pixels that begin with it, but for its rounding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError

HALO, TAPS = 2, 4
PHASE, KEY = "phase", "skytrigger.native"
EVEN = 1e-2  # weight of that, beside the pixels' own of 1
Weights = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Bands of one resolution.

    Attributes
    ----------
    input
        Its name.
    channels
        Places of its bands in the original network's input.
    factor
        Tile pixels on a side of a native pixel.
    side
        Native pixels a side of its windows, halo included; with `grid` its blocks.
    phases, step
        Where tiles may begin: phase k is k * step tile pixels after the beginning of a native pixel.
    halo
        Native pixels that its windows, or the means of its blocks, reach over the tile's border.
    grid
        Blocks on a side of the tile that means are taken of; 0: native pixels.
    """

    input: str
    channels: tuple[int, ...]
    factor: int
    side: int
    phases: int
    step: int
    halo: int = HALO
    grid: int = 0

    @property
    def margin(self) -> int:
        """Native pixels of a window before the tile's first."""
        return self.halo if self.factor > 1 else 0

    def window(self, start: int) -> tuple[int, int, int]:
        """First native pixel and end of the window of a tile that begins at pixel `start`, and its phase."""
        first = start // self.factor - self.margin
        return first, first + self.side, start % self.factor // self.step


def cubic_taps(factor: int) -> tuple[NDArray[np.int64], Weights]:
    """For each position in a native pixel: place of the first of four taps, and their weights (Keys, a = -1/2)."""
    position = (np.arange(factor) + 0.5) / factor - 0.5
    base = np.floor(position)
    t = np.abs((position - base)[:, None] - np.arange(-1, 3))
    weights = np.where(t <= 1, 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2)
    return base.astype(np.int64) - 1, weights


def upsampling(factor: int, size: int, start: int = 0) -> Weights:
    """(size, native) weights of native pixels, `HALO` before the first one on, in the pixels of a tile.

    The tile begins `start` pixels after the beginning of its first native pixel.
    """
    base, weights = cubic_taps(factor)
    pixels = np.arange(start, start + size)
    out = np.zeros((size, (start + size - 1) // factor + 1 + 2 * HALO))
    for row, pixel in enumerate(pixels):
        first = pixel // factor + HALO + base[pixel % factor]
        out[row, first : first + TAPS] = weights[pixel % factor]
    return out


@cache
def block_means(factor: int, size: int, grid: int, start: int) -> Weights:
    """(grid, native) weights of native pixels, `HALO` before the tile's first on, in the means of its blocks."""
    return np.kron(np.eye(grid), np.full((1, size // grid), grid / size)) @ upsampling(factor, size, start)


@cache
def from_tile(factor: int, size: int, side: int, halo: int, grid: int = 0) -> Weights:
    """(side, size): a tile's pixels to the windows of a tile that begins with a native pixel; each row adds up to 1."""
    if grid:
        means: Weights = np.kron(np.eye(grid), np.full((1, size // grid), grid / size))
        return means
    if factor == 1:
        return np.eye(size)
    ways = upsampling(factor, size)
    # two patterns that die away from the border by ten a pixel leave no trace in the tile: of all windows the one whose
    # pixels beyond the border are most like those before it
    even = np.zeros((2 * HALO, ways.shape[1]))
    for k in range(HALO):
        even[2 * k, [k, k + 1]] = even[2 * k + 1, [-k - 1, -k - 2]] = EVEN, -EVEN
    nearest: Weights = np.linalg.pinv(np.concatenate([ways, even]))[:, :size]
    found = nearest[HALO - halo : HALO - halo + side]
    more = side - len(found)  # windows for tiles that begin later are wider; these pixels meet no weight in phase 0
    return np.concatenate([found, np.repeat(found[-1:], more, axis=0)])


@dataclass(frozen=True)
class NativeTiles:
    """Windows of tiles that share a phase.

    Attributes
    ----------
    windows
        Input -> (n, bands, side, side) float32, in the data's units.
    phase
        (row, column), in steps of the one group that has phases; None: the network asks for none.
    """

    windows: Mapping[str, NDArray[np.float32]]
    phase: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.windows.values())))

    def __getitem__(self, part: slice) -> NativeTiles:
        return replace(self, windows={k: v[part] for k, v in self.windows.items()})

    def padded(self, count: int) -> NativeTiles:
        """With `count` more tiles of zeros."""
        return replace(self, windows={
            k: np.concatenate([v, np.zeros((count, *v.shape[1:]), v.dtype)]) for k, v in self.windows.items()
        })  # fmt: skip

    def astype(self, kind: str) -> NativeTiles:
        """In another type; whole numbers are rounded and held within its range."""
        if np.dtype(kind).kind != "u":
            return replace(self, windows={k: v.astype(kind) for k, v in self.windows.items()})
        top = np.iinfo(kind).max
        return replace(self, windows={k: np.clip(np.rint(v), 0, top).astype(kind) for k, v in self.windows.items()})

    def feeds(self) -> dict[str, NDArray[Any]]:
        """Input -> array, for an engine."""
        phase = {} if self.phase is None else {PHASE: np.array(self.phase, np.int64)}
        return {**self.windows, **phase}


def native_of(tiles: NDArray[Any], groups: tuple[Group, ...]) -> NativeTiles:
    """Windows of tiles (n, c, t, t) at 10 m, which begin where native pixels do."""
    windows, size = {}, tiles.shape[-1]
    for g in groups:
        own = tiles[:, list(g.channels)].astype(np.float32)
        if g.grid or g.factor > 1:
            way = from_tile(g.factor, size, g.side, g.margin, g.grid).astype(np.float32)
            own = np.matmul(np.matmul(way, own), way.T)
        windows[g.input] = np.ascontiguousarray(own)
    return NativeTiles(windows, (0, 0) if any(g.phases > 1 for g in groups) else None)


def write_groups(groups: tuple[Group, ...]) -> str:
    """For a model file's metadata."""
    return json.dumps([{k: v for k, v in asdict(g).items() if (k, v) not in (("halo", HALO), ("grid", 0))}
                       for g in groups])  # fmt: skip


def read_groups(text: str | None, where: str) -> tuple[Group, ...]:
    """What `write_groups` wrote; none where nothing is stated.

    Raises
    ------
    InputError
        It is not that.
    """
    if text is None:
        return ()
    try:
        groups = tuple(Group(**{**g, "channels": tuple(g["channels"])}) for g in json.loads(text))
        numbers = [n for g in groups for n in (*g.channels, g.factor, g.side, g.phases, g.step, g.halo, g.grid)]
        if not groups or not all(type(n) is int and 0 <= n < 1 << 16 for n in numbers):
            raise ValueError("numbers out of range")
        if not all(g.factor and g.side and g.phases and g.step and g.channels for g in groups):
            raise ValueError("nothing of something")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{where}: {KEY} is not valid: {error}") from error
    return groups
