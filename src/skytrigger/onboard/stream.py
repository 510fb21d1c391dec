"""The stream of a day: really classified tiles one by one, all others by statistics drawn from these.

The tiles of a block that are not really classified are drawn from its own ground (shares of classes, cloud, change) and
from what the classifier really did with tiles of such ground: a table of outcomes, counted over every window. So its
errors are in the bulk as they are in the windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.seeds import generator
from skytrigger.onboard.plan import Plan
from skytrigger.onboard.rows import BULK, LOSSLESS, Rows, row_type
from skytrigger.onboard.spec import Spec
from skytrigger.onboard.value import Worth
from skytrigger.onboard.windows import Classified, class_shares, ground

Floats = NDArray[np.float64]
KEPT_BYTES = 64 << 20
SURE = (0.5, 0.7, 0.85, 0.95)  # confidence between which tiles of one class found are alike


@dataclass(frozen=True)
class Outcomes:
    """What the classifier does with each kind of ground.

    Ground state s = (class * 2 + cloudy) * 2 + changed. Bins: alike as found on board.

    Attributes
    ----------
    chance
        (states, bins): rows add up to 1.
    probabilities, confidence
        Means over a bin's tiles.
    kind, cloudy, changed
        What was found, by bin.
    """

    chance: Floats
    probabilities: Floats
    confidence: Floats
    kind: NDArray[np.int64]
    cloudy: NDArray[np.bool_]
    changed: NDArray[np.bool_]


def outcomes(found: Classified, classes: int, *, perfect: bool = False) -> Outcomes:
    """Count what was found; `perfect`: as a classifier without errors would."""
    state = (found.true * 2 + found.cloudy) * 2 + found.changed
    p = np.eye(classes)[found.true] if perfect else found.probabilities.astype(np.float64)
    cloud = found.cloudy if perfect else found.cloud_seen
    change = found.changed if perfect else found.change_seen
    kind, sure = p.argmax(axis=1), p.max(axis=1)
    code = np.where(cloud, 0, 1 + (kind * 2 + change) * (len(SURE) + 1) + np.digitize(sure, SURE))
    bins, of = np.unique(code, return_inverse=True)
    counts = np.zeros((4 * classes, len(bins)))
    np.add.at(counts, (state, of), 1.0)
    number = np.bincount(of, minlength=len(bins))

    def mean(values: Any) -> Floats:
        return np.bincount(of, values, len(bins)) / number

    first = np.array([np.flatnonzero(of == b)[0] for b in range(len(bins))])
    return Outcomes(
        _chances(counts),
        np.stack([mean(p[:, c]) for c in range(classes)], axis=1),
        mean(sure),
        kind[first],
        cloud[first],
        change[first] & ~cloud[first],
    )


def _chances(counts: Floats) -> Floats:
    """Rows of shares. A state that no window held borrows: its class's with the other change, then all classes'."""
    chance = counts.copy()
    by = counts.reshape(-1, 2, 2, counts.shape[1])  # class, cloudy, changed
    for s in np.flatnonzero(counts.sum(axis=1) == 0):
        cls, cloudy, changed = s // 4, s // 2 % 2, s % 2
        for other in (by[cls, cloudy].sum(axis=0), by[:, cloudy, changed].sum(axis=0), by[:, cloudy].sum(axis=(0, 1))):
            if other.sum():
                chance[s] = other
                break
        else:
            chance[s] = by.sum(axis=(0, 1, 2))
    return np.asarray(chance / chance.sum(axis=1, keepdims=True))


class DayStream:
    """Blocks of a day as rows, in a seed's order of compositions.

    Parameters
    ----------
    order_seed
        Which composition of ground each block holds: seed 0 keeps them as they were drawn.
    known
        ``found``: values from the network's probabilities; ``calibrated``: from how often its answers are right in
        this stream; ``true``: a network without errors.
    """

    def __init__(
        self, spec: Spec, plan: Plan, found: Classified, worth: Worth, classes: tuple[str, ...], order_seed: int,
        known: str = "found",
    ) -> None:  # fmt: skip
        self.spec, self.plan, self.found, self.worth, self.classes = spec, plan, found, worth, classes
        n = len(plan.blocks.t_s)
        self.order = np.arange(n) if order_seed == 0 else generator(spec.seed, "order", order_seed).permutation(n)
        self.order_seed, self.known = order_seed, known
        self.table = outcomes(found, len(classes), perfect=known == "true")
        self.dtype = row_type(len(classes))
        self.first = {int(c): int(i) for i, c in reversed(list(enumerate(found.composition)))}
        self.window = spec.stream.window[0] * spec.stream.window[1]
        self.bin_worth = self._bin_worth()
        self._kept: dict[int, Rows] = {}
        self._kept_bytes = 0

    def rows(self, block: int) -> Rows:
        """All rows of a block: its window's tiles first. The caller may change them."""
        if (kept := self._kept.get(block)) is not None:
            return kept.copy()
        rows = self._made(block)
        if self._kept_bytes + rows.nbytes <= KEPT_BYTES:  # policies of one order share them
            self._kept[block] = rows.copy()
            self._kept_bytes += rows.nbytes
        return rows

    def _made(self, block: int) -> Rows:
        composition = int(self.order[block])
        counts = self.ground_counts(block)
        parts = []
        if composition in self.first and self.plan.blocks.live[block] >= self.window:
            parts.append(self._window(block, composition))
        for level, area in enumerate(self.plan.area_levels):
            if counts[level].sum():
                parts.append(self._bulk(block, counts[level], float(area)))
        return np.concatenate(parts) if parts else np.empty(0, self.dtype)

    def ground_counts(self, block: int) -> NDArray[np.int64]:
        """(levels, states) tiles of the bulk by area and true ground; the same whatever is known on board."""
        composition = int(self.order[block])
        here = ground(self.spec, self.classes, composition)
        rng = generator(self.spec.seed, "bulk", self.order_seed, block)
        n = int(self.plan.blocks.live[block])
        if composition in self.first and n >= self.window:
            n -= self.window
        cover = np.array([1 - here.cloud, here.cloud])
        change = np.array([1 - here.changed, here.changed])
        share = (here.shares[:, None, None] * cover[:, None] * change).ravel()
        by_area = rng.multinomial(n, self.plan.blocks.area_share[block])
        return np.asarray(rng.multinomial(by_area, share / share.sum()))

    def window_area(self, block: int) -> Floats:
        """(window,) factor of each tile of the window; see `windows_at`."""
        from skytrigger.onboard.place import window_lonlat
        from skytrigger.onboard.plan import factor_at

        if len(self.plan.areas) == 0:
            return np.ones(self.window)
        lonlat = window_lonlat(self.spec, self.plan, block)
        return factor_at(self.plan.areas, lonlat[:, 0], lonlat[:, 1])

    def _window(self, block: int, composition: int) -> Rows:
        part = slice(self.first[composition], self.first[composition] + self.window)
        f, w, k = self.found, self.worth, len(self.classes)
        true = self.known == "true"
        p = np.eye(k)[f.true[part]] if true else f.probabilities[part].astype(np.float64)
        cloud = f.cloudy[part] if true else f.cloud_seen[part]
        change = (f.changed[part] if true else f.change_seen[part]) & ~cloud
        area = self.window_area(block)
        rows = self._blank(self.window, block)
        rows["t_s"] -= self.plan.blocks.seconds[block] / 2  # the window is the block's middle
        rows["n"], rows["tile"] = 1, np.arange(part.start, part.stop)
        rows["kind"], rows["confidence"], rows["cloudy"], rows["changed"] = p.argmax(1), p.max(1), cloud, change
        rows["area"] = area
        rows["value"] = w.expected(p, cloud, change, area)
        clear, truly = ~f.cloudy[part], f.true[part]
        rows["truth"][np.arange(self.window), np.where(clear, truly, k)] = 1.0
        rows["worth"][np.arange(self.window), truly] = np.where(
            clear, w.weights[truly] * np.where(f.changed[part], 1.0, w.unchanged) * area, 0.0
        )
        return self._finish(rows)

    def _bulk(self, block: int, counts: NDArray[np.int64], area: float) -> Rows:
        t, w, k = self.table, self.worth, len(self.classes)
        rng = generator(self.spec.seed, "found", self.order_seed, block, area, self.known == "true")
        drawn = rng.multinomial(counts, t.chance)  # (states, bins)
        n = drawn.sum(axis=0)
        some = np.flatnonzero(n)
        by = drawn[:, some].reshape(k, 2, 2, len(some)) / n[some]
        rows = self._blank(len(some), block)
        rows["n"], rows["tile"], rows["area"] = n[some], BULK, area
        rows["kind"], rows["confidence"] = t.kind[some], t.confidence[some]
        rows["cloudy"], rows["changed"] = t.cloudy[some], t.changed[some]
        rows["value"] = (self.bin_worth[some]) * area
        rows["truth"][:, :k] = by[:, 0].sum(axis=1).T
        rows["truth"][:, k] = by[:, 1].sum(axis=(0, 1))
        rows["worth"] = ((by[:, 0, 1] + by[:, 0, 0] * w.unchanged) * w.weights[:, None] * area).T
        return self._finish(rows)

    def _bin_worth(self) -> Floats:
        """(bins,) value of a tile of each bin in area 1, as the policy believes."""
        t, w = self.table, self.worth
        if self.known != "calibrated":
            return w.expected(t.probabilities, t.cloudy, t.changed, 1.0)
        s = self.spec.stream
        shares = class_shares(self.spec, self.classes)
        prior = shares[:, None, None] * np.array([1 - s.cloud, s.cloud])[:, None] * np.array([1 - s.changed, s.changed])
        mass = (prior.ravel()[:, None] * t.chance).reshape(len(shares), 2, 2, -1)
        total = mass.sum(axis=(0, 1, 2))
        good = ((mass[:, 0, 1] + mass[:, 0, 0] * w.unchanged) * w.weights[:, None]).sum(axis=0)
        return np.asarray(good / np.maximum(total, 1e-300))

    def _blank(self, count: int, block: int) -> Rows:
        rows = np.zeros(count, self.dtype)
        rows["bits"], rows["tier"], rows["block"] = self.spec.mission.tile_bit, LOSSLESS, block
        rows["t_s"] = self.plan.blocks.t_s[block]
        return rows

    def _finish(self, rows: Rows) -> Rows:
        rows["half_life_s"] = self.worth.half_life_s[rows["kind"]]
        rows["deadline_s"] = self.worth.deadline_s[rows["kind"]]
        rows["alert"] = self.worth.alerts(rows["kind"], rows["confidence"], rows["cloudy"])
        return rows


def check_pool(spec: Spec, y: NDArray[np.int64], classes: tuple[str, ...]) -> None:
    """Every class of the stream has tiles in the pool.

    Raises
    ------
    InputError
        Naming those that have none.
    """
    lacking = [c for c, share in spec.stream.classes.items() if share > 0 and not (y == classes.index(c)).any()]
    if lacking:
        raise InputError(
            f"the tiles hold none of {', '.join(lacking)}, of which stream.classes has a share",
            remedy="other tiles, or a share of 0",
        )
