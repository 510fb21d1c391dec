"""change.png: before, after, and what changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.files import atomic_path
from skytrigger.eo.change.made_map import MadeMap
from skytrigger.eo.scene.legend import NO_DATA, Entry

SIGN_COLOURS = {1: ("burned", "#b3261e"), 2: ("flooded", "#1f78d1"), 3: ("bared", "#c58a2b")}


def colour_table(entries: Sequence[Entry]) -> NDArray[np.uint8]:
    """(256, 3) colours of codes."""
    table = np.full((256, 3), 221, np.uint8)
    for entry in entries:
        table[entry.value] = entry.rgb
    return table


def changed_colours(
    first: MadeMap, second: MadeMap, called: NDArray[np.bool_], entries: Sequence[Entry]
) -> NDArray[np.uint8]:
    """(rows, columns, 3): cells called changed in the colour of their new class, the rest grey."""
    changed = np.full((*called.shape, 3), 240, np.uint8)
    changed[(first.codes == NO_DATA) | (second.codes == NO_DATA)] = 200
    changed[called] = colour_table(entries)[second.codes[called]]
    return changed


def write_picture(
    path: Path, first: MadeMap, second: MadeMap, called: NDArray[np.bool_], sign: NDArray[np.uint8],
    entries: Sequence[Entry], summary: dict[str, Any],
) -> None:  # fmt: skip
    """Cells called changed in the colour of their new class, the rest grey; signs as dots."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    table, changed = colour_table(entries), changed_colours(first, second, called, entries)
    height = max(3.2, min(9.0, 4.2 * called.shape[0] / called.shape[1]))
    figure = Figure(figsize=(15, height + 0.8))
    FigureCanvasAgg(figure)
    titles = (summary["before"], summary["after"], f"changed, probability at least {summary['limit']:g}")
    for axes, image, title in zip(
        figure.subplots(1, 3), (table[first.codes], table[second.codes], changed), titles, strict=True
    ):
        axes.imshow(image, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_title(title if len(title) < 48 else f"{title[:45]}...", fontsize=8)
    dots = []
    for value, (name, colour) in SIGN_COLOURS.items():
        y, x = np.nonzero(sign == value)
        if len(y):
            axes.scatter(x, y, s=6, color=colour, linewidths=0)
            dots.append(Line2D([], [], marker="o", linestyle="", color=colour, markersize=4, label=f"sign: {name}"))
    used = set(np.unique(first.codes)) | set(np.unique(second.codes))
    shown = [
        Patch(facecolor=e.colour, edgecolor="0.5", linewidth=0.4, label=e.title) for e in entries if e.value in used
    ]
    figure.legend(handles=[*shown, *dots], loc="center right", fontsize=8, frameon=False)
    figure.subplots_adjust(left=0.01, right=0.87, bottom=0.03, top=0.9, wspace=0.03)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png", metadata={"Software": "skytrigger"})
