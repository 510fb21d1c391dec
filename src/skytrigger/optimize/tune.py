"""Which engine is fastest: a coarse look at all that hold the floor, then the best side by side with the given one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from skytrigger.core.files import append_line, write_text
from skytrigger.measure.records import Record, from_dict
from skytrigger.measure.summary import energy_summary, time_summary
from skytrigger.optimize.engines import (
    Engine,
    Judge,
    Made,
    Measure,
    as_json,
    from_json,
    input_types,
    layouts,
    precisions_of,
    stored_as,
)
from skytrigger.optimize.floor import OPEN
from skytrigger.optimize.training import Trainer

FINAL = 3  # engines of candidates in the last comparison
EAGER = ("torch", "fp32")


def judged(trainer: Trainer, judge: Judge, table: Sequence[Made]) -> list[dict[str, Any]]:
    """Every file on every runtime and precision that takes it: the verdict on validation images."""
    found = []
    for made in table:
        for runtime in trainer.settings.runtimes:
            for precision in precisions_of(made, trainer.settings):

                def make(folder: Path, made: Made = made, runtime: str = runtime, precision: str = precision) -> Any:
                    return judge.engine(made, runtime, precision)

                file = str(made.file.relative_to(trainer.store.folder))
                facts = trainer.store.once("judged", {"file": file, "runtime": runtime, "precision": precision}, make)
                if made.name == "given" and facts.get("verdict") == OPEN:
                    facts = {**facts, "accepted": True}  # the reference itself needs no proof
                found.append({"name": made.name, "file": file, "runtime": runtime, "precision": precision, **facts})
    return found


def timed(
    trainer: Trainer, measure: Measure, kind: str, engines: Sequence[Engine], *, seconds: float, final: bool
) -> dict[Engine, Record]:
    """Records of the engines that ran, from disk where they were measured before."""
    root, settings = trainer.store.folder, trainer.settings

    def make(folder: Path) -> dict[str, Any]:
        records, refused = measure(
            engines, seconds=seconds, control=final, energy_seconds=settings.energy_seconds if final else 0.0,
            dataset=trainer.problem.dataset, rows=trainer.problem.split.val,
            stored=stored_as(settings, trainer.problem.dataset),
        )  # fmt: skip
        lines = [{"engine": as_json(e, root), "record": r.to_json()} for e, r in records.items()]
        return {"records": lines, "refused": [{"engine": as_json(e, root), "why": w} for e, w in refused.items()]}

    import json

    done = trainer.store.once(kind, {"engines": [as_json(e, root) for e in engines], "seconds": seconds}, make)
    return {from_json(d["engine"], root): from_dict(json.loads(d["record"])) for d in done["records"]}


def ms_of(record: Record) -> float:
    """Milliseconds per image."""
    summary = time_summary(record)
    return float("inf") if summary is None else summary.ms_per_item.estimate


def fastest(
    trainer: Trainer, measure: Measure, accepted: Sequence[dict[str, Any]], given: Made
) -> tuple[dict[Engine, Record], dict[Engine, Record]]:
    """Coarse times of all accepted engines, and the last comparison.

    The last comparison holds, in one run: the given network in the framework as its users have it (with as many images
    in flight as the fastest candidate), the given network on its best stock runtime, and the fastest candidates.
    """
    settings, root = trainer.settings, trainer.store.folder
    engines = [
        Engine(str(root / a["file"]), a["runtime"], a["precision"], *layout, settings.device, kind)
        for a in accepted for layout in layouts(settings) for kind in input_types(settings, trainer.problem.dataset)
    ]  # fmt: skip
    coarse = timed(trainer, measure, "coarse", engines, seconds=settings.cost.seconds / 3, final=False)
    order = sorted(coarse, key=lambda e: ms_of(coarse[e]))
    stock = [e for e in order if Path(e.model) == given.file]
    others = [e for e in order if Path(e.model) != given.file][:FINAL]
    images = others[0].batch_size * others[0].streams if others else settings.batch_sizes[0]
    eager = Engine(str(given.file), *EAGER, images, max(settings.threads), 1, settings.device)
    last = list(dict.fromkeys([eager, *stock[:1], *others]))
    return coarse, timed(trainer, measure, "final", last, seconds=settings.cost.seconds, final=True)


def single(trainer: Trainer, measure: Measure, engines: Sequence[Engine]) -> dict[Engine, Record]:
    """The same engines at batch 1, one call at a time."""
    alone = [replace(e, batch_size=1, streams=1, threads=e.threads * e.streams) for e in engines]
    return timed(trainer, measure, "single", list(dict.fromkeys(alone)), seconds=trainer.settings.cost.seconds,
                 final=True)  # fmt: skip


def time_facts(record: Record) -> dict[str, Any]:
    """Time and energy of a record, for JSON."""
    summary, energy = time_summary(record), energy_summary(record)
    return {
        "ms_per_image": summary.ms_per_item.to_json() if summary else None,
        "joules_per_image": energy.gross_j if energy else None,
        "joules_label": record.energy["label"],
        "engine": {k: record.what.get(k) for k in ("provider", "precision_run", "version", "build_s")},
    }


def write_records(folder: Path, groups: Sequence[dict[Engine, Record]]) -> None:
    """``records/records.jsonl``: every record once, raw samples inside."""
    file = folder / "records" / "records.jsonl"
    write_text(file, "")
    for line in dict.fromkeys(r.to_json() for group in groups for r in group.values()):
        append_line(file, line)
