"""Mutants: what the tests let live, by module."""

from __future__ import annotations

from collections import Counter
from typing import Any

from figures import figure
from figures.text import RESULTS, loaded, table
from skytrigger.measure.stats import wilson

FOLDER = "mutants"
GROUPS = {"measure": "measure/", "hep/clue": "hep/clue/", "model (export)": "model/", "learn/metrics": "learn/"}


def _records() -> list[dict[str, Any]]:
    found = [loaded(f"{FOLDER}/{path.name}") for path in sorted((RESULTS / FOLDER).glob("*.json"))]
    return sorted(found, key=lambda r: r["module"])


def _name(record: dict[str, Any]) -> str:
    return str(record["module"]).removeprefix("skytrigger/")


def _killed(record: dict[str, Any]) -> int:
    return int(record["counts"].get("killed", 0) + record["counts"].get("timeout", 0))


def _share(killed: int, tried: int, whole: bool) -> str:
    if whole:
        return f"{100 * killed / tried:.0f} %"
    interval = wilson(killed, tried)
    return f"{100 * killed / tried:.0f} % ({100 * interval.low:.0f} to {100 * interval.high:.0f})"


@figure("mutants.table")
def by_module() -> str:
    """A row a module; intervals where a sample was drawn."""
    rows = []
    for record in _records():
        counts = Counter(record["counts"])
        tried = record["tried"]
        rows.append([f"`{_name(record)}`", str(record["made"]), str(tried),
                     *(str(counts[kind]) for kind in ("killed", "timeout", "survived", "no test")),
                     _share(_killed(record), tried, tried == record["made"])])  # fmt: skip
    head = "| module | mutants | tried | killed | out of time | survived | no test | found |"
    return table(f"{head}\n|---|--:|--:|--:|--:|--:|--:|--:|", rows)


@figure("mutants.groups")
def by_group() -> str:
    """The four parts, each module weighted by its number of mutants."""
    rows = []
    for title, beginning in GROUPS.items():
        own = [r for r in _records() if _name(r).startswith(beginning)]
        made, tried = sum(r["made"] for r in own), sum(r["tried"] for r in own)
        share = sum(r["made"] * _killed(r) / r["tried"] for r in own) / made
        # of a stratified sample: binomial within each module, nothing where all were tried
        variance = sum(
            (r["made"] / made) ** 2 * p * (1 - p) / r["tried"] * (1 - r["tried"] / r["made"])
            for r in own
            for p in [(_killed(r) + 1) / (r["tried"] + 2)]
        )
        half = 1.96 * variance**0.5
        interval = f" ({100 * (share - half):.0f} to {100 * min(1, share + half):.0f})" if tried < made else ""
        rows.append([title, str(len(own)), str(made), str(tried), f"{100 * share:.0f} %{interval}"])
    return table("| part | modules | mutants | tried | found |\n|---|--:|--:|--:|--:|", rows)
