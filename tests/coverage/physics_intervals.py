"""Intervals of the physics applications: doublets (AUC, rejection) and showers (response, resolution)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from cases import Array, Case, holds, within
from scipy.special import ndtr, ndtri

from skytrigger.hep.doublets.metrics import auc_difference, filter_metrics
from skytrigger.hep.pid.response import Response, response
from skytrigger.optimize.metric import RESOLUTION

EDGES = np.linspace(10, 100, 7)  # GeV, of the showers' bins
SHAPES = {  # name -> quantiles of a unit deviation: the medians are 0, the central 68.27 % reach from -1 to 1
    "normal": ndtri,
    "long tail to low energies": lambda p: np.where(p < 0.5, 1.15, 0.85) * ndtri(p) * (1 + 0.25 * ndtri(p) ** 2) / 1.25,
}


def doublet_cases() -> Iterator[Case]:
    """Scores of families of two doublets that share a cluster."""
    for n in (200, 800):
        for apart, least in ((0.6, 0.93), (1.5, 0.93), (2.5, 0.915)):
            truth = float(ndtr(apart / math.sqrt(2)))

            def auc(rng, n=n, apart=apart, truth=truth):  # type: ignore[no-untyped-def]
                return within(_judged(rng, n, apart)["intervals_95"]["auc"], truth)

            def pair(rng, n=n, apart=apart):  # type: ignore[no-untyped-def]
                score, true, group = scored(rng, n, apart)
                a, b = (score + 0.7 * rng.standard_normal(len(score)) for _ in range(2))
                _, low, high = auc_difference(a, b, true, group, resamples=400, seed=int(rng.integers(1 << 30)))
                return low <= 0 <= high

            yield Case("AUC of doublets, by families", f"true AUC {truth:.2f}", str(n), auc, 60, least=least)
            yield Case("difference of two AUCs", f"true AUC about {truth:.2f}", str(n), pair, 90, least=least)
    for n in (200, 2200):
        # the loosest true doublets set the threshold of 99 %: one or two of 100, which a bootstrap cannot draw beyond
        for efficiency, least in (("0.5", 0.93), ("0.9", 0.91), ("0.99", {200: 0.70, 2200: 0.89}[n])):
            kept = float(ndtr(1.5 + ndtri(1 - float(efficiency))))

            def rejection(rng, n=n, efficiency=efficiency, kept=kept):  # type: ignore[no-untyped-def]
                return within(_judged(rng, n, 1.5)["intervals_95"]["rejection"][efficiency], kept)

            what = f"at {100 * float(efficiency):g} % efficiency, true {kept:.2f}"
            yield Case("rejection of doublets", what, str(n), rejection, 49, least=least)


def scored(rng: np.random.Generator, n: int, apart: float) -> tuple[Array, Array, Array]:
    """Scores, truth and families."""
    true = np.repeat(np.arange(n // 2) % 2, 2)
    common = np.repeat(rng.standard_normal(n // 2), 2)
    score = math.sqrt(0.5) * common + math.sqrt(0.5) * rng.standard_normal(n) + apart * true
    return score, true, np.repeat(np.arange(n // 2), 2)


def _judged(rng: np.random.Generator, n: int, apart: float) -> dict:  # type: ignore[type-arg]
    score, true, group = scored(rng, n, apart)
    logits = np.stack([np.zeros_like(score), score], axis=1)
    return filter_metrics(logits, true, group, resamples=400, seed=int(rng.integers(1 << 30)))


def shower_cases() -> Iterator[Case]:
    """Response and resolution in bins of energy, and the fit ``a / sqrt(E) (+) b`` through them."""
    for n in (20, 60, 200):
        for shape in SHAPES:

            def middle(rng, n=n, shape=shape):  # type: ignore[no-untyped-def]
                return within(_response(rng, n, shape, 0.25, 0.02, 2).bins[0].median_interval, 0.97)

            def width(rng, n=n, shape=shape):  # type: ignore[no-untyped-def]
                return within(_response(rng, n, shape, 0.0, 0.1, 2).bins[0].sigma68_interval, 0.1)

            def bias(rng, n=n, shape=shape):  # type: ignore[no-untyped-def]
                return within(_response(rng, n, shape, 0.25, 0.02, 2).bias_interval, -0.03)

            def whole(rng, n=n, shape=shape):  # type: ignore[no-untyped-def]
                return within(_response(rng, n, shape, 0.0, 0.1, 2).sigma68_interval, 0.1)

            few = 0.86 if n == 20 else 0.90
            yield Case("response of a bin of energy: median", shape, f"{n} a bin", middle, 15, least=few)
            yield Case("resolution of a bin of energy: sigma68", shape, f"{n} a bin", width, 15,
                       least={20: 0.80, 60: 0.88, 200: 0.91}[n])  # fmt: skip
            yield Case("bias of all showers", shape, f"{2 * n}", bias, 8, least=0.92)
            yield Case("resolution of all showers: sigma68", shape, f"{2 * n}", whole, 8, least=0.87)
    for n in (60, 200):
        for a, b in ((0.25, 0.02), (0.25, 0.0)):

            def slope(rng, n=n, a=a, b=b):  # type: ignore[no-untyped-def]
                return within(_response(rng, n, "normal", a, b, 6).a_interval, a)

            def constant(rng, n=n, a=a, b=b):  # type: ignore[no-untyped-def]
                return within(_response(rng, n, "normal", a, b, 6).b_interval, b)

            what = f"a = {100 * a:g} %, b = {100 * b:g} %"
            yield Case("fit of the resolution: a", what, f"6 bins of {n}", slope, 49, least=0.90)
            yield Case("fit of the resolution: b", what, f"6 bins of {n}", constant, 49, least=0.90)
    for n in (100, 400):
        for shape in SHAPES:

            def own(rng, n=n, shape=shape):  # type: ignore[no-untyped-def]
                values = 100 * (1 + 0.1 * SHAPES[shape](rng.random(n)))
                return holds(RESOLUTION.value(values[:, None], np.full(n, 100.0), np.arange(n)), 0.1)

            def gain(rng, n=n, shape=shape):  # type: ignore[no-untyped-def]
                common = rng.standard_normal(n)
                both = (100 * (1 + 0.1 * SHAPES[shape](ndtr(0.8 * common + 0.6 * rng.standard_normal(n))))
                        for _ in range(2))  # fmt: skip
                a, b = (values[:, None] for values in both)
                return holds(RESOLUTION.difference(a, b, np.full(n, 100.0), np.arange(n)).change, 0.0)

            yield Case("resolution that a search judges by", shape, str(n), own, 49, least=0.90)
            yield Case("difference of two resolutions", shape, str(n), gain, 49, least=0.92)


def _response(rng: np.random.Generator, n: int, shape: str, a: float, b: float, bins: int) -> Response:
    """`n` showers in each of `bins` bins, all at its middle energy; the response is 0.97."""
    true = np.repeat((EDGES[:-1] + EDGES[1:])[:bins] / 2, n)
    sigma = np.hypot(a / np.sqrt(true), b)
    ratio = 0.97 * (1 + sigma * SHAPES[shape](rng.random(len(true))))
    return response(true, true * ratio, EDGES[: bins + 1], seed=int(rng.integers(1 << 30)))
