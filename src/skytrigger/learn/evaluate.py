"""Predictions of a run or a model file on part of a dataset, matched by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.application import Application
from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import HELD, Dataset
from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.core.files import write_json
from skytrigger.core.heads import CLASSES, ONLY, Head
from skytrigger.core.split import split_by
from skytrigger.learn.batches import Batches
from skytrigger.learn.device import resolve_device, resolve_precision, use_threads
from skytrigger.learn.heads import rules_of
from skytrigger.learn.leakage import judged_images
from skytrigger.learn.levels import levels_sentence, unlike_channels
from skytrigger.learn.predict import answers
from skytrigger.learn.predictions import Predictions, predictions_of, write_predictions
from skytrigger.learn.run_folder import Build, RunFolder
from skytrigger.model.file import read_model
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.registry import DEFAULT, FRAMEWORK

BATCH = 64


def align(dataset: Dataset, card: ModelCard) -> Dataset:
    """The dataset as the model wants it: its channels in its order, its class numbers.

    Raises
    ------
    InputError
        Other units, a missing channel, another tile size, other heads, or classes the model does not know.
    """
    if dataset.units != card.units:
        raise InputError(
            f"the data are in {dataset.units}, the model {card.name!r} wants {card.units}",
            remedy=_of_units(dataset, card.units),
        )
    size = tuple(dataset.x.shape[2:])
    if size != tuple(card.size):
        raise InputError(
            f"tiles of {size} pixels", expected=f"{tuple(card.size)} pixels for this model",
            remedy="cut tiles of that size, or train on these: skytrigger train --start MODEL --data DATA",
        )  # fmt: skip
    card.refuse_strangers(dataset.source.get(HELD, dataset.channels), "the dataset")
    dataset = dataset.select(card.channels)
    theirs = {head.name: head for head in dataset.heads}
    if missing := [head.name for head in card.heads if head.name not in theirs]:
        raise InputError(f"the data have no targets for {missing}", expected=f"some of {', '.join(theirs)}")
    targets = {head.name: _renumbered(dataset, theirs[head.name], head) for head in card.heads}
    if all(dataset.targets[name] is value for name, value in targets.items()) and dataset.heads == card.heads:
        return dataset
    y = targets.get(ONLY, dataset.y)
    return replace(dataset, y=y, classes=card.classes, heads=card.heads, targets=targets)


def _of_units(dataset: Dataset, wanted: str) -> str:
    """What helps where the data are not in the units `wanted`."""
    if wanted != "DN" or dataset.x.dtype.kind != "f":
        if {dataset.units, wanted} <= {"DN", "float", "reflectance"}:
            return f"--scale says what a stored count is: 1e-4 for DN, 1 for reflectance (now {dataset.units})"
        return ""
    largest = float(np.max(dataset.x[:: max(1, len(dataset) // 16)]))
    if largest > 10:  # counts in a float's clothes
        return "--scale 1e-4 where a stored count is 1e-4 of reflectance: DN"
    return (
        f"values up to {largest:.3g} are reflectance, and DN is reflectance x 10,000: "
        "gdal_translate -ot UInt16 -scale 0 1 0 10000 IN OUT"
    )


def _renumbered(dataset: Dataset, here: Head, head: Head) -> NDArray[Any]:
    """Targets of a head by the model's own numbers of classes, or its order of values."""
    true = dataset.targets[head.name]
    if (here.kind, here.unit) != (head.kind, head.unit):
        raise InputError(f"{head.name}: {here.kind} in {here.unit or 'no unit'}", expected=f"{head.kind} {head.unit}")
    if here.names == head.names:
        return true
    known = {name: i for i, name in enumerate(head.names)}
    if head.kind != CLASSES:
        if set(known) - set(here.names):
            raise InputError(f"{head.name} has the values {here.names}", expected=", ".join(head.names))
        return true[:, [here.names.index(name) for name in head.names]]
    unknown = sorted({here.names[i] for i in np.unique(true)} - set(known))
    if unknown:
        raise InputError(
            f"classes {unknown} are unknown to the model", expected=", ".join(head.names),
            remedy="folders by these names, or a network of your own: skytrigger train --start MODEL --data DATA",
        )  # fmt: skip
    number = np.array([known.get(name, -1) for name in here.names], dtype=np.int64)
    return number[true]  # type: ignore[no-any-return]


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
    return _checked(dataset, index, answers(network.to(where), batches, index, resolve_precision(precision, where)))


