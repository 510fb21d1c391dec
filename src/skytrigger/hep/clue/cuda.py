"""Backend `cuda`, in the strategies whose comparison is the point.

1. Layer by layer, memory allocated for each.
2. All layers in one launch of each kernel, memory allocated for each call.
3. The same with memory kept in the `Workspace`: device arrays, page-locked inputs and results, and the launches, which
   are captured as a CUDA graph at the second call and replayed from then on. Several threads copy the columns.
4. Packs of whole events (or layers) that come in order, an event being but more layers; each thread has a stream of its
   own, copies its packs to page-locked memory, queues their work and waits. Hits in no order are one pack, as in 3.

In 3 and 4 the caller's arrays are looked at while they are copied, where they are of the usual types; what is odd goes
the long way over `check_hits`. Without a GPU the kernels run in Numba's simulator (``NUMBA_ENABLE_CUDASIM=1``, set
before Numba is imported): the same results, for tests only.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.core.extras import require
from skytrigger.core.host import cores_in_mask
from skytrigger.hep.clue.cuda_columns import Columns, columns_of
from skytrigger.hep.clue.cuda_queue import PlainQueue, leases_of, open_queue
from skytrigger.hep.clue.cuda_stage import ROW_HEIGHT, TILES_PER_HIT, Stage, space_for_results
from skytrigger.hep.clue.hits import Hits
from skytrigger.hep.clue.results import Clusters, merge_parts
from skytrigger.hep.clue.rules import Cuts
from skytrigger.hep.clue.tiles import Grid, plan_grid
from skytrigger.hep.clue.workspace import Workspace

COPIERS = 4
"""Threads that copy one event's columns."""
PACKERS = 12
"""Most threads, each with a stream, that work on packs of events."""
PACK_HITS = (1 << 16, 1 << 18)
"""Hits of a pack: fewer leave the GPU idle between launches, more leave threads idle at the end."""


def available(strategy: int) -> None:
    """Refuse a strategy that there is not, or a machine without a GPU."""
    if strategy not in (1, 2, 3, 4):
        raise InputError(f"no CUDA strategy {strategy}", expected="1, 2, 3 or 4")
    cuda = require("numba", why="the cuda backend of CLUE") and require("numba.cuda", why="the cuda backend of CLUE")
    if not cuda.is_available():
        raise UnavailableError(
            "no CUDA device, or its driver does not load",
            expected="an NVIDIA GPU with pip install 'skytrigger[hep,gpu]'",
            remedy="use the backend cpu; to try the kernels without a GPU set NUMBA_ENABLE_CUDASIM=1",
        )


def cluster(hits: Hits, cuts: Cuts, strategy: int = 3, workspace: Workspace | None = None) -> Clusters:
    """See `api.cluster`."""
    available(strategy)
    with (workspace or Workspace()).held() as space:
        if strategy > 2:
            return cluster_columns(columns_of(hits), cuts, strategy, space)
        grid = plan_grid(hits, cuts, TILES_PER_HIT, cuts.reach * ROW_HEIGHT)
        if strategy == 1:
            return _by_layer(hits, cuts, grid, space)
        results = space_for_results(len(hits), None)
        Stage(PlainQueue(), space).run(columns_of(hits), cuts, results, grid=grid)
        return _clusters(results)


