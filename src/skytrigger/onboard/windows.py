"""The windows of a scene that are really classified: what ground lies there, through the network on the feed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.host import cores_in_mask
from skytrigger.core.seeds import generator
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.scene.clouds import CLOUDY_SHARE, LIMITS_DN
from skytrigger.eo.scene.engine import BATCH, Lanes, ModelFile, default_runtime
from skytrigger.eo.scene.tile_measures import screen_clouds
from skytrigger.onboard.pool import Draws, Pool, change_seen, draw_veils, tiles
from skytrigger.onboard.spec import Spec
from skytrigger.runtimes.feed import Fed, Feed

Floats = NDArray[np.float64]
SMOOTH = 2.0  # tiles: the ground's grain


@dataclass(frozen=True)
class Ground:
    """What a composition of scenes holds: shares of classes (they add up to 1), of cloud and of change."""

    shares: Floats
    cloud: float
    changed: float


def class_shares(spec: Spec, classes: tuple[str, ...]) -> Floats:
    """(classes,) shares of the ground; even where the spec states none (of scenes: see `mission.prepare`)."""
    wanted = np.array([spec.stream.classes.get(c, 0.0) for c in classes])
    return wanted / wanted.sum() if wanted.sum() else np.full(len(classes), 1 / len(classes))


def ground(spec: Spec, classes: tuple[str, ...], composition: int) -> Ground:
    """A composition of the mission's seed: shares scatter about the spec's (Dirichlet), clouds come in fields."""
    rng = generator(spec.seed, "ground", composition)
    wanted = class_shares(spec, classes)
    shares = np.zeros(len(classes))
    some = wanted > 0
    shares[some] = rng.dirichlet(spec.stream.concentration * wanted[some] * some.sum())
    c = spec.stream.cloud
    cloud = float(rng.beta(1.2 * c, 1.2 * (1 - c))) if 0 < c < 1 else c
    return Ground(shares, cloud, spec.stream.changed)


def draw_window(spec: Spec, pool: Pool, composition: int) -> Draws:
    """Tiles of a window, row by row; neighbours are alike, and each class has its share on average."""
    here = ground(spec, pool.classes, composition)
    shape = (spec.stream.window[0], spec.stream.window[1])
    rng = generator(spec.seed, "window", composition)
    with np.errstate(divide="ignore"):
        odds = np.log(here.shares)
    fields_ = np.stack([_even(rng, shape) for _ in pool.classes])
    # the largest of log share + a Gumbel variate is each class with the probability of its share
    true = (odds[:, None, None] - np.log(-np.log(fields_))).argmax(axis=0).ravel()
    cloudy = (_even(rng, shape) < here.cloud).ravel()
    n = len(true)
    source = np.empty(n, np.int64)
    for index in np.unique(true):
        of = pool.of_class(int(index))
        source[true == index] = of[rng.integers(len(of), size=int((true == index).sum()))]
    changed = rng.random(n) < here.changed
    return Draws(source, rng.integers(8, size=n), true, cloudy, changed, draw_veils(rng, n))


def _even(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """A smooth random field whose every point is uniform over (0, 1)."""
    from scipy.ndimage import gaussian_filter
    from scipy.special import ndtr

    delta = np.zeros((33, 33))
    delta[16, 16] = 1.0
    spread = float(np.sqrt((gaussian_filter(delta, SMOOTH) ** 2).sum()))
    margin = 12
    noise = rng.standard_normal((shape[0] + 2 * margin, shape[1] + 2 * margin))
    smooth = gaussian_filter(noise, SMOOTH)[margin:-margin, margin:-margin] / spread
    return np.asarray(np.clip(ndtr(smooth), 1e-9, 1 - 1e-9))


@dataclass(frozen=True)
class Classified:
    """Really classified tiles; arrays (n,), `probabilities` (n, classes).

    `composition`, `place` (number within the window, by rows) say which; `cloudy`, `changed` are the truth,
    `cloud_seen`, `change_seen` what was found on board.
    """

    composition: NDArray[np.int64]
    place: NDArray[np.int64]
    source: NDArray[np.int64]
    turn: NDArray[np.int64]
    veil: NDArray[np.float32]
    true: NDArray[np.int64]
    cloudy: NDArray[np.bool_]
    changed: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    cloud_seen: NDArray[np.bool_]
    change_seen: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.true)

    def draws(self) -> Draws:
        """How to make their pixels again."""
        return Draws(self.source, self.turn, self.true, self.cloudy, self.changed, self.veil)


def joined(parts: list[Classified]) -> Classified:
    """Several as one."""
    return Classified(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Classified)})


def classify_windows(
    spec: Spec, pool: Pool, model: ModelFile, compositions: list[int], threads: int | None = None
) -> tuple[Classified, Fed]:
    """The windows of these compositions through a session on the feed; also what the feed did."""
    lanes = Lanes(model, spec.classifier.runtime or default_runtime(), threads or cores_in_mask(), codes=False)
    try:
        drawn = [draw_window(spec, pool, c) for c in compositions]
        n = sum(len(d.true) for d in drawn)
        logits = np.empty((n, len(pool.classes)), np.float32)
        clouds = np.empty(n, np.float32)
        order = [EUROSAT_ORDER.index(b) for b in model.card.channels]

        def source() -> Iterator[tuple[int, Draws, int, int]]:
            base = 0
            for draws in drawn:
                for i in range(0, len(draws.true), BATCH):
                    yield base + i, draws, i, min(BATCH, len(draws.true) - i)
                base += len(draws.true)

        def prepare(item: tuple[int, Draws, int, int]) -> Any:
            first, draws, begin, count = item
            x = tiles(pool, draws, begin, begin + count)
            screen = [np.ascontiguousarray(x[:, EUROSAT_ORDER.index(b)]) for b in ("B01", "B02", "B10", "B11")]
            screen_clouds(*screen, LIMITS_DN, clouds[first : first + count])
            return x[:, order].astype(np.float32)

        def sink(item: tuple[int, Draws, int, int], result: Any) -> None:
            logits[item[0] : item[0] + item[3]] = result

        fed = Feed(source(), [lanes.logits(i) for i in range(len(lanes))], sink, prepare=prepare).run()
    finally:
        lanes.close()
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    parts = []
    base = 0
    for composition, draws in zip(compositions, drawn, strict=True):
        part = slice(base, base + len(draws.true))
        parts.append(
            Classified(
                np.full(len(draws.true), composition),
                np.arange(len(draws.true)),
                draws.source,
                draws.turn,
                draws.veil,
                draws.true,
                draws.cloudy,
                draws.changed,
                (e / e.sum(axis=1, keepdims=True))[part],
                clouds[part] > CLOUDY_SHARE,
                change_seen(pool, draws, generator(spec.seed, "reference", composition)),
            )
        )
        base = part.stop
    return joined(parts), fed
