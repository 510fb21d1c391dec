"""`basic` against `regularized`: what `skytrigger compare` says of the studies' predictions."""

from __future__ import annotations

from functools import cache
from typing import Any

from figures import figure
from figures.text import RESULTS, percent, points, predictions, table
from figures.tiles import cells, history
from skytrigger.learn.compare_accuracy import compare_accuracy


@cache
def comparison(which: str) -> dict[str, Any]:
    """``ms-seed0``, ``ms-seeds`` or ``rgb``: `basic` against `regularized`."""
    study = "eurosat-rgb" if which == "rgb" else "eurosat-ms"
    found = cells(study, "evaluate")
    sides = [
        [
            RESULTS / folder / "predictions.parquet"
            for seed, folder in sorted(found[n].items())
            if which != "ms-seed0" or not seed
        ]
        for n in ("basic", "regularized")
    ]
    return compare_accuracy(*sides)


@figure("compare.difference")
def difference(which: str) -> str:
    """Of the two, in points."""
    return points(comparison(which)["difference"], 2 if which == "rgb" else 1)


@figure("compare.p")
def p_value(which: str) -> str:
    """Exact McNemar p."""
    p = comparison(which)["p_value"]
    return f"p = {p:.{2 if p > 0.1 else 3}f}"


@figure("compare.shown")
def shown(which: str) -> str:
    """The smallest difference that these tiles would have shown."""
    return f"{100 * comparison(which)['smallest_difference_shown']:.1f} points"


@figure("compare.calibration")
def calibration(which: str, side: str) -> str:
    """Expected calibration error with its interval."""
    return percent(comparison(which)[side]["calibration_error"])


@figure("compare.calibrated")
def calibrated(which: str, side: str) -> str:
    """Chance of such a calibration error of a calibrated network."""
    return f"p = {comparison(which)[side]['calibrated_p']:.4f}"


@figure("compare.flips")
def flips(which: str) -> str:
    """How many decisions changed, and which way."""
    found = comparison(which)
    changed = found["flips"]
    return (
        f"{changed['changed']:,} of {found['images']:,} decisions changed, {changed['wrong_to_right']} from wrong to "
        f"right and {changed['right_to_wrong']} from right to wrong"
    )


@figure("compare.cells")
def changed_cells(which: str) -> str:
    """How many cells of the confusion matrix changed after Holm's correction."""
    return f"{len(comparison(which)['cells'])} cells"


@figure("compare.cell")
def changed_cell(which: str, true: str, predicted: str) -> str:
    """One of those cells, before and after."""
    (cell,) = (c for c in comparison(which)["cells"] if (c["true"], c["predicted"]) == (true, predicted))
    return f"{cell['a']} tiles before, {cell['b']} after"


@figure("compare.table")
def comparisons_table() -> str:
    """All three."""
    rows = []
    titles = {"ms-seed0": "13 bands, seed 0", "ms-seeds": "13 bands, three seeds", "rgb": "RGB, one seed"}
    for which, title in titles.items():
        found = comparison(which)
        epochs = len(history("eurosat-rgb" if which == "rgb" else "eurosat-ms", "basic"))
        p = "" if found["p_value"] is None else f", exact McNemar {p_value(which)}"
        verdict = "no" if found["verdict"] == "not established" else f"yes, of these two files: B is {found['verdict']}"
        rows.append([f"[{title}]({which}/compare.txt), {epochs} epochs", f"{found['images']:,}",
                     percent(found["a"]["accuracy"]), percent(found["b"]["accuracy"]),
                     difference(which), verdict + p])  # fmt: skip
    return table("| comparison | tiles | A | B | B − A | established? |\n|---|---:|---:|---:|---:|---|", rows)


@figure("compare.class")
def of_class(which: str, name: str) -> str:
    """Test tiles of a class."""
    found = predictions(
        f"{cells('eurosat-rgb' if which == 'rgb' else 'eurosat-ms', 'evaluate')['basic'][0]}/predictions.parquet"
    )
    return str(int((found.true == found.classes.index(name)).sum()))
