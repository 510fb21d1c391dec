"""Two maps of the same ground to a map of change."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger import __version__
from skytrigger.core.errors import InputError
from skytrigger.core.files import atomic_path, write_json
from skytrigger.eo.change.made_map import MadeMap, is_map, read_map
from skytrigger.eo.change.page import write_page
from skytrigger.eo.change.pictures import write_picture
from skytrigger.eo.change.signs import signs
from skytrigger.eo.change.transitions import SURE, Transitions, fit_transitions
from skytrigger.eo.scene.arrow_column import arrow_column
from skytrigger.eo.scene.classify import Options, classify_scene
from skytrigger.eo.scene.legend import NO_DATA, Entry, legend
from skytrigger.eo.scene.write_raster import write_cog

SEALED = ("Highway", "Industrial", "Residential")
BANDS = ("before", "after", "change_percent", "sign")
SIGNS = ("burned", "flooded", "bared")  # sign = 1, 2, 3: the first that applies
LIMITS = (
    "Ten classes of whole cells: a new house, road or clearing inside a cell that keeps its class is not seen, nor are "
    "crops that change with the season told from crops that change for good.",
    "The false-alarm rate assumes that both maps err as on the test tiles, and independently. Other ground, seasons, "
    "haze and snow make more mistakes than that.",
)


@dataclass(frozen=True)
class Change:
    """Arrays (rows, columns): `both` has a class on both dates, `percent` the probability of change there."""

    both: NDArray[np.bool_]
    probability: NDArray[np.float64]
    called: NDArray[np.bool_]
    flags: dict[str, NDArray[np.bool_]]
    transitions: Transitions


def change(
    before: str | Path, after: str | Path, out: str | Path, *, model: str = "eurosat_ms", limit: float = SURE,
    options: Options | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Compare two dates; each is a finished map's folder, or a scene, classified first into OUT/before or after.

    Writes change.tif, change.parquet, change.png, change.html, summary.json; what the summary holds is returned.

    Raises
    ------
    InputError
        Not the same ground or cells, or a limit outside 0.5 to 1.
    """
    start, out = time.perf_counter(), Path(out)
    if not 0.5 <= limit < 1:
        raise InputError(f"--limit {limit}", expected="a probability from 0.5, below 1")
    maps = [_map(Path(given), out / name, model, options) for given, name in ((before, "before"), (after, "after"))]
    first, second = maps
    if first.grid != second.grid:
        raise InputError(
            f"{first.folder} has cells of {first.grid.describe()}, {second.folder} of {second.grid.describe()}",
            expected="the same tile and stride on both dates",
        )
    found = compare(first, second, limit)
    summary = _summary(first, second, found)
    _write(out, first, second, found, summary)
    summary["seconds"] = round(time.perf_counter() - start, 3)
    write_json(out / "summary.json", summary)
    return summary


def _map(given: Path, out: Path, model: str, options: Options | None) -> MadeMap:
    if not is_map(given):
        classify_scene(str(given), model, out, options)
        given = out
    return read_map(given, model)


def compare(first: MadeMap, second: MadeMap, limit: float = SURE) -> Change:
    """Probabilities of change of every cell that has a class on both dates."""
    k = len(first.classes)
    both = (first.codes < k) & (second.codes < k)
    counts = np.zeros((k, k), np.int64)
    np.add.at(counts, (first.codes[both], second.codes[both]), 1)
    fitted = fit_transitions(counts, first.confusion, second.confusion, limit)
    probability = np.zeros(both.shape)
    probability[both] = fitted.changed[first.codes[both], second.codes[both]]
    seen = (first.codes <= k) & (second.codes <= k)  # clouds hide what the indices would show
    flags = {name: flag & seen for name, flag in signs(first.indices, second.indices).items()}
    return Change(both, probability, both & (probability >= limit), flags, fitted)


