"""The fastest engine above an accuracy floor: the whole search."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger import __version__
from skytrigger.bench.run import bench as run_bench
from skytrigger.core.errors import SkytriggerError, UnavailableError
from skytrigger.core.files import sha256_file, sha256_json, write_bytes, write_json
from skytrigger.core.host import host_facts
from skytrigger.learn.predictions import predictions_of, write_predictions
from skytrigger.learn.teacher import weights_hash
from skytrigger.model.file import read_model
from skytrigger.model.operations import count_work
from skytrigger.optimize.candidates import Candidate
from skytrigger.optimize.files import float_files, given_file, int8_file
from skytrigger.optimize.floor import confirm_once
from skytrigger.optimize.judging import Judge, Made, answers_of_file, answers_of_run
from skytrigger.optimize.metric import Answers
from skytrigger.optimize.problem import FAMILY, Advance, Problem, Search
from skytrigger.optimize.prune import given_student, pruned
from skytrigger.optimize.rows import engine_rows, ratios
from skytrigger.optimize.settings import Settings
from skytrigger.optimize.stages import Timed, finalists
from skytrigger.optimize.store import Store
from skytrigger.optimize.timing import EAGER, Times, fastest, ms_of, single, time_facts, write_records
from skytrigger.optimize.training import Trainer
from skytrigger.runtimes.kernels import executed_kernels
from skytrigger.runtimes.registry import DEFAULT
from skytrigger.runtimes.spec import EngineSpec

SCHEMA = 1


def optimise(
    problem: Problem,
    settings: Settings,
    out: str | Path,
    *,
    threads: int | None = None,
    advance: Advance = lambda cost, note: None,
    bench: Callable[..., Any] = run_bench,
) -> dict[str, Any]:
    """Search, choose on validation images, confirm once on test images; everything is left in `out`.

    Parameters
    ----------
    threads
        CPU threads for training; they change no choice beyond training's own tolerance.
    advance
        Called with shares of `total_cost(settings)`.
    bench
        Times engines side by side.

    Returns
    -------
    dict
        What ``optimize.json`` holds.

    Raises
    ------
    InputError
        `out` holds another search, or the request is wrong.
    """
    leakage = problem.leakage()
    search = Search(problem, settings, Store(Path(out), identity(problem, settings)), advance, threads, bench)
    trainer = Trainer(search)
    given = given_file(search)
    judge = Judge(search, given_answers(search, given))
    last, log = finalists(trainer, judge, _multiply_adds(given))
    table, history = candidates_table(trainer, judge, last)
    judged = judge.table([given, *table])
    coarse, final = fastest(search, [j for j in judged if j.accepted], given)
    winner, alone = choose(search, final, given)
    own = (winner.model, winner.runtime, winner.precision)
    chosen = next(j for j in judged if (str(j.made.file), j.runtime, j.precision) == own)
    best = search.folder / "best.onnx"
    write_bytes(best, chosen.made.file.read_bytes())
    named = {"name": chosen.made.name, "sha256": sha256_file(best), "runtime": winner.runtime,
             "precision": winner.precision}  # fmt: skip
    test = confirm(judge, given, winner, named)
    copy_candidates(search.folder, [given, *table])
    write_records(search.folder, [coarse, final, alone])
    metric = problem.metric.name
    found = {
        "schema": SCHEMA,
        "version": __version__,
        "settings": settings.to_json(),
        "problem": facts_of(problem),
        "leakage": list(leakage),
        **({"levels": levels} if (levels := problem.levels()) else {}),
        "host": host_facts(),
        "given": {"file": f"candidates/given_{given.precision}.onnx", "multiply_adds": _multiply_adds(given),
                  metric: judge.facts(judge.given)[metric]},
        "search": log,
        "quantisation": history,
        "engines": [row.to_json(search.folder) for row in engine_rows(judged, coarse, final)],
        "winner": {**named, **{k: v for k, v in chosen.to_json(search.folder).items() if k not in ("name", "file")},
                   "layout": {k: v for k, v in winner.to_json().items() if k != "model"},
                   "bytes": best.stat().st_size, "kernels": kernels_of(best, winner, problem),
                   **time_facts(final[winner])},
        "ratios": ratios(final, alone, winner, [given, *table]),
        "test": test,
    }  # fmt: skip
    write_json(search.folder / "optimize.json", found)
    return found


def _multiply_adds(given: Made) -> int:
    return count_work(read_model(given.file).graph()).product_operations // 2


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
    split = problem.split
    asked = settings.to_json()
    if not settings.stored:  # folders from before there was a choice go on
        del asked["stored"]
    return {
        **asked,
        **({"given_pruned": True} if problem.card.name == FAMILY else {}),  # as it was not at first
        "metric": metric_words(problem),
        "given": problem.weights,
        "teachers": [weights_hash(t) for t in problem.teachers],
        "data": problem.dataset.content_hash,
        "split": sha256_json([split.train.tolist(), split.val.tolist(), split.test.tolist()]),
        "bands": [list(b) for b in settings.bands] if settings.bands is not None else None,
        **{k: list(getattr(settings, k)) for k in ("batch_sizes", "threads", "streams", "runtimes", "precisions")},
    }


def metric_words(problem: Problem) -> str:
    """``accuracy``; of several heads ``identity accuracy, energy resolution``."""
    if len(problem.floors) == 1:
        return problem.metric.name
    return ", ".join(f"{head} {metric.name}" for head, metric in problem.floors.items())


def facts_of(problem: Problem) -> dict[str, Any]:
    """Data, split and metric, for JSON."""
    data, split = problem.dataset, problem.split
    heads = problem.card.heads
    return {
        "network": problem.card.name, "given": problem.given.stem,
        "teachers": [t.name for t in problem.teachers], "metric": problem.metric.name,
        "channels": list(data.channels), "classes": list(heads[0].names), "data_hash": data.content_hash,
        "source": data.source, "units": data.units,
        "images": {part: len(split.part(part)) for part in ("train", "val", "test")}, "split": split.facts.get("kind"),
        **({"floors": {h: m.name for h, m in problem.floors.items()}} if len(problem.floors) > 1 else {}),
    }  # fmt: skip


def given_answers(search: Search, given: Made) -> Answers:
    """The given network's answers on validation images, in the framework it was trained in, or by its own file."""

    def make(folder: Path) -> dict[str, Any]:
        problem = search.problem
        answers = (
            answers_of_run(search, problem.given, "val")
            if problem.given.is_dir()
            else answers_of_file(given.file, DEFAULT, given.precision, problem, "val")
        )
        for head, answer in answers.items():
            np.save(folder / f"{head}.npy", answer)
        return {"folder": folder.name, "heads": list(answers)}

    done = search.store.once("given", {}, make)
    folder = search.folder / "work" / done["folder"]
    return {head: np.load(folder / f"{head}.npy", allow_pickle=False) for head in done["heads"]}


