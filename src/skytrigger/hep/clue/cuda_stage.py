"""One batch of hits on the GPU: its memory, its copies, its kernels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.hep.clue.cuda_columns import Columns, Range, Share, UnusualError, copy_piece, range_of
from skytrigger.hep.clue.cuda_queue import Leases, PlainQueue
from skytrigger.hep.clue.densities import FixedPoint, flat_bits, plan_fixed_point, round_sums
from skytrigger.hep.clue.rules import FACTOR_BITS, Cuts
from skytrigger.hep.clue.tiles import Grid, grid_of
from skytrigger.hep.clue.workspace import Workspace

RESULTS = {
    "cluster_id": np.int32, "rho": np.float32, "delta": np.float32, "nearest_higher": np.int32, "is_seed": np.uint8,
}  # fmt: skip
FACTS, SEEDS = 5, 4  # see `cuda_kernels.count_tiles` and `assign`
INPUTS = ("x", "y", "z", "weight", "rhoc", "group")
TILES_PER_HIT, ROW_HEIGHT = 4.0, 1.03  # of the reach
PIECE = 1 << 17
"""Hits of a column that a thread copies at a time."""


def space_for_results(n: int, leases: Leases | None) -> dict[str, NDArray[Any]]:
    """Uninitialised arrays of the results, page-locked where leased."""
    if leases is None:
        return {name: np.empty(n, kind) for name, kind in RESULTS.items()}
    size = -(-n // 16) * 64
    whole = leases.take(5 * size)
    return {
        name: whole[place * size :][: n * np.dtype(kind).itemsize].view(kind)
        for place, (name, kind) in enumerate(RESULTS.items())
    }


class Stage:
    """Device memory and a queue for one batch of hits at a time.

    Attributes
    ----------
    trace
        ``workspace.device["trace"]``: called with ``begin``, ``copied in``, ``kernels``, ``copied out`` and the
        stream where the work of that name has been queued; for measuring.
    """

    def __init__(self, queue: PlainQueue, space: Workspace, kept: bool = False) -> None:
        self.queue, self.kept = queue, kept
        self.trace = space.device.get("trace") or (lambda name, stream: None)
        self._arrays: dict[str, Any] = {}
        self._pinned: dict[str, NDArray[Any]] = {}
        self._pattern: tuple[str, ...] = ()

    def run(self, columns: Columns, cuts: Cuts, results: dict[str, NDArray[Any]], share: Share | None = None,
            grid: Grid | None = None) -> int:  # fmt: skip
        """Cluster `columns` into `results` and return the number of seeds.

        `share` calls a function with each of several arguments, on threads perhaps. With a `grid` the hits are known
        to be as they should be (their groups beginning with 0) and are copied from where they are.
        """
        try:
            self.upload(columns, cuts, share, grid)
        except UnusualError:
            self.queue.wait()  # copies of what came before
            raise
        self.compute()
        return self.download(results)

    def upload(self, columns: Columns, cuts: Cuts, share: Share | None = None, grid: Grid | None = None) -> None:
        """Queue the copies to the device."""
        self.queue.enter()
        self.trace("begin", self.queue.stream)
        self.n, self.columns, self.cuts = len(columns), columns, cuts
        self._room()
        if grid is None:
            found = self._copy(columns, share)
            ends = [[v[axis] for axis in ("x", "y", "z") if axis in v] for v in (found.low, found.high)]
            columns.seen.append(max(abs(v) for axis in ends for v in axis))
            height = cuts.reach * ROW_HEIGHT
            grid = grid_of(self.n / found.n_groups, ends[0], ends[1], columns.period, cuts, height, TILES_PER_HIT)
        else:
            found = Range({}, {}, 1 if columns.inner is None else int(columns.inner.max()) + 1)
            for name, values in columns.by_name().items():
                self.queue.to_device(self._arrays[name], values)
        self._geometry(grid, found.n_groups, columns.period)
        self._room_for_tiles()
        plan = self._pin("plan", self._size("plan"), np.float64)
        plan[:] = (self.n, self.n_tiles, found.first_group, columns.first, self.window, columns.threshold, *self.sizes,
                   *self.reach_density, *self.reach_search, *self.scales)  # fmt: skip
        self.queue.to_device(self._arrays["plan"], plan)
        self.trace("copied in", self.queue.stream)

    def _copy(self, columns: Columns, share: Share | None) -> Range:
        """Copy and look at the columns, in pieces where they are shared."""
        pieces = list(columns.pieces(PIECE if share else self.n))
        pinned = {name: self._pin(name, self.n, np.int32) for name in columns.pattern}

        def work(name: str, first: int, last: int) -> tuple[int, int]:
            self.queue.enter()
            target, array = pinned[name][first:last], self._arrays[name]
            found = copy_piece(columns, name, target, first, last)
            self.queue.to_device(array, target.view(array.dtype), first)
            return found

        return range_of(pieces, share(work, pieces) if share else [work(*piece) for piece in pieces])

    def compute(self) -> None:
        """Queue the kernels."""
        key = (self._pattern, self.cuts, float(self.period), self._size("x"), self._size("ends"))
        self.queue.launch(key, self._launches)
        self.trace("kernels", self.queue.stream)

    def download(self, results: dict[str, NDArray[Any]]) -> int:
        """Copy the results back, after doing it over in limbs where the weights turn out to need several (rare)."""
        facts = self._results(results)
        self.trace("copied out", self.queue.stream)
        self.queue.wait()
        if facts[3]:
            self._in_limbs(facts)
            self._follow()
            facts = self._results(results)
            self.queue.wait()
        return int(facts[SEEDS])

    def _results(self, results: dict[str, NDArray[Any]]) -> NDArray[np.int32]:
        facts = self._pin("facts", FACTS, np.int32)
        for name, target in (results | {"facts": facts}).items():
            self.queue.to_host(self._arrays[name], target)
        return facts

    def _size(self, name: str) -> int:
        return int(self._arrays[name].size)

    def _room(self) -> None:
        """Arrays for this many hits, with room to spare where they are kept."""
        from skytrigger.hep.clue.cuda_device import CHUNK, PLAN_LENGTH

        pattern = self.columns.pattern
        if pattern == self._pattern and self.n <= self._size("x"):
            return
        self._pattern = pattern
        n = self.n + self.n // 8 if self.kept else self.n
        sizes: dict[str, tuple[int, Any]] = {"plan": (PLAN_LENGTH, np.float64), "facts": (FACTS, np.int32)}
        sizes["seed_totals"] = (-(-n // CHUNK), np.int32)
        sizes |= dict.fromkeys(("xs", "ys", "rho_sorted"), (n, np.float32))
        sizes |= dict.fromkeys(("tile", "q", "sums"), (n, np.int64))
        sizes |= dict.fromkeys(("rank", "index", "follows", "flags"), (n, np.int32))
        for name in INPUTS:  # kernels take an array of no values for one that is not there
            sizes[name] = (n if name in pattern else 0, np.int32 if name == "group" else np.float32)
        sizes |= {"zs": sizes["z"], "ws": sizes["weight"]} | {k: (n, kind) for k, kind in RESULTS.items()}
        self._allocate(sizes)

    def _room_for_tiles(self) -> None:
        from skytrigger.hep.clue.cuda_device import CHUNK

        if "ends" not in self._arrays or self._size("ends") < self.n_tiles:
            tiles = self.n_tiles + self.n_tiles // 8 if self.kept else self.n_tiles
            self._allocate({"ends": (tiles, np.int32), "tile_totals": (-(-tiles // CHUNK), np.int32)})

    def _allocate(self, sizes: dict[str, tuple[int, Any]]) -> None:
        from numba import cuda

        self.queue.wait()
        self.queue.forget()
        self._arrays |= {k: cuda.device_array(max(size, 1), kind)[:size] for k, (size, kind) in sizes.items()}

    def _pin(self, name: str, size: int, kind: Any) -> NDArray[Any]:
        """Host array of `size`, page-locked where kept."""
        from numba import cuda

        if not self.kept:
            return np.empty(size, kind)
        if name not in self._pinned or len(self._pinned[name]) < size:
            self._pinned[name] = np.asarray(cuda.pinned_array(size + size // 8, kind))
        return self._pinned[name][:size]

    def _geometry(self, grid: Grid, n_groups: int, period: np.float32 | None) -> None:
        cuts = self.cuts
        axes = (grid.x, grid.y, grid.z)
        self.n_tiles = n_groups * grid.tiles
        self.scales = tuple(v for axis in axes for v in (axis.low, axis.scale))
        self.sizes = tuple(axis.n for axis in axes)
        self.reach_density = tuple(axis.reach(float(cuts.dc)) for axis in axes)
        self.reach_search = tuple(axis.reach(float(cuts.search)) for axis in axes)
        self.window = math.prod(min(2 * r + 1, n) for r, n in zip(self.reach_density, self.sizes, strict=True))
        self.period = np.float32(0) if period is None else period
        kernel = cuts.kernel
        self.factor, self.factor_bits = flat_bits(kernel) if kernel.kind == "flat" else (1, FACTOR_BITS)
        a, b, c = (*map(np.float32, kernel.parameters), np.float32(0), np.float32(0))[:3]
        self.kernel = (("flat", "exponential", "gaussian").index(kernel.kind), a, b, c)
        self.factor_size = plan_fixed_point(0, 1, 0, kernel).spent

    def _launches(self) -> None:
        from skytrigger.hep.clue import cuda_kernels as k
        from skytrigger.hep.clue.cuda_device import CHUNK, TILES
        from skytrigger.hep.clue.cuda_scan import add_totals

        a, n, tiles = self._arrays, self._size("x"), self._size("ends")
        self._launch(k.clear, tiles, a["ends"], a["plan"], a["facts"])
        self._launch(
            k.count_tiles, n, a["x"], a["y"], a["z"], a["weight"], a["group"], a["plan"], a["tile"], a["rank"],
            a["ends"], a["facts"],
        )  # fmt: skip
        self._scan("ends", TILES, "tile_totals")
        if tiles > CHUNK:
            self._launch(add_totals, tiles, a["ends"], a["plan"], TILES, a["tile_totals"])
        self._launch(
            k.fill_tiles, n, a["x"], a["y"], a["z"], a["weight"], a["tile"], a["rank"], a["ends"], a["plan"],
            a["facts"], a["xs"], a["ys"], a["zs"], a["ws"], a["q"], a["index"],
        )  # fmt: skip
        self._densities(-1)
        self._follow()

    def _launch(self, kernel: Any, size: int, *args: Any) -> None:
        from skytrigger.hep.clue.cuda_device import BLOCK

        kernel[max(1, -(-size // BLOCK)), BLOCK, self.queue.stream](*args)

    def _scan(self, name: str, which: int, totals: str) -> None:
        """Inclusive sums in each chunk, in place, and over the chunks in `totals`."""
        from skytrigger.hep.clue.cuda_device import BLOCK
        from skytrigger.hep.clue.cuda_scan import scan_blocks, scan_totals

        a, chunks = self._arrays, self._size(totals)
        self._launch(scan_blocks, chunks * BLOCK, a[name], a["plan"], which, a[totals])
        self._launch(scan_totals, BLOCK, a[totals], chunks)

    def _densities(self, limb: int) -> None:
        from skytrigger.hep.clue import cuda_kernels as k

        a = self._arrays
        self._launch(
            k.densities, self._size("x"), a["xs"], a["ys"], a["zs"], a["q"], a["group"], a["index"], a["ends"],
            a["plan"], self.cuts.density_square, self.period, self.kernel, self.factor, self.factor_bits,
            self.factor_size, a["facts"], limb, a["sums"], a["rho_sorted"],
        )  # fmt: skip

    def _in_limbs(self, facts: NDArray[np.int32]) -> None:
        """Weights that spread over too many bits for one int64 sum."""
        from skytrigger.hep.clue import cuda_kernels as k

        terms = min(int(facts[2]) * self.window, self.n)
        fixed: FixedPoint = plan_fixed_point(int(facts[0]), int(facts[1]) - int(facts[0]) + 1, terms, self.cuts.kernel)
        a, sums = self._arrays, []
        for limb in range(fixed.n_limbs):
            n, room = self._size("x"), fixed.limb_bits
            self._launch(k.take_limb, n, a["ws"], a["plan"], a["facts"], room, limb, fixed.n_limbs, a["q"])
            self._densities(limb)
            self.queue.wait()
            sums.append(a["sums"][: self.n].copy_to_host())
        rho = self._pin("rho", self.n, np.float32)
        np.copyto(rho, round_sums(sums, fixed))
        self.queue.to_device(a["rho_sorted"], rho)

    def _follow(self) -> None:
        from skytrigger.hep.clue import cuda_kernels as k
        from skytrigger.hep.clue.cuda_device import HITS

        a, cuts, n = self._arrays, self.cuts, self._size("x")
        distances = (cuts.search, cuts.seed_distance, cuts.outlier_distance)
        self._launch(
            k.nearest_higher, n, a["xs"], a["ys"], a["zs"], a["rho_sorted"], a["group"], a["index"], a["ends"],
            a["plan"], distances, self.period, cuts.zero_ties, a["rhoc"], a["follows"], a["rho"], a["delta"],
            a["nearest_higher"], a["is_seed"], a["flags"],
        )  # fmt: skip
        self._scan("flags", HITS, "seed_totals")
        self._launch(k.assign, n, a["follows"], a["is_seed"], a["flags"], a["seed_totals"], a["plan"], a["cluster_id"],
                     a["facts"])  # fmt: skip
