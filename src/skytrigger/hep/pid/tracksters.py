"""Tracksters: the layer clusters of one shower each, with what is known to be true about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.hep.pid.geometry import CLASSES, N_LAYERS, check_layers

CLUSTER_COLUMNS = {
    "eta": np.float32,
    "phi": np.float32,
    "x": np.float32,
    "y": np.float32,
    "z": np.float32,
    "layer": np.int16,
    "energy": np.float32,
    "multiplicity": np.float32,
}
"""Of layer clusters; in files ``cluster_<name>``, a list per trackster."""
TRUTH_COLUMNS = {"label": np.int8, "true_energy": np.float32, "true_eta": np.float32, "true_phi": np.float32}


@dataclass(frozen=True)
class Clusters:
    """Layer clusters, all (m,).

    Attributes
    ----------
    eta, phi
        As seen from the collision.
    x, y, z
        cm; z may be None.
    layer
        1 to 50.
    energy
        GeV, above 0.
    multiplicity
        Number of tracksters that share the cluster, 1 or more.
    """

    eta: NDArray[np.float32]
    phi: NDArray[np.float32]
    x: NDArray[np.float32] | None
    y: NDArray[np.float32] | None
    z: NDArray[np.float32] | None
    layer: NDArray[np.int16]
    energy: NDArray[np.float32]
    multiplicity: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.eta)


@dataclass(frozen=True)
class Tracksters:
    """n tracksters; clusters of trackster i are ``offsets[i] : offsets[i + 1]``.

    Attributes
    ----------
    offsets
        (n + 1,) int64.
    label
        (n,) row of `CLASSES`, or None where the truth is not known.
    true_energy, true_eta, true_phi
        (n,) of the primary; GeV.
    """

    clusters: Clusters
    offsets: NDArray[np.int64]
    label: NDArray[np.int8] | None = None
    true_energy: NDArray[np.float32] | None = None
    true_eta: NDArray[np.float32] | None = None
    true_phi: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """(n,) clusters of each."""
        return np.diff(self.offsets)

    @property
    def trackster(self) -> NDArray[np.int64]:
        """(m,) which trackster each cluster is of."""
        return np.repeat(np.arange(len(self)), self.counts)

    def take(self, chosen: NDArray[np.integer]) -> Tracksters:
        """The tracksters `chosen`, in that order."""
        counts = self.counts[chosen]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        index = np.repeat(self.offsets[:-1][chosen] - offsets[:-1], counts) + np.arange(offsets[-1])
        columns: dict[str, Any] = {f.name: getattr(self.clusters, f.name) for f in fields(Clusters)}
        columns = {k: None if v is None else v[index] for k, v in columns.items()}
        truth = {k: getattr(self, k) for k in TRUTH_COLUMNS}
        return Tracksters(
            Clusters(**columns), offsets, **{k: None if v is None else v[chosen] for k, v in truth.items()}
        )

    def layer_energy(self) -> NDArray[np.float64]:
        """(n, 50) GeV per layer."""
        index = self.trackster * N_LAYERS + self.clusters.layer - 1
        summed = np.bincount(index, self.clusters.energy, N_LAYERS * len(self))
        return np.asarray(summed, np.float64).reshape(-1, N_LAYERS)

    def check(self, where: str) -> Tracksters:
        """Refuse what would make wrong images; returns a set whose clusters all count.

        Raises
        ------
        InputError
            NaN or infinite numbers, energies or multiplicities that are not above 0, layers outside 1 to 50 or against
            z, a trackster without clusters, truth outside its range; each with its first place.
        """
        c = self.clusters
        for name in ("eta", "phi", "energy", "multiplicity"):
            _first(~np.isfinite(getattr(c, name)), getattr(c, name), f"{where}: {name}", "a finite number")
        _first(c.energy <= 0, c.energy, f"{where}: energy", "above 0 GeV", "drop clusters without energy")
        _first(c.multiplicity < 1, c.multiplicity, f"{where}: multiplicity", "1 or more")
        check_layers(c.layer, c.z, where)
        empty = self.counts == 0
        _first(empty, self.counts, f"{where}: clusters of trackster", "at least one", "drop empty tracksters")
        if self.label is not None:
            bad = (self.label < 0) | (self.label >= len(CLASSES))
            _first(bad, self.label, f"{where}: label", f"0 to {len(CLASSES) - 1}: {', '.join(CLASSES)}")
        if self.true_energy is not None:
            bad = ~(np.isfinite(self.true_energy) & (self.true_energy > 0))
            _first(bad, self.true_energy, f"{where}: true_energy", "above 0 GeV")
        return self


def _first(bad: NDArray[np.bool_], values: NDArray[Any], name: str, expected: str, remedy: str = "") -> None:
    at = np.flatnonzero(bad)
    if len(at):
        raise InputError(
            f"{name}[{at[0]}] = {values[at[0]]} ({len(at)} of {len(values)} such)", expected=expected, remedy=remedy
        )


def join(parts: Sequence[Tracksters]) -> Tracksters:
    """One set of all, in order."""
    lists = {f.name: [getattr(p.clusters, f.name) for p in parts] for f in fields(Clusters)}
    columns: dict[str, Any] = {k: None if v[0] is None else np.concatenate(v) for k, v in lists.items()}
    clusters = Clusters(**columns)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([p.counts for p in parts]))])
    truth = {k: [getattr(p, k) for p in parts] for k in TRUTH_COLUMNS}
    return Tracksters(clusters, offsets, **{k: None if v[0] is None else np.concatenate(v) for k, v in truth.items()})


def without_truth(found: Tracksters) -> Tracksters:
    """The same clusters, nothing known about them."""
    return replace(found, label=None, true_energy=None, true_eta=None, true_phi=None)
