"""The fastest engine above an accuracy floor: the whole search."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger import __version__
from skytrigger.core.errors import SkytriggerError, UnavailableError
from skytrigger.core.files import sha256_file, sha256_json, write_bytes, write_json
from skytrigger.core.host import host_facts
from skytrigger.learn.run_folder import RunFolder
from skytrigger.learn.teacher import weights_hash
from skytrigger.measure.records import Record
from skytrigger.model.file import read_model
from skytrigger.model.operations import count_work
from skytrigger.optimize.candidates import Candidate
from skytrigger.optimize.engines import Engine, Judge, Made, Measure, Ratio, logits_of
from skytrigger.optimize.files import float_files, int8_file
from skytrigger.optimize.floor import confirm_once
from skytrigger.optimize.floor import judge as judge_floor
from skytrigger.optimize.prune import pruned
from skytrigger.optimize.rows import engine_rows, ratios
from skytrigger.optimize.search import Timed, finalists
from skytrigger.optimize.settings import Problem, Settings
from skytrigger.optimize.store import Store
from skytrigger.optimize.training import Advance, Trainer
from skytrigger.optimize.tune import EAGER, fastest, judged, ms_of, single, time_facts, write_records
from skytrigger.runtimes.kernels import executed_kernels

SCHEMA = 1


def optimise(
    problem: Problem,
    settings: Settings,
    out: str | Path,
    measure: Measure,
    ratio: Ratio,
    *,
    threads: int | None = None,
    advance: Advance = lambda cost, note: None,
) -> dict[str, Any]:
    """Search, choose on validation images, confirm once on test images; everything is left in `out`.

    Parameters
    ----------
    measure, ratio
        Time engines side by side; compare two records of one run (`study.optimising`).
    threads
        CPU threads for training; they change no choice beyond training's own tolerance.
    advance
        Called with shares of `total_cost(settings)`.

    Returns
    -------
    dict
        What ``optimize.json`` holds.

    Raises
    ------
    InputError
        `out` holds another search, or the request is wrong.
    """
    folder = Path(out)
    store = Store(folder, identity(problem, settings))
    trainer = Trainer(problem, settings, store, advance, threads)
    given_logits = trainer_logits(trainer)
    judge = Judge(problem, settings, given_logits)
    given = given_file(trainer)
    work = count_work(read_model(given.file).graph())
    last, log = finalists(trainer, judge, measure, work.product_operations // 2)
    table, history = candidates_table(trainer, judge, last)
    verdicts = judged(trainer, judge, [given, *table])
    accepted = [v for v in verdicts if v.get("accepted")]
    coarse, final = fastest(trainer, measure, accepted, given)
    winner, alone = choose(trainer, measure, final, given)
    own = (str(Path(winner.model).relative_to(folder)), winner.runtime, winner.precision)
    chosen = next(v for v in verdicts if (v["file"], v["runtime"], v["precision"]) == own)
    best = folder / "best.onnx"
    write_bytes(best, Path(winner.model).read_bytes())
    named = {"name": chosen["name"], "sha256": sha256_file(best), "runtime": winner.runtime,
             "precision": winner.precision}  # fmt: skip
    test = confirm(folder, problem, settings, given, winner, named)
    copy_candidates(folder, [given, *table])
    write_records(folder, [coarse, final, alone])
    found = {
        "schema": SCHEMA,
        "version": __version__,
        "settings": settings.to_json(),
        "problem": facts_of(problem),
        "host": host_facts(),
        "given": {"file": "candidates/given_fp32.onnx", "multiply_adds": work.product_operations // 2,
                  problem.metric.name: judge.facts(given_logits)[problem.metric.name]},
        "search": log,
        "quantisation": history,
        "engines": engine_rows(folder, verdicts, table, given, coarse, final),
        "winner": {**named, **{k: v for k, v in chosen.items() if k not in ("name", "file")},
                   "layout": {k: v for k, v in asdict(winner).items() if k != "model"},
                   "bytes": best.stat().st_size, "kernels": kernels_of(best, winner, problem),
                   **time_facts(final[winner])},
        "ratios": ratios(ratio, final, alone, winner, [given, *table]),
        "test": test,
    }  # fmt: skip
    write_json(folder / "optimize.json", found)
    return found


def total_cost(settings: Settings) -> float:
    """What `advance` adds up to, about: epochs, and a second of timing for each engine."""
    cost = settings.cost
    tried, total = cost.candidates, cost.pool * 1.5
    for epochs, kept in cost.rungs:
        total += tried * epochs
        tried = kept
    return total + cost.finalists * cost.epochs + len(cost.prunings) * 2 * cost.tune_epochs + 20


def identity(problem: Problem, settings: Settings) -> dict[str, Any]:
    """All that decides what a search finds; a folder holds one search."""
    run = RunFolder(problem.run)
    split = problem.split
    asked = settings.to_json()
    if not settings.stored:  # folders from before there was a choice go on
        del asked["stored"]
    return {
        **asked,
        "metric": problem.metric.name,
        "given": sha256_file(run.weights),
        "teachers": [weights_hash(t) for t in problem.teachers],
        "data": problem.dataset.content_hash,
        "split": sha256_json([split.train.tolist(), split.val.tolist(), split.test.tolist()]),
        "bands": [list(b) for b in settings.bands] if settings.bands is not None else None,
        **{k: list(getattr(settings, k)) for k in ("batch_sizes", "threads", "streams", "runtimes", "precisions")},
    }


def facts_of(problem: Problem) -> dict[str, Any]:
    """Data, split and metric, for JSON."""
    data, split = problem.dataset, problem.split
    card = RunFolder(problem.run).card()
    return {
        "network": card.name, "teachers": [t.name for t in problem.teachers], "metric": problem.metric.name,
        "channels": list(data.channels),
        "classes": list(data.classes), "data_hash": data.content_hash, "source": data.source, "units": data.units,
        "images": {part: len(split.part(part)) for part in ("train", "val", "test")}, "split": split.facts.get("kind"),
    }  # fmt: skip


def trainer_logits(trainer: Trainer) -> Any:
    """The given network's answers on validation images, in the framework it was trained in."""

    def make(folder: Path) -> dict[str, Any]:
        np.save(folder / "logits.npy", trainer.logits(trainer.problem.run, "val"))
        return {"folder": folder.name}

    done = trainer.store.once("given", {}, make)
    return np.load(trainer.store.folder / "work" / done["folder"] / "logits.npy", allow_pickle=False)


