"""What the simulator is held against: published resolutions, and how far trees can tell electrons from photons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.extras import require
from skytrigger.core.seeds import generator
from skytrigger.hep.pid.deposits import deposit
from skytrigger.hep.pid.geometry import MIP_WEIGHT
from skytrigger.hep.pid.particles import Primaries, parts_of
from skytrigger.hep.pid.response import fit_intervals, fit_resolution, sigma68
from skytrigger.hep.pid.tracksters import Tracksters

STEEP = (2.6, 2.7)
"""Range of eta that comes nearest to a beam along z."""
STEP = 100
RESAMPLES = 200


@dataclass(frozen=True)
class Raw:
    """Resolution of the plain sum of hits at fixed energies, as test beams give it: ``sigma = a / sqrt(E) (+) b``."""

    energies: tuple[float, ...]
    response: tuple[float, ...]
    sigma: tuple[float, ...]
    a: float
    a_interval: tuple[float, float]
    b: float
    b_interval: tuple[float, float]


def hit_sums(kind: int, energy: float, n: int, seed: int, eta: tuple[float, float] = STEEP) -> NDArray[np.float64]:
    """(n,) GeV summed over all hits, before clustering, of particles of one kind and energy."""
    sums = []
    for start in range(0, n, STEP):
        random = generator(seed, "pid", "check", kind, energy, start)
        size = min(STEP, n - start)
        what = Primaries(
            np.full(size, kind), np.full(size, float(energy)), random.uniform(*eta, size), random.uniform(-3, 3, size)
        )
        cells = deposit(random, what, parts_of(random, what))
        sums.append(np.bincount(cells.shower, cells.mip * MIP_WEIGHT[cells.layer - 1], size))
    return np.concatenate(sums)


def raw_resolution(kind: int, energies: Sequence[float], n: int, seed: int = 0) -> Raw:
    """sigma68 over energy of `n` showers at each energy, and the fit with 95 % bootstrap intervals.

    As in test beams the sums are calibrated by one line ``sum = offset + slope x energy`` through the medians: noise
    over threshold adds the same to every shower.
    """
    sums = [hit_sums(kind, energy, n, seed) for energy in energies]
    random = generator(seed, "pid", "check", "bootstrap")
    where = np.array(energies, float)
    slope = float(np.polyfit(where, [np.median(s) for s in sums], 1, w=1 / np.sqrt(where))[0])
    sigma = np.array([sigma68(s) for s in sums]) / (slope * where)
    drawn = [sigma68(s[random.integers(0, n, (RESAMPLES, n))]) for s in sums]
    weight = 1 / sigma**4
    a, b = fit_resolution(where, sigma, weight)
    of_a, of_b = fit_intervals(where, np.array(drawn).T / (slope * where), weight, (a, b))
    medians = tuple(float(np.median(s) / e) for s, e in zip(sums, energies, strict=True))
    return Raw(tuple(energies), medians, tuple(sigma.tolist()), a, of_a, b, of_b)


def layer_sums(found: Tracksters) -> NDArray[np.float64]:
    """(n, 103) features of the trees: energy of each layer, its share, the whole, direction, number of clusters."""
    energy = found.layer_energy()
    total = energy.sum(axis=1)
    first = found.offsets[:-1]
    eta = np.abs(np.add.reduceat(found.clusters.eta.astype(np.float64) * found.clusters.energy, first)) / total
    return np.column_stack([energy, energy / total[:, None], total, eta, found.counts])


def electron_photon_separation(found: Tracksters, seed: int = 0) -> float:
    """Accuracy of boosted trees on `layer_sums` (photons and electrons only), on the last quarter of the showers."""
    sklearn = require("sklearn.ensemble", why="the separation of electrons and photons")
    threads = require("threadpoolctl", why="the separation of electrons and photons")
    features, label = layer_sums(found), np.asarray(found.label)
    cut = len(label) * 3 // 4
    trees = sklearn.HistGradientBoostingClassifier(
        max_iter=400, learning_rate=0.03, max_leaf_nodes=12, l2_regularization=1.0, random_state=seed
    )
    with threads.threadpool_limits(1):  # its threads spin while they wait, which hurts on a shared machine
        trees.fit(features[:cut], label[:cut])
    return float(trees.score(features[cut:], label[cut:]))
