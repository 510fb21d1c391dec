"""What `compare` found, written to a folder: JSON, text, and the two confusion matrices with their change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.files import atomic_path, write_json, write_text
from skytrigger.learn.metrics import confusion
from skytrigger.learn.predictions import read_predictions
from skytrigger.study.compare import as_text

MOST_CLASSES = 20
VERDICTS = {"better": "B is better", "worse": "B is worse", "not established": "no difference established"}


def write_comparison(result: dict[str, Any], out: Path) -> list[Path]:
    """compare.json, compare.txt and, where predictions were compared, confusion_change.png."""
    files = [out / "compare.json", out / "compare.txt"]
    write_json(files[0], result)
    write_text(files[1], as_text(result) + "\n")
    accuracy = next((x for x in result["aspects"] if x["aspect"] == "accuracy"), None)
    if accuracy is not None:
        classes, first, second = matrices(accuracy)
        if len(classes) <= MOST_CLASSES:
            files.append(out / "confusion_change.png")
            change_png(accuracy, classes, first, second, files[-1])
    return files


def matrices(accuracy: dict[str, Any]) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """(classes, counts of A, counts of B) of each side's first seed, on the images that both have."""
    a, b = (read_predictions(accuracy[side]["files"][0]) for side in "ab")
    shared = sorted(set(a.ids) & set(b.ids))
    counts = []
    for found in (a, b):
        place = {name: i for i, name in enumerate(found.ids)}
        rows = np.array([place[i] for i in shared])
        order = np.array([a.classes.index(name) for name in found.classes])
        predicted = found.logits[rows].argmax(axis=1)
        counts.append(confusion(order[found.true[rows]], order[predicted], len(a.classes)))
    return list(a.classes), counts[0], counts[1]


def change_png(
    accuracy: dict[str, Any], classes: list[str], first: NDArray[np.int64], second: NDArray[np.int64], out: Path
) -> None:
    """Both matrices in counts, and B minus A; framed: changes that are established after Holm's correction."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    size = np.maximum(first.sum(axis=1, keepdims=True), 1)
    change = (second - first) / size
    side = 1.6 + 0.42 * len(classes)
    figure = Figure(figsize=(3 * side + 1.2, side + 1.1), layout="constrained")
    panels = figure.subplots(1, 3)
    drawn = (("A", first, first / size, "Blues", 0, 1), ("B", second, second / size, "Blues", 0, 1),
             ("B − A", second - first, change, "RdBu", -0.4, 0.4))  # fmt: skip
    for panel, (name, counts, share, colours, low, high) in zip(panels, drawn, strict=True):
        panel.imshow(share, cmap=colours, vmin=low, vmax=high)
        panel.set_xticks(range(len(classes)), classes, rotation=45, ha="right", fontsize=7)
        panel.set_yticks(range(len(classes)), classes if name == "A" else [], fontsize=7)
        panel.set_title(f"{name}, images", fontsize=9)
        panel.set_xlabel("predicted class", fontsize=8)
        for (row, column), value in np.ndenumerate(counts):
            if value:
                dark = abs(share[row, column]) > (0.5 if name != "B − A" else 0.28)
                said = f"{value:+d}" if name == "B − A" else str(value)
                panel.text(column, row, said, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    panels[0].set_ylabel("true class", fontsize=8)
    for cell in accuracy["cells"]:
        row, column = classes.index(cell["true"]), classes.index(cell["predicted"])
        panels[2].add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, lw=1.8, ec="black"))
    d, seeds = accuracy["difference"], max(accuracy[s]["seeds"] for s in "ab")
    reach = " to ".join(f"{100 * d[k]:+.2f}" for k in ("low", "high"))
    figure.suptitle(
        f"B − A: {100 * d['estimate']:+.2f} points of accuracy ({reach}) on {accuracy['images']:,} images: "
        f"{VERDICTS[accuracy['verdict']]}"
        + (f"; matrices of the first of {seeds} seeds" if seeds > 1 else "")
        + f"\nframed: change of the cell established after Holm's correction ({len(accuracy['cells'])} cells)",
        fontsize=9,
        y=1.01,
        va="bottom",
    )
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=110, bbox_inches="tight")