def given_file(trainer: Trainer) -> Made:
    """The given network as a float32 model file."""
    return float_files(trainer, trainer.problem.run, "given")[0]


def candidates_table(trainer: Trainer, judge: Judge, last: Sequence[Timed]) -> tuple[list[Made], dict[str, Any]]:
    """Files of the finalists and of what pruning leaves of them, in every precision asked for."""
    table: list[Made] = []
    history: dict[str, Any] = {}
    for candidate, run in [*((t.candidate, t.run) for t in last), *prunings(trainer, last)]:
        if run is None:
            raise SkytriggerError(f"{candidate.name} was not trained")
        facts = {"multiply_adds": candidate.multiply_adds, "parameters": candidate.parameters,
                 "channels": list(candidate.channels), "origin": candidate.origin}  # fmt: skip
        made = float_files(trainer, run, candidate.name)
        if "int8" in trainer.settings.precisions:
            eighth, history[candidate.name] = int8_file(trainer, judge, run, candidate.name)
            made.append(eighth)
        table += [replace(m, facts={**m.facts, **facts}) for m in made]
    return table, history


def prunings(trainer: Trainer, last: Sequence[Timed]) -> list[tuple[Candidate, Path]]:
    """Of the finalists the most accurate and, where there is one, the fastest above the floor, with fewer channels."""
    best = max(last, key=lambda t: (t.value, -t.ms_per_image))
    above = sorted((t for t in last if t.accepted), key=lambda t: t.ms_per_image)
    found: dict[str, tuple[Candidate, Path]] = {}
    for base in {t.candidate.name: t for t in [best, *above[:1]]}.values():
        for share in trainer.settings.cost.prunings:
            smaller = pruned(trainer, base.candidate, base.run, share) if base.run else None
            if smaller is not None:
                origin = f"pruned to {share:.0%} from {base.candidate.name}"
                found.setdefault(smaller[0].name, (replace(smaller[0], origin=origin), smaller[1]))
    return list(found.values())


def choose(
    trainer: Trainer, measure: Measure, final: dict[Engine, Record], given: Made
) -> tuple[Engine, dict[Engine, Record]]:
    """The fastest of the last comparison, and batch-1 times of it and of the given network."""
    able = [e for e in final if (e.runtime, e.precision) != EAGER or Path(e.model) != given.file]
    if not able:
        raise SkytriggerError("no engine could be timed")
    winner = min(able, key=lambda e: ms_of(final[e]))
    stock = [e for e in able if Path(e.model) == given.file]
    alone = single(trainer, measure, [*stock[:1], winner]) if trainer.settings.effort != "quick" else {}
    return winner, alone


def kernels_of(best: Path, winner: Engine, problem: Problem) -> dict[str, int] | None:
    """What the chosen engine runs, by its own word; None where it tells nothing."""
    model = read_model(best)
    tiles = problem.dataset.select(model.card.channels).x[problem.split.val[:8]].astype(np.float32)
    try:
        return executed_kernels(model, winner.runtime, tiles)
    except UnavailableError:
        return None


def confirm(
    folder: Path, problem: Problem, settings: Settings, given: Made, winner: Engine, named: dict[str, Any]
) -> dict[str, Any]:
    """The one look at the test part."""
    if not len(problem.split.test):
        return {"verdict": "no test images", "sentence": "the split has no test part: the choice is not confirmed"}

    def look() -> dict[str, Any]:
        rows = problem.split.test
        true = problem.dataset.y[rows]
        where = (settings.device, winner.input_type)
        mine = logits_of(Path(winner.model), winner.runtime, winner.precision, problem, "test", *where)
        theirs = logits_of(given.file, "onnxruntime", "fp32", problem, "test")
        verdict = judge_floor(problem.metric, theirs, mine, true, rows, settings.margin)
        values = {
            "winner": problem.metric.value(mine, true, rows).to_json(),
            "given": problem.metric.value(theirs, true, rows).to_json(),
        }
        return {**verdict.to_json(), "sentence": verdict.sentence("test"), problem.metric.name: values}

    return confirm_once(folder, named, look)


def copy_candidates(folder: Path, table: Sequence[Made]) -> None:
    """``candidates/<name>_<precision>.onnx``."""
    for made in table:
        out = folder / "candidates" / f"{made.name}_{made.precision}.onnx"
        out.parent.mkdir(exist_ok=True)
        if not out.is_file():
            shutil.copyfile(made.file, out)
