"""The rules of CLUE as named presets, each with its source."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError

FACTOR_BITS = 20
"""Neighbour factors are multiples of 2^-20, so that sums of densities are exact and know no order."""


@dataclass(frozen=True)
class Kernel:
    """How much of a neighbour's weight counts: ``factor(d)``; the hit itself always counts whole.

    ``flat``: ``a``. ``exponential``: ``b * exp(-a d)``. ``gaussian``: ``c * exp(-(d - a)^2 / (2 b^2))``,
    with ``(a, b, c) = parameters`` in the units of the coordinates, as in CLUEstering.
    """

    kind: Literal["flat", "exponential", "gaussian"] = "flat"
    parameters: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        wanted = {"flat": 1, "exponential": 2, "gaussian": 3}.get(self.kind)
        if wanted is None:
            raise InputError(f"no kernel called {self.kind!r}", expected="flat, exponential or gaussian")
        if len(self.parameters) != wanted:
            raise InputError(f"kernel {self.kind} with {len(self.parameters)} parameters", expected=f"{wanted}")
        free = 1 if self.kind == "gaussian" else 0  # the gaussian's mean may have any sign
        if not all(map(math.isfinite, self.parameters)) or min(self.parameters[free:]) <= 0:
            raise InputError(f"kernel parameters {self.parameters}", expected="finite and positive")
        if self.amplitude > 1024:
            raise InputError(f"kernel amplitude {self.amplitude}", expected="at most 1024")

    @property
    def amplitude(self) -> float:
        """The largest factor there can be."""
        return float(self.parameters[{"flat": 0, "exponential": 1, "gaussian": 2}[self.kind]])

    @staticmethod
    def parse(text: str) -> Kernel:
        """``flat:0.5``, ``exponential:A:B`` or ``gaussian:A:B:C``."""
        kind, *values = text.split(":")
        try:
            numbers = tuple(float(v) for v in values)
        except ValueError:
            raise InputError(f"kernel {text!r}", expected="flat:0.5, exponential:A:B or gaussian:A:B:C") from None
        return Kernel(kind, numbers)  # type: ignore[arg-type]  # checked in __post_init__


@dataclass(frozen=True)
class Rules:
    """One preset.

    Attributes
    ----------
    strict
        Density counts hits with distance < dc, not <= dc.
    kernel
        Neighbour factor of the density.
    narrow
        The nearest higher is searched within min(seed, outlier distance), not max: a hit without one there is a
        seed or an outlier.
    zero_ties
        Between hits of equal density the higher index counts as higher, also where that density is 0.
    dc, outlier_factor, kappa, ecut
        Defaults: of dc, of outlier distance / dc, of rhoc / noise, of the energy cut / noise (None: no default).
    """

    name: str
    source: str
    strict: bool = False
    kernel: Kernel = Kernel()
    narrow: bool = False
    zero_ties: bool = True
    dc: float | None = None
    outlier_factor: float = 2.0
    kappa: float | None = None
    ecut: float | None = None


RULES = {
    "paper": Rules(
        "paper",
        "Rovere, Chen, Di Pilato, Pantaleo, Seez, Front. Big Data 3 (2020) 591315, section 2 and its stand-alone code",
    ),
    "cmssw": Rules(
        "cmssw",
        "CMSSW RecoLocalCalo/HGCalRecProducers, HGCalCLUEAlgo (silicon strategy)",
        strict=True,
        kernel=Kernel("flat", (0.5,)),
        dc=1.3,
        kappa=9.0,
        ecut=3.0,
    ),
    "cluestering": Rules(
        "cluestering",
        "CLUEstering 2.11, ClusteringKernels.hpp",
        kernel=Kernel("flat", (0.5,)),
        narrow=True,
        zero_ties=False,
        outlier_factor=1.0,
    ),
}


@dataclass(frozen=True)
class Cuts:
    """What a backend compares with, all float32 and ready.

    A hit j counts in the density of i where ``s <= density_square``, s being the float32 squared distance: the
    largest float32 whose float32 root is <= dc (< dc where the rules are strict).
    """

    dc: np.float32
    density_square: np.float32
    search: np.float32
    seed_distance: np.float32
    outlier_distance: np.float32
    kernel: Kernel
    zero_ties: bool

    @property
    def reach(self) -> float:
        """Largest distance at which two hits can matter to each other."""
        return float(max(self.dc, self.search))


@lru_cache(64)
def largest_square(radius: np.float32, *, strict: bool) -> np.float32:
    """The largest float32 s with ``sqrt(s) <= radius`` (``<`` if strict), the root rounded to float32."""

    def inside(square: np.float32) -> bool:
        root = np.sqrt(square)
        return bool(root < radius if strict else root <= radius)

    largest = np.float32(np.finfo(np.float32).max)
    square = np.float32(min(float(radius) ** 2, float(largest)))
    while square < largest and inside(np.nextafter(square, largest)):
        square = np.nextafter(square, largest)
    while square > 0 and not inside(square):
        square = np.nextafter(square, np.float32(0))
    return np.float32(square)


def _distance(name: str, value: float | None, default: float | None) -> np.float32:
    if value is None:
        if default is None:
            raise InputError(f"{name} is not given", expected="a distance in the units of the coordinates")
        value = default
    try:
        number = np.float32(value if not isinstance(value, str) and np.ndim(value) == 0 else np.nan)
    except (TypeError, ValueError):
        number = np.float32(np.nan)
    if not 0 < number < 1e18:
        raise InputError(
            f"{name} = {value!r}",
            expected="a number above 0 and below 1e18, in the units of the coordinates, as float32",
        )
    return number


def resolve_rules(rules: str | Rules) -> Rules:
    """The preset of that name, or `rules` itself."""
    if isinstance(rules, Rules):
        return rules
    if not isinstance(rules, str) or rules not in RULES:
        raise InputError(f"no rules called {rules!r}", expected=", ".join(RULES))
    return RULES[rules]


def resolve_cuts(
    rules: Rules,
    dc: float | None,
    seed_distance: float | None,
    outlier_distance: float | None,
    kernel: Kernel | str | None,
) -> Cuts:
    """Check the distances and turn them into float32 thresholds."""
    if isinstance(kernel, str):
        kernel = Kernel.parse(kernel)
    if not isinstance(kernel, Kernel | None):
        raise InputError(f"kernel {kernel!r}", expected="a Kernel, or flat:0.5, exponential:A:B or gaussian:A:B:C")
    radius = _distance("dc", dc, rules.dc)
    seed = _distance("seed_distance", seed_distance, float(radius))
    outlier = _distance("outlier_distance", outlier_distance, rules.outlier_factor * float(radius))
    search = min(seed, outlier) if rules.narrow else max(seed, outlier)
    return Cuts(
        dc=radius,
        density_square=largest_square(radius, strict=rules.strict),
        search=search,
        seed_distance=search if rules.narrow else seed,
        outlier_distance=search if rules.narrow else outlier,
        kernel=kernel or rules.kernel,
        zero_ties=rules.zero_ties,
    )


def neighbour_factors(kernel: Kernel, distance: NDArray[np.float32]) -> NDArray[np.int64]:
    """``factor(d)`` of every distance in units of 2^-`FACTOR_BITS`.

    Every step is a float32 operation rounded by itself (see `exponential`), so that all backends agree to the bit.
    """
    if kernel.kind == "flat":
        return np.full(distance.shape, flat_factor(kernel), np.int64)
    a, b, *c = (np.float32(p) for p in kernel.parameters)
    if kernel.kind == "exponential":
        factor = b * exponential(a * distance)
    else:
        away = distance - a
        factor = c[0] * exponential((away * away) * (np.float32(0.5) / (b * b)))
    whole: NDArray[np.int64] = np.rint(factor * np.float32(1 << FACTOR_BITS)).astype(np.int64)
    return whole


def flat_factor(kernel: Kernel) -> int:
    """The flat kernel's factor in units of 2^-`FACTOR_BITS`."""
    return int(np.rint(np.float32(kernel.parameters[0]) * np.float32(1 << FACTOR_BITS)))


# exp(-t) = 2^-k * exp(-r), t = k ln 2 + r, |r| <= ln 2 / 2; Taylor to r^7, error below 4e-8.
LOG2_E = np.float32(1.4426950408889634)
LN2_HIGH = np.float32(0.693359375)  # few bits: k * LN2_HIGH is exact
LN2_LOW = np.float32(-2.12194440e-4)
SERIES = tuple(np.float32((-1) ** n / math.factorial(n)) for n in range(7, -1, -1))


def exponential(t: NDArray[np.float32]) -> NDArray[np.float32]:
    """exp(-t), t >= 0 in float32, from single float32 multiplications and additions."""
    t = np.minimum(t, np.float32(80))
    k = np.rint(t * LOG2_E)
    r = (t - k * LN2_HIGH) - k * LN2_LOW
    p = np.full(t.shape, SERIES[0], np.float32)
    for coefficient in SERIES[1:]:
        p = p * r + coefficient
    result: NDArray[np.float32] = np.ldexp(p, -k.astype(np.int32)).astype(np.float32)
    return result
