"""Areas of the classes, and how far a map's own errors let them be known.

Olofsson et al. 2014, "Good practices for estimating area and assessing accuracy of land change", eqs 9 to 11: the
share of ground of class k is the sum over map classes j of W_j p_jk, with W_j the mapped share and p_jk the fraction of
test tiles mapped as j that are k; its variance the sum of W_j^2 p_jk (1 - p_jk) / (n_j - 1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054


def areas_km2(
    codes: NDArray[np.uint8], valid: NDArray[np.float32], cell_km2: float, values: list[int]
) -> NDArray[np.float64]:
    """Ground with data under each value: the sum of the cells' valid shares."""
    return np.array([float(valid[codes == v].sum(dtype=np.float64)) * cell_km2 for v in values])


def corrected_areas(
    mapped: NDArray[np.float64], confusion: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Areas with the confusion taken into account, and their standard errors.

    Parameters
    ----------
    mapped
        (k,) area mapped as each class, any unit.
    confusion
        (k, k) test tiles, rows true, columns predicted.

    Returns
    -------
    estimate, standard_error
        (k,), the unit of `mapped`. A class that no test tile was mapped as stands for itself, its whole area as error.
    """
    predicted = confusion.sum(axis=0)
    shares = np.where(predicted > 0, confusion / np.maximum(predicted, 1), np.eye(len(mapped)))
    estimate = shares @ mapped
    # half a tile more in each cell's variance: a class never confused among 27 tiles is not known to be sure
    smooth = (confusion + 0.5) / (predicted + 0.5 * len(mapped))
    variance = smooth * (1 - smooth) / np.maximum(predicted - 1, 1)
    squares = np.where(predicted > 1, mapped**2 * variance, mapped**2)
    return estimate, np.sqrt(squares.sum(axis=1))
