"""Pictures drawn with matplotlib, written as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.files import atomic_path


def confusion_png(found: dict[str, Any], out: str | Path, title: str = "") -> None:
    """Confusion matrix: counts in the cells, colour by share of the true class (row)."""
    from matplotlib.figure import Figure

    counts = np.array(found["confusion"])
    classes = found["classes"]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.52 * len(classes)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    for (row, column), value in np.ndenumerate(counts):
        if value:
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, str(value), ha="center", va="center", color=colour, fontsize=8)
    low, high = found["accuracy_interval_95"]
    axes.set_title(
        f"{title}\n{100 * found['accuracy']:.1f} % of {found['images']} images right "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f})".strip(),
        fontsize=10,
    )
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
