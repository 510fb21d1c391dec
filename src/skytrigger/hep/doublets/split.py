"""A split in which no pixel cluster is in two parts.

Doublets share clusters (one inner hit is paired with several outer ones), and files repeat whole
doublets. A split of rows, or even of distinct doublets, lets a classifier recognise test clusters
from training: boosted trees on the CMS file reach an AUC of 0.832 by a split of rows (trained on 20,000 of
them), 0.768 by one of distinct doublets, 0.743 where no cluster is shared
(benchmarks/doublets_cross_validation.py).
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.core.seeds import generator

TENTHS = 10
REGIONS = 100  # a region holds at most 1/100 of the doublets
# which tenths each part is made of; the rest trains
TEST_TENTHS = (0, 1)
VAL_TENTHS = (2,)


def cluster_numbers(x: NDArray[np.generic]) -> NDArray[np.int64]:
    """Equal clusters get equal numbers, whichever pad of whichever doublet they are in.

    Parameters
    ----------
    x
        (n, c, h, w) charges; every channel is one cluster.

    Returns
    -------
    (n, c) int64, dense from 0.
    """
    n, channels = x.shape[:2]
    flat = np.ascontiguousarray(x).reshape(n * channels, -1)
    rows = flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1])))[:, 0]
    _, inverse = np.unique(rows, return_inverse=True)
    return inverse.reshape(n, channels).astype(np.int64)


def regions(hits: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], list[int]]:
    """Cut the graph of doublets (edges) between clusters (nodes) into nearly separate regions.

    A connected component of at most 1 % of the doublets is a region. Larger ones are cut: each region
    grows from a random doublet, always by the cluster whose remaining edges lead outside the least; a
    sparse graph falls apart at few edges.

    Parameters
    ----------
    hits
        (n, 2) numbers of the inner and the outer cluster of each doublet.

    Returns
    -------
    region, size
        (n, 2) region of each doublet's inner and outer cluster, -1 for an outer one left alone at a
        border; and how many doublets lie whole in each region. The largest component's regions come first.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    random = generator(seed, "doublets", "split")
    n, nodes = len(hits), int(hits.max()) + 1
    order = np.argsort(hits.ravel(), kind="stable")
    starts = np.searchsorted(hits.ravel()[order], np.arange(nodes + 1)).tolist()
    neighbours = hits[:, ::-1].ravel()[order].tolist()
    graph = coo_array((np.ones(n, dtype=np.int8), (hits[:, 0], hits[:, 1])), shape=(nodes, nodes))
    component = connected_components(graph, directed=False)[1][hits[:, 0]]
    first = random.permutation(n)
    first = first[np.argsort(-np.bincount(component)[component[first]], kind="stable")]
    owner, sizes = [-1] * nodes, list[int]()
    for node in hits[first, 0].tolist():
        if owner[node] < 0:
            sizes.append(_grow(node, len(sizes), -(-n // REGIONS), starts, neighbours, owner))
    return np.array(owner, dtype=np.int64)[hits], sizes


def tenths(hits: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """(n, 2) bin, 0 to 9, of each doublet's inner and outer cluster; they differ for the few across a cut.

    Regions go to the emptiest bin, so that every bin holds the same share of crowded and of lonely
    clusters; their fractions of true pairs differ (0.28 and 0.66 in the CMS file).
    """
    region, sizes = regions(hits, seed)
    filled, bin_of = [0] * TENTHS, []
    for size in sizes:
        bin_of.append(filled.index(min(filled)))
        filled[bin_of[-1]] += size
    return np.append(bin_of, TENTHS - 1).astype(np.int64)[region]  # -1: the last bin


def families(x: NDArray[np.generic]) -> NDArray[np.int64]:
    """(n,) number of each doublet's region: doublets that share clusters have correlated scores, so
    intervals resample regions. On the test part of the CMS file the error of the AUC is 0.010 if each
    doublet is drawn by itself, 0.012 and 0.013 by outer and inner clusters, 0.015 by connected components."""
    first, inverse = np.unique(distinct_doublets(x), return_index=True, return_inverse=True)[1:]
    return regions(_two_clusters(x[first]), 0)[0][:, 0][inverse.reshape(-1)]


def _grow(first: int, number: int, size: int, starts: list[int], neighbours: list[int], owner: list[int]) -> int:
    """Grow region `number` from a cluster; returns the doublets that are inside it whole."""
    inside: dict[int, int] = {}  # frontier cluster -> its edges into the region
    heap, edges = [(0, first)], 0
    while heap and edges < size:
        _, node = heapq.heappop(heap)
        if owner[node] >= 0:
            continue
        owner[node] = number
        edges += inside.get(node, 0)
        for other in neighbours[starts[node] : starts[node + 1]]:
            if owner[other] < 0:
                inside[other] = inside.get(other, 0) + 1
                outside = starts[other + 1] - starts[other] - 2 * inside[other]
                heapq.heappush(heap, (outside, other))
    return edges


def distinct_doublets(x: NDArray[np.generic]) -> NDArray[np.int64]:
    """(n,) number of each doublet; equal ones share a number."""
    clusters = cluster_numbers(x)
    return np.unique(clusters, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _two_clusters(x: NDArray[np.generic]) -> NDArray[np.int64]:
    """(n, 2) numbers of the two clusters of each doublet, whichever two of its pads hold charge."""
    clusters = cluster_numbers(x)
    if clusters.shape[1] == 2:
        return clusters
    charged = x.any(axis=(2, 3))
    if not (charged.sum(axis=1) == 2).all():
        raise InputError("some doublets have other than two pads with charge")
    return np.unique(clusters[charged], return_inverse=True)[1].reshape(-1, 2).astype(np.int64)


def split_doublets(dataset: Dataset, seed: int = 0) -> Split:
    """Training (about 70 %), validation (10 %) and test (20 %), no pixel cluster in two of them.

    Each distinct doublet is taken once, at its first row. Doublets whose two clusters fell into
    different parts belong to none. Of more than two pads the two with charge count.

    Raises
    ------
    InputError
        A part is empty: the file holds too few distinct clusters.
    """
    first = np.sort(np.unique(distinct_doublets(dataset.x), return_index=True)[1])
    part_of = np.zeros(TENTHS, dtype=np.int64)
    part_of[list(VAL_TENTHS)], part_of[list(TEST_TENTHS)] = 1, 2
    part = part_of[tenths(_two_clusters(dataset.x[first]), seed)]
    whole = part[:, 0] == part[:, 1]
    train, val, test = (np.sort(first[whole & (part[:, 0] == k)]).astype(np.int64) for k in range(3))
    if not (len(train) and len(val) and len(test)):
        raise InputError(
            f"{len(first)} distinct doublets cannot be split without sharing clusters",
            expected="at least a few hundred doublets",
        )
    facts = {
        "kind": "cluster-disjoint",
        "seed": seed,
        "distinct": len(first),
        "repeats_left_out": len(dataset) - len(first),
        "across_parts_left_out": int((~whole).sum()),
    }
    return Split(train, val, test, facts)
