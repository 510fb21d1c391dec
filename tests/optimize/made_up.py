"""A bench that makes its times up."""

from __future__ import annotations

from collections.abc import Sequence

from skytrigger.measure.records import Record, Samples
from skytrigger.model.file import read_model
from skytrigger.optimize.engines import Engine


class MadeUp:
    """`optimize.engines.Measure` whose times follow from the file's bytes and the engine's words: no process, no clock.

    `calls` counts what was asked.
    """

    def __init__(self) -> None:
        self.calls: list[list[Engine]] = []

    def __call__(self, engines: Sequence[Engine], **how: object) -> tuple[dict[Engine, Record], dict[Engine, str]]:
        self.calls.append(list(engines))
        return {e: record_of(e) for e in engines}, {}


def record_of(engine: Engine) -> Record:
    """A record of 24 made-up calls."""
    model = read_model(engine.model)
    seconds = len(model.content) * 1e-8 * {"torch": 3.0}.get(engine.runtime, 1.0) / engine.streams
    seconds *= 0.5 if engine.precision == "int8" else 1.0
    values = tuple(seconds * (1 + 0.01 * (i % 3)) for i in range(24))
    items = engine.batch_size * engine.streams
    what = {"network": model.card.name, "model_hash": model.sha256, "runtime": engine.runtime,
            "precision": engine.precision, "batch_size": engine.batch_size, "threads": engine.threads,
            "streams": engine.streams, "device": engine.device, "provider": "made up",
            "precision_run": engine.precision, "version": "0", "build_s": 0.0}  # fmt: skip
    return Record("throughput", what, {}, {"call": Samples("s", values, items), "slot": Samples("s", values, items)})


def made_up_ratio(first: Record, second: Record) -> dict[str, object]:
    times = second.samples["call"].values[0] / first.samples["call"].values[0]
    return {"times": {"estimate": times, "low": None, "high": None, "level": 0.95, "n": 24}, "verdict": "faster",
            "paired": True, "reasons": []}  # fmt: skip
