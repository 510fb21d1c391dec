"""predictions.parquet: id, true class, logits. All that is said about accuracy comes from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.files import atomic_path
from skytrigger.core.parquet import read_table

COLUMNS = ("id", "true", "logits")


@dataclass(frozen=True)
class Predictions:
    """`ids` (n), `true` (n,) int64, `logits` (n, classes) float32."""

    ids: tuple[str, ...]
    true: NDArray[np.int64]
    logits: NDArray[np.float32]
    classes: tuple[str, ...]


def write_predictions(path: str | Path, predictions: Predictions) -> None:
    """Write whole or not at all; class names travel in the schema's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "id": pa.array(list(predictions.ids), pa.string()),
            "true": pa.array(predictions.true, pa.int64()),
            "logits": pa.array(list(predictions.logits.astype(np.float32)), pa.list_(pa.float32())),
        }
    ).replace_schema_metadata({"classes": json.dumps(list(predictions.classes))})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def read_predictions(path: str | Path) -> Predictions:
    """Read and check.

    Raises
    ------
    InputError
        Missing, corrupt, other columns, non-finite logits, labels outside the classes.
    """
    path = Path(path)
    try:
        table = read_table(path, COLUMNS)
        classes = json.loads((table.schema.metadata or {})[b"classes"])
        ids = tuple(table["id"].to_pylist())
        true = table["true"].to_numpy().astype(np.int64)
        logits = np.array(table["logits"].to_pylist(), dtype=np.float32)
    except (InputError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} is not a predictions file: {error}",
            expected=f"Parquet with columns {', '.join(COLUMNS)} and the class names in its metadata",
            remedy="write it with skytrigger evaluate",
        ) from error
    found = Predictions(ids, true, logits, tuple(classes))
    _check(found, path)
    return found


def _check(found: Predictions, path: Path) -> None:
    problems: list[Any] = []
    if not found.ids:
        problems.append("it is empty")
    elif found.logits.shape != (len(found.ids), len(found.classes)):
        problems.append(f"logits {found.logits.shape} for {len(found.ids)} images, {len(found.classes)} classes")
    elif not np.isfinite(found.logits).all():
        problems.append("some logits are not finite")
    elif found.true.min() < 0 or found.true.max() >= len(found.classes):
        problems.append("a true class is outside the classes")
    elif len(set(found.ids)) != len(found.ids):
        problems.append("ids repeat")
    if problems:
        raise InputError(f"{path}: {problems[0]}")
