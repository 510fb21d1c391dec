"""What a search's result says of each engine, and of the winner against the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skytrigger.measure.records import Record
from skytrigger.optimize.engines import Engine, Made, Ratio
from skytrigger.optimize.tune import time_facts

LAYOUT = ("threads", "streams", "batch_size", "input_type")


def engine_rows(
    folder: Path,
    verdicts: Sequence[dict[str, Any]],
    table: Sequence[Made],
    given: Made,
    coarse: dict[Engine, Record],
    final: dict[Engine, Record],
) -> list[dict[str, Any]]:
    """A row for each judged engine and layout: verdict, file, and times where it was timed."""
    keep = ("multiply_adds", "parameters", "channels", "origin", "method", "float_nodes")
    made = {str(m.file.relative_to(folder)): m for m in [given, *table]}
    rows = []
    for verdict in verdicts:
        file = folder / verdict["file"]
        own = {**verdict, "file": f"candidates/{made[verdict['file']].name}_{made[verdict['file']].precision}.onnx",
               "bytes": file.stat().st_size,
               **{k: v for k, v in made[verdict["file"]].facts.items() if k in keep}}  # fmt: skip
        engines = [e for e in {**coarse, **final} if Path(e.model) == file
                   and (e.runtime, e.precision) == (verdict["runtime"], verdict["precision"])]  # fmt: skip
        for engine in engines:
            record = final.get(engine) or coarse[engine]
            where = "final" if engine in final else "coarse"
            layout = {k: v for k, v in asdict(engine).items() if k in LAYOUT}
            rows.append({**own, **layout, "timed": where, **time_facts(record)})
        if not engines:
            rows.append({**own, "timed": None})
    return rows


def ratios(
    ratio: Ratio, final: dict[Engine, Record], alone: dict[Engine, Record], winner: Engine, table: Sequence[Made]
) -> list[dict[str, Any]]:
    """How many times faster the winner is than others of the same run."""
    found = []
    names = {str(m.file): "the given network" if m.name == "given" else m.name for m in table}
    groups: list[tuple[str, dict[Engine, Record], Callable[[Engine], bool]]] = [
        ("final", final, lambda e: e == winner),
        ("single image", alone, lambda e: e.model == winner.model),
    ]
    for what, group, is_winner in groups:
        mine = next((e for e in group if is_winner(e)), None)
        if mine is None:
            continue
        for other in group:
            if other == mine:
                continue
            against = f"{names[other.model]}: {other.label}"
            found.append({"run": what, "against": against, **ratio(group[mine], group[other])})
    return found
