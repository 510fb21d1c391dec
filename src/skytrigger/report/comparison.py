"""What `compare` found, written to a folder: JSON, text, and the two confusion matrices with their change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.files import write_json, write_text
from skytrigger.learn.metrics import confusion
from skytrigger.learn.predictions import read_predictions
from skytrigger.report.charts import matrix
from skytrigger.report.drawing import write_png
from skytrigger.study.comparison import as_text

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
            _draw(accuracy, classes, first, second, files[-1])
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


def confusion_png(found: dict[str, Any], out: str | Path, title: str = "") -> None:
    """Confusion matrix of metrics.json: counts in the cells, shaded by their share of the true class."""
    low, high = found["accuracy_interval_95"]
    said = (
        f"{title}\n{100 * found['accuracy']:.1f} % of {found['images']} images right "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f})"
    )
    write_png([("", matrix("images", found["classes"], np.array(found["confusion"])))], out, said.strip())


def _draw(
    accuracy: dict[str, Any], classes: list[str], first: NDArray[np.int64], second: NDArray[np.int64], out: Path
) -> None:
    """Both matrices in counts, and B minus A; framed: changes that are established after Holm's correction."""
    firm = frozenset((classes.index(c["true"]), classes.index(c["predicted"])) for c in accuracy["cells"])
    panels = [("", matrix("A, images", classes, first)), ("", matrix("B, images", classes, second)),
              ("", matrix("B − A, images", classes, second - first, of=first, firm=firm))]  # fmt: skip
    d, seeds = accuracy["difference"], max(accuracy[s]["seeds"] for s in "ab")
    reach = " to ".join(f"{100 * d[k]:+.2f}" for k in ("low", "high"))
    title = (
        f"B − A: {100 * d['estimate']:+.2f} points of accuracy ({reach}) on {accuracy['images']:,} images: "
        f"{VERDICTS[accuracy['verdict']]}"
        + (f"; matrices of the first of {seeds} seeds" if seeds > 1 else "")
        + f"\nframed: change of the cell established after Holm's correction ({len(accuracy['cells'])} cells)"
    )
    write_png(panels, out, title)