def candidates_table(trainer: Trainer, judge: Judge, last: Sequence[Timed]) -> tuple[list[Made], dict[str, Any]]:
    """Files of the finalists and of what pruning leaves of them, in every precision asked for."""
    table: list[Made] = []
    history: dict[str, Any] = {}
    for candidate, run in [*((t.candidate, t.run) for t in last), *prunings(trainer, last)]:
        if run is None:
            raise SkytriggerError(f"{candidate.name} was not trained")
        facts = {"multiply_adds": candidate.multiply_adds, "parameters": candidate.parameters,
                 "channels": list(candidate.channels), "origin": candidate.origin}  # fmt: skip
        made = float_files(trainer.search, run, candidate.name)
        if "int8" in trainer.search.settings.precisions:
            eighth, history[candidate.name] = int8_file(trainer, judge, run, candidate.name)
            made.append(eighth)
        table += [replace(m, facts={**m.facts, **facts}) for m in made]
    return table, history


def prunings(trainer: Trainer, last: Sequence[Timed]) -> list[tuple[Candidate, Path]]:
    """With fewer channels: the most accurate finalist, the fastest above the floor, and the given network itself.

    The last where it is of the family: it may have learned from far more images than there are here.
    """
    best = max(last, key=lambda t: (t.value, -t.ms_per_image))
    above = sorted((t for t in last if t.accepted), key=lambda t: t.ms_per_image)
    chosen = {t.candidate.name: t for t in [best, *above[:1]]}.values()
    bases = [(t.candidate, t.run, t.candidate.name) for t in chosen if t.run]
    given = given_student(trainer.search) if trainer.search.settings.cost.prunings else None
    bases += [(*given, "the given network")] if given else []
    found: dict[str, tuple[Candidate, Path]] = {}
    for candidate, run, name in bases:
        for share in trainer.search.settings.cost.prunings:
            smaller = pruned(trainer, candidate, run, share)
            if smaller is not None:
                origin = f"pruned to {share:.0%} from {name}"
                found.setdefault(smaller[0].name, (replace(smaller[0], origin=origin), smaller[1]))
    return list(found.values())