def _summary(first: MadeMap, second: MadeMap, found: Change) -> dict[str, Any]:
    cell_km2 = (first.grid.pixel_m / 1000) ** 2
    share = np.minimum(first.valid, second.valid)
    area = float(share[found.both].sum()) * cell_km2
    classes = first.classes
    moved: dict[str, float] = {}
    for a, b in zip(first.codes[found.called], second.codes[found.called], strict=True):
        moved.setdefault(f"{classes[a]} > {classes[b]}", 0.0)
    for key in moved:
        a, b = (classes.index(name) for name in key.split(" > "))
        here = found.called & (first.codes == a) & (second.codes == b)
        moved[key] = round(float(share[here].sum()) * cell_km2, 4)
    t = found.transitions
    sealed = [i for i, name in enumerate(classes) if name in SEALED]
    fitted = {
        f"{classes[i]} > {classes[j]}": round(float(t.shares[i, j]) * area, 4)
        for i in range(len(classes))
        for j in range(len(classes))
        if i != j and t.shares[i, j] * found.both.sum() >= 0.5
    }
    opened = [i for i in range(len(classes)) if i not in sealed]
    return {
        "before": first.summary["scene"], "after": second.summary["scene"], "model": first.summary["model"],
        "version": __version__, "cells": int(first.codes.size), "cells_compared": int(found.both.sum()),
        "area_compared_km2": round(area, 4), "limit": t.limit, "cells_changed": int(found.called.sum()),
        "changed_km2": round(float(share[found.called].sum()) * cell_km2, 4),
        "transitions_km2": dict(sorted(moved.items(), key=lambda kv: -kv[1])),
        "fitted_transitions_km2": dict(sorted(fitted.items(), key=lambda kv: -kv[1])),
        "newly_sealed_km2": round(float(t.shares[np.ix_(opened, sealed)].sum()) * area, 4) if sealed else None,
        "false_alarm_rate": t.false_alarm_rate, "false_discovery_rate": t.false_discovery_rate,
        "signs": {n: {"cells": int(f.sum()), "km2": round(float(share[f].sum()) * cell_km2, 4)}
                  for n, f in found.flags.items()},
        "notes": [*_few(found), *LIMITS,
                  *(n for m in (first, second) for n in m.summary["notes"] if n.startswith("Off scale"))],
    }  # fmt: skip


def _few(found: Change) -> list[str]:
    """Said first where most of the ground has no class on one of the dates."""
    count, cells = int(found.both.sum()), found.both.size
    if 2 * count >= cells:
        return []
    return [
        f"Only {count:,} of {cells:,} cells have a class on both dates: the others are cloud, no data or none of these."
    ]


def _write(out: Path, first: MadeMap, second: MadeMap, found: Change, summary: dict[str, Any]) -> None:
    entries: tuple[Entry, ...] = legend(first.classes)
    percent = np.full(found.both.shape, NO_DATA, np.uint8)
    percent[found.both] = np.floor(100 * found.probability[found.both] + 0.5).astype(np.uint8)
    sign = sign_codes(found, first.codes, second.codes)
    tags = {"BEFORE": summary["before"], "AFTER": summary["after"], "SOFTWARE": f"skytrigger {__version__}"}
    write_cog(out / "change.tif", (first.codes, second.codes, percent, sign), BANDS, first.grid, entries, tags)
    _write_cells(out / "change.parquet", first, second, found)
    write_picture(out / "change.png", first, second, found.called, sign, entries, summary)
    write_page(out / "change.html", first, second, found.called, percent, sign, entries, summary)


def sign_codes(found: Change, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """0 none, 1 to 3 as `SIGNS`, 255 no data on one of the dates."""
    sign = np.zeros(first.shape, np.uint8)
    for number, name in reversed(list(enumerate(SIGNS, 1))):
        if name in found.flags:
            sign[found.flags[name]] = number
    sign[(first == NO_DATA) | (second == NO_DATA)] = NO_DATA
    return sign


def _write_cells(path: Path, first: MadeMap, second: MadeMap, found: Change) -> None:
    """One row a cell with data on both dates: classes, probability, signs, indices of both dates, their differences."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = np.array([*first.classes, "rejected", "cloud"], object)
    row, column = np.nonzero((first.codes != NO_DATA) & (second.codes != NO_DATA))
    at = (row, column)
    data: dict[str, Any] = {
        "row": row.astype(np.int32), "column": column.astype(np.int32), "before": names[first.codes[at]],
        "after": names[second.codes[at]], "change_probability": np.where(found.both, found.probability, np.nan)[at],
        "changed": found.called[at],
    }  # fmt: skip
    data |= {name: flag[at] for name, flag in found.flags.items()}
    for name in first.indices:
        if name in second.indices:
            a, b = first.indices[name][at], second.indices[name][at]
            data |= {f"{name}_before": a, f"{name}_after": b, f"d_{name}": b - a}
    with atomic_path(path) as temporary:
        table = pa.table({name: arrow_column(values) for name, values in data.items()})
        pq.write_table(table, temporary, compression="zstd")
