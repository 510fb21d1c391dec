"""What a tile is worth by the user's spec: expected from probabilities on board, and true from the true class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.onboard.spec import Spec

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Worth:
    """The spec's value as arrays by class.

    Attributes
    ----------
    weights
        (classes,) worth of a clear, changed tile outside of every area.
    unchanged
        Factor of a tile that is as its reference.
    half_life_s, deadline_s
        (classes,), infinite where the spec names none.
    alert
        (classes,) confidence from which a tile is an alert, infinite for none.
    targets
        Flags of the classes whose recall is counted.
    """

    weights: Floats
    unchanged: float
    half_life_s: Floats
    deadline_s: Floats
    alert: Floats
    quota: Floats
    targets: NDArray[np.bool_]

    def expected(self, probabilities: Any, cloudy: Any, changed: Any, area: Any) -> Floats:
        """(n,) value of tiles as found on board: a cloudy one is worth nothing."""
        fresh = np.asarray(probabilities, np.float64) @ self.weights
        factor = np.where(changed, 1.0, self.unchanged) * area
        return np.asarray(np.where(cloudy, 0.0, fresh * factor))

    def alerts(self, kind: Any, confidence: Any, cloudy: Any) -> NDArray[np.bool_]:
        """(n,) which tiles are announced first."""
        flags: NDArray[np.bool_] = (np.asarray(confidence) >= self.alert[kind]) & ~np.asarray(cloudy)
        return flags


def worth_of(spec: Spec, classes: tuple[str, ...]) -> Worth:
    """The spec's value for these classes; their names were checked."""
    v = spec.value

    def by_class(table: Any, other: float) -> Floats:
        return np.array([float(table.get(c, other)) for c in classes])

    return Worth(
        by_class(v.classes, 0.0),
        v.unchanged,
        by_class(v.half_life_s, np.inf),
        by_class(v.deadline_s, np.inf),
        by_class({a.of: a.confidence for a in v.alert}, np.inf),
        by_class(v.quota, np.inf),
        np.array([c in v.targets for c in classes]),
    )
