"""Do more streams help? Images per second of a filter over batch sizes, streams, precisions and ways to the device.

A stream is a session of its own with a thread of its own that takes the next batch as soon as it is done with the last
(on a GPU: with a CUDA stream of its own). Sessions of one runtime, precision and batch size are a group: its cells
(streams, transfers, memory) are visited in a new random order each round while its sessions are open, so that a slow
stretch of the machine falls on all of them alike, and streams are compared with one stream within the round. On a CPU
all groups are visited once a round, in random order. On a GPU, where opening a session means compiling, a group's
rounds follow each other and then the next group comes: there a slow stretch falls on one group, and comparisons between
batch sizes, precisions and runtimes are less protected than those between streams.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.bench.loop import no_collection
from skytrigger.bench.streams import one_pass
from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import UnavailableError
from skytrigger.core.host import cores_in_mask, host_facts
from skytrigger.core.seeds import generator
from skytrigger.hep.doublets.metrics import curve, scores
from skytrigger.hep.doublets.throughput_plan import BEFORE, RESIDENT, Cell, Plan
from skytrigger.hep.doublets.throughput_visit import QUANTILES, Images, Sessions, thinned
from skytrigger.measure.conditions import Watch
from skytrigger.measure.records import Record, Samples, append, read
from skytrigger.model.file import ModelFile, read_model
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.spec import EngineSpec

KEY = (
    "model_hash", "data_hash", "runtime", "precision", "batch_size", "threads", "streams", "device", "images",
    "transfers", "memory", "input_type",
)  # fmt: skip


@dataclass(frozen=True)
class Offer:
    """What a runtime makes of a model file here: its AUC, the type it takes, and whether it can leave images there."""

    auc: float
    input_type: str
    resident: bool


def throughput(
    files: dict[str, Path],
    dataset: Dataset,
    plan: Plan,
    out: str | Path,
    *,
    judged: NDArray[np.int64] | None = None,
    advance: Callable[..., None] = lambda *_: None,
    seed: int = 0,
) -> tuple[list[Record], dict[str, str]]:
    """Measure every cell into ``records.jsonl`` of the folder `out`; visits already there are not repeated.

    Parameters
    ----------
    files
        Precision -> model file.
    dataset
        Images (repeated or cut to the plan's number).
    judged
        Rows that the AUC is of; default: all. The AUC is found once for each runtime and precision.

    Returns
    -------
    records, refused
        Of this call and of those before it; and for each runtime and precision that this machine does
        not offer, why.
    """
    path = Path(out) / "records.jsonl"
    before = _existing(path)
    done = {(_key(r.what), r.extra["round"]) for r in before}
    models = {precision: read_model(file) for precision, file in files.items()}
    offers, refused = _offers(models, dataset, plan, judged)
    groups: dict[tuple[str, str, int], list[Cell]] = {}
    for precision in models:
        for cell in plan.cells(precision, cores_in_mask()):
            offer = offers.get((cell.spec.runtime, precision))
            if offer is None or (cell.transfers == "without" and not offer.resident):
                continue
            spec = replace(cell.spec, input_type=offer.input_type)
            groups.setdefault((spec.runtime, precision, spec.batch_size), []).append(replace(cell, spec=spec))
    images, where, names = Images(dataset, plan.images), host_facts(), sorted(groups)
    passes = [list(range(plan.rounds))] if plan.on_gpu else [[turn] for turn in range(plan.rounds)]
    with _settled():
        for turns in passes:
            for number in generator(seed, "throughput", "groups", turns[0]).permutation(len(names)):
                name = names[number]
                runtime, precision, _ = name
                order = list(_in_order(groups[name], turns, generator(seed, "throughput", *name, turns[0])))
                with Sessions(models[precision]) as sessions:
                    for turn, cell in order:
                        what = _what(cell, models[precision], dataset, plan.images)
                        if (_key(what), turn) not in done:
                            auc = offers[runtime, precision].auc
                            reference = _reference(offers, runtime, before, what)
                            extra = {"round": turn, "auc": auc, "data": dataset.source}
                            extra["auc_change"] = None if reference is None else auc - reference
                            append(path, _visit(cell, sessions, images, plan.limit_s, what, where, extra))
                        advance(1, cell.spec.engine)
    return _existing(path), refused


def _existing(path: Path) -> list[Record]:
    return read(path) if path.is_file() else []


def _key(what: dict[str, Any]) -> tuple[Any, ...]:
    return tuple({**BEFORE, **what}[name] for name in KEY)


def _in_order(cells: Sequence[Cell], turns: Sequence[int], random: np.random.Generator) -> Iterator[tuple[int, Cell]]:
    """(round, cell), shuffled within each round."""
    for turn in turns:
        for place in random.permutation(len(cells)):
            yield turn, cells[place]


def _offers(
    models: dict[str, ModelFile], dataset: Dataset, plan: Plan, judged: NDArray[np.int64] | None
) -> tuple[dict[tuple[str, str], Offer], dict[str, str]]:
    """What each runtime makes of each precision, and why some cannot be had."""
    offers: dict[tuple[str, str], Offer] = {}
    refused: dict[str, str] = {}
    for precision, model in models.items():
        for runtime in plan.runtimes:
            for input_type in plan.input_types(dataset.x.dtype.name):
                try:
                    spec = EngineSpec("", runtime, precision, 1, cores_in_mask(), 1, plan.device, input_type)
                    offer = _offer(model, spec, dataset, judged)
                except UnavailableError as error:
                    refused[f"{runtime} {precision}"] = error.problem  # the last type's
                    continue
                offers[runtime, precision] = offer
                refused.pop(f"{runtime} {precision}", None)
                if ("without", RESIDENT) in plan.ways() and not offer.resident:
                    why = "the runtime always transfers what it is given"
                    refused[f"{runtime} {precision} without transfers"] = why
                break
    return offers, refused


def _offer(model: ModelFile, spec: EngineSpec, dataset: Dataset, judged: NDArray[np.int64] | None) -> Offer:
    index = np.arange(len(dataset)) if judged is None else judged
    session = open_session(model, replace(spec, batch_size=min(1000, len(index))))
    try:
        logits = session.run(np.ascontiguousarray(dataset.x[index], dtype=spec.input_type))
        return Offer(curve(scores(logits), dataset.y[index]).auc, spec.input_type, hasattr(session, "enqueue"))
    finally:
        session.close()


def _reference(
    offers: dict[tuple[str, str], Offer], runtime: str, before: Sequence[Record], what: dict[str, Any]
) -> float | None:
    """AUC in float32: the runtime's own, else another's of this call, else one of the records on the same data."""
    aucs = [offers[name].auc for name in sorted(offers, key=lambda n: n[0] != runtime) if name[1] == "fp32"]
    same = {"network": what["network"], "data_hash": what["data_hash"], "precision": "fp32"}
    aucs += [r.extra["auc"] for r in before if same.items() <= r.what.items()]
    return aucs[0] if aucs else None


def _what(cell: Cell, model: ModelFile, dataset: Dataset, images: int) -> dict[str, Any]:
    engine = cell.spec.to_json()
    del engine["model"]
    return {
        "network": model.card.name, **engine, "scenario": "streams", "transfers": cell.transfers,
        "memory": cell.memory, "data_hash": dataset.content_hash, "model_hash": model.sha256, "engine_hash": None,
        "images": images,
    }  # fmt: skip


def _visit(
    cell: Cell,
    opened: Sessions,
    images: Images,
    seconds: float,
    what: dict[str, Any],
    where: dict[str, Any],
    extra: dict[str, Any],
) -> Record:
    spec = cell.spec
    tiles = images.of(spec.input_type, cell.memory)
    sessions = opened.take(spec, tiles)
    with no_collection():
        for session in sessions:  # warm, and a whole batch lies on the device
            session.run(tiles[: spec.batch_size])
            session.synchronize()
        watch = Watch.begin()
        got = one_pass(sessions, tiles, spec.batch_size, seconds, resident=cell.transfers == "without")
        conditions = watch.taken()
    facts, calls = sessions[0].facts, len(got.times)
    samples = {
        "call": Samples("s", thinned(got.times), spec.batch_size),
        "whole": Samples("s", (got.wall_s,), got.done),
    }
    engine = {name: facts[name] for name in ("version", "provider", "engine_hash")}
    extra = {**extra, "calls": calls, "kept": "quantiles" if calls > QUANTILES else "all", "engine": engine}
    return Record("streams", what, where, samples, conditions=conditions, extra=extra)


@contextlib.contextmanager
def _settled() -> Iterator[None]:
    """What exists by now is no garbage: each visit's collection passes it over (a tenth of a second with torch)."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
