"""Model files on the table, and the floor that each must hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.errors import SkytriggerError, UnavailableError
from skytrigger.learn.batches import Batches
from skytrigger.learn.device import resolve_device
from skytrigger.learn.predict import answers as answers_of_network
from skytrigger.model.file import read_model
from skytrigger.optimize.floor import BELOW, HOLDS, OPEN, Verdict, judge
from skytrigger.optimize.metric import Answers
from skytrigger.optimize.problem import Problem, Search
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.registry import AUTOCAST

BATCH = 64


@dataclass(frozen=True)
class Made:
    """A model file on the table: the given network or a candidate, in one precision."""

    name: str
    file: Path
    precision: str
    facts: dict[str, Any] = field(default_factory=dict)

    def precisions(self, wanted: Sequence[str]) -> list[str]:
        """In which it can be asked for: its own, and those that an engine makes of float32."""
        asked = [self.precision] if self.precision in wanted or self.name == "given" else []
        return asked + [p for p in wanted if p in AUTOCAST and self.precision == "fp32"]


@dataclass(frozen=True)
class Judged:
    """A file on a runtime in a precision; `facts` hold the metric and the verdict, or why it does not run."""

    made: Made
    runtime: str
    precision: str
    facts: dict[str, Any]

    @property
    def accepted(self) -> bool:
        """Whether it may be chosen."""
        return bool(self.facts.get("accepted"))

    def to_json(self, folder: Path) -> dict[str, Any]:
        """For JSON."""
        return {"name": self.made.name, "file": str(self.made.file.relative_to(folder)), "runtime": self.runtime,
                "precision": self.precision, **self.facts}  # fmt: skip


def answers_of_file(
    file: Path, runtime: str, precision: str, problem: Problem, part: str, device: str = "cpu", kind: str = "float32"
) -> Answers:
    """A model file's answers on a part of the split, by the engine itself.

    Raises
    ------
    UnavailableError
        This machine or runtime cannot run it in that precision.
    """
    model = read_model(file)
    session = open_session(model, runtime, precision, BATCH, threads=1, device=device, input_type=kind)
    try:
        dataset, index = problem.dataset.select(model.card.channels), problem.split.part(part)
        parts = [session.answers(dataset.x[index[i : i + BATCH]].astype(kind)) for i in range(0, len(index), BATCH)]
    finally:
        session.close()
    return {head: np.concatenate([p[head] for p in parts]) for head in parts[0]}


def answers_of_run(search: Search, run: Path, part: str) -> Answers:
    """A trained network's answers on a part, in the framework."""
    network, card = search.network(run)
    dataset = search.problem.dataset.select(card.channels)
    batches = Batches(dataset, card.mean, card.std, resolve_device("cpu"))
    found = answers_of_network(network, batches, search.problem.split.part(part))
    return {head.name: answer for head, answer in zip(card.heads, found, strict=True)}


@dataclass
class Judge:
    """The floor of every head, with the given network's answers on validation images."""

    search: Search
    given: Answers

    def verdicts(self, answers: Answers, given: Answers | None = None, part: str = "val") -> dict[str, Verdict]:
        """Of a candidate's answers, head by head."""
        problem, margin = self.search.problem, self.search.settings.margin
        rows, given = problem.split.part(part), given or self.given
        return {
            head: judge(metric, given[head], answers[head], problem.truth(head, rows), rows, margin(head))
            for head, metric in problem.floors.items()
        }

    def accepts(self, answers: Answers) -> bool:
        """Whether it may be chosen: every head holds its floor."""
        return all(v.accepted(self.search.settings.strict) for v in self.verdicts(answers).values())

    def score(self, answers: Answers) -> float:
        """What ranks candidates: the value of the one head, or the gains over the given network of several, summed."""
        problem = self.search.problem
        rows = problem.split.val
        if len(problem.floors) == 1:
            ((head, metric),) = problem.floors.items()
            return metric.score(answers[head], problem.truth(head, rows), rows)
        return sum(v.change.estimate for v in self.verdicts(answers).values())

    def facts(self, answers: Answers, part: str = "val", given: Answers | None = None) -> dict[str, Any]:
        """Metrics with intervals and verdicts, for JSON: the first head's on top, of several heads each below."""
        problem, strict = self.search.problem, self.search.settings.strict
        rows = problem.split.part(part)
        verdicts = self.verdicts(answers, given, part)
        name = {"val": "validation"}.get(part, part)
        heads = {}
        for head, verdict in verdicts.items():
            metric = problem.floors[head]
            value = metric.value(answers[head], problem.truth(head, rows), rows)
            heads[head] = {metric.name: value.to_json(), **verdict.to_json(), "sentence": verdict.sentence(name)}
        found = {**next(iter(heads.values())), "accepted": all(v.accepted(strict) for v in verdicts.values())}
        if len(heads) > 1:
            words = {v.word for v in verdicts.values()}
            found["verdict"] = next(w for w in (BELOW, OPEN, HOLDS) if w in words)
            found["sentence"] = "; ".join(f"{head}: {facts['sentence']}" for head, facts in heads.items())
            found["heads"] = heads
        return found

    def _engine(self, made: Made, runtime: str, precision: str, folder: Path) -> dict[str, Any]:
        """`facts` of a file on an engine, or why it does not run there."""
        try:
            problem, device = self.search.problem, self.search.settings.device
            answers = answers_of_file(made.file, runtime, precision, problem, "val", device)
        except UnavailableError as error:
            return {"unavailable": error.problem}
        except SkytriggerError as error:
            return {"unavailable": str(error)}
        if not all(np.isfinite(a).all() for a in answers.values()):
            return {"unavailable": "its answers are not finite"}
        return self.facts(answers)

    def table(self, made: Sequence[Made]) -> list[Judged]:
        """Every file on every runtime and precision that takes it: the verdict on validation images."""
        settings, store = self.search.settings, self.search.store
        found = []
        for one in made:
            for runtime in settings.runtimes:
                for precision in one.precisions(settings.precisions):
                    key = {"file": str(one.file.relative_to(store.folder)), "runtime": runtime, "precision": precision}
                    facts = store.once("judged", key, partial(self._engine, one, runtime, precision))
                    if one.name == "given" and facts.get("verdict") == OPEN:
                        facts = {**facts, "accepted": True}  # the reference itself needs no proof
                    found.append(Judged(one, runtime, precision, facts))
        return found
