"""A bench that makes its times up."""

from __future__ import annotations

from collections.abc import Sequence

from skytrigger.bench.options import Bench
from skytrigger.measure.records import Record, Samples
from skytrigger.model.file import read_model
from skytrigger.runtimes.spec import EngineSpec


class MadeUp:
    """`bench.run.bench` whose times follow from the file's bytes and the engine's words: no process, no clock.

    `calls` counts what was asked.
    """

    def __init__(self) -> None:
        self.calls: list[list[EngineSpec]] = []

    def __call__(self, engines: Sequence[EngineSpec], options: object, advance: object) -> Bench:
        self.calls.append(list(engines))
        return Bench([record_of(e) for e in engines])


def record_of(engine: EngineSpec) -> Record:
    """A record of 24 made-up calls."""
    model = read_model(engine.model)
    seconds = len(model.content) * 1e-8 * {"torch": 3.0}.get(engine.runtime, 1.0) / engine.streams
    seconds *= 0.5 if engine.precision == "int8" else 1.0
    values = tuple(seconds * (1 + 0.01 * (i % 3)) for i in range(24))
    what = {**engine.to_json(), "network": model.card.name, "model_hash": model.sha256, "provider": "made up",
            "precision_run": engine.precision, "version": "0", "build_s": 0.0}  # fmt: skip
    samples = {name: Samples("s", values, engine.images) for name in ("call", "slot")}
    return Record("throughput", what, {}, samples)
