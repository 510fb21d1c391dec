"""A calorimeter of silicon and scintillator layers, as CMSSW clusters it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skytrigger.core.errors import InputError
from skytrigger.hep.clue.api import cluster
from skytrigger.hep.clue.hits import check_hits, coordinate, labels, one_or_each
from skytrigger.hep.clue.results import Clusters, merge_parts
from skytrigger.hep.clue.workspace import Workspace

SILICON_DC = 1.3
"""cm, in x and y."""
SCINTILLATOR_DC = 0.0315
"""In eta and phi."""


def eta_phi(
    x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pseudorapidity and azimuth (-pi to pi) as seen from the origin; float32, from float64."""
    rho = np.hypot(x.astype(np.float64), y.astype(np.float64))
    with np.errstate(divide="ignore"):
        eta = np.arcsinh(z.astype(np.float64) / rho)
    return eta.astype(np.float32), np.arctan2(y, x).astype(np.float32)


def cluster_detector(
    x: ArrayLike,
    y: ArrayLike,
    z: ArrayLike,
    layer: ArrayLike,
    weight: ArrayLike,
    scintillator: ArrayLike,
    event: ArrayLike | None = None,
    noise: ArrayLike | None = None,
    *,
    backend: str = "cpu",
    workspace: Workspace | None = None,
    threads: int | None = None,
) -> Clusters:
    """Rules `cmssw`: silicon hits in x and y with dc 1.3 cm, scintillator hits (`scintillator` is true) in eta and phi
    with dc 0.0315, phi periodic; hits of the two see only their own kind.

    CMSSW can take the largest of four quadrants for the density of a scintillator hit (`use2x2`); this is its other
    setting, the sum over all neighbours.
    """
    checked = check_hits(x, y, z, layer, weight, event, 0.0, None)  # as a whole, so that errors name the caller's hits
    n = len(checked)
    axes = [coordinate(name, v, n) for name, v in (("x", x), ("y", y), ("z", z))]
    energy = coordinate("weight", weight, n)
    plastic = labels("scintillator", scintillator, n)
    if not ((plastic == 0) | (plastic == 1)).all():
        raise InputError(f"scintillator holds {plastic.max()}", expected="true or false, one a hit")
    groups = [None if v is None else labels(name, v, n) for name, v in (("layer", layer), ("event", event))]
    sigma = None if noise is None else np.broadcast_to(one_or_each("noise", noise, n), (n,))
    period = {"y": float(np.nextafter(np.float32(2 * np.pi), np.float32(7)))}
    parts = []
    for kind in (False, True):
        own = np.flatnonzero(plastic == kind)
        x1, x2, depth = (a[own] for a in axes)
        if kind:
            x1, x2 = eta_phi(x1, x2, depth)
        found = cluster(
            x1,
            x2,
            *(None if v is None else v[own] for v in (groups[0], energy, groups[1])),
            noise=None if sigma is None else sigma[own],
            dc=SCINTILLATOR_DC if kind else SILICON_DC,
            rules="cmssw",
            period=period if kind else None,
            backend=backend,
            workspace=workspace,
            threads=threads,
        )
        parts.append((own, found))
    return merge_parts(n, parts)
