"""Predictions of a run or a model file on part of a dataset, matched by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.core.files import write_json
from skytrigger.learn.batches import Batches
from skytrigger.learn.device import resolve_device, resolve_precision, use_threads
from skytrigger.learn.metrics import metrics
from skytrigger.learn.predict import predict
from skytrigger.learn.predictions import Predictions, write_predictions
from skytrigger.learn.run_folder import Build, RunFolder

BATCH = 64


def align(dataset: Dataset, card: ModelCard) -> Dataset:
    """The dataset as the model wants it: its channels in its order, its class numbers.

    Raises
    ------
    InputError
        Other units, a missing channel, another tile size, or classes the model does not know.
    """
    if dataset.units != card.units:
        raise InputError(f"the data are in {dataset.units}, the model {card.name!r} wants {card.units}")
    size = tuple(dataset.x.shape[2:])
    if size != tuple(card.size):
        raise InputError(f"tiles of {size} pixels", expected=f"{tuple(card.size)} pixels for this model")
    unknown = sorted({dataset.classes[i] for i in np.unique(dataset.y)} - set(card.classes))
    if unknown:
        raise InputError(f"classes {unknown} are unknown to the model", expected=", ".join(card.classes))
    dataset = dataset.select(card.channels)
    if dataset.classes == card.classes:
        return dataset
    place = {name: i for i, name in enumerate(card.classes)}
    number = np.array([place.get(name, -1) for name in dataset.classes], dtype=np.int64)
    return replace(dataset, y=number[dataset.y], classes=card.classes)


def predictions_of_run(
    run: str | Path,
    build: Build,
    dataset: Dataset,
    index: NDArray[np.int64],
    *,
    device: str = "cpu",
    precision: str = "fp32",
    threads: int | None = None,
) -> Predictions:
    """Predictions of a run folder's network, in torch."""
    use_threads(threads)
    network, card = RunFolder(Path(run)).load(build)
    dataset = align(dataset, card)
    where = resolve_device(device)
    batches = Batches(dataset, card.mean, card.std, where)
    logits = predict(network.to(where), batches, index, resolve_precision(precision, where))
    return _checked(dataset, index, logits)


def predictions_of_call(
    run: Callable[[NDArray[Any]], NDArray[np.float32]],
    card: ModelCard,
    dataset: Dataset,
    index: NDArray[np.int64],
    batch_size: int = BATCH,
    kind: str = "float32",
) -> Predictions:
    """Predictions of anything that maps tiles (n, c, h, w) of the type `kind` in raw units to logits."""
    dataset = align(dataset, card)
    parts = [run(dataset.x[index[i : i + batch_size]].astype(kind)) for i in range(0, len(index), batch_size)]
    return _checked(dataset, index, np.concatenate(parts))


def _checked(dataset: Dataset, index: NDArray[np.int64], logits: NDArray[np.float32]) -> Predictions:
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(bad):
        names = [dataset.ids[i] for i in index[bad[:5]]]
        raise SkytriggerError(f"the model's logits are not finite for {len(bad)} images, e.g. {names}")
    return Predictions(tuple(dataset.ids[i] for i in index), dataset.y[index], logits, dataset.classes)


def write_evaluation(predictions: Predictions, out: str | Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write predictions.parquet and metrics.json (with `facts`) and return the metrics."""
    found = metrics(predictions.logits, predictions.true, predictions.classes) | facts
    write_predictions(Path(out) / "predictions.parquet", predictions)
    write_json(Path(out) / "metrics.json", found)
    return found
