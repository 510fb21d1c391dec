"""The calorimeter: 50 layers of the CMS HGCAL, their absorbers and sensors.

Layers are numbered 1 to 50, as in CMSSW. Lengths in cm, depths in radiation lengths (X0) and interaction lengths
(lambda), energies in GeV or in minimum-ionising particles (MIP).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skytrigger.core.errors import InputError

N_LAYERS, N_CE_E = 50, 28
CLASSES = ("photon", "electron", "muon", "charged_hadron")
PHOTON, ELECTRON, MUON, HADRON = range(4)

_CE_E_STEPS = np.tile([0.944, 2.026], N_CE_E)[: N_CE_E - 1]
LAYER_Z = np.concatenate(
    [
        322.103 + np.concatenate([[0.0], np.cumsum(_CE_E_STEPS)]),
        367.699 + 5.45 * np.arange(12),
        436.199 + 8.55 * np.arange(10),
    ]
)
"""(50,) |z| of each layer's sensors, cm."""

MIP_WEIGHT = np.array([8.89, *[10.94] * 27, 32.3, *[51.5] * 11, 69.5, *[87.0] * 9]) * 1e-3
"""(50,) GeV of a shower that one MIP in this layer stands for: the energy loss of a MIP in the absorber before it
(CMSSW's `dEdXweights`, rounded)."""

CE_E_X0, CE_E_LAMBDA, TOTAL_LAMBDA = 27.8, 1.4, 10.0
CE_H_X0_PER_LAMBDA = 9.5  # steel
FRONT_X0 = 0.5
"""Material between the collision and the first absorber."""


def _edges() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(51,) depths along z in X0 and in lambda: layer i samples what lies between edges i and i + 1."""
    share_e = MIP_WEIGHT[:N_CE_E] / MIP_WEIGHT[:N_CE_E].sum()
    share_h = MIP_WEIGHT[N_CE_E:] / MIP_WEIGHT[N_CE_E:].sum()
    in_lambda = np.concatenate([CE_E_LAMBDA * share_e, (TOTAL_LAMBDA - CE_E_LAMBDA) * share_h])
    in_x0 = np.concatenate([CE_E_X0 * share_e, in_lambda[N_CE_E:] * CE_H_X0_PER_LAMBDA])
    return np.concatenate([[0.0], np.cumsum(in_x0)]), np.concatenate([[0.0], np.cumsum(in_lambda)])


EDGES_X0, EDGES_LAMBDA = _edges()

MOLIERE = np.where(np.arange(N_LAYERS) < N_CE_E, 2.8, 2.5)
"""(50,) effective Moliere radius, gaps between absorbers included, cm."""

# Sensors by their distance from the beam: 120 um inside 70 cm, 200 um inside 100 cm, 300 um outside
SENSOR_RADII = np.array([70.0, 100.0])
PITCH = np.array([np.sqrt(0.5), 1.0, 1.0])
"""Side of the square cells, cm: 0.5 and 1 cm^2."""
NOISE = np.array([0.16, 0.11, 0.06])
"""Sigma of a cell's noise, MIP."""
THRESHOLD = 3.0
"""Cells are kept above this many sigma."""

Z_TOLERANCE = 0.5


def sensor_of(radius: ArrayLike) -> NDArray[np.int64]:
    """Kind of sensor (0, 1, 2: row of `PITCH` and `NOISE`) at this distance from the beam, cm."""
    return np.asarray(np.searchsorted(SENSOR_RADII, np.asarray(radius), side="right"))


def layer_of_z(z: ArrayLike) -> NDArray[np.int64]:
    """Number (1 to 50) of the layer nearest to |z|."""
    middles = (LAYER_Z[1:] + LAYER_Z[:-1]) / 2
    return np.asarray(np.searchsorted(middles, np.abs(np.asarray(z))) + 1)


def check_layers(layer: NDArray[np.integer], z: NDArray[np.floating] | None, where: str) -> None:
    """Refuse layer numbers outside 1 to 50, and such as contradict z.

    A number made without the geometry (counting from 0, or per section) shifts every image and no network tells.

    Raises
    ------
    InputError
        With the first contradiction.
    """
    outside = np.flatnonzero((layer < 1) | (layer > N_LAYERS))
    if len(outside):
        first = outside[0]
        raise InputError(
            f"{where}: layer[{first}] = {layer[first]}",
            expected=f"1 to {N_LAYERS}",
            remedy="number the layers through both sections, from 1 at the front",
        )
    if z is None or not len(layer):
        return
    wrong = np.flatnonzero(~(np.abs(np.abs(z) - LAYER_Z[layer - 1]) < Z_TOLERANCE))
    if len(wrong):
        first = wrong[0]
        raise InputError(
            f"{where}: layer[{first}] = {layer[first]}, but z[{first}] = {z[first]:.2f} cm "
            f"({len(wrong)} of {len(layer)} contradict)",
            expected=f"|z| of layer {layer[first]}: {LAYER_Z[layer[first] - 1]:.2f} cm; nearest to this z is layer "
            f"{layer_of_z(z[first])}",
            remedy="compute the layer from the detector's geometry, or leave the column out",
        )
