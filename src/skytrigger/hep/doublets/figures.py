"""Pictures of the doublet filter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skytrigger.core.files import atomic_path


def roc_png(found: dict[str, Any], out: str | Path) -> None:
    """Fake rejection against efficiency, filter and baseline, with the working points' intervals; and calibration."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes, reliability = figure.subplots(1, 2)
    rows = {"filter": found}
    if found["baseline"]:
        rows[found["baseline"]["name"]] = found["baseline"]
    for number, (name, row) in enumerate(rows.items()):
        colour = f"C{number}"
        low, high = row["intervals_95"]["auc"]
        label = f"{name}: AUC {row['auc']:.3f} ({low:.3f} to {high:.3f})"
        axes.plot(row["roc"]["efficiency"], row["roc"]["rejection"], color=colour, label=label)
        for point in row["working_points"]:
            axes.plot([point["efficiency"]] * 2, point["interval_95"], color=colour, alpha=0.6, linewidth=3)
        bins = row["calibration"]["bins"]
        reliability.plot([b["probability"] for b in bins], [b["true_share"] for b in bins], "o-", color=colour)
    axes.plot([0, 1], [1, 0], ":", color="grey", label="guessing")
    axes.set(xlabel="efficiency (true pairs kept)", ylabel="rejection (fakes removed)")
    axes.legend(fontsize=8)
    reliability.plot([0, 1], [0, 1], ":", color="grey")
    reliability.set(xlabel="probability of a true pair, as told", ylabel="share of true pairs")
    kind = "synthetic doublets" if found["data"].get("kind") == "synthetic" else "doublets"
    figure.suptitle(f"{found['n']} {kind} ({found['part']}), 95 % intervals", fontsize=10)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
