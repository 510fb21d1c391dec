"""Engines timed side by side, and which is fastest: a coarse look at all that hold the floor, then the best few."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.bench.compare_times import TIMED, compare_times
from skytrigger.bench.options import Options
from skytrigger.core.files import write_text
from skytrigger.measure.records import Record, from_dict
from skytrigger.measure.summary import energy_summary, time_summary
from skytrigger.model.file import read_model
from skytrigger.optimize.judging import Judged, Made
from skytrigger.optimize.problem import Search
from skytrigger.runtimes.registry import FRAMEWORK
from skytrigger.runtimes.spec import EngineSpec

FINAL = 3  # engines of candidates in the last comparison
EAGER = (FRAMEWORK, "fp32")
TILES = 128
Times = dict[EngineSpec, Record]


def measure(
    search: Search, engines: Sequence[EngineSpec], seconds: float, *, final: bool = False
) -> tuple[Times, dict[EngineSpec, str]]:
    """Records of the engines that ran, and why the others did not.

    Each engine is a process of its own, visited in counterbalanced blocks, on real validation images. Engines of one
    run see the same images; where files take different channels each draws its own by its card's statistics.
    """
    settings, data, rows = search.settings, search.problem.dataset, search.problem.split.val
    models = {engine: read_model(engine.model) for engine in engines}
    stored = settings.stored_as(data)
    seen = {m.card.channels for m in models.values()}
    with tempfile.TemporaryDirectory() as folder:
        tiles = Path(folder) / "tiles.npy"
        if len(seen) == 1:
            np.save(tiles, data.select(next(iter(seen))).x[np.resize(rows, TILES)].astype(stored or np.float32))
        options = Options(
            seconds=seconds, control=final, energy_seconds=settings.energy_seconds if final else 0.0,
            tiles=str(tiles) if len(seen) == 1 else None, stored=stored,
            data_hash=data.content_hash if len(seen) == 1 else None,
        )  # fmt: skip
        found = search.bench(list(engines), options, lambda cost, note: search.advance(0.2 * cost, note))
    by_hash: dict[tuple[str, EngineSpec], EngineSpec] = {}
    for engine, model in models.items():
        by_hash.setdefault((model.sha256, replace(engine, model="")), engine)
    done: Times = {}
    for record in found.records:
        if record.kind in TIMED:
            what = replace(EngineSpec.from_json(record.what), model="")
            done.setdefault(by_hash[record.what["model_hash"], what], record)
    why = {**found.unavailable, **found.failed}
    return done, {e: why[e.label] for e in engines if e not in done and e.label in why}


def timed(search: Search, kind: str, engines: Sequence[EngineSpec], seconds: float, *, final: bool) -> Times:
    """`measure`'s records, from disk where they were measured before."""
    root = search.folder

    def make(folder: Path) -> dict[str, Any]:
        records, refused = measure(search, engines, seconds, final=final)
        lines = [{"engine": as_json(e, root), "record": r.to_json()} for e, r in records.items()]
        return {"records": lines, "refused": [{"engine": as_json(e, root), "why": w} for e, w in refused.items()]}

    done = search.store.once(kind, {"engines": [as_json(e, root) for e in engines], "seconds": seconds}, make)
    return {from_json(d["engine"], root): from_dict(json.loads(d["record"])) for d in done["records"]}


def as_json(engine: EngineSpec, root: Path) -> dict[str, Any]:
    """An engine with its model's path relative to the search's folder."""
    raw = {**engine.to_json(), "model": str(Path(engine.model).relative_to(root))}
    if engine.input_type == "float32":  # steps of before there was a choice are found again
        del raw["input_type"]
    return raw


def from_json(raw: dict[str, Any], root: Path) -> EngineSpec:
    """Back from `as_json`."""
    return EngineSpec.from_json({**raw, "model": str(root / raw["model"])})


def ms_of(record: Record) -> float:
    """Milliseconds per image."""
    summary = time_summary(record)
    return float("inf") if summary is None else summary.ms_per_item.estimate


def fastest(search: Search, accepted: Sequence[Judged], given: Made) -> tuple[Times, Times]:
    """Coarse times of all accepted engines, and the last comparison.

    The last comparison holds, in one run: the given network in the framework as its users have it (with as many images
    in flight as the fastest candidate), the given network on its best stock runtime, and the fastest candidates.
    """
    settings = search.settings
    engines = [
        EngineSpec(str(a.made.file), a.runtime, a.precision, *layout, settings.device, kind)
        for a in accepted for layout in settings.layouts() for kind in settings.input_types(search.problem.dataset)
    ]  # fmt: skip
    coarse = timed(search, "coarse", engines, settings.cost.seconds / 3, final=False)
    order = sorted(coarse, key=lambda e: ms_of(coarse[e]))
    stock = [e for e in order if Path(e.model) == given.file]
    others = [e for e in order if Path(e.model) != given.file][:FINAL]
    images = others[0].images if others else settings.batch_sizes[0]
    eager = EngineSpec(str(given.file), *EAGER, images, max(settings.threads), 1, settings.device)
    last = [eager] if given.precision == "fp32" else []  # a file of integers has no eager float form
    last = list(dict.fromkeys([*last, *stock[:1], *others]))
    return coarse, timed(search, "final", last, settings.cost.seconds, final=True)


def single(search: Search, engines: Sequence[EngineSpec]) -> Times:
    """The same engines at batch 1, one call at a time."""
    alone = [replace(e, batch_size=1, streams=1, threads=e.threads * e.streams) for e in engines]
    return timed(search, "single", list(dict.fromkeys(alone)), search.settings.cost.seconds, final=True)


def paired_ratio(first: Record, second: Record) -> dict[str, Any]:
    """Time of `second` over `first`, both of one run, and what `first` is of the two."""
    cell = compare_times([first], [second])["cells"][0]
    verdict = {"better": "slower", "worse": "faster"}.get(cell["verdict"], cell["verdict"])
    return {"times": cell["ratio"], "verdict": verdict, "paired": cell["paired"], "reasons": cell["reasons"]}


def time_facts(record: Record) -> dict[str, Any]:
    """Time and energy of a record, for JSON."""
    summary, energy = time_summary(record), energy_summary(record)
    return {
        "ms_per_image": summary.ms_per_item.to_json() if summary else None,
        "joules_per_image": energy.gross_j if energy else None,
        "joules_label": record.energy["label"],
        "engine": {k: record.what.get(k) for k in ("provider", "precision_run", "version", "build_s")},
    }


def write_records(folder: Path, groups: Sequence[Times]) -> None:
    """``records/records.jsonl``: every record once, raw samples inside."""
    lines = dict.fromkeys(r.to_json() for group in groups for r in group.values())
    write_text(folder / "records" / "records.jsonl", "".join(line + "\n" for line in lines))
