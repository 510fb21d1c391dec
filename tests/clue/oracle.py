"""CLUE as the papers write it, in plain Python numbers: nothing of the product is in it.

For whole-number coordinates and weights, whose squares, sums and comparisons are exact everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# strict, neighbour's share, within the smaller distance, ties at density 0, outlier distance / dc
RULES: dict[str, tuple[bool, float, bool, bool, float]] = {
    "paper": (False, 1.0, False, True, 2.0),
    "cmssw": (True, 0.5, False, True, 2.0),
    "cluestering": (False, 0.5, True, False, 1.0),
}


def clue(case: dict[str, Any]) -> dict[str, list[Any]]:
    """rho, delta squared, nearest higher, seeds and cluster ids of ``cluster(**case)``."""
    strict, share, narrow, zero_ties, factor = RULES[case["rules"]]
    x, y, layer, weight = (list(map(float, case[k])) for k in ("x", "y", "layer", "weight"))
    n, dc = len(x), case["dc"]
    seed_distance = case.get("seed_distance", dc)
    outlier_distance = case.get("outlier_distance", factor * dc)
    noise = case.get("noise", 1.0)
    rhoc = case["rhoc"] if case["rules"] != "cmssw" else case.get("kappa", 9.0) * noise
    alive = [w >= case.get("ecut", 3.0) * noise if case["rules"] == "cmssw" else True for w in weight]
    if narrow:
        seed_distance = outlier_distance = min(seed_distance, outlier_distance)
    reach = max(seed_distance, outlier_distance)

    def square(i: int, j: int) -> float:
        return (x[i] - x[j]) ** 2 + (y[i] - y[j]) ** 2

    own = [[j for j in range(n) if alive[i] and alive[j] and layer[i] == layer[j]] for i in range(n)]
    rho = [0.0] * n
    for i in range(n):
        for j in own[i]:
            inside = square(i, j) < dc**2 if strict else square(i, j) <= dc**2
            if i == j or inside:
                rho[i] += weight[j] * (1.0 if i == j else share)
    higher, delta = [-1] * n, [np.inf] * n
    for i in range(n):
        for j in own[i]:
            tie = rho[j] == rho[i] and j > i and (zero_ties or rho[j] > 0)
            if (rho[j] > rho[i] or tie) and square(i, j) <= reach**2 and square(i, j) <= delta[i]:
                higher[i], delta[i] = j, square(i, j)
    seed = [alive[i] and delta[i] > seed_distance**2 and rho[i] >= rhoc for i in range(n)]
    number = np.cumsum(seed) - 1
    cluster = []
    for i in range(n):
        at = i
        while alive[at] and not seed[at] and not (delta[at] > outlier_distance**2 and rho[at] < rhoc):
            at = higher[at]
        cluster.append(int(number[at]) if seed[at] else -1)
    return {"rho": rho, "square": delta, "higher": higher, "seed": seed, "cluster": cluster}


def lattice_case(seed: int) -> dict[str, Any]:
    """Whole numbers, many ties; distances sometimes left to the rules."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 40))
    side = int(rng.choice([4, 9, 20]))
    case: dict[str, Any] = {
        "x": rng.integers(0, side, n),
        "y": rng.integers(0, side, n),
        "layer": rng.integers(0, 2, n),
        "weight": rng.integers(0, 8, n),
        "dc": float(rng.integers(1, 5)),
        "rules": str(rng.choice(list(RULES))),
    }
    for name in ("seed_distance", "outlier_distance"):
        if rng.random() < 0.6:
            case[name] = float(rng.integers(1, 9))
    if case["rules"] != "cmssw":
        return case | {"rhoc": float(rng.integers(0, 20))}
    if rng.random() < 0.5:
        case |= {"kappa": float(rng.integers(1, 9)), "ecut": float(rng.integers(0, 3))}
    return case | {"noise": float(rng.choice([0.5, 1.0, 2.0]))}
