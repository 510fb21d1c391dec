"""The cells of a study: which there are, and what each of them does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger import __version__
from skytrigger.bench.run import Options, bench
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError, SkytriggerError, UnavailableError
from skytrigger.core.files import sha256_json, write_text
from skytrigger.core.host import cores_in_mask, host_facts, host_id
from skytrigger.core.split import split_by
from skytrigger.eo.networks import STACKS
from skytrigger.learn.energy import watching
from skytrigger.learn.evaluate import predictions_of_run, write_evaluation
from skytrigger.learn.exporting import export_run
from skytrigger.learn.run_folder import RunFolder
from skytrigger.learn.runs import train_run
from skytrigger.measure.records import NO_ENERGY
from skytrigger.runtimes.registry import file_precision
from skytrigger.runtimes.spec import EngineSpec
from skytrigger.study.spec import TRAINING, Measure, Spec, Variant
from skytrigger.study.study_file import Cell, StudyFile
from skytrigger.study.training_records import data_facts, energy_of, training_record

Tick = Callable[[float, str], None]
SINCE = {"energy_seconds": 0.0, "ceilings": True}  # entries of later versions: at these values old cells stay valid
AXES = ("batch_sizes", "models", "streams")  # entries of `Measure` that many cells share


@dataclass(frozen=True)
class Study:
    """Everything a cell may need."""

    spec: Spec
    dataset: Dataset
    split: Split
    file: StudyFile

    def run(self, cell: Cell) -> Path:
        """The run folder that a cell goes back to."""
        return self.file.folder(cell.training)


def load_data(spec: Spec) -> tuple[Dataset, Split]:
    """Dataset and split that `spec` names.

    Raises
    ------
    InputError
        The data are bad, or the split has nothing in the part that is to be reported on.
    """
    record = spec.record
    dataset = record.load(spec.data, bands=spec.bands, skip_bad=spec.skip_bad, seed=spec.split_seed, **spec.stated())
    lists, kind = spec.split_lists, spec.split or record.default_split(dataset)
    split = split_by(dataset, lists) if lists else record.split(dataset, kind, spec.split_seed)
    for part in ("train", "val", spec.part):
        if not len(split.part(part)):
            raise InputError(
                f"the split has no {part} images", remedy="another --split, a third list, or part = 'val' in the study"
            )
    return dataset, split


def plan(spec: Spec, dataset: Dataset, split: Split) -> list[Cell]:
    """All cells, in an order in which each comes after what it needs."""
    data = {
        "data": dataset.content_hash,
        "split": sha256_json([split.train.tolist(), split.val.tolist(), split.test.tolist()]),
        "version": __version__,
    }
    cells: list[Cell] = []
    measured: list[tuple[str, Cell]] = []
    for seed in spec.seeds:
        for model in spec.models:
            for variant in spec.variants():
                recipe = spec.recipe_of(model, seed, variant)
                cost = _relative_cost(model, len(dataset.channels)) * len(split.train) * recipe.epochs / 1e3
                place = {"variant": variant.facts} if variant.facts else {}
                label = "-".join(filter(None, (model, variant.label)))
                fit = Cell("train", f"{label}-{seed}", {**data, "recipe": recipe.to_json(), **place}, cost=cost)
                judge = Cell("evaluate", fit.label, {"part": spec.part}, (fit,), cost / recipe.epochs / 3)
                cells += [fit, judge]
                if seed == spec.seeds[0] and variant.measured:
                    measured.append((label, fit))
    for label, fit in measured:
        groups = [m for m in spec.measure if not m.models or fit.network in m.models]
        exports = {"fp32": _export(fit, label, "fp32")}
        for engine in (engine for m in groups for engine in m.engines):
            precision = _file_precision(engine)
            exports.setdefault(precision, _export(fit, label, precision))
        cells += exports.values()
        for measure in groups:
            cells += _benches(measure, label, exports)
    return cells


def _export(fit: Cell, label: str, precision: str) -> Cell:
    return Cell(
        "export", label if precision == "fp32" else f"{label}-{precision}", {"precision": precision}, (fit,), 3.0
    )


def _file_precision(engine: str) -> str:
    return file_precision(engine.partition(":")[2])


def _benches(measure: Measure, label: str, exports: dict[str, Cell]) -> list[Cell]:
    """A cell for each batch size and number of streams."""
    plain = {k: v for k, v in asdict(measure).items() if k not in AXES and (k not in SINCE or v != SINCE[k])}
    needs = tuple(exports[p] for p in dict.fromkeys(map(_file_precision, measure.engines)))
    cost = (measure.seconds + 2 * measure.energy_seconds + 3) * len(measure.engines)
    cells = []
    for size in measure.batch_sizes:
        for streams in measure.streams:
            more, mark = ({"streams": streams}, f"-streams{streams}") if streams > 1 else ({}, "")
            params = {
                **plain,
                "batch_sizes": None,
                "models": None,
                "batch_size": size,
                "host": host_id(host_facts()),
                **more,
            }
            cells.append(Cell("bench", f"{label}-batch{size}{mark}", params, needs, cost))
    return cells


def _relative_cost(model: str, channels: int) -> float:
    """Multiply-adds of the convolutions per pixel of the tile, relative to `basic`'s; 1 of other networks."""

    def products(filters: tuple[int, ...]) -> float:
        total, width = 0.0, channels
        for level, count in enumerate(filters):
            total += (width * count + count * count) / 4**level
            width = count
        return total

    return products(STACKS[model]) / products(STACKS["basic"]) if model in STACKS else 1.0


