"""Accuracy, time and (where measured) energy per image: what nothing else beats in all of them, and how surely.

One network stands in several candidates (its engines) and all networks saw the same images, so accuracies are drawn
jointly, by resampling those images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skytrigger.measure.pareto import on_front
from skytrigger.measure.stats import normal_quantile
from skytrigger.measure.summary import energy_summary
from skytrigger.report import charts
from skytrigger.report.content import Block, Columns, Figure, Section, Value, estimate, number, table, words
from skytrigger.report.learning import accuracy_of
from skytrigger.report.speedups import Timing
from skytrigger.report.study_folder import Run, StudyFolder

DRAWS = 2000


def accuracy_draws(runs: Sequence[Sequence[Run]], seed: int = 0) -> NDArray[np.float64] | None:
    """(draws, networks) mean accuracies when images, the same for all networks, and each network's seeds are redrawn.

    None where the networks were not evaluated on the same images.
    """
    if len({r.image_ids for group in runs for r in group}) != 1:
        return None
    rights = [np.array([r.right for r in group], dtype=np.float64) for group in runs]
    rng = np.random.default_rng(seed)
    n = rights[0].shape[1]
    drawn = np.empty((DRAWS, len(rights)))
    for i in range(DRAWS):
        images = np.bincount(rng.integers(0, n, n), minlength=n)
        for j, right in enumerate(rights):
            rows = rng.integers(0, len(right), len(right))
            drawn[i, j] = (right[rows] @ images).mean() / n
    return drawn


def time_draws(timed: Sequence[Timing], seed: int = 0) -> NDArray[np.float64]:
    """(draws, timings) seconds per image, log-normal with each timing's own interval."""
    rng = np.random.default_rng(seed + 1)
    z = normal_quantile(0.975)
    columns = []
    for t in timed:
        item = t.summary.item_s
        low = max(item.low, item.estimate / 10) if item.known else item.estimate / 2
        high = max(item.high if item.known else item.estimate * 2, low)
        sigma = math.log(high / low) / (2 * z)
        columns.append(item.estimate * np.exp(sigma * rng.standard_normal(DRAWS)))
    return np.stack(columns, axis=1)


def energy_draws(timed: Sequence[Timing], seed: int = 0) -> NDArray[np.float64] | None:
    """(draws, timings) gross joules per image, normal with each window's own interval; None where one has no figure."""
    energies = [energy_summary(t.record) for t in timed]
    rng = np.random.default_rng(seed + 2)
    columns = []
    for energy in energies:
        if energy is None:
            return None
        gross = energy.gross
        sd = (gross.high - gross.low) / 2 / normal_quantile(0.975) if gross.known else 0.0
        columns.append(gross.estimate + sd * rng.standard_normal(DRAWS))
    return np.stack(columns, axis=1)


def pareto_section(study: StudyFolder, timed: Sequence[Timing]) -> Section | None:
    """A table and a picture for each batch size, device and host that the study's networks were timed on."""
    networks = {name: [r for r in runs if r.found] for name, runs in study.networks.items()}
    networks = {name: runs for name, runs in networks.items() if runs}
    own = [t for t in timed if t.network in networks and any(r is t.record for r in study.records)]
    if len(networks) < 2 or not own:
        return None
    drawn = accuracy_draws(list(networks.values()))
    if drawn is None:
        return None
    place = {name: i for i, name in enumerate(networks)}
    blocks: list[Block] = []
    for key in sorted({(*t.setting, t.host) for t in own}):
        group = [t for t in own if (*t.setting, t.host) == key]
        accuracies = drawn[:, [place[t.network] for t in group]]
        energies = energy_draws(group)
        goals = [-accuracies, time_draws(group), *([] if energies is None else [energies])]
        chance = on_front(np.stack(goals, axis=-1)).mean(axis=0)
        blocks += _blocks(group, networks, chance, energies is not None)
    return Section("pareto", "Accuracy against time and energy", blocks)


def _blocks(
    group: Sequence[Timing], networks: dict[str, list[Run]], chance: NDArray[np.float64], metered: bool
) -> list[Block]:
    size, device = group[0].setting
    accuracies = {name: accuracy_of(runs) for name, runs in networks.items()}
    pairs = [(t, a) for t in group if (a := accuracies[t.network]) is not None]
    joules = [e.gross for t, _ in pairs if metered and (e := energy_summary(t.record)) is not None]
    points = [[-a.estimate, t.summary.item_s.estimate] for t, a in pairs]
    on = on_front(np.array([[*p, j.estimate] for p, j in zip(points, joules, strict=True)] if metered else points))
    drawn = [
        charts.Spot(
            f"{t.network}, {t.engine}",
            t.summary.ms_per_item,
            a,
            t.tone,
            bool(best),
            f"on the front in {100 * p:.0f} % of draws",
        )
        for (t, a), p, best in zip(pairs, chance, on, strict=True)
    ]
    columns: Columns[int] = [
        ("network", lambda i: words(pairs[i][0].network)),
        ("engine", lambda i: words(pairs[i][0].engine)),
        ("accuracy", lambda i: estimate(pairs[i][1], "{:.2f}", 100, " %")),
        ("ms/image", lambda i: estimate(drawn[i].x)),
        ("mJ/image, gross", lambda i: estimate(joules[i].scaled(1e3))) if metered else None,
        ("chance of being on the front", lambda i: number(100 * chance[i], "{:.0f} %")),
        ("on it by the estimates", lambda i: Value("yes" if on[i] else "no", "a" if on[i] else "b")),
        ("n", lambda i: number(drawn[i].x.n, "{:d}", f"{pairs[i][1].n} images")),
    ]
    drawing = charts.scatter(f"Batch {size} on {device}", "ms/image (logarithmic)", "accuracy", drawn)
    goals = "more accurate, faster and thriftier at once" if metered else "both more accurate and faster"
    caption = f"Up and left is better. Filled: nothing measured is {goals}. Lines: 95 % intervals."
    shown = [i for i, best in enumerate(on) if best or chance[i] >= 0.05]
    note = (
        f"Batch {size} on {device}. Chance: share of {DRAWS:,} draws in which nothing else is better in all of "
        f"accuracy, time{' and energy' if metered else ''}; images are resampled for all networks together, seeds "
        "within each, times from their own intervals. Rows under 5 % are left out. Accuracy is that of the trained "
        "network in its framework; reduced precision may lower it."
        + ("" if metered else " Energy: unavailable for some or all of these, so it is no goal here.")
    )
    return [Figure([("", drawing)], caption, wide=True), table(shown, columns, note)]
