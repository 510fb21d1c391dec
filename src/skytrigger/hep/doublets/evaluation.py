"""A filter on doublets, beside the trees."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError
from skytrigger.hep.doublets.metrics import auc_difference, filter_metrics, scores
from skytrigger.hep.doublets.networks import build
from skytrigger.hep.doublets.split import distinct_doublets, families, split_doublets
from skytrigger.hep.doublets.training import TREES_FILE
from skytrigger.hep.doublets.trees import Trees
from skytrigger.learn.evaluate import align, predictions_of_call, predictions_of_run
from skytrigger.learn.predictions import Predictions
from skytrigger.learn.run_folder import RunFolder
from skytrigger.model.file import read_model
from skytrigger.runtimes.open import open_session

PARTS = ("auto", "train", "val", "test", "all")
BATCH = 1024


def packaged(name: str = "doublets.onnx") -> Path:
    """The filter (``doublets.onnx``) or the trees (``doublets_trees.onnx``) that come with the package."""
    return Path(str(files("skytrigger.hep.doublets") / name))


def evaluate_filter(
    model: str | Path,
    dataset: Dataset,
    *,
    part: str = "auto",
    trees: str | Path | None = None,
    runtime: str = "onnxruntime",
    threads: int | None = None,
) -> tuple[dict[str, Any], Predictions]:
    """Metrics of a run folder or a model file, and its predictions.

    Parameters
    ----------
    part
        ``auto``: the test part where the model was trained on these very data, every doublet otherwise.
    trees
        Trees to show beside; default: the run folder's own, else the package's.

    Returns
    -------
    metrics, predictions
        `filter_metrics`, with the trees' under ``baseline`` (None for data of more than two pads) and the
        difference of the AUCs under ``auc_minus_baseline``.
    """
    path = Path(model)
    card = card_of(path)
    dataset = align(dataset, card)
    part, index = part_for(dataset, card, part)
    predictions, engine = _predict(path, dataset, index, runtime, threads)
    group = families(dataset.x[index])
    found: dict[str, Any] = filter_metrics(predictions.logits, predictions.true, group)
    found["distinct"] = int(distinct_doublets(dataset.x[index]).max()) + 1
    facts = {
        "model": str(model),
        "part": part,
        "trained_on_these_data": trained_on(dataset, card),
        "data": dataset.source,
    }
    found |= facts | {"data_hash": dataset.content_hash, **engine}
    found |= {"baseline": None, "auc_minus_baseline": None}
    if len(dataset.channels) == 2:
        baseline = _trees(path, trees)
        logits = baseline.logits(dataset.x[index])
        found["baseline"] = {"name": "boosted trees", **filter_metrics(logits, predictions.true, group)}
        difference, low, high = auc_difference(scores(predictions.logits), scores(logits), predictions.true, group)
        found["auc_minus_baseline"] = {"estimate": difference, "interval_95": [low, high]}
    return found, predictions


def trained_on(dataset: Dataset, card: ModelCard) -> bool:
    """Whether the model's training part was of these very data."""
    source = card.notes.get("source")
    original = source.get("original_hash") if isinstance(source, dict) else None
    return dataset.content_hash in (card.data_hash, original)


def part_for(dataset: Dataset, card: ModelCard, part: str) -> tuple[str, NDArray[np.int64]]:
    """The part that is meant (`evaluate_filter`) and its rows; ``all`` is every row, repeats included."""
    if part not in PARTS:
        raise InputError(f"no part called {part!r}", expected=", ".join(PARTS))
    if part == "auto":
        part = "test" if trained_on(dataset, card) else "all"
    if part == "all":
        return part, np.arange(len(dataset), dtype=np.int64)
    return part, split_doublets(dataset, int(card.split.get("seed", card.seed))).part(part)


def _predict(
    path: Path, dataset: Dataset, index: NDArray[np.int64], runtime: str, threads: int | None
) -> tuple[Predictions, dict[str, Any]]:
    if path.is_dir():
        found = predictions_of_run(path, build, dataset, index, threads=threads)
        return found, {"runtime": "torch", "precision": "fp32"}
    file = read_model(path)
    session = open_session(file, runtime, file.card.precision, BATCH, threads=threads)
    try:
        found = predictions_of_call(session.run, file.card, dataset, index, BATCH)
        return found, {"runtime": runtime, "precision": file.card.precision, "model_hash": file.sha256}
    finally:
        session.close()


def _trees(path: Path, trees: str | Path | None) -> Trees:
    if trees is not None:
        return Trees.read(trees)
    own = path / TREES_FILE
    return Trees.read(own if own.is_file() else packaged("doublets_trees.onnx"))


def describe(found: dict[str, Any]) -> str:
    """The metrics as a short table."""
    lines = [
        f"{found['part']}: {found['n']} doublets ({found['distinct']} distinct, {found['true']} true)",
        f"{'':16} {'AUC':>6} {'95 % interval':>16}   rejection at efficiency "
        + "  ".join(f"{float(e):.0%}" for e in found["rejection"]),
    ]
    rows = {"filter": found}
    if found["baseline"]:
        rows["boosted trees"] = found["baseline"]
    for name, row in rows.items():
        low, high = row["intervals_95"]["auc"]
        cells = "  ".join(f"{value:.3f}" for value in row["rejection"].values())
        lines.append(f"{name:16} {row['auc']:6.4f} {low:7.4f} to {high:6.4f}   {'':14}{cells}")
    lines += [f"{'efficiency':>10} {'rejection':>9} {'95 % interval':>18} {'threshold':>9} {'probability':>11}"]
    for point in found["working_points"]:
        low, high = point["interval_95"]
        lines.append(
            f"{point['efficiency']:10.3f} {point['rejection']:9.3f} {low:9.3f} to {high:5.3f} "
            f"{point['threshold']:9.3f} {point['probability']:11.3f}"
        )
    calibration = found["calibration"]
    lines.append(f"calibration error {calibration['expected_error']:.3f}, Brier score {calibration['brier']:.3f}")
    if found["data"].get("kind") == "synthetic":
        lines.append("synthetic doublets")
    if found["trained_on_these_data"] and found["part"] != "test":
        lines.append("these data hold the doublets it was trained on: the test part alone says how good it is")
    return "\n".join(lines)


def card_of(model: str | Path) -> ModelCard:
    """The card of a run folder or a model file."""
    path = Path(model)
    return RunFolder(path).card() if path.is_dir() else read_model(path).card
