"""From particles to the parts of their showers: each part is a profile along an axis, or a track.

Photons and electrons are one electromagnetic part. A charged hadron is a track up to its first interaction, then
neutral pions (electromagnetic parts), one hadronic part and the tracks of a few secondaries. A muon is a track.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from skytrigger.hep.pid import profiles
from skytrigger.hep.pid.geometry import EDGES_LAMBDA, EDGES_X0, ELECTRON, FRONT_X0, HADRON, MUON, PHOTON

Array = NDArray[np.float64]
EM, HADRONIC, TRACK = range(3)

PHOTON_START, ELECTRON_START, INTERACTION = 9 / 7, 0.5, 1.25
"""Mean depths: of a photon's conversion and of an electron's first radiation (X0), of a first interaction (lambda)."""
GAIN_SPREAD = 0.0075
"""Relative, of a whole shower: what the cells' calibration leaves."""
F_EM_EXPONENT = 0.18
H_OVER_E = 0.55
"""Visible energy of the hadronic part, on the electromagnetic scale."""
INVISIBLE = 2.0
"""Relative fluctuation of that at 1 GeV: nuclear binding, neutrons; it falls like 1 / sqrt(E)."""
F_EM_WIDTH, F_EM_WIDTH_POWER = 5.5, 0.45
"""``variance = f (1 - f) / (5.5 (E / 50 GeV)^0.45)``."""
PION_DEPTH = 0.5
"""Mean depth (lambda) between the first interaction and the later neutral pions."""
KICK = 0.35
"""GeV: mean transverse momentum of what an interaction makes."""
PILEUP_DENSITY, PILEUP_ENERGY = 0.16, 2.7
"""Particles of one extra collision in the window (1.1 charged and as many neutral per unit of eta and phi, within 0.15
of the axis), and their mean energy, GeV."""


@dataclass(frozen=True)
class Primaries:
    """What hits the calorimeter: kind (row of `CLASSES`), energy in GeV, eta and phi; all (n,)."""

    kind: NDArray[np.int64]
    energy: Array
    eta: Array
    phi: Array

    @property
    def cosine(self) -> Array:
        """Of the angle to the beam."""
        return np.asarray(np.tanh(self.eta))


@dataclass(frozen=True)
class Parts:
    """Parts of showers, all (m,).

    Attributes
    ----------
    shower
        Which primary a part belongs to.
    kind
        `EM`, `HADRONIC` or `TRACK`.
    energy
        Energy that shows the profile's shape, GeV.
    visible
        Energy it deposits, on the electromagnetic scale, GeV.
    start, stop
        Depth along the axis from the calorimeter's face, X0 for EM parts, lambda for others; `stop` of tracks.
    a, b
        Profile.
    dx, dy, slope_x, slope_y
        Of the part's own axis from the shower's, cm at `start` and cm per lambda beyond.
    """

    shower: NDArray[np.int64]
    kind: NDArray[np.int64]
    energy: Array
    visible: Array
    start: Array
    stop: Array
    a: Array
    b: Array
    dx: Array
    dy: Array
    slope_x: Array
    slope_y: Array

    @staticmethod
    def make(shower: NDArray[np.int64], kind: int, **given: Array) -> Parts:
        """Parts of one kind; what is not given is 0."""
        n = len(shower)
        rest = {f.name: given.get(f.name, np.zeros(n)) for f in fields(Parts)[2:]}
        return Parts(shower, np.full(n, kind), **rest)

    @staticmethod
    def join(parts: list[Parts]) -> Parts:
        """All of them, in order."""
        return Parts(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Parts)))


def parts_of(random: np.random.Generator, what: Primaries, pileup: float = 0.0) -> Parts:
    """Draw the showers of all primaries; `pileup` is the mean number of extra collisions."""
    light = np.flatnonzero((what.kind == PHOTON) | (what.kind == ELECTRON))
    start = np.where(what.kind[light] == PHOTON, PHOTON_START, ELECTRON_START)
    parts = [_electromagnetic(random, light, what.energy[light], start)]
    parts += _hadrons(random, np.flatnonzero(what.kind == HADRON), what)
    muons = np.flatnonzero(what.kind == MUON)
    parts.append(Parts.make(muons, TRACK, stop=np.full(len(muons), EDGES_LAMBDA[-1] * 2)))
    if pileup > 0:
        parts += _pileup(random, len(what.kind), pileup)
    return Parts.join(parts)


def _electromagnetic(random: np.random.Generator, shower: NDArray[np.int64], energy: Array, start: Array) -> Parts:
    shape = profiles.electromagnetic(random, energy)
    gain = 1 + GAIN_SPREAD * random.standard_normal(len(shower))
    depth = random.exponential(start) - FRONT_X0
    return Parts.make(shower, EM, energy=energy, visible=energy * gain, start=depth, a=shape.a, b=shape.b)


