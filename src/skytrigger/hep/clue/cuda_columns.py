"""Columns of hits as the backend `cuda` takes them: the caller's own, or those of checked `Hits`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.hep.clue.hits import LARGEST_COORDINATE, MAX_HITS, Hits

Share = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], list[Any]]
"""Calls a function with each of several arguments, on threads perhaps."""


class UnusualError(Exception):
    """Hits that must go the long way, over `check_hits`: it says what is wrong with them, or puts them in order."""


@dataclass(frozen=True)
class Columns:
    """Hits of one call, not looked at yet where they are the caller's own.

    Attributes
    ----------
    floats
        float32, contiguous: x, y, and z, weight, rhoc where there are.
    inner
        Whole numbers that part the hits, or None.
    outer
        Whole numbers that part them, too, and rise; None where `inner` holds them. To be proved on the way.
    seams
        Where `outer` changes (or where the hits may be cut, if there is none), from 0 to n; None: nowhere.
    n_all
        Hits of the whole call: their weights must have a sum.
    checked
        Whether they have been through `check_hits`.
    first
        Place of the first hit in the call.
    seen
        Largest magnitudes of coordinates, filled in while parts are copied.
    """

    floats: dict[str, NDArray[np.float32]]
    inner: NDArray[Any] | None
    outer: NDArray[Any] | None
    seams: NDArray[np.int64] | None
    period: np.float32 | None
    threshold: np.float32
    n_all: int
    checked: bool = False
    first: int = 0
    seen: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.floats["x"])

    @property
    def parted(self) -> bool:
        """Whether there are groups."""
        return self.inner is not None or self.outer is not None

    @property
    def pattern(self) -> tuple[str, ...]:
        """Names of the columns that there are."""
        return (*self.floats, *(("group",) if self.parted else ()))

    def part(self, first: int, last: int) -> Columns:
        """The hits from one seam to another."""
        own = slice(first, last)
        seams = self.seams
        if seams is not None:
            begin, end = np.searchsorted(seams, (first, last))
            seams = seams[begin : end + 1]
        return Columns(
            {name: values[own] for name, values in self.floats.items()},
            None if self.inner is None else self.inner[own],
            None if self.outer is None else self.outer[own],
            seams, self.period, self.threshold, self.n_all, self.checked, first, self.seen,
        )  # fmt: skip

    def by_name(self) -> dict[str, NDArray[Any]]:
        """Columns of checked hits, by the names that kernels know them by."""
        return self.floats | ({} if self.inner is None else {"group": self.inner})

    def edges(self, size: int) -> list[int]:
        """Where parts of about `size` hits begin and end, at seams."""
        n = len(self)
        wanted = max(1, -(-n // size))
        if self.seams is None or wanted == 1:
            return [0, n]
        places = np.searchsorted(self.seams, [n * b // wanted for b in range(1, wanted)])
        return sorted({0, n, *(int(self.seams[p]) for p in places)})

    def pieces(self, size: int) -> Iterator[tuple[str, int, int]]:
        """Columns of float32 in pieces of at most `size`, and the groups, which are slower, first."""
        if self.parted:
            yield "group", 0, len(self)
        for name in self.floats:
            yield from ((name, a, b) for a, b in itertools.pairwise([*range(0, len(self), size), len(self)]))


def columns_of(hits: Hits) -> Columns:
    """Those of checked hits."""
    each = {"x": hits.x, "y": hits.y, "z": hits.z, "weight": hits.weight}
    floats = {name: values for name, values in each.items() if values is not None}
    if len(hits.rhoc) > 1:
        floats["rhoc"] = hits.rhoc
    threshold = np.float32(0) if "rhoc" in floats else hits.rhoc[0]
    return Columns(floats, hits.group, None, hits.seams, hits.period, threshold, len(hits), checked=True)


def columns_as_they_are(x: Any, y: Any, layer: Any, weight: Any, event: Any, rhoc: Any) -> Columns | None:
    """The caller's arrays where a stage can take them as they are; None: over `check_hits`."""
    floats = {"x": x, "y": y} | ({} if weight is None else {"weight": weight})
    wholes = [v for v in (event, layer) if v is not None]
    n = len(x) if type(x) is np.ndarray and x.ndim == 1 else 0
    threshold = np.asarray(rhoc)
    usual = all(_plain(v, n, (np.float32,)) for v in floats.values())
    usual = usual and all(_plain(v, n, (np.int32, np.int64)) for v in wholes)
    if not usual or not 0 < n <= MAX_HITS or threshold.size != 1 or threshold.dtype.kind not in "fiu":
        return None
    value = np.float32(threshold.reshape(-1)[0])
    if not np.isfinite(value):
        return None
    outer = wholes[0] if wholes else None
    seams = None if outer is None else _seams(outer)
    if len(wholes) == 2 and seams is None:
        return None
    inner = layer if len(wholes) == 2 or seams is None else None
    return Columns(floats, inner if wholes else None, None if seams is None else outer, seams, None, value, n)


