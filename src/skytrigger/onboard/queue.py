"""The mass memory: rows in a growing array, sent from the top, evicted from the bottom, never more bits than it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.onboard.rows import Rows

Floats = NDArray[np.float64]
SORTED_AT_ONCE = 4096  # rows looked at first when little has to go


@dataclass(frozen=True)
class Taken:
    """Rows that left (``n``: how many tiles of each), and the bits sent when each was complete."""

    rows: Rows
    bits_done: Floats


class Queue:
    """Rows with a count each.

    Ties are broken by the order of arrival: of equal rows the first to come is the first to be sent and the last to be
    evicted.
    """

    def __init__(self, dtype: np.dtype[np.void], memory_bit: float) -> None:
        self._rows: Rows = np.zeros(1024, dtype)
        self._size = 0
        self.memory_bit = memory_bit
        self.used_bit = self.peak_bit = 0.0
        self.version = 0  # changes whenever rows come or are moved

    @property
    def rows(self) -> Rows:
        """A view of all rows, those with n = 0 among them."""
        return self._rows[: self._size]

    def __len__(self) -> int:
        return int(np.count_nonzero(self.rows["n"]))

    @property
    def tiles(self) -> int:
        """Tiles that wait."""
        return int(self.rows["n"].sum())

    def restore(self, rows: Rows, peak_bit: float) -> None:
        """Begin with these rows."""
        self._rows = np.concatenate([rows, np.zeros(1024, rows.dtype)])  # with room, also where none waited
        self._size = len(rows)
        self.used_bit = float((rows["n"] * rows["bits"]).sum())
        self.peak_bit = peak_bit
        self.version += 1

    def append(self, new: Rows) -> None:
        """Add rows; `evict` has to follow where `over` says so."""
        if self._size + len(new) > len(self._rows):
            self.compact()
            while self._size + len(new) > len(self._rows):
                self._rows = np.concatenate([self._rows, np.zeros(len(self._rows), self._rows.dtype)])
        self._rows[self._size : self._size + len(new)] = new
        self._size += len(new)
        self.used_bit += float((new["n"] * new["bits"]).sum())
        self.version += 1

    @property
    def over(self) -> bool:
        """Whether more is held than the memory has."""
        return self.used_bit > self.memory_bit * (1 + 1e-12)

    def settle(self) -> None:
        """Note the peak, once all that came has been fitted in."""
        self.peak_bit = max(self.peak_bit, self.used_bit)

    def compact(self) -> None:
        """Forget rows that are empty; the order stays."""
        live = self.rows[self.rows["n"] > 0]
        self._rows[: len(live)] = live
        self._size = len(live)
        self.used_bit = float((live["n"] * live["bits"]).sum())  # no rounding gathers
        self.version += 1

    def evict(self, keys: Floats) -> Taken:
        """Remove the lowest of `keys` (one for each row) until what is held fits."""
        live = np.flatnonzero(self.rows["n"] > 0)
        size = SORTED_AT_ONCE
        while True:
            low = self._lowest(keys, live, size)
            held = self.rows["n"][low] * self.rows["bits"][low]
            if held.sum() >= self.used_bit - self.memory_bit or len(low) == len(live):
                break
            size *= 8
        before = np.concatenate([[0.0], np.cumsum(held)[:-1]])
        need = self.used_bit - self.memory_bit
        count = np.ceil(np.clip(need - before, 0, held) / self.rows["bits"][low] - 1e-9).astype(np.int64)
        return self._take(low, np.clip(count, 0, self.rows["n"][low]))

    def _lowest(self, keys: Floats, live: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """Rows of the lowest keys, lowest first; the later of equal ones first. All that tie with the last are in."""
        if len(live) > size:
            limit = np.partition(keys[live], size)[size]
            live = live[keys[live] <= limit]
        return live[np.lexsort((-live, keys[live]))]

    def send(self, order: NDArray[np.int64], capacity_bit: float, most_bit: Floats | None = None) -> Taken:
        """Take whole tiles from rows in this order while they fit into `capacity_bit`; the first that does not ends it.

        `most_bit` (classes,): what each class found may take at most; the rest of its rows is passed over.
        """
        if most_bit is not None:
            return self._send_by_class(order, capacity_bit, most_bit)
        if len(order) > SORTED_AT_ONCE:  # most slices need the first few only
            head = order[:SORTED_AT_ONCE]
            if (self.rows["n"][head] * self.rows["bits"][head]).sum() > capacity_bit:
                order = head
        return self._take(*self._fitting(order, self.rows["n"][order], capacity_bit))

    def _send_by_class(self, order: NDArray[np.int64], capacity_bit: float, most_bit: Floats) -> Taken:
        allowed = self.rows["n"][order].copy()
        kinds = self.rows["kind"][order]
        for kind in np.flatnonzero(np.isfinite(most_bit)):
            of = np.flatnonzero(kinds == kind)
            rows, count = self._fitting(order[of], allowed[of], float(most_bit[kind]))
            allowed[of] = 0
            allowed[of[: len(rows)]] = count
        return self._take(*self._fitting(order, allowed, capacity_bit))

    def _fitting(
        self, order: NDArray[np.int64], n: NDArray[np.int64], capacity_bit: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows from the first on, and how many tiles of each fit."""
        bits = self.rows["bits"][order]
        total = np.cumsum(n * bits)
        whole = int(np.searchsorted(total, capacity_bit * (1 + 1e-12), side="right"))
        count = np.zeros(len(order), np.int64)
        count[:whole] = n[:whole]
        if whole < len(order):
            before = total[whole - 1] if whole else 0.0
            count[whole] = min(n[whole], int((capacity_bit - before) / bits[whole] + 1e-9))
        return order[: whole + 1], count[: whole + 1]

    def drop(self, rows: NDArray[np.int64]) -> Taken:
        """Remove these rows whole."""
        return self._take(rows, self.rows["n"][rows].copy())

    def _take(self, rows: NDArray[np.int64], count: NDArray[np.int64]) -> Taken:
        some = count > 0
        rows, count = rows[some], count[some]
        out: Any = self.rows[rows].copy()
        out["n"] = count
        self._rows["n"][rows] -= count
        bits = np.cumsum(count * out["bits"])
        if len(bits):
            self.used_bit -= float(bits[-1])
        return Taken(out, bits)
