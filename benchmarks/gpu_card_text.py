"""What the sections of a card's page share: records found, and figures as text."""

from __future__ import annotations

from typing import Any

import numpy as np

from skytrigger.measure.records import Record


def spread(values: Any, scale: float = 1.0) -> str:
    """Median with extremes."""
    v = np.asarray(values, float) * scale
    return f"{np.median(v):.3g}" + (f" ({v.min():.3g} to {v.max():.3g})" if len(v) > 1 else "")


def us(record: Record) -> np.ndarray:
    """Microseconds an image, a value a round."""
    return np.array(record.samples["call"].values) / record.samples["call"].items * 1e6


def find(records: list[Record], **what: Any) -> Record | None:
    """The first record of that kind."""
    return next((r for r in records if what.items() <= {"kind": r.kind, **r.what}.items()), None)


def engine(r: Record) -> str:
    """Runtime and precision, and the type of the tiles where it is not float32."""
    kind = "" if r.what.get("input_type", "float32") == "float32" else f", {r.what['input_type']} tiles"
    return f"{r.what['runtime']} {r.what['precision']}{kind}"