def _hadrons(random: np.random.Generator, shower: NDArray[np.int64], what: Primaries) -> list[Parts]:
    energy = what.energy[shower]
    n = len(shower)
    vertex = random.exponential(INTERACTION, n)
    mean = np.clip(1 - energy**-F_EM_EXPONENT, 0.05, 0.95)
    strength = np.maximum(F_EM_WIDTH * (energy / 50) ** F_EM_WIDTH_POWER - 1, 0.5)
    f_em = random.beta(mean * strength, (1 - mean) * strength)
    hidden = np.maximum((1 - f_em) * energy, 0.5)
    shape = 1 / (INVISIBLE**2 / hidden)  # gamma with relative width INVISIBLE / sqrt(hidden)
    seen = hidden * H_OVER_E * random.gamma(shape) / shape
    bock = profiles.hadronic(random, energy)
    before = Parts.make(shower, TRACK, stop=vertex)
    wide = Parts.make(shower, HADRONIC, energy=energy, visible=seen, start=vertex, a=bock.a, b=bock.b)
    return [before, wide, _pions(random, shower, energy, f_em, vertex), _secondaries(random, shower, energy, vertex)]


def _pions(random: np.random.Generator, shower: NDArray[np.int64], energy: Array, f_em: Array, vertex: Array) -> Parts:
    """The electromagnetic share of each hadron, divided at random among neutral pions."""
    count = 1 + random.poisson(np.maximum(0.8 * np.log(energy) - 1, 0.2))
    own = np.repeat(np.arange(len(shower)), count)
    share = random.exponential(1.0, len(own))
    share /= np.bincount(own, share, len(shower))[own]
    each = f_em[own] * energy[own] * share
    first = np.zeros(len(own), bool)
    first[np.cumsum(count) - count] = True
    further = np.where(first, 0.0, random.exponential(PION_DEPTH, len(own)))
    depth = _lambda_to_x0(vertex[own] + further)
    shape = profiles.electromagnetic(random, each)
    slope = KICK / np.maximum(each, 1.0) * 20.0  # cm per lambda: about 20 cm of calorimeter
    off = random.standard_normal((4, len(own)))
    return Parts.make(
        shower[own], EM, energy=each, visible=each, start=depth + random.exponential(PHOTON_START, len(own)),
        a=shape.a, b=shape.b, dx=off[0] * (0.2 + 2.0 * further), dy=off[1] * (0.2 + 2.0 * further),
        slope_x=off[2] * slope, slope_y=off[3] * slope,
    )  # fmt: skip


def _secondaries(random: np.random.Generator, shower: NDArray[np.int64], energy: Array, vertex: Array) -> Parts:
    """Charged secondaries that cross further layers before they interact or stop."""
    own = np.repeat(np.arange(len(shower)), random.poisson(0.7 * np.log(energy)))
    momentum = 1.0 + random.exponential(0.05 * energy[own])
    slope = KICK / momentum * 20.0
    off = random.standard_normal((2, len(own)))
    stop = vertex[own] + random.exponential(1.0, len(own))
    return Parts.make(shower[own], TRACK, start=vertex[own], stop=stop, slope_x=off[0] * slope, slope_y=off[1] * slope)


def _pileup(random: np.random.Generator, n: int, collisions: float) -> list[Parts]:
    """Soft photons and soft charged hadrons of other collisions, uniform in the window."""
    own = np.repeat(np.arange(n), random.poisson(collisions * PILEUP_DENSITY, n))
    energy = np.maximum(random.exponential(PILEUP_ENERGY, len(own)), 0.2)
    place = random.uniform(-14.0, 14.0, (2, len(own)))
    light = random.random(len(own)) < 0.5
    shape = profiles.electromagnetic(random, energy)
    photons = Parts.make(
        own[light], EM, energy=energy[light], visible=energy[light],
        start=random.exponential(PHOTON_START, int(light.sum())) - FRONT_X0,
        a=shape.a[light], b=shape.b[light], dx=place[0, light], dy=place[1, light],
    )  # fmt: skip
    rest = ~light
    stop = random.exponential(INTERACTION, int(rest.sum()))
    tracks = Parts.make(own[rest], TRACK, stop=stop, dx=place[0, rest], dy=place[1, rest])
    return [photons, tracks]


def _lambda_to_x0(depth: Array) -> Array:
    """Depth in X0 of a depth in lambda, along the calorimeter."""
    return np.interp(depth, EDGES_LAMBDA, EDGES_X0)
