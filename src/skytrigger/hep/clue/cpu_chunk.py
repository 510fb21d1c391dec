"""One chunk of a call of the backend `cpu`: whole groups of hits, from their arrays to labels.

Scratch memory comes from the `Workspace`, so nothing here is a result until `_finish` writes it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skytrigger.hep.clue import cpu_labels, cpu_search, cpu_sort
from skytrigger.hep.clue.cpu_arrays import Limits, Links, Notes, Sums, Tiled
from skytrigger.hep.clue.densities import FixedPoint, flat_bits, plan_fixed_point, round_sums
from skytrigger.hep.clue.hits import Hits
from skytrigger.hep.clue.lanes import WIDTH
from skytrigger.hep.clue.results import Clusters
from skytrigger.hep.clue.rules import Cuts, Kernel, largest_square
from skytrigger.hep.clue.tiles import Grid
from skytrigger.hep.clue.workspace import Workspace

PAD = 16
NOTES_PER_HIT = 8
NONE = np.empty(0, np.int32)


class Sorted(NamedTuple):
    """Hits in the order of their tiles, their weights and thresholds, and the two permutations."""

    tiled: Tiled
    weight: NDArray[np.float32] | None
    rhoc: NDArray[np.float32]
    number: NDArray[np.int32]
    place: NDArray[np.int32]


@dataclass(frozen=True)
class Chunk:
    """Hits ``first`` to ``last`` of one call, of groups ``first_group`` to ``last_group``, on `threads` threads."""

    hits: Hits
    cuts: Cuts
    grid: Grid
    space: Workspace
    first: int
    last: int
    first_group: int
    last_group: int
    threads: int = 1
    part: int = 0
    """Which of the workspace's buffers."""
    stop: NDArray[np.int32] = field(default_factory=lambda: np.zeros(1, np.int32))
    """Not 0: the call was interrupted."""

    @property
    def n(self) -> int:
        """Hits."""
        return self.last - self.first

    @property
    def n_groups(self) -> int:
        """Groups."""
        return self.last_group - self.first_group

    def cluster(self, found: Clusters, first_number: int) -> int:
        """Fill the chunk's slice of `found`; returns the next cluster number."""
        hits, fixed = self._sort()
        links = self._search(hits, fixed)
        return self._finish(links, found, first_number)

    def _array(self, name: str, size: int, dtype: Any) -> NDArray[Any]:
        return self.space.array(name, size, dtype, self.part)

    def _share(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
        results = share(self.space, function, tasks)
        if self.stop[0]:
            raise KeyboardInterrupt
        return results

    def _own(self, values: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if values is None else values[self.first : self.last]

    def _sort(self) -> tuple[Sorted, FixedPoint]:
        hits, grid, n, parts = self.hits, self.grid, self.n, self.threads
        x, y, z, weight = (self._own(v) for v in (hits.x, hits.y, hits.z, hits.weight))
        group = NONE if hits.group is None else hits.group[self.first : self.last]
        axes = tuple((a.low, a.scale, a.n) for a in (grid.x, grid.y, grid.z))
        n_tiles = self.n_groups * grid.tiles
        tile = self._array("tile", n, np.int32)
        size = parts * (1 + n_tiles)
        tables = self._array("tables", size, np.int32)[:size].reshape(parts, 1 + n_tiles)
        tables[:] = 0
        index, place = self._array("index", n + PAD, np.int32), self._array("place", n, np.int32)

        def count(start: int, stop: int, table: NDArray[np.int32]) -> tuple[int, int]:
            of = slice(start, stop)
            plane = (v if v is None else v[of] for v in (x, y, z))
            cpu_sort.tile_numbers(*plane, group[of], axes, self.first_group, tile[of])
            cpu_sort.count(tile[of], table)
            return (0, 0) if weight is None else cpu_sort.lowest_and_highest_bit(weight[of])

        def sort(start: int, stop: int, table: NDArray[np.int32]) -> None:
            cpu_sort.sort_hits(tile, start, stop, table, index, place)

        tasks = [(*r, t) for r, t in zip(split(n, parts), tables[:, 1:], strict=True)]
        bits = self._share(count, tasks)
        cpu_sort.begins(tables)
        fixed = self._fixed_point(bits, tables[0, 1 :: grid.tiles])
        self._share(sort, tasks)
        rhoc = None if len(hits.rhoc) == 1 else self._own(hits.rhoc)
        columns = {"xs": x, "ys": y, "zs": z, "ws": weight, "rhoc": rhoc}
        ordered = {name: self._array(name, n + PAD, np.float32) for name, v in columns.items() if v is not None}

        ws, number = ordered.get("ws"), self._array("number", n, np.int32)
        q = self._whole(fixed)

        def gather(part: slice) -> None:
            for name, out in ordered.items():
                cpu_sort.gather(columns[name], index[:n][part], out[part])
            self._take_limb(ws, fixed, 0, q, part)
            number[part] = -1

        self._share(gather, [(slice(*r),) for r in split(n, parts)])
        # where the last part's tiles end is where the tiles end
        tiled = Tiled(ordered["xs"], ordered["ys"], ordered.get("zs"), tables[-1], axes, hits.period)
        return Sorted(tiled, ws, ordered.get("rhoc", hits.rhoc), index, place), fixed

    def _fixed_point(self, bits: list[tuple[int, int]], groups: NDArray[np.int32]) -> FixedPoint:
        """From the lowest and highest bits of the weights, and where the groups begin."""
        low, high = min(b[0] for b in bits), max(b[1] for b in bits)
        if high < low:
            low, high = 0, 0
        most = self.n  # no hit has more neighbours than its group has hits
        if self.n_groups > 1:
            most = max(int(np.diff(groups).max()), self.n - int(groups[-1]))
        return plan_fixed_point(int(low), int(high - low) + 1, most, self.cuts.kernel)

    def _whole(self, fixed: FixedPoint) -> NDArray[Any]:
        """Memory for the weights as whole numbers."""
        plain = self.cuts.kernel.kind == "flat" and self.hits.z is None and self.hits.period is None
        dtype = np.int32 if fixed.narrow and plain else np.int64  # each combination is a compilation
        return self._array("q", self.n + PAD, dtype)

    def _take_limb(
        self, ws: NDArray[np.float32] | None, fixed: FixedPoint, place: int, q: NDArray[Any], part: slice
    ) -> None:
        if ws is None:
            q[part] = 1
            return
        scale = 2.0 ** (-fixed.exponent - place * fixed.limb_bits)
        cpu_sort.take_limb(ws[part], scale, 2.0**fixed.limb_bits, place + 1 == fixed.n_limbs, q[part])

    def _limits(self, rhoc: NDArray[np.float32]) -> Limits:
        cuts, near, axes = self.cuts, self.grid.near, (self.grid.x, self.grid.y, self.grid.z)
        squares = cuts.density_square, largest_square(near, strict=False)
        distances = (near, cuts.search, cuts.seed_distance, cuts.outlier_distance)
        reach, wide = (tuple(a.reach(float(r)) for a in axes) for r in (max(cuts.dc, near), cuts.search))
        return Limits(*squares, *distances, reach, wide, cuts.zero_ties, rhoc)

    def _sums(self, hits: Sorted, fixed: FixedPoint, place: int) -> Sums:
        """Limb `place` of the weights; that of place 0 is there."""
        q = self._whole(fixed)
        if place:
            self._take_limb(hits.weight, fixed, place, q, slice(self.n))
        sums = self._array("sums", self.n + PAD, q.dtype)
        return Sums(q, sums, *_factors(self.cuts.kernel, fixed), 2.0 ** (fixed.exponent - fixed.factor_bits))

    def _search(self, hits: Sorted, fixed: FixedPoint) -> Links:
        n, cuts = self.n, self.cuts
        tie = hits.number if cuts.zero_ties else self._array("tie", n + PAD, np.int32)
        names = {"rho": np.float32, "delta": np.float32, "higher": np.int32, "seed": np.uint8, "root": np.int32}
        links = Links(hits.number, hits.place, tie, *(self._array(k, n + PAD, dtype) for k, dtype in names.items()))
        limits = self._limits(hits.rhoc)
        by_groups = fixed.n_limbs == 1 and (self.threads == 1 or self.n_groups >= 4 * self.threads)
        ranges = self._row_ranges(hits.tiled.bounds, by_groups)
        notes = [self._notes(t, n // len(ranges), limits) for t in range(len(ranges))]
        if by_groups:
            step = self.grid.rows
            groups = [(r[0] // step, r[1] // step) for r in ranges]
            sums = self._sums(hits, fixed, 0)
            tasks = [(hits.tiled, limits, sums, *each) for each in zip(notes, itertools.repeat(links), groups)]
            self._share(cpu_search.cluster_groups, tasks)
            return links
        self._densities(hits, fixed, limits, links.rho, list(zip(notes, ranges, strict=True)))
        if not cuts.zero_ties:
            cpu_search.ties(links.rho, hits.number, 0, n, tie)
        self._share(
            cpu_search.follow, [(hits.tiled, limits, *each) for each in zip(notes, itertools.repeat(links), ranges)]
        )
        self._share(cpu_labels.find_roots, [(links.root, *r) for r in split(n, self.threads)])
        return links

    def _notes(self, thread: int, hits: int, limits: Limits) -> Notes:
        """Memory in proportion to the hits."""
        most = [max(one, other) for one, other in zip(limits.reach, limits.wide_reach, strict=True)]
        rows = min(2 * most[1] + 1, self.grid.y.n) * min(2 * most[2] + 1, self.grid.z.n)
        return Notes(
            noted=self._array(f"noted{thread}", NOTES_PER_HIT * hits + 1024, np.int32),
            fitted=self._array(f"fitted{thread}", self.n + PAD, np.bool_),
            lone=self._array("lone", self.n + PAD, np.int32),
            around=np.empty(rows, np.int64),
            own=np.zeros(WIDTH, np.int64),
            stop=self.stop,
        )

    def _densities(
        self, hits: Sorted, fixed: FixedPoint, limits: Limits, rho: Any, parts: list[tuple[Notes, Any]]
    ) -> None:
        """Densities, limb by limb."""
        limbs = []
        for place in range(fixed.n_limbs):
            sums = self._sums(hits, fixed, place)
            self._share(cpu_search.densities, [(hits.tiled, limits, sums, sums.kernel, *part) for part in parts])
            if fixed.n_limbs == 1:
                cpu_sort.round_densities(sums, 0, self.n, rho)
                return
            limbs.append(np.empty(self.n, np.int64))
            cpu_sort.complete_sums(sums, self.n, limbs[-1])
        rho[: self.n] = round_sums(limbs, fixed)

    def _row_ranges(self, bounds: NDArray[np.int32], whole_groups: bool) -> list[tuple[int, int]]:
        """Ranges of rows of about as many hits each, for the threads."""
        grid, threads = self.grid, self.threads
        rows = self.n_groups * grid.rows
        step = grid.rows if whole_groups else 1
        row_ends = bounds[step * grid.x.n :: step * grid.x.n]
        cuts = np.searchsorted(row_ends, [self.n * t // threads for t in range(1, threads)])
        return list(itertools.pairwise([0, *(int(c) * step for c in cuts), rows]))

    def _finish(self, links: Links, found: Clusters, first_number: int) -> int:
        n, own = self.n, slice(self.first, self.last)
        place, ranges = links.place, split(self.n, self.threads)
        seeds, number = self._array("seeds", n + 1, np.int32), self._array("number", n, np.int32)
        counts = self._share(cpu_labels.list_seeds, [(links.seed, place, *r, seeds) for r in ranges])
        firsts = np.cumsum([first_number, *counts]).tolist()
        self._share(
            cpu_labels.number_seeds,
            [(seeds, r[0], c, f, number) for r, c, f in zip(ranges, counts, firsts, strict=False)],
        )

        def give_back(part: slice) -> None:
            at = place[:n][part]
            for values, out in (
                (links.seed, found.is_seed.view(np.uint8)),
                (links.rho, found.rho),
                (links.delta, found.delta),
            ):
                cpu_sort.gather(values, at, out[own][part])
            cpu_labels.gather_numbers(number, links.root, at, found.cluster_id[own][part])
            cpu_labels.gather_hits(links.higher, at, self.first, found.nearest_higher[own][part])

        self._share(give_back, [(slice(*r),) for r in ranges])
        return int(firsts[-1])


def _factors(kernel: Kernel, fixed: FixedPoint) -> tuple[tuple[Any, ...] | None, int, int]:
    """(kernel or None where it is flat, factor, bits of the factors)."""
    if kernel.kind == "flat":
        return (None, *flat_bits(kernel))
    a, b, c = (*map(np.float32, kernel.parameters), np.float32(0))[:3]
    return (kernel.kind == "gaussian", a, b, c), 1, fixed.factor_bits


def share(space: Workspace, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Call `function` with each of the argument tuples, on as many threads, this one among them: one less to wake."""
    if len(tasks) == 1:
        return [function(*tasks[0])]
    others = [space.pool(len(tasks) - 1).submit(function, *task) for task in tasks[1:]]
    try:
        first = function(*tasks[0])
    finally:
        wait(others)
    return [first, *(done.result() for done in others)]


def split(n: int, parts: int) -> list[tuple[int, int]]:
    """``0..n`` in `parts` ranges."""
    edges = [n * part // parts for part in range(parts + 1)]
    return list(itertools.pairwise(edges))
