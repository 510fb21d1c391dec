"""Clusters of hits as a table: energy, position, size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.hep.clue.hitset import Hitset
from skytrigger.hep.clue.results import Clusters

W0 = 2.9
"""CMSSW ``thresholdW0``: hits below exp(-2.9) = 5.5 % of the cluster's energy have no weight."""
MAX_DISTANCE = 1.3
"""CMSSW ``positionDeltaRho2`` = 1.69 cm^2: only hits this near to the most energetic one have a weight."""


@dataclass(frozen=True)
class ClusterTable:
    """One row a cluster, in the order of the cluster ids: energies, positions in the unit of the hits, layers, number
    of hits, hit index of the seed; z and event where the hits have them."""

    energy: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    layer: NDArray[np.int32]
    n_hits: NDArray[np.int64]
    seed: NDArray[np.int64]
    z: NDArray[np.float64] | None = None
    event: NDArray[Any] | None = None

    def columns(self) -> dict[str, NDArray[Any]]:
        """As the columns of a file: ``cluster``, then what there is."""
        fields = {name: value for name, value in vars(self).items() if value is not None}
        return {"cluster": np.arange(len(self)), **fields}

    def __len__(self) -> int:
        return len(self.energy)


def cluster_table(hits: Hitset, clusters: Clusters, w0: float = W0, max_distance: float = MAX_DISTANCE) -> ClusterTable:
    """Positions with the logarithmic weights of CMSSW's HGCalCLUEAlgo (silicon).

    ``w_i = max(0, w0 + ln(E_i / E_cluster))`` for hits within `max_distance` of the cluster's most energetic hit. A
    cluster without any such weight (many faint hits) takes the position of its most energetic hit; CMSSW puts it at 0.
    """
    n = clusters.n_clusters
    own = np.flatnonzero(clusters.cluster_id >= 0)
    cluster = clusters.cluster_id[own]
    energy = hits.weight[own].astype(np.float64)
    x, y = hits.x[own].astype(np.float64), hits.y[own].astype(np.float64)
    total: NDArray[np.float64] = np.bincount(cluster, energy, n).astype(np.float64)
    order = np.lexsort((own, -energy, cluster))  # the first of each cluster is its most energetic hit
    top = order[np.flatnonzero(np.diff(cluster[order], prepend=-1))]
    near = (x - x[top][cluster]) ** 2 + (y - y[top][cluster]) ** 2 < max_distance**2
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(near, np.maximum(0.0, w0 + np.log(energy / total[cluster])), 0.0)
    weight = np.nan_to_num(weight, nan=0.0)
    norm = np.bincount(cluster, weight, n)
    safe = np.where(norm > 0, norm, 1.0)
    seed = np.flatnonzero(clusters.is_seed)

    def centre(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(norm > 0, np.bincount(cluster, weight * values, n) / safe, values[top])

    return ClusterTable(
        energy=total,
        x=centre(x),
        y=centre(y),
        layer=hits.layer[seed],
        n_hits=np.bincount(cluster, minlength=n),
        seed=seed,
        z=None if hits.z is None else centre(hits.z[own].astype(np.float64)),
        event=None if hits.event is None else hits.event[seed],
    )
