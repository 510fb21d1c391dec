"""predictions.parquet: id, truth and answers. All that is said about accuracy comes from it.

Of one head ``logits``: columns ``true`` (its class number) and ``logits``. Of any others: ``true_<head>`` and
``<head>``, truth a class number or a list of values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.files import atomic_path
from skytrigger.core.heads import CLASSES, ONLY, Head, heads_of


@dataclass(frozen=True)
class Predictions:
    """`ids` (n), `true` (n,) int64, `logits` (n, classes) float32: of the first head of classes.

    Attributes
    ----------
    heads, truth, answers
        All heads, and by their names the truth (n,) or (n, k) and the outputs (n, outputs). By default the one head
        ``logits``; `predictions_of` makes those of several.
    """

    ids: tuple[str, ...]
    true: NDArray[np.int64]
    logits: NDArray[np.float32]
    classes: tuple[str, ...]
    heads: tuple[Head, ...] = ()
    truth: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    answers: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        heads, _ = heads_of(self.heads, self.classes)
        object.__setattr__(self, "heads", heads)
        if _is_one(heads):
            object.__setattr__(self, "truth", {ONLY: self.true})
            object.__setattr__(self, "answers", {ONLY: self.logits})


def predictions_of(
    ids: tuple[str, ...],
    heads: tuple[Head, ...],
    truth: Mapping[str, NDArray[Any]],
    answers: Mapping[str, NDArray[np.float32]],
) -> Predictions:
    """Predictions of any heads; a network without classes has no `classes` and empty logits."""
    first = next((head for head in heads if head.kind == CLASSES), None)
    if first is None:
        n = len(ids)
        return Predictions(ids, np.zeros(n, np.int64), np.zeros((n, 0), np.float32), (), heads, truth, answers)
    return Predictions(ids, truth[first.name], answers[first.name], first.names, heads, truth, answers)


def _is_one(heads: tuple[Head, ...]) -> bool:
    return [(head.name, head.kind) for head in heads] == [(ONLY, CLASSES)]


def _columns(heads: tuple[Head, ...]) -> dict[str, tuple[str, str]]:
    """Head -> columns of its truth and its answers."""
    if _is_one(heads):
        return {ONLY: ("true", "logits")}
    return {head.name: (f"true_{head.name}", head.name) for head in heads}


def write_predictions(path: str | Path, predictions: Predictions) -> None:
    """Write whole or not at all; class names and heads travel in the schema's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = pa.list_(pa.float32())
    columns = {"id": pa.array(list(predictions.ids), pa.string())}
    for head in predictions.heads:
        true, answer = _columns(predictions.heads)[head.name]
        truth = predictions.truth[head.name]
        columns[true] = pa.array(truth, pa.int64()) if head.kind == CLASSES else pa.array(list(truth), numbers)
        columns[answer] = pa.array(list(predictions.answers[head.name].astype(np.float32)), numbers)
    metadata = {"classes": json.dumps(list(predictions.classes))}
    if not _is_one(predictions.heads):
        metadata["heads"] = json.dumps([head.to_json() for head in predictions.heads])
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), temporary)


def read_predictions(path: str | Path) -> Predictions:
    """Read and check.

    Raises
    ------
    InputError
        Missing, corrupt, other columns, answers that are not finite, labels outside the classes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    heads: tuple[Head, ...] = ()
    try:
        table = pq.read_table(path)
        metadata = table.schema.metadata or {}
        classes = tuple(json.loads(metadata[b"classes"]))
        given = tuple(Head.from_json(raw) for raw in json.loads(metadata.get(b"heads", b"[]")))
        heads, _ = heads_of(given, classes)
        truth: dict[str, NDArray[Any]] = {}
        answers: dict[str, NDArray[np.float32]] = {}
        for head in heads:
            true, answer = _columns(heads)[head.name]
            kind = np.int64 if head.kind == CLASSES else np.float32
            truth[head.name] = np.array(table[true].to_pylist(), dtype=kind)
            answers[head.name] = np.array(table[answer].to_pylist(), dtype=np.float32)
        ids = tuple(table["id"].to_pylist())
    except (InputError, OSError, pa.ArrowException, KeyError, ValueError, TypeError, AttributeError) as error:
        columns = [name for pair in _columns(heads or (Head(names=("",)),)).values() for name in pair]
        raise InputError(
            f"{path} is not a predictions file: {error}",
            expected=f"Parquet with columns {', '.join(['id', *columns])} and the class names in its metadata",
            remedy="write it with skytrigger evaluate",
        ) from error
    problem = _problem(ids, heads, truth, answers)
    if problem:
        raise InputError(f"{path}: {problem}")
    return predictions_of(ids, heads, truth, answers)


def _problem(
    ids: tuple[str, ...],
    heads: tuple[Head, ...],
    truth: Mapping[str, NDArray[Any]],
    answers: Mapping[str, NDArray[np.float32]],
) -> str:
    if not ids:
        return "it is empty"
    for head in heads:
        true, answer = truth[head.name], answers[head.name]
        if answer.shape != (len(ids), head.outputs):
            return f"{head.name} {answer.shape} for {len(ids)} images, {len(head.names)} {head.kind}"
        if not np.isfinite(answer).all():
            return f"some {head.name} are not finite"
        if head.kind == CLASSES and (true.min() < 0 or true.max() >= len(head.names)):
            return "a true class is outside the classes"
        if head.kind != CLASSES and true.shape != (len(ids), len(head.names)):
            return f"true values of {head.name} of shape {true.shape}"
    return "ids repeat" if len(set(ids)) != len(ids) else ""
