"""A filter on doublets, beside the trees."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.hep.doublets.metrics import auc_difference, filter_metrics, scores
from skytrigger.hep.doublets.split import distinct_doublets, families
from skytrigger.hep.doublets.trees import Trees
from skytrigger.learn.predictions import Predictions

TREES_FILE = "trees.onnx"


def packaged(name: str = "doublets.onnx") -> Path:
    """The filter (``doublets.onnx``) or the trees (``doublets_trees.onnx``) that come with the package."""
    return Path(str(files("skytrigger.hep.doublets") / name))


def figures_of_merit(
    predictions: Predictions,
    dataset: Dataset,
    index: NDArray[np.int64],
    model: Path,
    trees: str | Path | None = None,
) -> dict[str, Any]:
    """Figures of a filter's predictions on the rows `index`.

    Parameters
    ----------
    model
        Run folder or model file.
    trees
        Trees to show beside; default: the run folder's own, else the package's.

    Returns
    -------
    dict
        `filter_metrics`, with the trees' under ``baseline`` (None for data of more than two pads) and the
        difference of the AUCs under ``auc_minus_baseline``.
    """
    x, true = dataset.x[index], predictions.true
    group = families(x)
    found: dict[str, Any] = filter_metrics(predictions.logits, true, group)
    found |= {"distinct": int(distinct_doublets(x).max()) + 1, "baseline": None, "auc_minus_baseline": None}
    if len(dataset.channels) == 2:
        logits = _trees(model, trees).logits(x)
        found["baseline"] = {"name": "boosted trees", **filter_metrics(logits, true, group)}
        difference, low, high = auc_difference(scores(predictions.logits), scores(logits), true, group)
        found["auc_minus_baseline"] = {"estimate": difference, "interval_95": [low, high]}
    return found


def _trees(model: Path, trees: str | Path | None) -> Trees:
    if trees is not None:
        return Trees.read(trees)
    own = model / TREES_FILE
    return Trees.read(own if own.is_file() else packaged("doublets_trees.onnx"))


def describe(found: Mapping[str, Any]) -> str:
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