def choose(search: Search, final: Times, given: Made) -> tuple[EngineSpec, Times]:
    """The fastest of the last comparison, and batch-1 times of it and of the given network."""
    able = [e for e in final if (e.runtime, e.precision) != EAGER or Path(e.model) != given.file]
    if not able:
        raise SkytriggerError("no engine could be timed")
    winner = min(able, key=lambda e: ms_of(final[e]))
    stock = [e for e in able if Path(e.model) == given.file]
    alone = single(search, [*stock[:1], winner]) if search.settings.effort != "quick" else {}
    return winner, alone


def kernels_of(best: Path, winner: EngineSpec, problem: Problem) -> dict[str, int] | None:
    """What the chosen engine runs, by its own word; None where it tells nothing."""
    model = read_model(best)
    tiles = problem.dataset.select(model.card.channels).x[problem.split.val[:8]].astype(np.float32)
    try:
        return executed_kernels(model, winner.runtime, tiles)
    except UnavailableError:
        return None


def confirm(judge: Judge, given: Made, winner: EngineSpec, named: dict[str, Any]) -> dict[str, Any]:
    """The one look at the test part."""
    problem, settings = judge.search.problem, judge.search.settings
    if not len(problem.split.test):
        return {"verdict": "no test images", "sentence": "the split has no test part: the choice is not confirmed"}

    def look() -> dict[str, Any]:
        where = (settings.device, winner.input_type)
        mine = answers_of_file(Path(winner.model), winner.runtime, winner.precision, problem, "test", *where)
        theirs = answers_of_file(given.file, DEFAULT, given.precision, problem, "test")
        found = judge.facts(mine, "test", theirs)
        before = judge.facts(theirs, "test", theirs)
        keep_answers(judge, {"winner": mine, "given": theirs}, "test")
        values = {problem.metric.name: {"winner": found[problem.metric.name], "given": before[problem.metric.name]}}
        return {k: v for k, v in found.items() if k != "accepted"} | values

    return confirm_once(judge.search.folder, named, look)


def keep_answers(judge: Judge, named: Mapping[str, Answers], part: str) -> None:
    """``test_predictions/<name>.parquet``: the answers of that look, so that every figure can be made again."""
    problem = judge.search.problem
    rows = problem.split.part(part)
    ids = tuple(problem.dataset.ids[i] for i in rows)
    heads = problem.card.heads
    truth = {head.name: problem.truth(head.name, rows) for head in heads}
    for name, answers in named.items():
        file = judge.search.folder / f"{part}_predictions" / f"{name}.parquet"
        write_predictions(file, predictions_of(ids, heads, truth, answers))


def copy_candidates(folder: Path, table: Sequence[Made]) -> None:
    """``candidates/<name>_<precision>.onnx``."""
    for made in table:
        out = folder / "candidates" / f"{made.name}_{made.precision}.onnx"
        out.parent.mkdir(exist_ok=True)
        if not out.is_file():
            shutil.copyfile(made.file, out)
