"""What a search's result says of each engine, and of the winner against the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skytrigger.measure.records import Record
from skytrigger.optimize.judging import Judged, Made
from skytrigger.optimize.timing import Times, paired_ratio, time_facts
from skytrigger.runtimes.spec import EngineSpec

LAYOUT = ("threads", "streams", "batch_size", "input_type")
FACTS = ("multiply_adds", "parameters", "channels", "origin", "method", "float_nodes")


@dataclass(frozen=True)
class EngineRow:
    """A judged engine in one layout; `timed` says in which comparison, None where it was not timed."""

    judged: Judged
    spec: EngineSpec | None = None
    timed: str | None = None
    record: Record | None = None

    def to_json(self, folder: Path) -> dict[str, Any]:
        """For ``optimize.json``; `file` is the candidate's copy."""
        made = self.judged.made
        raw = {**self.judged.to_json(folder), "file": f"candidates/{made.name}_{made.precision}.onnx",
               "bytes": made.file.stat().st_size, **{k: v for k, v in made.facts.items() if k in FACTS}}  # fmt: skip
        if self.spec is not None and self.record is not None:
            raw |= {k: getattr(self.spec, k) for k in LAYOUT}
            return {**raw, "timed": self.timed, **time_facts(self.record)}
        return {**raw, "timed": None}


def engine_rows(judged: Sequence[Judged], coarse: Times, final: Times) -> list[EngineRow]:
    """A row for each judged engine and layout: verdict, file, and times where it was timed."""
    rows = []
    for one in judged:
        own = (str(one.made.file), one.runtime, one.precision)
        layouts = [e for e in {**coarse, **final} if (e.model, e.runtime, e.precision) == own]
        rows += [
            EngineRow(one, e, "final" if e in final else "coarse", final.get(e) or coarse[e]) for e in layouts
        ] or [EngineRow(one)]
    return rows


def ratios(final: Times, alone: Times, winner: EngineSpec, table: Sequence[Made]) -> list[dict[str, Any]]:
    """How many times faster the winner is than others of the same run."""
    names = {str(m.file): "the given network" if m.name == "given" else m.name for m in table}
    found = []
    for what, group in (("final", final), ("single image", alone)):
        mine = next((e for e in group if e == winner or (group is alone and e.model == winner.model)), None)
        for other in group if mine else ():
            if mine is not None and other != mine:
                against = f"{names[other.model]}: {other.engine}"
                found.append({"run": what, "against": against, **paired_ratio(group[mine], group[other])})
    return found
