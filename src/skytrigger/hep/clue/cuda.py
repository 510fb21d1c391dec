"""Backend `cuda`, in the strategies whose comparison is the point.

1. Layer by layer, memory allocated for each.
2. All layers in one launch of each kernel, memory allocated for each call.
3. The same with memory kept in the `Workspace`.
4. Batches of whole events (or layers) on several streams, copies overlapping kernels, memory kept.

Without a GPU the kernels run in Numba's simulator (``NUMBA_ENABLE_CUDASIM=1``, set before Numba is imported): the same
results, for tests only.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.core.extras import require
from skytrigger.hep.clue.densities import FixedPoint, flat_bits, plan_fixed_point, round_sums
from skytrigger.hep.clue.hits import Hits
from skytrigger.hep.clue.results import Clusters, empty_clusters, merge_parts
from skytrigger.hep.clue.rules import FACTOR_BITS, Cuts
from skytrigger.hep.clue.tiles import Grid, plan_grid
from skytrigger.hep.clue.workspace import Workspace

STREAMS = 3
BATCH_HITS = 1 << 18
NONE_F = np.empty(0, np.float32)
NONE_I = np.empty(0, np.int32)


def cluster(hits: Hits, cuts: Cuts, strategy: int = 3, workspace: Workspace | None = None) -> Clusters:
    """See `api.cluster`."""
    if strategy not in (1, 2, 3, 4):
        raise InputError(f"no CUDA strategy {strategy}", expected="1, 2, 3 or 4")
    cuda = require("numba", why="the cuda backend of CLUE") and require("numba.cuda", why="the cuda backend of CLUE")
    if not cuda.is_available():
        raise UnavailableError(
            "no CUDA device, or its driver does not load",
            expected="an NVIDIA GPU with pip install 'skytrigger[hep,gpu]'",
            remedy="use the backend cpu; to try the kernels without a GPU set NUMBA_ENABLE_CUDASIM=1",
        )
    grid = plan_grid(hits, cuts, tiles_per_hit=4.0, row_height=cuts.reach * 1.03)
    if strategy == 1:
        return _by_layer(hits, cuts, grid)
    if strategy == 4:
        return _by_batch(hits, cuts, grid, workspace or Workspace())
    memory = _Memory((workspace or Workspace()).device if strategy == 3 else {})
    return _Event(hits, cuts, grid, memory, 0).run()


@dataclass
class _Memory:
    """Device arrays by name, grown and kept."""

    arrays: dict[Any, Any]
    slot: int = 0

    def device(self, name: str, size: int, dtype: Any) -> Any:
        """Device array of at least `size` values."""
        from numba import cuda

        key = (name, self.slot)
        if key not in self.arrays or self.arrays[key].size < size:
            self.arrays[key] = cuda.device_array(max(size + size // 8, 1), dtype)
        return self.arrays[key]

    def pinned(self, name: str, size: int, dtype: Any) -> Any:
        """Page-locked host array of at least `size` values: only such copies overlap."""
        from numba import cuda

        key = ("pinned", name, self.slot)
        if key not in self.arrays or len(self.arrays[key]) < size:
            self.arrays[key] = cuda.pinned_array(max(size + size // 8, 1), dtype)
        return self.arrays[key]


@dataclass
class _Event:
    """One call's worth of hits on one stream: `start` queues everything, `finish` waits for the results."""

    hits: Hits
    cuts: Cuts
    grid: Grid
    memory: _Memory
    stream: Any
    first_group: int = 0
    staged: bool = False
    results: dict[str, Any] = field(default_factory=dict)

    def run(self) -> Clusters:
        """Results of this event."""
        self.start()
        return self.finish()

    def start(self) -> None:
        """Queue copies and kernels."""
        hits = self.hits
        self.n = len(hits)
        self.n_tiles = hits.n_groups * self.grid.tiles
        self.x, self.y = self._to_device("x", hits.x), self._to_device("y", hits.y)
        self.z = self._to_device("z", hits.z if hits.z is not None else NONE_F)
        self.weight = self._to_device("weight", hits.weight if hits.weight is not None else NONE_F)
        self.group = self._to_device("group", hits.group if hits.group is not None else NONE_I)
        self.rhoc = self._to_device("rhoc", hits.rhoc)
        self._geometry()
        self._build()
        self._densities(limb=-1, room=0, n_limbs=1)
        self._follow()

    def finish(self) -> Clusters:
        """Wait, and do it over in limbs where the weights turn out to need several (rare)."""
        facts = self.facts.copy_to_host(stream=self.stream)
        self._wait()
        if facts[3]:
            self._in_limbs(facts)
            self._follow()
        found = empty_clusters(self.n)
        for name in ("cluster_id", "is_seed", "rho", "delta", "nearest_higher"):
            self._to_host(name, getattr(found, name))
        self._wait()
        return found

    def _launch(self, kernel: Any, size: int, *args: Any) -> None:
        from skytrigger.hep.clue.cuda_kernels import BLOCK

        kernel[max(1, -(-size // BLOCK)), BLOCK, self.stream](*args)

    def _wait(self) -> None:
        from numba import cuda

        (self.stream or cuda).synchronize()

    def _array(self, name: str, size: int, dtype: Any) -> Any:
        return self.memory.device(name, size, dtype)

    def _to_device(self, name: str, values: NDArray[Any]) -> Any:
        """Exactly as long as `values`; kernels take an array of no values for one that is not there."""
        target = self._array(name, len(values), values.dtype)[: len(values)]
        if len(values):
            if self.staged:
                buffer = self.memory.pinned(name, len(values), values.dtype)[: len(values)]
                buffer[:] = values
                values = buffer
            target.copy_to_device(values, stream=self.stream)
        return target

    def _to_host(self, name: str, target: NDArray[Any]) -> None:
        source = self.results[name][: self.n]
        if target.dtype == np.bool_:
            target = target.view(np.uint8)
        source.copy_to_host(target, stream=self.stream)

    def _geometry(self) -> None:
        grid, cuts = self.grid, self.cuts
        axes = (grid.x, grid.y, grid.z)
        self.scales = tuple(v for axis in axes for v in (axis.low, axis.scale))
        self.sizes = tuple(axis.n for axis in axes)
        self.reach_density = tuple(axis.reach(float(cuts.dc)) for axis in axes)
        self.reach_search = tuple(axis.reach(float(cuts.search)) for axis in axes)
        self.window = int(np.prod([min(2 * r + 1, n) for r, n in zip(self.reach_density, self.sizes, strict=True)]))
        self.period = np.float32(0) if self.hits.period is None else self.hits.period
        kernel = cuts.kernel
        self.factor, self.factor_bits = flat_bits(kernel) if kernel.kind == "flat" else (1, FACTOR_BITS)
        a, b, c = (*map(np.float32, kernel.parameters), np.float32(0), np.float32(0))[:3]
        self.kernel = (("flat", "exponential", "gaussian").index(kernel.kind), a, b, c)
        size = plan_fixed_point(0, 1, 0, kernel)
        self.factor_size = size.spent

    def _build(self) -> None:
        from skytrigger.hep.clue import cuda_kernels as k

        n = self.n
        self.facts = self._array("facts", 4, np.int32)[:4]
        self.ends = self._array("ends", self.n_tiles, np.int32)
        tile, rank = self._array("tile", n, np.int64), self._array("rank", n, np.int32)
        self._launch(k.clear, self.n_tiles, self.ends, self.n_tiles, self.facts)
        self._launch(
            k.count_tiles, n, self.x, self.y, self.z, self.weight, self.group, self.first_group, self.scales,
            self.sizes, n, tile, rank, self.ends, self.facts,
        )  # fmt: skip
        self._scan(self.ends, self.n_tiles)
        self.xs, self.ys = self._array("xs", n, np.float32), self._array("ys", n, np.float32)
        self.zs = self._array("zs", self.z.size, np.float32)[: self.z.size]
        self.ws = self._array("ws", self.weight.size, np.float32)[: self.weight.size]
        self.index, self.place = self._array("index", n, np.int32), self._array("place", n, np.int32)
        self._launch(
            k.fill_tiles, n, self.x, self.y, self.z, self.weight, tile, rank, self.ends, n, self.xs, self.ys, self.zs,
            self.ws, self.index, self.place,
        )  # fmt: skip

    def _scan(self, values: Any, n: int, depth: int = 0) -> None:
        """Inclusive sums in place, block by block, the blocks' totals likewise."""
        from skytrigger.hep.clue import cuda_kernels as k

        blocks = -(-n // k.BLOCK)
        totals = self._array(f"totals{depth}", blocks, np.int32)
        self._launch(k.scan_blocks, n, values, n, totals)
        if blocks > 1:
            self._scan(totals, blocks, depth + 1)
            self._launch(k.add_totals, n, values, n, totals)

    def _densities(self, limb: int, room: int, n_limbs: int) -> None:
        from skytrigger.hep.clue import cuda_kernels as k

        n = self.n
        q, self.sums = self._array("q", n, np.int64), self._array("sums", n, np.int64)
        self.rho = self._array("rho_sorted", n, np.float32)
        self._launch(k.take_limb, n, self.ws, n, self.facts, room, max(limb, 0), n_limbs, q)
        self._launch(
            k.densities, n, self.xs, self.ys, self.zs, q, self.group, self.first_group, self.index, self.ends,
            self.scales, self.sizes, self.reach_density, self.window, n, self.cuts.density_square, self.period,
            self.kernel, self.factor, self.factor_bits, self.factor_size, self.facts, limb, self.sums, self.rho,
        )  # fmt: skip

    def _in_limbs(self, facts: NDArray[np.int32]) -> None:
        """Weights that spread over too many bits for one int64 sum."""
        terms = min(int(facts[2]) * self.window, self.n)
        fixed: FixedPoint = plan_fixed_point(int(facts[0]), int(facts[1]) - int(facts[0]) + 1, terms, self.cuts.kernel)
        sums = []
        for limb in range(fixed.n_limbs):
            self._densities(limb, fixed.limb_bits, fixed.n_limbs)
            sums.append(self.sums[: self.n].copy_to_host(stream=self.stream))
            self._wait()
        self.rho[: self.n].copy_to_device(round_sums(sums, fixed), stream=self.stream)

    def _follow(self) -> None:
        from skytrigger.hep.clue import cuda_kernels as k

        n, cuts = self.n, self.cuts
        follows, flags = self._array("follows", n, np.int32), self._array("flags", n, np.int32)
        self.results = {
            name: self._array(name, n, dtype)
            for name, dtype in (
                ("cluster_id", np.int32), ("is_seed", np.uint8), ("rho", np.float32), ("delta", np.float32),
                ("nearest_higher", np.int32),
            )
        }  # fmt: skip
        out = self.results
        distances = (cuts.search, cuts.seed_distance, cuts.outlier_distance)
        self._launch(
            k.nearest_higher, n, self.xs, self.ys, self.zs, self.rho, self.group, self.first_group, self.index,
            self.ends, self.scales, self.sizes, self.reach_search, n, distances, self.period, cuts.zero_ties, self.rhoc,
            follows, out["rho"], out["delta"], out["nearest_higher"], out["is_seed"], flags,
        )  # fmt: skip
        self._scan(flags, n)
        self._launch(k.assign, n, follows, out["is_seed"], flags, n, out["cluster_id"])


def _take(hits: Hits, chosen: Any, n_groups: int, first_group: int = 0) -> Hits:
    """Some hits of whole groups, which are renumbered from `first_group`."""
    group = None if hits.group is None else hits.group[chosen] - np.int32(first_group)
    return replace(
        hits,
        x=hits.x[chosen],
        y=hits.y[chosen],
        z=None if hits.z is None else hits.z[chosen],
        weight=None if hits.weight is None else hits.weight[chosen],
        group=None if n_groups == 1 else group,
        n_groups=n_groups,
        rhoc=hits.rhoc if len(hits.rhoc) == 1 else hits.rhoc[chosen],
    )


def _by_layer(hits: Hits, cuts: Cuts, grid: Grid) -> Clusters:
    from skytrigger.hep.clue.kdtree import members

    parts = []
    for own in members(hits):
        part = _take(hits, own, 1)
        parts.append((own, _Event(part, cuts, grid, _Memory({}), 0).run()))
    return merge_parts(len(hits), parts)


def _by_batch(hits: Hits, cuts: Cuts, grid: Grid, workspace: Workspace) -> Clusters:
    from numba import cuda

    n = len(hits)
    order = np.arange(n) if hits.group is None else np.argsort(hits.group, kind="stable")
    groups = np.zeros(n, np.int32) if hits.group is None else hits.group[order]
    starts = np.searchsorted(groups, np.arange(hits.n_groups + 1))
    batches = max(1, min(hits.n_groups, -(-n // BATCH_HITS)))
    edges = sorted(
        {0, hits.n_groups, *map(int, np.searchsorted(starts, [n * b // batches for b in range(1, batches)]))}
    )
    streams = workspace.device.setdefault("streams", [cuda.stream() for _ in range(STREAMS)])
    running: list[tuple[NDArray[np.int64], _Event]] = []
    parts: list[tuple[NDArray[np.int64], Clusters]] = []
    for number, (first, last) in enumerate(itertools.pairwise(edges)):
        own = order[starts[first] : starts[last]]
        if not len(own):
            continue
        if len(running) == STREAMS:
            done, oldest = running.pop(0)
            parts.append((done, oldest.finish()))
        slot = number % STREAMS
        memory = _Memory(workspace.device, slot + 1)
        part = _take(hits, own, last - first, first)
        event = _Event(part, cuts, grid, memory, streams[slot], staged=True)
        event.start()
        running.append((own, event))
    parts.extend((own, event.finish()) for own, event in running)
    return merge_parts(n, parts)
