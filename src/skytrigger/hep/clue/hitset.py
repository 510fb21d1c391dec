"""Hits with their names: what readers give and generators make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Hitset:
    """Hits of one or several events.

    Attributes
    ----------
    x, y
        float32 cm (or the unit of the file).
    layer
        int32.
    weight
        float32.
    event
        int32 or int64, or None for one event.
    z
        float32, or None.
    truth
        int32 or int64: number of the shower a hit belongs to, -1 for pile-up and noise; None where unknown.
    noise
        float32: sigma of each hit's noise in the unit of the weights, or None.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    layer: NDArray[np.int32]
    weight: NDArray[np.float32]
    event: NDArray[Any] | None = None
    z: NDArray[np.float32] | None = None
    truth: NDArray[Any] | None = None
    noise: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, chosen: NDArray[np.int64]) -> Hitset:
        """The hits `chosen`."""
        return Hitset(*(None if v is None else v[chosen] for v in vars(self).values()))  # type: ignore[arg-type]
