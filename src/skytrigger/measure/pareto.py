"""Which choices nothing beats on every count."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def on_front(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows of (..., points, goals), all goals wanted low, that no other row equals or beats with one better."""
    a, b = values[..., :, None, :], values[..., None, :, :]
    beaten = ((b <= a).all(axis=-1) & (b < a).any(axis=-1)).any(axis=-1)
    return np.logical_not(np.asarray(beaten, dtype=np.bool_))
