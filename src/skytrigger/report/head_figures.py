"""Figures beyond accuracy: errors of heads of values, and what an application itself makes of the predictions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from skytrigger.core.heads import Head
from skytrigger.measure.stats import Interval
from skytrigger.report.content import NOTHING, Block, Columns, Prose, Section, Value, estimate, number, table, words
from skytrigger.report.learning import part_name
from skytrigger.report.study_folder import Run, StudyFolder
from skytrigger.study.study_file import entry


def values_section(study: StudyFolder, head: Head) -> Section:
    """Errors of a head of values: their mean (bias), mean size, and root mean square (resolution)."""
    rows = [
        (run, name, found)
        for runs in study.networks.values()
        for run in runs
        for name, found in entry(entry(entry(run.figures, "heads"), head.name), "values").items()
    ]

    def error(key: str) -> Callable[[tuple[Run, str, dict[str, Any]]], Value]:
        def value(row: tuple[Run, str, dict[str, Any]]) -> Value:
            low, high = row[2].get(f"{key}_interval_95") or (math.nan, math.nan)
            mean = row[2].get(key)
            return (
                NOTHING
                if mean is None
                else estimate(Interval(mean, low, high), "{:.4g}", unit=f" {head.unit}".rstrip())
            )

        return value

    columns: Columns[tuple[Run, str, dict[str, Any]]] = [
        ("network", lambda row: Value(row[0].network, row[0].network)),
        ("seed", lambda row: number(row[0].seed, "{:d}")),
        ("value", lambda row: Value(row[1], row[1])),
        ("bias", error("bias")),
        ("mean absolute error", error("mae")),
        ("resolution (RMS error)", error("rmse")),
        ("images with a truth (n)", lambda row: number(row[2].get("images"), "{:,d}")),
    ]
    caption = (
        f"On {part_name(study)}, of {head.name}: what the network says minus the truth; images without a truth do not "
        "count. Below each figure its 95 % interval (Student's t over images), which holds the images but not the seed."
    )
    blocks: list[Block] = [table(rows, columns, caption) if rows else Prose("No network has been evaluated yet.")]
    return Section("values", "Bias and resolution", blocks)


def application_section(study: StudyFolder) -> Section | None:
    """Figures with intervals that the application itself makes of the predictions: an AUC, a baseline's."""
    rows = [(run, *found) for runs in study.networks.values() for run in runs for found in _told(run.figures)]
    columns: Columns[tuple[Run, str, Interval]] = [
        ("network", lambda row: Value(row[0].network, row[0].network)),
        ("seed", lambda row: number(row[0].seed, "{:d}")),
        ("figure", lambda row: words(row[1])),
        ("value", lambda row: estimate(row[2], "{:.4f}")),
    ]
    caption = f"On {part_name(study)}, below each figure its 95 % interval as the application computes it."
    return Section("figures", "The application's own figures", [table(rows, columns, caption)]) if rows else None


def _told(raw: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Interval]]:
    """Entries that have an interval; not those of heads, which have sections of their own."""
    yield from _paired(raw, raw.get("intervals_95"), before)
    for key, value in raw.items():
        ends, name = raw.get(f"{key}_interval_95"), f"{before} {key}".replace("_", " ").strip()
        if isinstance(value, dict) and key not in ("heads", "per_class", "data", "intervals_95"):
            if isinstance(value.get("interval_95"), list):
                yield name, Interval(value["estimate"], *value["interval_95"])
            else:
                yield from _told(value, str(value.get("name", name)))
        elif isinstance(value, (int, float)) and isinstance(ends, list) and (key != "accuracy" or before):
            yield name, Interval(float(value), *ends)


def _paired(value: Any, ends: Any, name: str) -> Iterator[tuple[str, Interval]]:
    """A value, or values by name, with intervals of the same shape."""
    if isinstance(ends, dict) and isinstance(value, dict):
        for key, inner in ends.items():
            yield from _paired(value.get(key), inner, f"{name} {key}".replace("_", " ").strip())
    elif isinstance(ends, list) and isinstance(value, (int, float)):
        yield name, Interval(float(value), *ends)
