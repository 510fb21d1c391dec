"""Shapes of showers: how deep and how wide they are, and how that fluctuates.

Electromagnetic: Grindhammer and Peters, "The parameterized simulation of electromagnetic showers in homogeneous and
sampling calorimeters" (hep-ex/0001020), with the mean depth of a fit to photons in the HGCAL. Hadronic: Bock, Hansl-
Kozanecka and Shah, Nucl. Instr. Meth. 186 (1981) 533.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CRITICAL_ENERGY = 10.48e-3
"""GeV, of the HGCAL photon fit."""
CONVERSION_DEPTH = 0.88
"""X0: what the fitted maximum owes to the mean depth of the conversion, which is drawn by itself here."""

# Of the radial profile: effective charge number, sampling frequency (1/X0) and e/mip of the CE-E
Z_EFFECTIVE, SAMPLING_FREQUENCY, E_OVER_MIP = 60.0, 1.0, 0.82

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Depths:
    """Gamma profiles ``dE/dt ~ (b t)^(a - 1) exp(-b t)``; t in X0 or lambda from the shower's start."""

    a: Array
    b: Array

    @property
    def maximum(self) -> Array:
        """Depth of the maximum (0 where the profile only falls)."""
        return np.maximum(self.a - 1, 0) / self.b


def mean_electromagnetic(energy: Array) -> tuple[Array, Array]:
    """(alpha, T in X0) of a photon's mean profile: ``alpha = 0.648 ln y + 0.187``, ``T = 1.030 ln y - 0.846``."""
    log_y = np.log(energy / CRITICAL_ENERGY)
    return 0.648 * log_y + 0.187, 1.030 * log_y - 0.846


def electromagnetic(random: np.random.Generator, energy: Array) -> Depths:
    """Profiles from the conversion on: ln alpha and ln T are correlated Gaussians (hep-ex/0001020, A.2.2)."""
    energy = np.maximum(energy, 0.1)
    alpha, top = mean_electromagnetic(energy)
    log_y = np.log(energy / CRITICAL_ENERGY)
    sigma_top = 1 / np.maximum(-2.5 + 1.25 * log_y, 1.0)
    sigma_alpha = 1 / np.maximum(-0.82 + 0.79 * log_y, 1.0)
    correlation = np.clip(0.784 - 0.023 * log_y, 0, 1)
    first, second = random.standard_normal((2, *energy.shape))
    both = correlation * first + np.sqrt(1 - correlation**2) * second
    top = np.maximum(top - CONVERSION_DEPTH, 0.5) * np.exp(sigma_top * first)
    alpha = np.maximum(alpha * np.exp(sigma_alpha * both), 1.1)
    return Depths(alpha, (alpha - 1) / top)


def hadronic(random: np.random.Generator, energy: Array, spread: float = 0.2) -> Depths:
    """The hadronic part of Bock's profile, in lambda from the first interaction.

    ``a = 0.6165 + 0.3183 ln E``, ``b = 0.9099 - 0.0237 ln E``; `spread` is the relative fluctuation of both.
    """
    log_e = np.log(energy)
    a = (0.6165 + 0.3183 * log_e) * np.exp(spread * random.standard_normal(energy.shape))
    b = (0.9099 - 0.0237 * log_e) * np.exp(spread * random.standard_normal(energy.shape))
    return Depths(np.maximum(a, 0.5), np.maximum(b, 0.2))


def radial_electromagnetic(energy: Array, tau: Array) -> tuple[Array, Array, Array]:
    """(core radius, tail radius, share of the core) in Moliere radii at relative depth ``tau = t / T``.

    ``f(r) = p 2 r Rc^2 / (r^2 + Rc^2)^2 + (1 - p) 2 r Rt^2 / (r^2 + Rt^2)^2`` (hep-ex/0001020, A.1.3 and A.2.3).
    """
    z, f_s, missing = Z_EFFECTIVE, SAMPLING_FREQUENCY, 1 - E_OVER_MIP
    log_e = np.log(np.maximum(energy, 0.1))
    tau = np.clip(tau, 0, 4)
    core = (0.0251 + 0.00319 * log_e) + (0.1162 - 0.000381 * z) * tau
    k4 = 0.3585 + 0.0421 * log_e
    tail = (0.659 - 0.00309 * z) * (np.exp(-2.59 * (tau - 0.645)) + np.exp(k4 * (tau - 0.645)))
    p2, p3 = 0.401 + 0.00187 * z, 1.313 - 0.0686 * log_e
    scaled = (p2 - tau) / p3
    share = (2.632 - 0.00094 * z) * np.exp(scaled - np.exp(scaled))
    core = core - 0.0203 * missing + 0.0397 / f_s * np.exp(-tau)
    tail = tail - 0.14 * missing - 0.495 / f_s * np.exp(-tau)
    share = share + missing * (0.348 - 0.642 / f_s * np.exp(-((tau - 1) ** 2)))
    return np.maximum(core, 0.01), np.maximum(tail, 0.05), np.clip(share, 0.0, 1.0)
