"""The cells of a study, and what each of them does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skytrigger import __version__
from skytrigger.applications.registry import application_of, build
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.files import sha256_json
from skytrigger.core.host import host_facts, host_id
from skytrigger.eo.networks import STACKS
from skytrigger.learn.evaluate import predictions_of_run, write_evaluation
from skytrigger.learn.exporting import export_run
from skytrigger.learn.run_folder import RunFolder
from skytrigger.learn.train import train
from skytrigger.study.spec import Spec
from skytrigger.study.store import Cell, Store

Tick = Callable[[float, str], None]
SINCE = {"energy_seconds": 0.0, "ceilings": True}  # entries of later versions: at these values old cells stay valid


@dataclass(frozen=True)
class Study:
    """Everything a cell may need."""

    spec: Spec
    dataset: Dataset
    split: Split
    store: Store


def plan(spec: Spec, dataset: Dataset, split: Split) -> list[Cell]:
    """All cells, in an order in which each comes after what it needs."""
    data = {
        "data": dataset.content_hash,
        "split": sha256_json([split.train.tolist(), split.val.tolist(), split.test.tolist()]),
        "version": __version__,
    }
    host = host_id(host_facts())
    cells: list[Cell] = []
    for seed in spec.seeds:
        for model in spec.models:
            recipe = spec.recipe_of(model, seed)
            cost = _relative_cost(model, len(dataset.channels)) * len(split.train) * recipe.epochs / 1e3
            fit = Cell("train", f"{model}-{seed}", {**data, "recipe": asdict(recipe)}, cost=cost)
            judge = Cell("evaluate", f"{model}-{seed}", {"part": spec.part}, (fit,), cost / recipe.epochs / 3)
            cells += [fit, judge]
            if seed == spec.seeds[0]:
                cells.append(Cell("export", model, {"precision": "fp32"}, (fit,), 3.0))
    for export in [c for c in cells if c.kind == "export"]:
        for measure in spec.measure:
            if measure.models and export.label not in measure.models:
                continue
            for batch_size in measure.batch_sizes:
                params = {
                    **{k: v for k, v in asdict(measure).items() if k not in SINCE or v != SINCE[k]},
                    "batch_sizes": None,
                    "models": None,
                    "batch_size": batch_size,
                    "host": host,
                }
                cost = (measure.seconds + 2 * measure.energy_seconds + 3) * len(measure.engines)
                cells.append(Cell("bench", f"{export.label}-batch{batch_size}", params, (export,), cost))
    return cells


def _relative_cost(model: str, channels: int) -> float:
    """Multiply-adds of the convolutions per pixel of the tile, relative to `basic`'s."""

    def products(filters: tuple[int, ...]) -> float:
        total, width = 0.0, channels
        for level, count in enumerate(filters):
            total += (width * count + count * count) / 4**level
            width = count
        return total

    return products(STACKS[model]) / products(STACKS["basic"])


def run_train(study: Study, cell: Cell, tick: Tick) -> dict[str, Any]:
    recipe = study.spec.recipe_of(cell.params["recipe"]["model"], cell.params["recipe"]["seed"])
    folder = study.store.folder(cell)
    part = cell.cost / recipe.epochs

    def on_epoch(line: dict[str, Any]) -> None:
        tick(part, f"{cell.label} epoch {line['epoch']}/{recipe.epochs} val {100 * line['val_accuracy']:.0f} %")

    run = train(
        build,
        study.dataset,
        study.split,
        recipe,
        folder,
        device=study.spec.device,
        on_epoch=on_epoch,
        keep_checkpoint=False,
    )
    history, card = run.history(), run.card()
    return {
        "epochs": len(history),
        "seconds": sum(h["seconds"] for h in history),
        "images_per_s": sum(h["images_per_s"] for h in history) / len(history),
        "precision": card.notes["training_precision"],
        "device": card.notes["device"],
        "threads": card.notes["threads"],
        "parameters": _parameters(run),
        "last": history[-1],
    }


def _parameters(run: RunFolder) -> int:
    network, _ = run.load(build)
    return sum(p.numel() for p in network.parameters())


def run_evaluate(study: Study, cell: Cell, tick: Tick) -> dict[str, Any]:
    index = study.split.part(cell.params["part"])
    found = predictions_of_run(study.store.folder(cell.needs[0]), build, study.dataset, index)
    facts = {"part": cell.params["part"], "data_hash": study.dataset.content_hash, "data": study.dataset.source}
    metrics = write_evaluation(found, study.store.folder(cell), facts)
    return {k: metrics[k] for k in ("images", "accuracy", "accuracy_interval_95", "loss", "expected_calibration_error")}


def run_export(study: Study, cell: Cell, tick: Tick) -> dict[str, Any]:
    out = study.store.folder(cell) / "model.onnx"
    run = study.store.folder(cell.needs[0])
    application = application_of(RunFolder(run).card())
    result = export_run(run, application, out, cell.params["precision"], (study.dataset, study.split))
    return result | {"model": "model.onnx"}


def model_file(study: Study, cell: Cell) -> Path:
    """The model file that a bench cell measures."""
    return study.store.folder(cell.needs[0]) / "model.onnx"
