"""Tracksters as images: one row a layer, its clusters along the row by falling energy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.hep.pid.geometry import N_LAYERS
from skytrigger.hep.pid.tracksters import Tracksters


@dataclass(frozen=True)
class Layout:
    """How a trackster becomes an image.

    Attributes
    ----------
    clusters
        Columns: at most so many clusters of a layer are kept, those of most energy; between equal energies the one
        that comes first. The others are dropped, the rest of a row is 0.
    channels
        What is written, in order: ``eta``, ``abs_eta``, ``phi``, ``energy`` (GeV) or ``shared_energy`` (GeV over the
        number of tracksters that share the cluster).
    """

    clusters: int
    channels: tuple[str, ...]


LAYOUTS = {
    "origin": Layout(30, ("eta", "phi", "energy")),
    "ticl": Layout(10, ("shared_energy", "abs_eta", "phi")),
}
"""``origin``: 50 x 30 x 3, of the origin's study. ``ticl``: 50 x 10 x 3, as CMSSW's TICL fills the input of its
identification (`eidNLayers`, `eidNClusters`, `eidNFeatures`; no normalisation)."""


def ranks(found: Tracksters) -> NDArray[np.int64]:
    """(m,) place of each cluster among those of its trackster and layer, by falling energy, then by order."""
    energy = found.clusters.energy
    cell = found.trackster * N_LAYERS + (found.clusters.layer.astype(np.int64) - 1)
    # float32 bits of positive numbers sort like the numbers: one integer key, stable, instead of a sort by two keys
    falling = np.uint64(0xFFFFFFFF) - energy.astype(np.float32).view(np.uint32).astype(np.uint64)
    order = np.argsort((cell.astype(np.uint64) << np.uint64(32)) | falling, kind="stable")
    first = np.flatnonzero(np.diff(cell[order], prepend=-1))
    place = np.arange(len(cell)) - np.repeat(first, np.diff(first, append=len(cell)))
    rank = np.empty(len(cell), np.int64)
    rank[order] = place
    return rank


def images(found: Tracksters, layout: str | Layout = "origin") -> NDArray[np.float32]:
    """(n, channels, 50, clusters) float32 of checked tracksters.

    Row l is layer l + 1. CMSSW's own array is channels last: `channels_last`.
    """
    if isinstance(layout, str) and layout not in LAYOUTS:
        raise InputError(f"no image layout called {layout!r}", expected=", ".join(LAYOUTS))
    how = LAYOUTS[layout] if isinstance(layout, str) else layout
    out = np.zeros((len(found), len(how.channels), N_LAYERS, how.clusters), np.float32)
    rank = ranks(found)
    kept = np.flatnonzero(rank < how.clusters)
    row, column = found.clusters.layer[kept].astype(np.int64) - 1, rank[kept]
    of = found.trackster[kept]
    for channel, name in enumerate(how.channels):
        out[of, channel, row, column] = _values(found, name)[kept]
    return out


def _values(found: Tracksters, name: str) -> NDArray[np.float32]:
    c = found.clusters
    known: dict[str, Callable[[], Any]] = {
        "eta": lambda: c.eta,
        "abs_eta": lambda: np.abs(c.eta),
        "phi": lambda: c.phi,
        "energy": lambda: c.energy,
        "shared_energy": lambda: c.energy / c.multiplicity,
    }
    if name not in known:
        raise InputError(f"no image channel called {name!r}", expected=", ".join(known))
    return np.asarray(known[name](), np.float32)


def channels_last(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, c, layers, clusters) -> (n, layers, clusters, c), the order of CMSSW's tensors."""
    return np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))
