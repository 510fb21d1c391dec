"""Predictions for images whose truth nobody knows: a table of names, classes and probabilities."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.application import Application
from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError
from skytrigger.core.files import atomic_path
from skytrigger.core.heads import CLASSES, ONLY
from skytrigger.learn.evaluate import BATCH, align, card_of, predictions_of_call, predictions_of_run
from skytrigger.learn.levels import levels_sentence, unlike_channels
from skytrigger.learn.predictions import Predictions
from skytrigger.model.file import read_model
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.registry import DEFAULT, FRAMEWORK

WRITERS = (".parquet", ".csv")
Table = dict[str, Sequence[Any]]


def without_truth(dataset: Dataset, card: ModelCard) -> Dataset:
    """The images as the model's own data, with a truth that says nothing and must not be looked at."""
    n = len(dataset)
    targets = {
        head.name: np.zeros(n, np.int64) if head.kind == CLASSES else np.full((n, len(head.names)), np.nan, np.float32)
        for head in card.heads
    }
    return replace(dataset, y=np.zeros(n, np.int64), classes=card.classes, heads=card.heads, targets=targets)


def predict(
    application: Application,
    model: str | Path,
    dataset: Dataset,
    *,
    runtime: str = DEFAULT,
    precision: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
) -> tuple[Predictions, dict[str, Any]]:
    """Answers of a run folder or a model file for every image, and the facts of how they came about.

    Raises
    ------
    InputError
        Images of another size, units or channels than the model's.
    """
    path = Path(model)
    card = card_of(path)
    bare = align(without_truth(dataset, card), card)
    rows = np.arange(len(bare))
    if path.is_dir():
        precision = precision or "fp32"
        found = predictions_of_run(
            path, application.build, bare, rows, device=device, precision=precision, threads=threads
        )
        facts: dict[str, Any] = {"runtime": FRAMEWORK, "precision": precision}
    else:
        file = read_model(path)
        session = open_session(file, runtime, precision or card.precision, BATCH, threads=threads, device=device)
        try:
            found = predictions_of_call(session.answers, card, bare, rows)
            facts = dict(session.facts)
        finally:
            session.close()
    if unlike := unlike_channels(bare, rows, card):
        facts["levels"] = {"channels": unlike, "sentence": levels_sentence(unlike, card)}
    return found, {"model": str(model), **facts, "data_hash": dataset.content_hash, "data": dataset.source}


def table_of(found: Predictions) -> Table:
    """Columns ``id``, of a head of classes ``class``, ``probability`` and one probability a class, of values theirs.

    Columns of other heads than the one called ``logits`` end in ``_<head>``.
    """
    table: Table = {"id": list(found.ids)}
    for head in found.heads:
        tail = "" if head.name == ONLY else f"_{head.name}"
        outputs = found.answers[head.name].astype(np.float64)
        if head.kind != CLASSES:
            table |= {f"{name}{tail}": outputs[:, k].tolist() for k, name in enumerate(head.names)}
            continue
        shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        probabilities = shifted / shifted.sum(axis=1, keepdims=True)
        best = probabilities.argmax(axis=1)
        table[f"class{tail}"] = [head.names[k] for k in best]
        table[f"probability{tail}"] = probabilities.max(axis=1).tolist()
        table |= {f"p_{name}{tail}": probabilities[:, k].tolist() for k, name in enumerate(head.names)}
    return table


def write_table(path: str | Path, table: Table, facts: Mapping[str, Any]) -> None:
    """Whole or not at all, as Parquet (`facts` in its metadata) or CSV, by the path's ending.

    Raises
    ------
    InputError
        Another ending.
    """
    ending = Path(path).suffix.lower()
    if ending not in WRITERS:
        raise InputError(f"{path} is no table", expected=f"a file that ends in {' or '.join(WRITERS)}")
    with atomic_path(path) as temporary:
        if ending == ".csv":
            with open(temporary, "w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                writer.writerow(table)
                writer.writerows(zip(*table.values(), strict=True))
            return
        import pyarrow as pa
        from pyarrow import parquet

        metadata = {"skytrigger": json.dumps(facts, default=str)}
        parquet.write_table(pa.table(dict(table)).replace_schema_metadata(metadata), temporary)
