"""Backend `cpu`: tiles, vectors and threads.

A call is cut into chunks of whole groups where the hits come in order of events, or of layers: a chunk of some 10^5
hits stays in the cache and needs nothing of the others, so chunks are also what threads share out. A call of one chunk
is shared out inside: hits, groups or rows of tiles, whichever the step allows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.extras import require
from skytrigger.hep.clue.densities import FixedPoint, flat_bits, plan_fixed_point, round_sums
from skytrigger.hep.clue.hits import Hits
from skytrigger.hep.clue.results import Clusters
from skytrigger.hep.clue.rules import Cuts
from skytrigger.hep.clue.tiles import Grid, plan_grid
from skytrigger.hep.clue.workspace import Workspace

CHUNK = 1 << 16
"""Hits of a chunk, about (whole groups): more leave the cache, fewer do not pay for the calls. Measured with
20 events of 100,000 hits, ns a hit: 43 with 2^16 (event by event), 49 with 2^17, 55 uncut."""
HITS_PER_THREAD = 1 << 16
"""Fewer do not pay for waking a thread at every step: 100,000 hits took 1.1 to 1.6 times as long on two."""
PAD = 16
NOTES_PER_HIT = 8
NONE = np.empty(0, np.int32)


def cluster(
    hits: Hits, cuts: Cuts, workspace: Workspace | None = None, threads: int = 1, grid: Grid | None = None
) -> Clusters:
    """See `api.cluster`. `grid` overrides the planned one; the result does not depend on it."""
    require("numba", why="the cpu backend of CLUE")
    space = workspace or Workspace()
    grid = grid or plan_grid(hits, cuts)
    n = len(hits)
    threads = max(1, min(threads, n // HITS_PER_THREAD))
    found = Clusters(
        np.empty(n, np.int32),
        np.empty(n, bool),
        np.empty(n, np.float32),
        np.empty(n, np.float32),
        np.empty(n, np.int32),
    )
    chunks = cut_chunks(hits, threads)
    if len(chunks) == 1 or threads == 1:
        number = 0
        for chunk in chunks:
            number = _Chunk(hits, cuts, grid, space, chunk, threads, 0).run(found, number)
        return found
    counts = np.zeros(len(chunks), np.int64)

    def work(part: int) -> None:
        for place in range(part, len(chunks), threads):
            counts[place] = _Chunk(hits, cuts, grid, space, chunks[place], 1, part).run(found, 0)

    share(space, work, [(part,) for part in range(threads)])
    base = 0
    for (first, last, *_), count in zip(chunks, counts, strict=True):
        ids = found.cluster_id[first:last]
        np.add(ids, base, out=ids, where=ids >= 0)
        base += int(count)
    return found


def cut_chunks(hits: Hits, threads: int = 1) -> list[tuple[int, int, int, int]]:
    """(first hit, last hit + 1, first group, last group + 1) of each chunk."""
    n = len(hits)
    wanted = n // CHUNK if threads == 1 else 2 * threads * -(-n // (2 * threads * CHUNK))
    if hits.group is None or hits.seams is None or wanted < 2 or n < CHUNK // 2:
        return [(0, n, 0, hits.n_groups)]
    cuts = hits.seams[np.searchsorted(hits.seams, [n * part // wanted for part in range(1, wanted)])]
    chunks = []
    for first, last in itertools.pairwise(sorted({0, n, *map(int, cuts)})):
        own = hits.group[first:last]
        chunks.append((first, last, int(own.min()), int(own.max()) + 1))
    return chunks


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


@dataclass
class _Chunk:
    """One chunk of one call, on `threads` threads."""

    hits: Hits
    cuts: Cuts
    grid: Grid
    space: Workspace
    chunk: tuple[int, int, int, int]
    threads: int
    part: int

    def run(self, found: Clusters, first_number: int) -> int:
        """Fill the chunk's slice of `found`; returns the next cluster number."""
        first, last, first_group, last_group = self.chunk
        self.n = last - first
        self.n_groups = last_group - first_group
        self.n_tiles = self.n_groups * self.grid.tiles
        self._sort(first, last, first_group)
        fixed = self._fixed_point()
        self._search(fixed)
        return self._finish(found, first, last, first_number)

    def _array(self, name: str, size: int, dtype: Any) -> NDArray[Any]:
        return self.space.array(name, size, dtype, self.part)

    def _share(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
        return share(self.space, function, tasks)

    def _sort(self, first: int, last: int, first_group: int) -> None:
        from skytrigger.hep.clue import cpu_sort

        hits, grid, n = self.hits, self.grid, self.n
        own = slice(first, last)
        x, y = hits.x[own], hits.y[own]
        z = None if hits.z is None else hits.z[own]
        weight = None if hits.weight is None else hits.weight[own]
        group = NONE if hits.group is None else hits.group[own]
        axes = tuple((a.low, a.scale, a.n) for a in (grid.x, grid.y, grid.z))
        parts = self.threads
        tile = self._array("tile", n, np.int32)
        ends = self._array("ends", parts * self.n_tiles, np.int32)
        ends[: parts * self.n_tiles] = 0
        tables = [ends[p * self.n_tiles : (p + 1) * self.n_tiles] for p in range(parts)]

        def count(start: int, stop: int, table: NDArray[np.int32]) -> None:
            of = slice(start, stop)
            cpu_sort.tile_numbers(x[of], y[of], None if z is None else z[of], group[of], axes, first_group, tile[of])
            cpu_sort.count(tile[of], table)

        ranges = split(n, parts)
        self._share(count, [(*r, t) for r, t in zip(ranges, tables, strict=True)])
        cpu_sort.begins(ends, self.n_tiles, parts)
        self.index = self._array("index", n + PAD, np.int32)
        self.place = self._array("place", n, np.int32)

        def sort(start: int, stop: int, table: NDArray[np.int32]) -> None:
            cpu_sort.sort_hits(tile, start, stop, table, self.index, self.place)

        self._share(sort, [(*r, t) for r, t in zip(ranges, tables, strict=True)])
        rhoc = None if len(hits.rhoc) == 1 else hits.rhoc[own]
        columns = {"xs": x, "ys": y, "zs": z, "ws": weight, "rhoc": rhoc}
        ordered = self._sorted({name: values for name, values in columns.items() if values is not None})
        self.xs, self.ys, self.zs, self.ws = ordered["xs"], ordered["ys"], ordered.get("zs"), ordered.get("ws")
        self.rhoc = ordered.get("rhoc", hits.rhoc)
        self.ends = tables[-1]  # the last part's ends are the tiles' ends
        self.axes = axes

    def _sorted(self, columns: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Values of the hits in tile order, padded."""
        from skytrigger.hep.clue import cpu_sort

        out = {name: self._array(name, self.n + PAD, np.float32) for name in columns}

        def gather(part: slice) -> None:
            for name, values in columns.items():
                cpu_sort.gather(values, self.index[: self.n][part], out[name][part])

        self._share(gather, [(slice(*r),) for r in split(self.n, self.threads)])
        return out

    def _fixed_point(self) -> FixedPoint:
        from skytrigger.hep.clue import cpu_sort

        if self.ws is None:
            return plan_fixed_point(0, 1, self.n, self.cuts.kernel)
        low, high = cpu_sort.lowest_and_highest_bit(self.ws[: self.n])
        if high < low:
            low, high = 0, 0
        return plan_fixed_point(int(low), int(high - low) + 1, self._most_neighbours(), self.cuts.kernel)

    def _most_neighbours(self) -> int:
        """No hit has more neighbours than its group has hits."""
        if self.n_groups == 1:
            return self.n
        per_group = np.diff(self.ends[self.grid.tiles - 1 : self.n_tiles : self.grid.tiles], prepend=0)
        return int(per_group.max())

    def _limb(self, fixed: FixedPoint, place: int) -> NDArray[Any]:
        from skytrigger.hep.clue import cpu_sort

        plain = self.cuts.kernel.kind == "flat" and self.zs is None and self.hits.period is None
        dtype = np.int32 if fixed.narrow and plain else np.int64  # each combination is a compilation
        q = self._array("q", self.n + PAD, dtype)
        if self.ws is None:
            q[: self.n] = 1
        else:
            scale = 2.0 ** (-fixed.exponent - place * fixed.limb_bits)
            cpu_sort.take_limb(self.ws, self.n, scale, 2.0**fixed.limb_bits, place + 1 == fixed.n_limbs, q)
        return q

    def _search(self, fixed: FixedPoint) -> None:
        from skytrigger.hep.clue import cpu_labels, cpu_search, cpu_sort

        n, cuts, grid = self.n, self.cuts, self.grid
        kernel, factor, factor_bits = None, 1, 0
        if cuts.kernel.kind == "flat":
            factor, factor_bits = flat_bits(cuts.kernel)
        else:
            a, b, c = (*map(np.float32, cuts.kernel.parameters), np.float32(0))[:3]
            kernel, factor_bits = (cuts.kernel.kind == "gaussian", a, b, c), fixed.factor_bits
        q = self._limb(fixed, 0)
        sums = self._array("sums", n + PAD, q.dtype)
        rho = self._array("rho", n + PAD, np.float32)
        tie = self.index if cuts.zero_ties else self._array("tie", n + PAD, np.int32)
        self.delta = self._array("delta", n + PAD, np.float32)
        self.higher = self._array("higher", n + PAD, np.int32)
        self.follows = self._array("follows", n + PAD, np.int32)
        self.seed = self._array("seed", n + PAD, np.uint8)
        self.root = self._array("root", n, np.int32)
        self.rho = rho
        reach = tuple(axis.reach(cuts.reach) for axis in (grid.x, grid.y, grid.z))
        thresholds = (cuts.density_square, np.nextafter(cuts.search_square, np.float32(np.inf)))
        distances = (cuts.search, cuts.seed_distance, cuts.outlier_distance)
        period = self.hits.period
        by_groups = fixed.n_limbs == 1 and (self.threads == 1 or self.n_groups >= 4 * self.threads)
        ranges = self._row_ranges(by_groups)
        notes = [
            (
                self._array(f"notes{t}", self._notes(len(ranges)), np.int32),
                self._array(f"is_noted{t}", n + PAD, np.bool_),
            )
            for t in range(len(ranges))
        ]
        scale = 2.0 ** (fixed.exponent - fixed.factor_bits)
        fixed_views = (self.xs, self.ys, self.zs)
        if by_groups:
            rows = grid.rows
            self._share(
                cpu_search.cluster_groups,
                [
                    (*fixed_views, q, self.axes, reach, thresholds, self.ends, (r[0] // rows, r[1] // rows), period,
                     kernel, sums, *note, factor, factor_bits, scale, rho, self.index, tie, cuts.zero_ties, distances,
                     self.rhoc, self.delta, self.higher, self.follows, self.seed, self.place, self.root)
                    for r, note in zip(ranges, notes, strict=True)
                ],
            )  # fmt: skip
            return
        limbs = []
        for place in range(fixed.n_limbs):
            q = self._limb(fixed, place)
            self._share(
                cpu_search.densities,
                [
                    (*fixed_views, q, self.axes, reach, thresholds, self.ends, r, period, kernel, sums, *note)
                    for r, note in zip(ranges, notes, strict=True)
                ],
            )
            if fixed.n_limbs > 1:
                limb = np.empty(n, np.int64)
                cpu_sort.complete_sums(q, sums, n, factor, factor_bits, kernel is None, limb)
                limbs.append(limb)
        if limbs:
            rho[:n] = round_sums(limbs, fixed)
        else:
            cpu_sort.round_densities(q[:n], sums[:n], factor, factor_bits, scale, kernel is None, rho[:n])
        if not cuts.zero_ties:
            cpu_search.ties(rho, self.index, 0, n, tie)
        self._share(
            cpu_search.nearest,
            [
                (*fixed_views, rho, tie, self.axes, reach, distances, self.rhoc, self.ends, r, period, *note,
                 self.delta, self.higher, self.follows, self.seed)
                for r, note in zip(ranges, notes, strict=True)
            ],
        )  # fmt: skip
        positions = split(n, self.threads)
        self._share(cpu_labels.begin_roots, [(self.follows, self.place, *r, self.root) for r in positions])
        self._share(cpu_labels.find_roots, [(self.root, *r) for r in positions])

    def _notes(self, parts: int) -> int:
        """Room for notes: linear in the hits, shared out over the threads."""
        return NOTES_PER_HIT * self.n // parts + 1024

    def _row_ranges(self, whole_groups: bool) -> list[tuple[int, int]]:
        """Ranges of rows of about as many hits each, for the threads."""
        rows = self.n_groups * self.grid.rows
        if self.threads == 1:
            return [(0, rows)]
        step = self.grid.rows if whole_groups else 1
        row_ends = self.ends[step * self.grid.x.n - 1 : self.n_tiles : step * self.grid.x.n]
        cuts = np.searchsorted(row_ends, [self.n * t // self.threads for t in range(1, self.threads)])
        edges = [0, *(int(c) * step for c in cuts), rows]
        return list(itertools.pairwise(edges))

    def _finish(self, found: Clusters, first: int, last: int, first_number: int) -> int:
        from skytrigger.hep.clue import cpu_labels, cpu_sort

        n, own = self.n, slice(first, last)
        ranges = split(n, self.threads)
        seeds = self._array("seeds", n + 1, np.int32)
        number = self._array("number", n, np.int32)
        number[:n] = -1
        counts = self._share(cpu_labels.list_seeds, [(self.seed, self.place, *r, seeds) for r in ranges])
        firsts = np.cumsum([first_number, *counts]).tolist()
        self._share(
            cpu_labels.number_seeds,
            [(seeds, r[0], c, f, number) for r, c, f in zip(ranges, counts, firsts, strict=False)],
        )
        ids = self._array("ids", n, np.int32)
        parts = [slice(*r) for r in ranges]
        self._share(cpu_sort.gather, [(number, self.root[:n][r], ids[r]) for r in parts])

        def give_back(part: slice) -> None:
            place = self.place[:n][part]
            for values, out in (
                (ids, found.cluster_id),
                (self.seed, found.is_seed.view(np.uint8)),
                (self.rho, found.rho),
                (self.delta, found.delta),
            ):
                cpu_sort.gather(values, place, out[own][part])
            cpu_labels.gather_hits(self.higher, place, first, found.nearest_higher[own][part])

        self._share(give_back, [(r,) for r in parts])
        return int(firsts[-1])
