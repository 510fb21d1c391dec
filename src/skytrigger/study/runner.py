"""Run a study's cells one after the other: resumable, and a failed cell does not stop the rest."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import SkytriggerError, UnavailableError
from skytrigger.core.files import write_text
from skytrigger.core.host import host_facts
from skytrigger.core.progress import say, track
from skytrigger.study.cells import Study, Tick, plan, run_bench, run_evaluate, run_export, run_train
from skytrigger.study.spec import Spec
from skytrigger.study.study_file import Cell, StudyFile

WORK: dict[str, Callable[[Study, Cell, Tick], dict[str, Any]]] = {
    "train": run_train,
    "evaluate": run_evaluate,
    "export": run_export,
    "bench": run_bench,
}


def run_study(
    spec: Spec, dataset: Dataset, split: Split, out: str | Path, *, only: tuple[str, ...] = (), command: str = ""
) -> list[Cell]:
    """Run or finish the study in the folder `out`.

    What is done there already (same data, recipe, version; for timings also the same host) is kept.

    Parameters
    ----------
    only
        Kinds of cells to run; all of them by default.
    command
        What makes the study again, for its page; without it the page shows the spec.

    Returns
    -------
    list of Cell
        With their states; those that failed carry the error.
    """
    facts = {
        "hash": dataset.content_hash,
        "source": dataset.source,
        "images": len(dataset),
        "channels": list(dataset.channels),
        "classes": list(dataset.classes),
        "units": dataset.units,
        "split": {"train": len(split.train), "val": len(split.val), "test": len(split.test), **split.facts},
    }
    cells = plan(spec, dataset, split)
    file = StudyFile(Path(out), spec.to_json(), host_facts(), facts, command, cells)
    study = Study(spec, dataset, split, file)
    kept = sum(file.load(cell) for cell in cells)
    if kept:
        say(f"{kept} of {len(cells)} cells are done already and are kept")
    todo = [c for c in cells if c.status != "done" and (not only or c.kind in only)]
    with track("study", sum(c.cost for c in todo)) as advance:
        for cell in todo:
            spent = _run(study, cell, advance)
            advance(max(0.0, cell.cost - spent), f"{cell.kind} {cell.label}: {cell.status}")
            file.write()
    file.write()
    return cells


def _run(study: Study, cell: Cell, advance: Callable[..., None]) -> float:
    """Run one cell and note how it ended; returns the cost already shown on the progress bar."""
    broken = [n for n in cell.needs if n.status != "done"]
    # a precision that this machine cannot make does not keep a bench from measuring the others
    fewer = cell.kind == "bench" and len(broken) < len(cell.needs) and all(n.status == "unavailable" for n in broken)
    if broken and not fewer:
        cell.status, cell.error = "skipped", f"{broken[0].kind} {broken[0].label} is {broken[0].status}"
        return 0.0
    spent = 0.0

    def tick(cost: float, note: str) -> None:
        nonlocal spent
        spent += cost
        advance(cost, note)

    try:
        study.file.finish(cell, WORK[cell.kind](study, cell, tick))
    except UnavailableError as error:
        cell.status, cell.error = "unavailable", str(error)
    except SkytriggerError as error:
        cell.status, cell.error = "failed", str(error)
    except Exception as error:
        # one network or engine that breaks must not take the others' results with it
        cell.status, cell.error = "failed", f"{type(error).__name__}: {error}"
        write_text(study.file.folder(cell) / "traceback.txt", traceback.format_exc())
    if cell.status == "failed":
        say(f"{cell.kind} {cell.label} failed: {cell.error}")
    return spent