def _plain(values: Any, n: int, kinds: tuple[Any, ...]) -> bool:
    return (
        type(values) is np.ndarray
        and values.shape == (n,)
        and values.dtype in kinds
        and values.dtype.isnative
        and values.flags.c_contiguous
        and values.flags.aligned
    )


def _seams(outer: NDArray[Any]) -> NDArray[np.int64] | None:
    """Where its values begin, if they seem to rise and are not as many as the hits."""
    from skytrigger.hep.clue.cuda_copy import find_seams

    room = np.empty(min(len(outer), 1 << 20) + 1, np.int64)
    found = find_seams(outer, room)
    return room[:found].copy() if found else None


@dataclass(frozen=True)
class Range:
    """What copying found out: least and greatest value of each float column, and the groups."""

    low: dict[str, float]
    high: dict[str, float]
    n_groups: int = 1
    first_group: int = 0


def range_of(pieces: Sequence[tuple[str, int, int]], found: Sequence[tuple[int, int]]) -> Range:
    """What `copy_piece` found in all pieces together."""
    from skytrigger.hep.clue.cuda_copy import of_key

    low: dict[str, int] = {}
    high: dict[str, int] = {}
    for (name, *_), (least, most) in zip(pieces, found, strict=True):
        low[name], high[name] = min(least, low.get(name, least)), max(most, high.get(name, most))
    first_group, n_groups = low.pop("group", 0), high.pop("group", 1)
    lows, highs = ({k: of_key(v) for k, v in ends.items()} for ends in (low, high))
    return Range(lows, highs, n_groups, first_group)


def copy_piece(columns: Columns, name: str, target: NDArray[np.int32], first: int, last: int) -> tuple[int, int]:
    """A piece of a column to `target`; for float32 the least and greatest key, for groups the first and their number.

    Raises
    ------
    UnusualError
        Not as it should be.
    """
    from skytrigger.hep.clue import cuda_copy as loops

    if name != "group":
        bits = columns.floats[name][first:last].view(np.int32)
        low, high = loops.copy_floats(bits, target)
        limit = LARGEST_COORDINATE if name in ("x", "y", "z") else float(np.finfo(np.float32).max)
        if name == "weight":
            limit /= 1040.0 * columns.n_all  # a little less than `check_hits` allows
        least = loops.key(0.0) if name == "weight" else loops.key(-limit)
        if not columns.checked and (low < least or high > loops.key(limit)):
            raise UnusualError(name)
        return int(low), int(high)
    return _copy_groups(columns, target)


def _copy_groups(columns: Columns, target: NDArray[np.int32]) -> tuple[int, int]:
    from skytrigger.hep.clue import cuda_copy as loops

    inner, outer, seams = columns.inner, columns.outer, columns.seams
    none = np.empty(0, np.int32)
    least, most = (0, 0) if inner is None else map(int, loops.range_of(inner))
    width = most - least + 1
    if outer is None or seams is None:
        if not columns.checked and (width >= 2 * columns.n_all + 1024 or most >= 2**31 or least < -(2**31)):
            raise UnusualError("group")
        loops.copy_whole(none if inner is None else inner, target)
        return least, width
    n_groups = width * (len(seams) - 1)
    rises = loops.number_groups(outer, none if inner is None else inner, seams, width, least, target)
    if n_groups >= 2 * len(columns) + 1024 or not rises:
        raise UnusualError("group")
    return 0, n_groups
