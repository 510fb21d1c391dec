"""From the family to the finalists: cheap before dear.

Counting operations costs nothing, timing an untrained network a second, a short training some, a whole one the most;
each stage keeps fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.card import ModelCard
from skytrigger.core.seeds import derive
from skytrigger.measure.pareto import on_front
from skytrigger.model.export import export_onnx, write_model
from skytrigger.model.file import read_model
from skytrigger.model.fold import fold
from skytrigger.model.native_student import OPTION, native_form
from skytrigger.optimize.bands import subsets
from skytrigger.optimize.candidates import Candidate, counted, family, spread, with_factors
from skytrigger.optimize.judging import Judge, answers_of_run
from skytrigger.optimize.problem import Search
from skytrigger.optimize.timing import measure, ms_of
from skytrigger.optimize.training import Trainer
from skytrigger.runtimes.spec import EngineSpec

# A student over this share of the given network's operations is not what is looked for.
LARGEST_SHARE = 0.125


@dataclass(frozen=True)
class Timed:
    """A candidate with the time of its untrained network, and once trained its run and validation figure."""

    candidate: Candidate
    ms_per_image: float
    run: Path | None = None
    value: float = 0.0
    accepted: bool = False

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        c = self.candidate
        return {
            "name": c.name, "options": c.options, "channels": list(c.channels), "multiply_adds": c.multiply_adds,
            "parameters": c.parameters, "origin": c.origin, "untrained_ms_per_image": self.ms_per_image,
            "value": self.value, "accepted": self.accepted,
        }  # fmt: skip


def band_sets(search: Search) -> tuple[tuple[str, ...], ...]:
    """Channel subsets to try: those asked for, or ranked on the training part."""
    settings, problem = search.settings, search.problem
    if settings.bands is not None:
        return settings.bands

    def make(folder: Path) -> dict[str, Any]:
        return {"subsets": subsets(problem.dataset, problem.split.train, settings.seed)}

    return tuple(tuple(s) for s in search.store.once("bands", {}, make)["subsets"])


def enumerate_pool(search: Search, given_multiply_adds: int) -> list[Candidate]:
    """All channels for two thirds of the pool, the subsets for the rest."""
    problem, cost = search.problem, search.settings.cost
    most = max(1.0, LARGEST_SHARE * given_multiply_adds)
    whole = family(problem.dataset.channels, problem.size, problem.outputs, problem.factors)
    sets = band_sets(search)
    for_sets = min(cost.pool // 3, max(0, cost.pool - 2)) if sets else 0
    found = spread(whole, cost.pool - for_sets, most)
    for i in range(for_sets):
        like = found[(2 * i + 1) * len(found) // (2 * for_sets)]
        bands = sets[i % len(sets)]
        other = counted(with_factors(like.options, bands, problem.factors), bands, problem.size, problem.outputs)
        if other is not None:
            found.append(other)
    return found


def time_untrained(search: Search, pool: Sequence[Candidate]) -> list[Timed]:
    """Milliseconds per image of each untrained network, float32 on the first runtime, side by side."""
    settings = search.settings

    def make(folder: Path) -> dict[str, Any]:
        engines = {}
        for candidate in pool:
            file = folder / f"{candidate.name}.onnx"
            if not file.is_file():
                untrained(search, candidate, file)
            search.advance(0.5, f"untrained: {candidate.name}")
            # one thread: how networks compare, not how well an engine spreads them
            engines[candidate.name] = EngineSpec(
                str(file), settings.runtimes[0], "fp32", settings.batch_sizes[0], 1, 1, settings.device
            )
        records, refused = measure(search, list(engines.values()), settings.cost.seconds / 3)
        ms = {name: ms_of(records[e]) if e in records else None for name, e in engines.items()}
        return {"ms": ms, "refused": {Path(e.model).stem: why for e, why in refused.items()}}

    ms = search.store.once("untrained", {"pool": [c.key() for c in pool]}, make)["ms"]
    return [Timed(c, ms[c.name]) for c in pool if ms[c.name] is not None]


def untrained(search: Search, candidate: Candidate, out: Path) -> None:
    """The model file of an untrained candidate."""
    import torch

    problem, given = search.problem, search.problem.card
    place = [given.channels.index(c) for c in candidate.channels]
    card = ModelCard(
        "student", candidate.channels, (), heads=given.heads, size=given.size, mean=tuple(given.mean[i] for i in place),
        std=tuple(given.std[i] for i in place), units=given.units, data_hash=problem.dataset.content_hash,
        options=candidate.options,
    )  # fmt: skip
    torch.manual_seed(derive(search.settings.seed, "untrained"))
    network = problem.build("student", len(card.channels), card.size, problem.outputs, **candidate.options).eval()
    draft = out.with_suffix(".draft")
    export_onnx(network, card, draft)
    model = read_model(draft)
    folded = fold(model.graph())
    native_form(folded, candidate.options.get(OPTION))
    write_model(folded, model.card, out)
    draft.unlink()


def shortlist(timed: Sequence[Timed], count: int) -> list[Timed]:
    """`count` networks that do most operations for their time: successive fronts of (time, operations)."""
    left, kept = list(timed), list[Timed]()
    while left and len(kept) < count:
        goals = np.array([[t.ms_per_image, -t.candidate.multiply_adds] for t in left])
        front = [t for t, on in zip(left, on_front(goals), strict=True) if on]
        front.sort(key=lambda t: t.ms_per_image)
        if len(kept) + len(front) > count:  # evenly over the front, its ends included
            places = np.linspace(0, len(front) - 1, count - len(kept)).round().astype(int)
            front = [front[i] for i in dict.fromkeys(places.tolist())]
        kept += front
        left = [t for t in left if t not in kept]
        if not front:
            break
    return sorted(kept, key=lambda t: t.ms_per_image)


def survivors(tried: Sequence[Timed], count: int) -> list[Timed]:
    """Who goes on after a short training: the best of all, then those above the floor by time, then the next best."""
    best = max(tried, key=lambda t: (t.value, -t.ms_per_image))
    above = sorted((t for t in tried if t.accepted), key=lambda t: t.ms_per_image)
    below = sorted((t for t in tried if not t.accepted), key=lambda t: (-t.value, t.ms_per_image))
    order = {t.candidate.name: t for t in [*above[:1], best, *above, *below]}
    return list(order.values())[:count]


def decide_teaching(trainer: Trainer, judge: Judge, alive: Sequence[Timed]) -> dict[str, Any]:
    """Let the teacher teach only where that helps: a middling candidate's first training with and without it.

    A large network that overtrained is a dear and poor teacher.
    """
    cost = trainer.search.settings.cost
    epochs = cost.rungs[0][0] if cost.rungs else cost.epochs
    middle = alive[len(alive) // 2]
    share = trainer.distil
    taught = trained(trainer, judge, middle, epochs, warm=False)
    trainer.distil = 0.0
    alone = trained(trainer, judge, middle, epochs, warm=False)
    trainer.distil = share if taught.value >= alone.value else 0.0
    return {"stage": "with the teacher, and without", "networks": [taught.to_json(), alone.to_json()],
            "distil": trainer.distil}  # fmt: skip


def trained(trainer: Trainer, judge: Judge, timed: Timed, epochs: int, *, warm: bool) -> Timed:
    """`timed` after `epochs` of distillation, from its last weights where `warm`."""
    run = trainer.fit(timed.candidate, epochs, timed.run if warm else None)

    def make(folder: Path) -> dict[str, Any]:
        answers = answers_of_run(trainer.search, run, "val")
        return {"value": judge.score(answers), "accepted": judge.accepts(answers)}

    found = trainer.search.store.once("validation", {"run": run.name}, make)
    return Timed(timed.candidate, timed.ms_per_image, run, found["value"], found["accepted"])


def finalists(trainer: Trainer, judge: Judge, given_multiply_adds: int) -> tuple[list[Timed], list[Any]]:
    """The networks that were trained to the end, and the log of every stage."""
    search = trainer.search
    cost = search.settings.cost
    pool = time_untrained(search, enumerate_pool(search, given_multiply_adds))
    log: list[Any] = [{"stage": "timed untrained", "networks": [t.to_json() for t in pool]}]
    alive = shortlist(pool, cost.candidates)
    log.append(decide_teaching(trainer, judge, alive))
    for epochs, kept in cost.rungs:
        tried = [trained(trainer, judge, t, epochs, warm=True) for t in alive]
        alive = survivors(tried, kept)
        names = {t.candidate.name for t in alive}
        log.append({"stage": f"{epochs} epochs", "networks": [t.to_json() for t in tried], "kept": sorted(names)})
    # from the start again: a rate that rises anew costs a warm network what it has learned
    last = [trained(trainer, judge, t, cost.epochs, warm=False) for t in alive[: cost.finalists]]
    log.append({"stage": f"{cost.epochs} epochs", "networks": [t.to_json() for t in last]})
    return last, log