def run_train(study: Study, cell: Cell, tick: Tick) -> dict[str, Any]:
    """Train, metered where there is a sensor."""
    spec, variant = study.spec, Variant(cell.params.get("variant", {}))
    recipe = spec.recipe_of(cell.network, cell.params["recipe"]["seed"], variant)
    part, device = cell.cost / recipe.epochs, spec.device_of(variant)

    def on_epoch(line: dict[str, Any]) -> None:
        tick(part, f"{cell.label} epoch {line['epoch']}/{recipe.epochs} validation loss {line['val_loss']:.3f}")

    with watching(None, device) as meter:
        run = train_run(spec.record, study.dataset, study.split, recipe, study.file.folder(cell), device=device,
                        on_epoch=on_epoch, keep_checkpoint=False, meter=meter)  # fmt: skip
    history, card = run.history(), run.card()
    network, _ = run.load(spec.record.build)
    images = round(history[-1]["images_per_s"] * history[-1]["seconds"])
    return {
        "epochs": len(history),
        "seconds": sum(h["seconds"] for h in history),
        "images_per_s": sum(h["images_per_s"] for h in history) / len(history),
        "precision": card.notes["training_precision"],
        "device": card.notes["device"],
        "threads": card.notes["threads"],
        "parameters": sum(p.numel() for p in network.parameters()),
        "last": history[-1],
        "energy": energy_of(meter, images),
    }


def run_evaluate(study: Study, cell: Cell, tick: Tick) -> dict[str, Any]:
    """Predictions, metrics, and the training with its accuracy as a record."""
    record, part, folder = study.spec.record, cell.params["part"], study.file.folder(cell)
    index = study.split.part(part)
    found = predictions_of_run(study.run(cell), record.build, study.dataset, index)
    facts = {"part": part, "data_hash": study.dataset.content_hash, "data": study.dataset.source}
    if record.evaluation:
        facts |= record.evaluation(found, study.dataset, index, study.run(cell))
    metrics = write_evaluation(found, folder, facts)
    if "correct" in metrics:
        place = {k: v for k, v in cell.training.params.get("variant", {}).items() if k in ("rule", "scaling")}
        extra = {"part": part, **place, **({"study": study.spec.topic} if study.spec.topic else {})}
        energy = cell.training.result.get("energy") or {**NO_ENERGY, "why_not": "the training was not metered"}
        run = RunFolder(study.run(cell))
        trained = training_record(run, study.dataset, study.split, metrics, energy, extra)
        write_text(folder / "records.jsonl", trained.to_json() + "\n")
    shown = ("images", "accuracy", "accuracy_interval_95", "loss", "expected_calibration_error", "heads")
    return {k: metrics[k] for k in shown if k in metrics}


def run_export(study: Study, cell: Cell, tick: Tick) -> dict[str, Any]:
    """The model file."""
    out = study.file.folder(cell) / "model.onnx"
    data = (study.dataset, study.split)
    result = export_run(study.run(cell), study.spec.record, out, cell.params["precision"], data)
    return result | {"model": "model.onnx"}


def run_bench(study: Study, cell: Cell, tick: Tick) -> dict[str, Any]:
    """Every engine in one counterbalanced run on real validation tiles; records.jsonl comes last."""
    params, data = cell.params, study.dataset
    size, streams = params["batch_size"], params.get("streams", 1)
    threads = params["threads"] or max(1, cores_in_mask() // streams)
    device = cell.training.result["device"] if params["device"] == TRAINING else params["device"]
    files = {need.params["precision"]: need for need in cell.needs}
    absent = {e: files[p].error for e in params["engines"] if files[p := _file_precision(e)].status != "done"}
    with tempfile.TemporaryDirectory() as folder:
        tiles = Path(folder) / "tiles.npy"
        np.save(tiles, data.x[np.resize(study.split.val, max(size * streams, 16))].astype(np.float32))
        jobs = []
        for engine in (e for e in params["engines"] if e not in absent):
            runtime, _, precision = engine.partition(":")
            model = str(study.file.folder(files[_file_precision(engine)]) / "model.onnx")
            jobs.append(EngineSpec(model, runtime, precision, size, threads, streams, device))
        topic = {"study": study.spec.topic} if study.spec.topic else {}
        # with 10 blocks a sign-flip p cannot fall below 0.01: too much for five engines after Holm
        options = Options(
            seconds=params["seconds"], min_blocks=20 if params["seconds"] >= 3 else 12, tiles=str(tiles),
            data_hash=data.content_hash,
            energy_seconds=params.get("energy_seconds", 0.0), ceilings=params.get("ceilings", True),
            extra={**topic, "data": data_facts(data, study.split)},
        )  # fmt: skip
        share = cell.cost / len(jobs)
        found = bench(jobs, options, lambda part, note: tick(part * share, note))
    if not found.records:
        if found.failed:
            raise SkytriggerError("; ".join(found.failed.values()))
        raise UnavailableError("; ".join(found.unavailable.values()))
    lines = "".join(record.to_json() + "\n" for record in found.records)
    write_text(study.file.folder(cell) / "records.jsonl", lines)
    return {"measured": len(found.records), "unavailable": {**absent, **found.unavailable}, "failed": found.failed}
