"""Random calorimeters with many ties, and what it means that two clusterings agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from skytrigger.hep.clue import Clusters

FIELDS = ("rho", "delta", "nearest_higher", "is_seed", "cluster_id")


def same(a: Clusters, b: Clusters) -> str:
    """Empty, or the first field in which two results differ."""
    for name in FIELDS:
        left, right = getattr(a, name), getattr(b, name)
        if left.dtype != right.dtype or not np.array_equal(left, right):
            where = np.flatnonzero(left != right)[:5] if left.shape == right.shape else "shape"
            return f"{name} at {where}: {left[where]} and {right[where]}"
    return ""


def random_case(seed: int, sizes: tuple[int, ...] = (1, 2, 5, 17, 40, 60)) -> dict[str, Any]:
    """Arguments of `cluster`: lattices, clumps and even spreads, layers, weights from a few values to 50 decades."""
    rng = np.random.default_rng(seed)
    n = int(rng.choice(sizes))
    span = float(rng.choice([1.0, 5.0, 1000.0]))
    kind = rng.choice(["lattice", "even", "clumps"])

    def axis() -> np.ndarray:
        if kind == "lattice":
            return rng.integers(0, 8, n) * span / 8
        if kind == "even":
            return rng.random(n) * span
        return rng.choice(rng.random(4) * span, n) + np.rint(rng.normal(size=n) * 3) * 0.01 * span

    dc = span * float(rng.choice([0.05, 0.125, 0.25, 0.5, 3.0]))
    case: dict[str, Any] = {
        "x": axis(),
        "y": axis(),
        "dc": dc,
        "rhoc": float(rng.choice([0, 1, 2, 5])),
        "seed_distance": dc * float(rng.choice([0.5, 1, 2])),
        "outlier_distance": dc * float(rng.choice([0.5, 1, 2, 3])),
        "rules": str(rng.choice(["paper", "cluestering", "cmssw"])),
    }
    if case["rules"] == "cmssw":
        case |= {"noise": rng.integers(1, 4, n) / 4, "kappa": 2.0, "ecut": 0.5}
    if rng.random() < 0.5:
        case["layer"] = rng.integers(-2, 3, n)
    if rng.random() < 0.3:
        case["event"] = np.sort(rng.integers(0, 3, n))
    weights = rng.choice(["none", "few", "exponential", "wide"])
    if weights == "few":
        case["weight"] = rng.integers(0, 3, n).astype(float)
    elif weights == "exponential":
        case["weight"] = rng.exponential(size=n)
    elif weights == "wide":
        case["weight"] = 10.0 ** rng.uniform(-30, 20, n)
    return case