def predictions_of_call(
    run: Callable[[NDArray[Any]], Any],
    card: ModelCard,
    dataset: Dataset,
    index: NDArray[np.int64],
    batch_size: int = BATCH,
    kind: str = "float32",
) -> Predictions:
    """Predictions of what maps tiles (n, c, h, w) of the type `kind` in raw units to logits, or to {head: outputs}."""
    dataset = align(dataset, card)
    parts = [run(dataset.x[index[i : i + batch_size]].astype(kind)) for i in range(0, len(index), batch_size)]
    if not isinstance(parts[0], dict):
        return _checked(dataset, index, (np.concatenate(parts),))
    return _checked(dataset, index, tuple(np.concatenate([p[head.name] for p in parts]) for head in card.heads))


def _checked(dataset: Dataset, index: NDArray[np.int64], found: Sequence[NDArray[np.float32]]) -> Predictions:
    for head, outputs in zip(dataset.heads, found, strict=True):
        bad = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
        if len(bad):
            names = [dataset.ids[i] for i in index[bad[:5]]]
            raise SkytriggerError(f"the model's {head.name} are not finite for {len(bad)} images, e.g. {names}")
    named = {head.name: outputs for head, outputs in zip(dataset.heads, found, strict=True)}
    truth = {name: true[index] for name, true in dataset.targets.items()}
    return predictions_of(tuple(dataset.ids[i] for i in index), dataset.heads, truth, named)


def metrics_of(predictions: Predictions) -> dict[str, Any]:
    """metrics.json: of the one head as always; of several, ``images`` and each head's under ``heads``."""
    found = {
        rule.head.name: rule.metrics(predictions.answers[rule.head.name], predictions.truth[rule.head.name])
        for rule in rules_of(predictions.heads)
    }
    return found[ONLY] if list(found) == [ONLY] else {"images": len(predictions.ids), "heads": found}


def write_evaluation(predictions: Predictions, out: str | Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write predictions.parquet and metrics.json (with `facts`) and return the metrics."""
    found = metrics_of(predictions) | facts
    write_predictions(Path(out) / "predictions.parquet", predictions)
    write_json(Path(out) / "metrics.json", found)
    return found


def card_of(model: str | Path) -> ModelCard:
    """The card of a run folder or a model file."""
    path = Path(model)
    return RunFolder(path).card() if path.is_dir() else read_model(path).card


def trained_on(dataset: Dataset, card: ModelCard) -> bool:
    """Whether the model's training part was of these very data."""
    source = card.notes.get("source")
    original = source.get("original_hash") if isinstance(source, dict) else None
    return dataset.content_hash in (card.data_hash, original)


def part_for(
    application: Application,
    dataset: Dataset,
    card: ModelCard,
    part: str | None = None,
    lists: Sequence[str] | None = None,
) -> tuple[str, NDArray[np.int64]]:
    """The part that is meant, and its rows.

    Without `part`: ``test`` on the data that the model was trained on, ``all`` (every row) on any other. `lists` are
    files of names that divide the data instead of the card's split.
    """
    if lists:
        split = split_by(dataset, lists)
        part = part or ("test" if len(split.test) else "val")
    else:
        part = part or ("test" if trained_on(dataset, card) else "all")
        if part == "all":
            return part, np.arange(len(dataset))
        split = application.split_again(dataset, card, None)
    if not len(split.part(part)):
        raise InputError(f"the {part} part is empty", remedy="another --split, or --split-lists")
    return part, split.part(part)


def evaluate(
    application: Application,
    model: str | Path,
    dataset: Dataset,
    *,
    part: str | None = None,
    lists: Sequence[str] | None = None,
    runtime: str = DEFAULT,
    precision: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
) -> tuple[dict[str, Any], Predictions]:
    """Metrics and predictions of a run folder or a model file on a part of `dataset` (see `part_for`)."""
    path = Path(model)
    card = card_of(path)
    dataset = align(dataset, card)
    part, index = part_for(application, dataset, card, part, lists)
    if path.is_dir():
        precision = precision or "fp32"
        found = predictions_of_run(
            path, application.build, dataset, index, device=device, precision=precision, threads=threads
        )
        facts: dict[str, Any] = {"model": str(model), "runtime": FRAMEWORK, "precision": precision}
    else:
        file = read_model(path)
        session = open_session(file, runtime, precision or card.precision, BATCH, threads=threads, device=device)
        try:
            found = predictions_of_call(session.answers, card, dataset, index)
            facts = {"model": str(model), **session.facts}
        finally:
            session.close()
    same = trained_on(dataset, card)
    if unlike := unlike_channels(dataset, index, card):
        facts["levels"] = {"channels": unlike, "sentence": levels_sentence(unlike, card)}
    facts |= {
        "part": part,
        "trained_on_these_data": same,
        "seen_in_training": same and part in ("train", "all"),
        "leakage": dict(judged_images(card, path.name, dataset, index)),
        "data_hash": dataset.content_hash,
        "data": dataset.source,
    }
    metrics = metrics_of(found)
    if application.evaluation:
        metrics |= application.evaluation(found, dataset, index, path)
    return metrics | facts, found
