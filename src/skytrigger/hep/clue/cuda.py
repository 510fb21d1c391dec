"""Backend `cuda`, in the strategies whose comparison is the point.

1. Layer by layer, memory allocated for each.
2. All layers in one launch of each kernel, memory allocated for each call.
3. The same with memory kept in the `Workspace`: device arrays, page-locked inputs and results, and the launches, which
   are captured as a CUDA graph at the second call and replayed from then on.
4. Batches of whole events (or layers) that come in order, on several streams with a thread each: copies overlap
   kernels, memory and launches kept as in 3. Hits in no order are one batch.

Without a GPU the kernels run in Numba's simulator (``NUMBA_ENABLE_CUDASIM=1``, set before Numba is imported): the same
results, for tests only.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.core.extras import require
from skytrigger.hep.clue.cuda_queue import PlainQueue, leases_of, open_queue
from skytrigger.hep.clue.cuda_stage import Stage, space_for_results
from skytrigger.hep.clue.hits import Hits
from skytrigger.hep.clue.results import Clusters, merge_parts
from skytrigger.hep.clue.rules import Cuts
from skytrigger.hep.clue.tiles import Grid, plan_grid
from skytrigger.hep.clue.workspace import Workspace

STREAMS = 4
BATCH_HITS = 1 << 18


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
    space = workspace or Workspace()
    grid = plan_grid(hits, cuts, tiles_per_hit=4.0, row_height=cuts.reach * 1.03)
    if strategy == 1:
        return _by_layer(hits, cuts, grid, space)
    if strategy == 4:
        return _by_batch(hits, cuts, grid, space)
    stage = _kept(space, 0) if strategy == 3 else Stage(PlainQueue(), space)
    results = space_for_results(len(hits), leases_of(space) if strategy == 3 else None)
    stage.run(hits, cuts, grid, results)
    return _clusters(results)


def _clusters(results: dict[str, NDArray[Any]]) -> Clusters:
    return Clusters(**{**results, "is_seed": results["is_seed"].view(np.bool_)})


def _kept(space: Workspace, slot: int) -> Stage:
    """The stage of a stream, made once."""
    found: Stage | None = space.device.get(f"stage {slot}")
    if found is None:
        found = space.device[f"stage {slot}"] = Stage(open_queue(), space, kept=True)
    return found


def _take(hits: Hits, chosen: Any, n_groups: int) -> Hits:
    """Some hits of whole groups."""
    return replace(
        hits,
        x=hits.x[chosen],
        y=hits.y[chosen],
        z=None if hits.z is None else hits.z[chosen],
        weight=None if hits.weight is None else hits.weight[chosen],
        group=None if n_groups == 1 or hits.group is None else hits.group[chosen],
        n_groups=n_groups,
        rhoc=hits.rhoc if len(hits.rhoc) == 1 else hits.rhoc[chosen],
    )


def _by_layer(hits: Hits, cuts: Cuts, grid: Grid, space: Workspace) -> Clusters:
    from skytrigger.hep.clue.kdtree import members

    parts = []
    for own in members(hits):
        results = space_for_results(len(own), None)
        Stage(PlainQueue(), space).run(_take(hits, own, 1), cuts, grid, results)
        parts.append((own, _clusters(results)))
    return merge_parts(len(hits), parts)


def _by_batch(hits: Hits, cuts: Cuts, grid: Grid, space: Workspace) -> Clusters:
    """Each thread takes the next batch, with a stage of its own; results are written where they belong."""
    from skytrigger.hep.clue.cuda_device import SIMULATED

    n = len(hits)
    edges = _edges(hits)
    results = space_for_results(n, leases_of(space))
    left = iter(enumerate(itertools.pairwise(edges)))
    turn = threading.Lock()
    failures: list[BaseException] = []
    counts = np.zeros(len(edges), np.int64)

    def work(slot: int) -> None:
        try:
            stage = _kept(space, slot)
            while not failures:
                with turn:
                    number, (first, last) = next(left, (-1, (0, 0)))
                if number < 0:
                    return
                own = slice(first, last)
                groups = (0, 0) if hits.group is None else (int(hits.group[own].min()), int(hits.group[own].max()))
                part = _take(hits, own, groups[1] - groups[0] + 1)
                mine = {name: values[own] for name, values in results.items()}
                stage.run(part, cuts, grid, mine, groups[0], first)
                counts[number + 1] = np.count_nonzero(mine["is_seed"])
        except BaseException as error:
            failures.append(error)

    slots = range(1, 1 + min(STREAMS, len(edges) - 1))
    if SIMULATED or len(slots) == 1:  # the simulator runs one kernel at a time
        for slot in slots:
            work(slot)
    else:
        done = [space.pool(STREAMS).submit(work, slot) for slot in slots]
        for one in done:
            one.result()
    if failures:
        raise failures[0]
    before = np.cumsum(counts)
    for number, (first, last) in enumerate(itertools.pairwise(edges)):
        if before[number]:
            ids = results["cluster_id"][first:last]
            np.add(ids, np.int32(before[number]), out=ids, where=ids >= 0)
    return _clusters(results)


def _edges(hits: Hits) -> list[int]:
    """Where batches begin and end: about `BATCH_HITS` hits, cut between events or layers."""
    n = len(hits)
    batches = max(1, -(-n // BATCH_HITS))
    if hits.seams is None or batches == 1:
        return [0, n]
    places = np.searchsorted(hits.seams, [n * b // batches for b in range(1, batches)])
    return sorted({0, n, *(int(hits.seams[p]) for p in places)})
