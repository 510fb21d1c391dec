"""Why a tile was sent, kept or dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.parquet import read_table
from skytrigger.onboard.summary import read_summary


def explain(folder: str, tile: str) -> dict[str, Any]:
    """What is known of a tile of a finished replay, and as ``text`` what a person reads.

    Raises
    ------
    InputError
        No finished replay, or no such tile among the really classified ones.
    """
    summary = read_summary(folder)
    import pyarrow.compute as pc

    table = read_table(Path(folder) / "tiles.parquet")
    found = table.filter(pc.equal(pc.cast(table["tile"], "string"), tile))
    if not len(found):
        some = ", ".join(table["tile"].slice(0, 3).to_pylist())
        raise InputError(f"{folder} has no tile {tile!r}", expected=f"one of {len(table):,}, such as {some}")
    row: dict[str, Any] = found.to_pylist()[0]
    likely = sorted(((v, k[12:]) for k, v in row.items() if k.startswith("probability_")), reverse=True)[:3]
    lines = [
        f"{tile}: {row['status']}, by the policy {summary['policy']!r}",
        f"  {row['reason']}",
        f"  sensed {row['t_sensed_s'] / 3600:.2f} h after the start at "
        f"{row['x_m']:.0f}, {row['y_m']:.0f} m ({row['crs']})",
        "  probabilities: " + ", ".join(f"{name} {p:.1%}" for p, name in likely),
        f"  truth: {row['true_class']}; tier {row['tier']}, {row['bits']:,.0f} bit",
    ]
    if row["t_ground_s"] is not None:
        age = row["t_ground_s"] - row["t_sensed_s"]
        lines.append(f"  on the ground {row['t_ground_s'] / 3600:.2f} h after the start, {age / 60:.0f} minutes old")
    return {**row, "text": "\n".join(lines)}
