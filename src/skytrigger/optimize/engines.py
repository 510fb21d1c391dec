"""Model files on the table, the engines they can run on, and how an engine is judged."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import SkytriggerError, UnavailableError
from skytrigger.learn.evaluate import predictions_of_call
from skytrigger.measure.records import Record
from skytrigger.model.file import read_model
from skytrigger.optimize.floor import Verdict, judge
from skytrigger.optimize.metric import Logits
from skytrigger.optimize.settings import Problem, Settings
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.registry import AUTOCAST

JUDGED_BATCH = 64


@dataclass(frozen=True)
class Engine:
    """A model file on a runtime: what is timed."""

    model: str
    runtime: str
    precision: str
    batch_size: int = 1
    threads: int = 1
    streams: int = 1
    device: str = "cpu"
    input_type: str = "float32"

    @property
    def label(self) -> str:
        """What it is, without the model."""
        tiles = "" if self.input_type == "float32" else f", {self.input_type} tiles"
        streams = f" x{self.streams}" if self.streams > 1 else ""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.runtime} {self.precision}, {threads}{streams}{tiles}"


@dataclass(frozen=True)
class Made:
    """A model file on the table: the given network or a candidate, in one precision."""

    name: str
    file: Path
    precision: str
    facts: dict[str, Any] = field(default_factory=dict)


class Measure(Protocol):
    """Times engines side by side in counterbalanced blocks, each in a process of its own.

    Tiles lie in memory as `stored`, where that is not None, and are cast on the clock for engines that take another
    type. Returns the record of each engine that ran, and why the others did not.
    """

    def __call__(
        self,
        engines: Sequence[Engine],
        *,
        seconds: float,
        control: bool,
        energy_seconds: float,
        dataset: Dataset,
        rows: Any,
        stored: str | None,
    ) -> tuple[dict[Engine, Record], dict[Engine, str]]: ...


class Ratio(Protocol):
    """Paired time of `second` over `first`, of one run: ``times`` (an interval), ``verdict``, ``reasons``."""

    def __call__(self, first: Record, second: Record) -> dict[str, Any]: ...


def layouts(settings: Settings) -> list[tuple[int, int, int]]:
    """(batch size, threads, streams) to try: no more threads in all than the largest `threads` asked for.

    Streams share the images in flight between them: the batch size is that of one stream.
    """
    most = max(settings.threads)
    found = []
    for images in settings.batch_sizes:
        pairs = itertools.product(settings.threads, settings.streams)
        fit = [(t, s) for t, s in pairs if t * s <= most and images % s == 0] or [(most, 1)]
        found += [(images // s, t, s) for t, s in fit]
    return found


def stored_as(settings: Settings, dataset: Dataset) -> str | None:
    """The type in which tiles lie in memory when engines are timed; None: as each takes them."""
    return dataset.x.dtype.name if settings.stored else None


def input_types(settings: Settings, dataset: Dataset) -> list[str]:
    """Types of tiles that engines may take."""
    return list(dict.fromkeys(["float32", stored_as(settings, dataset) or "float32"]))


def precisions_of(made: Made, settings: Settings) -> list[str]:
    """Precisions in which a file can be asked for: its own, and those that an engine makes of float32."""
    asked = [made.precision] if made.precision in settings.precisions or made.name == "given" else []
    if made.precision == "fp32":
        asked += [p for p in settings.precisions if p in AUTOCAST]
    return asked


def logits_of(
    file: Path, runtime: str, precision: str, problem: Problem, part: str, device: str = "cpu", kind: str = "float32"
) -> Logits:
    """A model file's answers on a part of the split, by the engine itself.

    Raises
    ------
    UnavailableError
        This machine or runtime cannot run it in that precision.
    """
    model = read_model(file)
    session = open_session(model, runtime, precision, JUDGED_BATCH, threads=1, device=device, input_type=kind)
    try:
        index = problem.split.part(part)
        return predictions_of_call(session.run, model.card, problem.dataset, index, JUDGED_BATCH, kind).logits
    finally:
        session.close()


@dataclass
class Judge:
    """The floor, with the given network's answers on validation images."""

    problem: Problem
    settings: Settings
    given: Logits

    def verdict(self, logits: Logits) -> Verdict:
        """Of a candidate's validation logits."""
        rows = self.problem.split.val
        return judge(self.problem.metric, self.given, logits, self.problem.dataset.y[rows], rows, self.settings.margin)

    def accepts(self, logits: Logits) -> bool:
        """Whether it may be chosen."""
        return self.verdict(logits).accepted(self.settings.strict)

    def facts(self, logits: Logits) -> dict[str, Any]:
        """The metric with its interval and the verdict, for JSON."""
        rows = self.problem.split.val
        value = self.problem.metric.value(logits, self.problem.dataset.y[rows], rows)
        verdict = self.verdict(logits)
        return {
            self.problem.metric.name: value.to_json(),
            **verdict.to_json(),
            "accepted": verdict.accepted(self.settings.strict),
            "sentence": verdict.sentence(),
        }

    def engine(self, made: Made, runtime: str, precision: str) -> dict[str, Any]:
        """`facts` of a file on an engine, or why it does not run there."""
        try:
            logits = logits_of(made.file, runtime, precision, self.problem, "val", self.settings.device)
        except UnavailableError as error:
            return {"unavailable": error.problem}
        except SkytriggerError as error:
            return {"unavailable": str(error)}
        if not np.isfinite(logits).all():
            return {"unavailable": "its answers are not finite"}
        return self.facts(logits)


def as_json(engine: Engine, root: Path) -> dict[str, Any]:
    """An engine with its model's path relative to the search's folder."""
    raw = {**asdict(engine), "model": str(Path(engine.model).relative_to(root))}
    if engine.input_type == "float32":  # steps of before there was a choice are found again
        del raw["input_type"]
    return raw


def from_json(raw: Mapping[str, Any], root: Path) -> Engine:
    """Back from `as_json`."""
    return Engine(**{**raw, "model": str(root / raw["model"])})