def cluster_columns(columns: Columns, cuts: Cuts, strategy: int, space: Workspace) -> Clusters:
    """Strategies 3 and 4.

    Raises
    ------
    UnusualError
        Hits that must be checked first.
    """
    results = space_for_results(len(columns), leases_of(space))
    threads = _threads()
    least, most = PACK_HITS
    edges = columns.edges(max(least, min(most, -(-len(columns) // threads)))) if strategy == 4 else [0, len(columns)]
    if len(edges) == 2:
        shared = len(columns) >= least and threads > 1
        _kept(space, 0).run(columns, cuts, results, _share_of(space) if shared else None)
    else:
        _by_packs(columns, cuts, edges, results, space, threads)
    return _clusters(results)


def _threads() -> int:
    from skytrigger.hep.clue.cuda_device import SIMULATED

    return 1 if SIMULATED else min(PACKERS, cores_in_mask())  # the simulator runs one kernel at a time


def _share_of(space: Workspace) -> Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], list[Any]]:
    """A way to call a function with each of several arguments on a few threads, this one among them."""
    from skytrigger.hep.clue.cpu_chunk import share

    def in_turns(function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
        found: list[Any] = [None] * len(tasks)
        left = iter(range(len(tasks)))  # next() of it is one step: no two threads get one task

        def work() -> None:
            for place in left:
                found[place] = function(*tasks[place])

        share(space, work, [()] * min(COPIERS, _threads(), len(tasks)))
        return found

    return in_turns


def _clusters(results: dict[str, NDArray[Any]]) -> Clusters:
    return Clusters(**{**results, "is_seed": results["is_seed"].view(np.bool_)})


def _kept(space: Workspace, slot: int) -> Stage:
    """The stage of a stream, made once."""
    found: Stage | None = space.device.get(f"stage {slot}")
    if found is None:
        found = space.device[f"stage {slot}"] = Stage(open_queue(), space, kept=True)
    return found


def _take(hits: Hits, chosen: Any) -> Hits:
    """The hits of one group."""
    return replace(
        hits,
        x=hits.x[chosen],
        y=hits.y[chosen],
        z=None if hits.z is None else hits.z[chosen],
        weight=None if hits.weight is None else hits.weight[chosen],
        group=None,
        n_groups=1,
        seams=None,
        rhoc=hits.rhoc if len(hits.rhoc) == 1 else hits.rhoc[chosen],
    )


def _by_layer(hits: Hits, cuts: Cuts, grid: Grid, space: Workspace) -> Clusters:
    from skytrigger.hep.clue.kdtree import members

    parts = []
    for own in members(hits):
        results = space_for_results(len(own), None)
        Stage(PlainQueue(), space).run(columns_of(_take(hits, own)), cuts, results, grid=grid)
        parts.append((own, _clusters(results)))
    return merge_parts(len(hits), parts)


def _by_packs(columns: Columns, cuts: Cuts, edges: list[int], results: dict[str, NDArray[Any]], space: Workspace,
              threads: int) -> None:  # fmt: skip
    """Each thread takes the next pack, with a stage of its own; results are written where they belong."""
    left = iter([*enumerate(itertools.pairwise(edges))])  # next() of it is one step: no two threads get one pack
    numbers = Numbers([results["cluster_id"][a:b] for a, b in itertools.pairwise(edges)])
    failures: list[BaseException] = []

    def work(slot: int) -> None:
        try:
            stage = _kept(space, slot)
            for place, (first, last) in left:
                mine = {name: values[first:last] for name, values in results.items()}
                numbers.add(place, stage.run(columns.part(first, last), cuts, mine))
                if failures:
                    return
        except BaseException as error:
            failures.append(error)

    slots = range(1, 1 + min(threads, len(edges) - 1))
    if len(slots) == 1:
        work(1)
    else:
        done = [space.pool(max(threads, COPIERS)).submit(work, slot) for slot in slots]
        for one in done:
            one.result()
    if failures:
        raise failures[0]


class Numbers:
    """Cluster numbers of packs that are done in any order, made to go on from pack to pack as soon as that is known."""

    def __init__(self, packs: list[NDArray[np.int32]]) -> None:
        self._packs = packs
        self._seeds: dict[int, int] = {}
        self._next = self._before = 0
        self._turn = threading.Lock()

    def add(self, place: int, seeds: int) -> None:
        """Pack `place` is done, with so many seeds."""
        from skytrigger.hep.clue.cuda_copy import add_where_numbered

        known = []
        with self._turn:
            self._seeds[place] = seeds
            while self._next in self._seeds:
                known.append((self._next, self._before))
                self._before += self._seeds.pop(self._next)
                self._next += 1
        for pack, before in known:
            if before:
                add_where_numbered(self._packs[pack], np.int32(before))
