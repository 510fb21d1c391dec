"""Intervals of maps (areas of classes) and of replays (means over orders, recall of targets)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from cases import Array, Case, within

from skytrigger.eo.scene.summary import _corrected
from skytrigger.onboard.metrics import interval, recall_at
from skytrigger.onboard.value import Worth

CLASSES = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
TILES = np.array([0.16, 0.16, 0.16, 0.16, 0.16, 0.04, 0.04, 0.04, 0.04, 0.04])
"""Shares of the classes among test tiles, as uneven as the 13-band sample's."""


# --- areas ----------------------------------------------------------------------------------------------------------
def area_cases() -> Iterator[Case]:
    """A scene whose mapped areas are known, its map's errors from test tiles."""
    other = np.array([0.55, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05])
    for n in (81, 276, 2700):
        for error in (0.05, 0.15):
            for name, shares, least in (
                ("ground as the test tiles", TILES, 0.92),
                # Olofsson et al. take the share of true classes among tiles of a mapped class to be the ground's
                ("other ground: over half of one class", other, {81: 0.80, 276: 0.60, 2700: 0.15}[n]),
            ):

                def draw(rng, n=n, error=error, shares=shares):  # type: ignore[no-untyped-def]
                    given = error_of(error)
                    tiles = rng.multinomial(n, (TILES[:, None] * given).ravel()).reshape(given.shape)
                    facts = SimpleNamespace(confusion=tiles, confusion_source="")
                    area = 12_000.0 * (shares @ given)
                    found = _corrected(SimpleNamespace(classes=CLASSES), area, facts)  # type: ignore[arg-type]
                    which = int(rng.integers(len(CLASSES)))
                    ends = found["area_interval_95_km2"][CLASSES[which]]
                    return within((ends[0] - 1e-4, ends[1] + 1e-4), 12_000.0 * shares[which])

                what = f"{100 * error:g} % of the tiles misread, {name}"
                yield Case("area of a class", what, f"{n} test tiles", draw, 0.5, least=least)


def error_of(error: float) -> Array:
    """P(mapped | true): most errors go to the next class, few to all others."""
    k = len(CLASSES)
    stays, near = np.eye(k), np.roll(np.eye(k), 1, axis=1)
    rest = np.full((k, k), 1 / (k - 2)) - (stays + near) / (k - 2)
    return (1 - error) * stays + error * (0.8 * near + 0.2 * rest)


# --- replays --------------------------------------------------------------------------------------------------------
def replay_cases() -> Iterator[Case]:
    for orders in (2, 3, 5, 10):
        for name, sigma, least in (("normal", 0.0, 0.94), ("skewed (log-normal, sigma 0.5)", 0.5, 0.88)):

            def mean(rng, orders=orders, sigma=sigma):  # type: ignore[no-untyped-def]
                z = rng.standard_normal(orders)
                found = interval(list(np.exp(sigma * z) if sigma else 1 + 0.1 * z))
                return within((found["low"], found["high"]), math.exp(sigma**2 / 2))

            yield Case("mean over orders of the scenes", name, f"{orders} orders", mean, 0.1, least=least)
    for tiles in (276, 1000):
        for sharp in (1.5, 3.0):

            def recall(rng, tiles=tiles, sharp=sharp):  # type: ignore[no-untyped-def]
                found = recall_at(pool(rng, tiles, sharp), resamples=200)
                return found["low"] is None or within((found["low"], found["high"]), truth(sharp)[0])

            def targets(rng, tiles=tiles, sharp=sharp):  # type: ignore[no-untyped-def]
                found = recall_at(pool(rng, tiles, sharp), resamples=1)["targets"]
                return found["low"] is None or within((found["low"], found["high"]), truth(sharp)[1])

            what = f"true recall {100 * truth(sharp)[0]:.0f} %"
            yield Case("recall of targets in a tenth of the bits", what, f"{tiles} tiles", recall, 49, least=0.85)
            yield Case("recall, of the pool's targets alone", what, f"{tiles} tiles", targets, 2, least=0.85)


def pool(rng: np.random.Generator, tiles: int, sharp: float, windows: int = 3) -> Any:
    """What `recall_at` reads of a day's stream: each tile classified in some windows, 4 % of it targets."""
    k = 5
    kind = rng.integers(0, k, tiles)
    own = rng.standard_normal((tiles, k))
    of = np.repeat(np.arange(tiles), windows)
    n = len(of)
    logits = sharp * np.eye(k)[kind[of]] + own[of] + 0.3 * rng.standard_normal((n, k))
    p = np.exp(logits)
    cloudy, changed = rng.random(n) < 0.5, rng.random(n) < 0.3
    found = SimpleNamespace(
        true=kind[of], cloudy=cloudy, changed=changed, source=of, probabilities=p / p.sum(axis=1, keepdims=True),
        cloud_seen=np.where(cloudy, rng.random(n) < 0.9, rng.random(n) < 0.05),
        change_seen=np.where(changed, rng.random(n) < 0.8, rng.random(n) < 0.1),
    )  # fmt: skip
    Found = type("Found", (SimpleNamespace,), {"__len__": lambda self: len(self.true)})
    forever = np.full(k, np.inf)
    worth = Worth(np.array([10.0, 1, 1, 1, 1]), 0.3, forever, forever, forever, forever, np.arange(k) == 0)
    stream = SimpleNamespace(classes=dict(zip("abcde", (0.04, 0.24, 0.24, 0.24, 0.24), strict=True)), cloud=0.5,
                             changed=0.3)  # fmt: skip
    return SimpleNamespace(spec=SimpleNamespace(stream=stream), classes=tuple("abcde"), worth=worth,
                           found=Found(**vars(found)))  # fmt: skip


@cache
def truth(sharp: float) -> tuple[float, float]:
    """Recall in a pool without end, and the share of a target tile's windows that go down there."""
    found = recall_at(pool(np.random.default_rng(1), 100_000, sharp), resamples=1)
    return found["value"], found["targets"]["down"] / found["targets"]["n"]
