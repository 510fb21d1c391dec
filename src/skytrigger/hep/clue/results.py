"""What a clustering gives back, and the last step that every array backend shares: from nearest higher to labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skytrigger.hep.clue.rules import Cuts

if TYPE_CHECKING:
    from skytrigger.hep.clue.hitset import Hitset
    from skytrigger.hep.clue.positions import ClusterTable


@dataclass(frozen=True)
class Clusters:
    """Result for n hits, in the order of the hits.

    Attributes
    ----------
    cluster_id
        int32; seeds are numbered 0, 1, ... by rising hit index over the whole call; outliers and their followers -1.
    is_seed
        bool.
    rho
        float32 local density.
    delta
        float32 distance to the nearest higher; infinity where there is none within the search distance.
    nearest_higher
        int32 hit index, or -1. Of several at one distance the one of highest index.
    """

    cluster_id: NDArray[np.int32]
    is_seed: NDArray[np.bool_]
    rho: NDArray[np.float32]
    delta: NDArray[np.float32]
    nearest_higher: NDArray[np.int32]

    @property
    def n_clusters(self) -> int:
        """Number of seeds."""
        return int(np.count_nonzero(self.is_seed))

    def table(self, hits: Hitset) -> ClusterTable:
        """Energies, positions and sizes of the clusters of `hits`; see `positions.cluster_table`."""
        from skytrigger.hep.clue.positions import cluster_table

        return cluster_table(hits, self)

    def __len__(self) -> int:
        return len(self.cluster_id)


def empty_clusters(n: int) -> Clusters:
    """`n` hits that belong to nothing."""
    return Clusters(
        cluster_id=np.full(n, -1, np.int32),
        is_seed=np.zeros(n, bool),
        rho=np.zeros(n, np.float32),
        delta=np.full(n, np.inf, np.float32),
        nearest_higher=np.full(n, -1, np.int32),
    )


def assign(
    rho: NDArray[np.float32],
    delta: NDArray[np.float32],
    nearest_higher: NDArray[np.int32],
    rhoc: NDArray[np.float32],
    cuts: Cuts,
) -> Clusters:
    """Seeds, outliers and followers.

    Seed: delta > seed distance and rho >= rhoc. Outlier: delta > outlier distance and rho < rhoc. Everybody else
    follows their nearest higher, to a seed (and gets its number) or to an outlier (-1).
    """
    dense = rho >= rhoc
    is_seed = (delta > cuts.seed_distance) & dense
    is_outlier = (delta > cuts.outlier_distance) & ~dense
    own = np.arange(len(rho), dtype=np.int32)
    root = np.where(is_seed | is_outlier, own, nearest_higher)
    while True:
        further = root[root]  # halves the way to the root each time
        if np.array_equal(further, root):
            break
        root = further
    number = np.where(is_seed, np.cumsum(is_seed, dtype=np.int32) - 1, -1).astype(np.int32)
    return Clusters(number[root], is_seed, rho, delta, nearest_higher)


def merge_parts(n: int, parts: Sequence[tuple[NDArray[np.int64], Clusters]]) -> Clusters:
    """Results of disjoint parts (rising hit indices, their clusters) as one of n hits.

    Clusters are numbered anew by rising index of their seeds; hits of no part belong to nothing.
    """
    whole = empty_clusters(n)
    for chosen, found in parts:
        whole.is_seed[chosen] = found.is_seed
        whole.rho[chosen] = found.rho
        whole.delta[chosen] = found.delta
        nearest = found.nearest_higher
        whole.nearest_higher[chosen] = np.where(nearest >= 0, chosen[nearest], -1)
    number = np.cumsum(whole.is_seed, dtype=np.int32) - 1
    for chosen, found in parts:
        own = np.append(number[chosen[found.is_seed]], -1).astype(np.int32)  # -1 takes the last
        whole.cluster_id[chosen] = own[found.cluster_id]
    return whole
