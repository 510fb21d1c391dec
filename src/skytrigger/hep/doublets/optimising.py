"""A doublet filter as a search's problem: its data, its split by detector region, AUC as what must not drop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError
from skytrigger.hep.doublets import networks
from skytrigger.hep.doublets.data import load_doublets
from skytrigger.hep.doublets.metrics import auc_difference, scores
from skytrigger.hep.doublets.split import families, split_doublets
from skytrigger.learn.evaluate import align
from skytrigger.learn.run_folder import RunFolder
from skytrigger.measure.stats import Interval
from skytrigger.optimize import students
from skytrigger.optimize.metric import ACCURACY, Metric, bootstrapped
from skytrigger.optimize.settings import Problem

if TYPE_CHECKING:
    from torch import nn

RESAMPLES = 1000


def filter_problem(run: str | Path, data: Sequence[str], metric: str = "auc") -> Problem:
    """The problem of replacing the filter in the run folder `run`, on the doublets `data` (a file or ``synthetic``)."""
    if len(data) != 1:
        raise InputError(f"--data names {len(data)} sources", expected="one file of doublets, or synthetic[:COUNT]")
    card = RunFolder(Path(run)).card()
    seed = int(card.split.get("seed", card.seed))
    dataset = align(load_doublets(data[0], channels=len(card.channels), seed=card.seed), card)
    judged = auc_metric(dataset) if metric == "auc" else ACCURACY
    return Problem(Path(run), build, dataset, split_doublets(dataset, seed), judged)


def build(name: str, channels: int, size: tuple[int, int], classes: int, **options: Any) -> nn.Module:
    """Filters and students."""
    builder = students.build if name == "student" else networks.build
    return builder(name, channels, size, classes, **options)


def auc_metric(dataset: Dataset) -> Metric:
    """AUC; its intervals draw whole families of doublets that share hits."""

    def value(logits: NDArray[np.float32], true: NDArray[np.int64], rows: NDArray[np.int64]) -> Interval:
        score, group = scores(logits), families(dataset.x[rows])
        fixed = np.zeros_like(score)  # a constant score's AUC is 1/2 in every draw
        estimate, low, high = auc_difference(score, fixed, true, group, resamples=RESAMPLES)
        return Interval(estimate + 0.5, low + 0.5, high + 0.5, 0.95, len(true))

    def difference(
        given: NDArray[np.float32], candidate: NDArray[np.float32], true: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> Interval:
        group = families(dataset.x[rows])
        found = auc_difference(scores(candidate), scores(given), true, group, resamples=RESAMPLES)
        return Interval(*found, 0.95, len(true))

    return bootstrapped("auc", value, difference)
