"""CLUE's rules on a compiled k-d tree: the published program that CLUE replaced, and the same tree as fast as it goes.

CMSSW clustered with ``HGCalImagingAlgo`` before it had CLUE: one k-d tree a layer (``CommonTools/RecoAlgos``,
``KDTreeLinkerAlgo``), halved at the median of x and y in turn down to single hits, and searched for the hits in a
square of dc around each; then each hit against all denser ones of its layer. `imaging` is that, written anew and
compiled by Numba, without what CMSSW does beside (copies of found hits, halos, sharing of energies). It looks no
further than the search distance, so that labels are CLUE's.

`nearest` is the tree at its best: several hits a leaf, the nearest higher found in the tree too, near side first, a
sphere that shrinks with what is found, and branches left out where nothing is as dense. Both count densities in
float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from skytrigger.hep.clue.hitset import Hitset
from skytrigger.hep.clue.results import Clusters
from skytrigger.hep.clue.rules import Cuts, resolve_cuts, resolve_rules

DEPTH = 128
"""Entries of a stack; a tree of n hits is no deeper than log2(n) + 1."""
compiled = njit(cache=True, nogil=True, error_model="numpy", boundscheck=False)


@compiled
def _swap(x: Any, y: Any, own: Any, i: int, j: int) -> None:
    x[i], x[j] = x[j], x[i]
    y[i], y[j] = y[j], y[i]
    own[i], own[j] = own[j], own[i]


@compiled
def _median(along: Any, x: Any, y: Any, own: Any, low: int, high: int) -> int:
    """Order hits ``low .. high - 1`` about the middle one by `along` (x or y); its place (Wirth's selection)."""
    middle = low + (high - low - 1) // 2
    left, right = low, high - 1
    while left < right:
        value = along[middle]
        i, j = left, right
        while i <= j:
            while along[i] < value:
                i += 1
            while along[j] > value:
                j -= 1
            if i <= j:
                _swap(x, y, own, i, j)
                i += 1
                j -= 1
        if j < middle:
            left = i
        if i > middle:
            right = j
    return middle


@compiled
def _build(x: Any, y: Any, own: Any, first: int, last: int, leaf: int, tree: Any) -> int:
    """The tree of hits ``first .. last - 1``, which are put in its order; number of nodes. A left child follows its
    parent; ``right`` of a leaf is 0."""
    cut, right, begin, end = tree
    stack = np.empty((DEPTH, 4), np.int64)
    stack[0] = first, last, 0, -1
    depth, nodes = 1, 0
    while depth:
        depth -= 1
        low, high, level, parent = stack[depth]
        node = nodes
        nodes += 1
        if parent >= 0:
            right[parent] = node
        begin[node], end[node], right[node] = low, high, 0
        if high - low <= leaf:
            continue
        along = x if level % 2 == 0 else y
        middle = _median(along, x, y, own, low, high)
        cut[node] = along[middle]
        stack[depth] = middle + 1, high, level + 1, node
        stack[depth + 1] = low, middle + 1, level + 1, -1
        depth += 2
    return nodes


@compiled
def _densities(
    x: Any, y: Any, weight: Any, rho: Any, first: int, last: int, tree: Any, reach: Any, square: Any
) -> None:
    """Sums of the weights within dc of each hit: hits in a square of `reach`, then the exact distance."""
    cut, right, begin, end = tree
    nodes, levels = np.empty(DEPTH, np.int32), np.empty(DEPTH, np.int32)
    for i in range(first, last):
        px, py, total = x[i], y[i], 0.0
        nodes[0], levels[0] = 0, 0
        depth = 1
        while depth:
            depth -= 1
            node, level = nodes[depth], levels[depth]
            while right[node]:
                along = px if level % 2 == 0 else py
                go_left, go_right = along - reach <= cut[node], along + reach >= cut[node]
                level += 1
                if go_left and go_right:
                    nodes[depth], levels[depth] = right[node], level
                    depth += 1
                node = node + 1 if go_left else right[node]
            for j in range(begin[node], end[node]):
                dx, dy = px - x[j], py - y[j]
                if dx * dx + dy * dy <= square:
                    total += weight[j]
        rho[i] = np.float32(total)


@compiled
def _scan(x: Any, y: Any, own: Any, rho: Any, delta: Any, higher: Any, first: int, last: int, search: Any) -> None:
    """Each hit against all denser ones of the layer, by falling density."""
    bits = rho[first:last].view(np.uint32).astype(np.int64)  # densities are not negative: their bits rise with them
    order = np.argsort(-((bits << 32) | own[first:last])) + first
    for place in range(1, last - first):
        i = order[place]
        best, found = search, -1
        limit = search * search * np.float32(1.000001)
        for before in range(place):
            j = order[before]
            dx, dy = x[i] - x[j], y[i] - y[j]
            if dx * dx > limit or dy * dy > limit:
                continue
            distance = np.sqrt(dx * dx + dy * dy)
            if distance < best or (distance == best and own[j] > found):
                best, found = distance, own[j]
                limit = best * best * np.float32(1.000001)
        if found >= 0:
            delta[own[i]], higher[own[i]] = best, found


@compiled
def _densest(rho: Any, nodes: int, tree: Any, most: Any) -> None:
    """The highest density under each node."""
    _, right, begin, end = tree
    for node in range(nodes - 1, -1, -1):
        if right[node]:
            most[node] = max(most[node + 1], most[right[node]])
        else:
            most[node] = rho[begin[node] : end[node]].max()


@compiled
def _nearest(x: Any, y: Any, own: Any, rho: Any, delta: Any, higher: Any, first: int, last: int, tree: Any, most: Any,
             search: Any, slack: Any) -> None:  # fmt: skip
    """The nearest higher of each hit from the tree: near side first, within what was found so far."""
    cut, right, begin, end = tree
    nodes, levels, away = np.empty(DEPTH, np.int32), np.empty(DEPTH, np.int32), np.empty(DEPTH, np.float32)
    for i in range(first, last):
        px, py, density, name = x[i], y[i], rho[i], own[i]
        best, found = search, -1
        nodes[0], levels[0], away[0] = 0, 0, 0
        depth = 1
        while depth:
            depth -= 1
            node, level = nodes[depth], levels[depth]
            if away[depth] > best + slack or most[node] < density:
                continue
            while right[node]:
                gap = (px if level % 2 == 0 else py) - cut[node]
                near, far = (node + 1, right[node]) if gap <= 0 else (right[node], node + 1)
                level += 1
                if abs(gap) <= best + slack and most[far] >= density:
                    nodes[depth], levels[depth], away[depth] = far, level, abs(gap)
                    depth += 1
                node = near
                if most[node] < density:
                    break
            if right[node]:
                continue
            for j in range(begin[node], end[node]):
                if rho[j] > density or (rho[j] == density and own[j] > name):
                    dx, dy = px - x[j], py - y[j]
                    distance = np.sqrt(dx * dx + dy * dy)
                    if distance < best or (distance == best and own[j] > found):
                        best, found = distance, own[j]
        if found >= 0:
            delta[name], higher[name] = best, found


@compiled
def _label(rho: Any, delta: Any, higher: Any, rhoc: Any, seed: Any, outlier: Any, number: Any, is_seed: Any) -> None:
    """Seeds by rising index; the others as their nearest higher, and so all on the way there."""
    clusters = 0
    for i in range(len(rho)):
        number[i] = -2
        if rho[i] >= rhoc and delta[i] > seed:
            number[i], is_seed[i] = clusters, True
            clusters += 1
        elif rho[i] < rhoc and delta[i] > outlier:
            number[i] = -1
    for i in range(len(rho)):
        root = i
        while number[root] == -2:
            root = higher[root]
        label, step = number[root], i
        while number[step] == -2:
            number[step] = label
            step = higher[step]


@compiled
def _layers(group: Any, groups: int) -> Any:
    """Hits by group, and where each group starts."""
    starts = np.zeros(groups + 1, np.int64)
    for value in group:
        starts[value + 1] += 1
    starts = np.cumsum(starts)
    order, place = np.empty(len(group), np.int32), starts[:-1].copy()
    for i in range(len(group)):
        order[place[group[i]]] = i
        place[group[i]] += 1
    return order, starts


@compiled
def _cluster(
    x: Any, y: Any, group: Any, groups: int, weight: Any, rhoc: Any, cuts: Any, leaf: int, by_tree: bool
) -> Any:
    """All layers, one after another, and the labels."""
    dc, square, search, seed, outlier = cuts
    n = len(x)
    own, starts = _layers(group, groups)
    px, py = x[own], y[own]
    local, rho, heavy = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.float32)
    delta, higher = np.full(n, np.inf, np.float32), np.full(n, -1, np.int32)
    most_hits = 0
    for g in range(groups):
        most_hits = max(most_hits, starts[g + 1] - starts[g])
    size = 2 * most_hits + 1
    tree = (np.empty(size, np.float32), np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int32))
    most = np.empty(size, np.float32)
    slack = np.float32(1e-6) * max(np.abs(px).max(), np.abs(py).max())  # of float32 sums: the exact test comes after
    for g in range(groups):
        first, last = starts[g], starts[g + 1]
        if first == last:
            continue
        nodes = _build(px, py, own, first, last, leaf, tree)
        reach = dc * np.float32(1.000001) + slack
        for place in range(first, last):
            heavy[place] = weight[own[place]]
        _densities(px, py, heavy, local, first, last, tree, reach, square)
        if by_tree:
            _densest(local, nodes, tree, most)
            _nearest(px, py, own, local, delta, higher, first, last, tree, most, search, slack)
        else:
            _scan(px, py, own, local, delta, higher, first, last, search)
    for place in range(n):
        rho[own[place]] = local[place]
    number, is_seed = np.empty(n, np.int32), np.zeros(n, np.bool_)
    _label(rho, delta, higher, rhoc, seed, outlier, number, is_seed)
    return number, is_seed, rho, delta, higher


def _run(hits: Hitset, options: dict[str, float], leaf: int, by_tree: bool) -> Clusters:
    cuts: Cuts = resolve_cuts(resolve_rules("paper"), options["dc"], options["seed_distance"],
                              options["outlier_distance"], None)  # fmt: skip
    group: NDArray[np.int64] = np.asarray(hits.layer, np.int64)
    if hits.event is not None:
        group = group + (int(group.max(initial=0)) + 1) * np.asarray(hits.event, np.int64)
    limits = (cuts.dc, cuts.density_square, cuts.search, cuts.seed_distance, cuts.outlier_distance)
    found = _cluster(hits.x, hits.y, group, int(group.max(initial=-1)) + 1, hits.weight, np.float32(options["rhoc"]),
                     limits, leaf, by_tree)  # fmt: skip
    return Clusters(*found)


def imaging(hits: Hitset, options: dict[str, float]) -> Clusters:
    """As published: a hit a leaf, densities from the tree, the nearest higher by comparing with all denser hits."""
    return _run(hits, options, 1, by_tree=False)


def nearest(hits: Hitset, options: dict[str, float], leaf: int = 8) -> Clusters:
    """Everything from the tree, `leaf` hits a leaf."""
    return _run(hits, options, leaf, by_tree=True)
