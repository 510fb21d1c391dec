"""One batch of hits on the GPU: its memory, its copies, its kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.hep.clue.cuda_queue import Leases, PlainQueue
from skytrigger.hep.clue.densities import FixedPoint, flat_bits, plan_fixed_point, round_sums
from skytrigger.hep.clue.hits import Hits
from skytrigger.hep.clue.rules import FACTOR_BITS, Cuts
from skytrigger.hep.clue.tiles import Grid
from skytrigger.hep.clue.workspace import Workspace

RESULTS = {
    "cluster_id": np.int32, "rho": np.float32, "delta": np.float32, "nearest_higher": np.int32, "is_seed": np.uint8,
}  # fmt: skip
INPUTS = ("x", "y", "z", "weight", "group", "rhoc")


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

    def run(self, hits: Hits, cuts: Cuts, grid: Grid, results: dict[str, NDArray[Any]],
            first_group: int = 0, offset: int = 0) -> None:  # fmt: skip
        """Cluster `hits`, whose groups begin with `first_group` and whose indices count from `offset`."""
        self.upload(hits, cuts, grid, first_group, offset)
        self.compute()
        self.download(results)

    def upload(self, hits: Hits, cuts: Cuts, grid: Grid, first_group: int = 0, offset: int = 0) -> None:
        """Queue the copies to the device."""
        self.queue.enter()
        self.trace("begin", self.queue.stream)
        self.n, self.hits, self.cuts = len(hits), hits, cuts
        self._geometry(grid)
        self._room()
        rhoc = hits.rhoc if len(hits.rhoc) > 1 else None
        plan = np.array(
            [self.n, self.n_tiles, first_group, offset, self.window, 0.0 if rhoc is not None else hits.rhoc[0],
             *self.sizes, *self.reach_density, *self.reach_search, *self.scales]
        )  # fmt: skip
        self._to_device("plan", plan)
        for name in INPUTS:
            values = rhoc if name == "rhoc" else getattr(hits, name)
            if values is not None:
                self._to_device(name, values)
        self.trace("copied in", self.queue.stream)

    def compute(self) -> None:
        """Queue the kernels."""
        hits, cuts = self.hits, self.cuts
        given = tuple(getattr(hits, name) is not None for name in INPUTS)
        key = (given, len(hits.rhoc) > 1, cuts, float(self.period), self._size("x"), self._size("ends"))
        self.queue.launch(key, self._launches)
        self.trace("kernels", self.queue.stream)

    def download(self, results: dict[str, NDArray[Any]]) -> None:
        """Copy the results back, after doing it over in limbs where the weights turn out to need several (rare)."""
        facts = self._pin("facts", 4, np.int32)
        self.queue.to_host(self._arrays["facts"], facts)
        self._results(results)
        self.trace("copied out", self.queue.stream)
        self.queue.wait()
        if facts[3]:
            self._in_limbs(facts)
            self._follow()
            self._results(results)
            self.queue.wait()

    def _results(self, results: dict[str, NDArray[Any]]) -> None:
        for name, target in results.items():
            self.queue.to_host(self._arrays[name], target)

    def _size(self, name: str) -> int:
        return int(self._arrays[name].size)

    def _room(self) -> None:
        """Arrays for this many hits and tiles, with room to spare where they are kept."""
        from numba import cuda

        from skytrigger.hep.clue.cuda_device import CHUNK, PLAN_LENGTH

        hits = self.hits
        n, tiles = ((v + v // 8 if self.kept else v) for v in (self.n, self.n_tiles))
        sizes: dict[str, tuple[int, Any]] = {
            "plan": (PLAN_LENGTH, np.float64),
            "facts": (4, np.int32),
            "ends": (tiles, np.int32),
        }
        sizes |= {"tile_totals": (-(-tiles // CHUNK), np.int32), "seed_totals": (-(-n // CHUNK), np.int32)}
        sizes |= dict.fromkeys(("x", "y", "xs", "ys", "rho_sorted"), (n, np.float32))
        sizes |= dict.fromkeys(("tile", "q", "sums"), (n, np.int64))
        sizes |= dict.fromkeys(("rank", "index", "follows", "flags"), (n, np.int32))
        absent = {"z": hits.z is None, "weight": hits.weight is None, "group": hits.group is None}
        absent |= {"rhoc": len(hits.rhoc) == 1}
        for name, none in absent.items():  # kernels take an array of no values for one that is not there
            sizes[name] = (0 if none else n, np.int32 if name == "group" else np.float32)
        sizes |= {"zs": sizes["z"], "ws": sizes["weight"]} | {k: (n, kind) for k, kind in RESULTS.items()}
        least = {"ends": self.n_tiles, "plan": PLAN_LENGTH, "facts": 4, "tile_totals": 0, "seed_totals": 0}
        fits = all(
            name in self._arrays
            and (size == 0) == (self._size(name) == 0)
            and self._size(name) >= (least.get(name, self.n) if size else 0)
            for name, (size, _) in sizes.items()
        )
        if not fits:
            self.queue.wait()
            self.queue.forget()
            self._arrays = {k: cuda.device_array(max(size, 1), kind)[:size] for k, (size, kind) in sizes.items()}

    def _pin(self, name: str, size: int, kind: Any) -> NDArray[Any]:
        """Host array of `size`, page-locked where kept."""
        from numba import cuda

        if not self.kept:
            return np.empty(size, kind)
        if name not in self._pinned or len(self._pinned[name]) < size:
            self._pinned[name] = np.asarray(cuda.pinned_array(size + size // 8, kind))
        return self._pinned[name][:size]

    def _to_device(self, name: str, values: NDArray[Any]) -> None:
        if self.kept:
            staged = self._pin(name, len(values), values.dtype)
            np.copyto(staged, values)
            values = staged
        self.queue.to_device(self._arrays[name], values)

    def _geometry(self, grid: Grid) -> None:
        hits, cuts = self.hits, self.cuts
        axes = (grid.x, grid.y, grid.z)
        self.n_tiles = hits.n_groups * grid.tiles
        self.scales = tuple(v for axis in axes for v in (axis.low, axis.scale))
        self.sizes = tuple(axis.n for axis in axes)
        self.reach_density = tuple(axis.reach(float(cuts.dc)) for axis in axes)
        self.reach_search = tuple(axis.reach(float(cuts.search)) for axis in axes)
        self.window = int(np.prod([min(2 * r + 1, n) for r, n in zip(self.reach_density, self.sizes, strict=True)]))
        self.period = np.float32(0) if hits.period is None else hits.period
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
        self._launch(k.assign, n, a["follows"], a["is_seed"], a["flags"], a["seed_totals"], a["plan"], a["cluster_id"])
