"""Backend `cpu`: tiles, vectors and threads.

A call is cut into chunks of whole groups where the hits come in order of events, or of layers: a chunk of some 10^5
hits stays in the cache and needs nothing of the others, so chunks are also what threads share out. A call of one chunk
is shared out inside: hits, groups or rows of tiles, whichever the step allows.
"""

from __future__ import annotations

import itertools
import warnings
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.extras import require
from skytrigger.hep.clue.hits import Hits
from skytrigger.hep.clue.results import Clusters
from skytrigger.hep.clue.rules import Cuts
from skytrigger.hep.clue.tiles import Grid, plan_grid
from skytrigger.hep.clue.workspace import Workspace, kept_workspace

CHUNK = 1 << 16
"""Hits of a chunk, about (whole groups): more leave the cache, fewer do not pay for the calls. Measured with
20 events of 100,000 hits, ns a hit: 43 with 2^16 (event by event), 49 with 2^17, 55 uncut."""
HITS_PER_THREAD = 1 << 16
"""Fewer do not pay for waking a thread at every step: 100,000 hits took 1.1 to 1.6 times as long on two."""
PAIRS_A_SECOND = 1e9
"""About, on one thread."""
LONG_PAIRS = 3 * PAIRS_A_SECOND
"""From here on a call runs in a thread of its own, so that Ctrl-C ends it."""


def cluster(
    hits: Hits, cuts: Cuts, workspace: Workspace | None = None, threads: int = 1, grid: Grid | None = None
) -> Clusters:
    """See `api.cluster`. `grid` overrides the planned one; the result does not depend on it."""
    require("numba", why="the cpu backend of CLUE")
    grid = grid or plan_grid(hits, cuts)
    stop = np.zeros(1, np.int32)
    with (workspace or kept_workspace()).held() as space:
        if grid.pairs < LONG_PAIRS:
            return _cluster(hits, cuts, space, threads, grid, stop)
        warnings.warn(
            f"dc {cuts.dc:g} reaches over much of the detector: about {grid.pairs:.1g} comparisons, some "
            f"{grid.pairs / PAIRS_A_SECOND:.0f} s (Ctrl-C ends them)",
            RuntimeWarning,
            stacklevel=4,
        )
        with ThreadPoolExecutor(1) as pool:
            result = pool.submit(_cluster, hits, cuts, space, threads, grid, stop)
            try:
                wait([result])
            except BaseException:
                stop[0] = 1
                raise
            return result.result()


def _cluster(hits: Hits, cuts: Cuts, space: Workspace, threads: int, grid: Grid, stop: NDArray[np.int32]) -> Clusters:
    from skytrigger.hep.clue.compiling import announce
    from skytrigger.hep.clue.cpu_chunk import Chunk, share
    from skytrigger.hep.clue.cpu_search import cluster_groups

    announce(cluster_groups)
    n = len(hits)
    threads = max(1, min(threads, n // HITS_PER_THREAD))
    kinds: tuple[Any, ...] = (np.int32, bool, np.float32, np.float32, np.int32)
    found = Clusters(*(np.empty(n, kind) for kind in kinds))
    chunks = cut_chunks(hits, threads)
    if len(chunks) == 1 or threads == 1:
        number = 0
        for chunk in chunks:
            number = Chunk(hits, cuts, grid, space, *chunk, threads, 0, stop).cluster(found, number)
        return found
    counts = np.zeros(len(chunks), np.int64)

    def work(part: int) -> None:
        for place in range(part, len(chunks), threads):
            counts[place] = Chunk(hits, cuts, grid, space, *chunks[place], 1, part, stop).cluster(found, 0)

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


def warm() -> None:
    """Compile all that usual calls need, ahead of them."""
    from skytrigger.hep.clue.api import cluster as call

    rng = np.random.default_rng(0)
    x, y, fine = rng.random((3, 200))
    for weight in (None, np.ones(200), fine):
        call(x, y, weight=weight, dc=0.1, rhoc=1.0)
    call(x, y, weight=fine, dc=0.1, rhoc=fine)
    call(x, y, weight=fine, dc=0.1, rhoc=1.0, z=fine)
    call(x, y, weight=fine, dc=0.1, rhoc=1.0, period={"y": 2.0})
