"""Choosing among the packaged classifiers: the classes that each takes for others, and a start for own tiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from figures import figure
from figures.engines import arm_ms, fastest_engine, packaged_timed
from figures.text import loaded, span, table
from figures.tiles import NAMES, judged
from skytrigger.measure.stats import wilson

LEAST = 2  # images taken for another class, and
SHARE = 0.02  # of the class, so that single images make no rule
SHOWN = 3
TAKES = {"eurosat_ms": "13 bands, Level-1C", "eurosat_ms_fast": "13 bands, Level-1C", "eurosat_rgb": "RGB, 8 bits",
         "eurosat_rgb_fast": "RGB, 8 bits", "eurosat_l2a": "12 bands, Level-2A"}  # fmt: skip


def confused(classes: list[str], confusion: Any) -> list[dict[str, Any]]:
    """Pairs of classes by the share of the true one that is taken for the other, largest first."""
    counts = np.array(confusion)
    found = []
    for i, j in zip(*np.nonzero(counts), strict=True):
        of, n = int(counts[i].sum()), int(counts[i, j])
        if i != j and n >= LEAST and n / of >= SHARE:
            found.append({"true": classes[i], "taken_for": classes[j], "images": n, "of": of})
    return sorted(found, key=lambda one: -one["images"] / one["of"])


@figure("models.choosing")
def choosing() -> str:
    """What each takes, how well it does on its test tiles, what it costs."""
    rows = []
    for name in NAMES:
        found = judged(name)
        right = wilson(found["correct"], found["images"])
        accuracy = f"{100 * right.estimate:.1f} % ({100 * right.low:.1f} to {100 * right.high:.1f})"
        cost = span(arm_ms(packaged_timed(name)["arms"][f"model {fastest_engine(name)}"]))
        rows.append([f"`{name}`", TAKES[name], accuracy, f"{found['images']:,}",
                     f"{100 * found['expected_calibration_error']:.1f} %", cost])  # fmt: skip
    head = "| model | takes | accuracy (95 %) | test tiles | calibration error | CPU ms/image |"
    return table(f"{head}\n|---|---|---:|---:|---:|---:|", rows)


@figure("models.failing")
def failing() -> str:
    """The pairs of classes that each confuses most."""
    rows = []
    for name in NAMES:
        pairs = confused(judged(name)["classes"], judged(name)["confusion"])[:SHOWN]
        told = "; ".join(f"{p['true']} taken for {p['taken_for']} ({p['images']} of {p['of']})" for p in pairs)
        rows.append([f"`{name}`", told])
    return table("| model | taken for another class on the test tiles |\n|---|---|", rows)


@figure("models.tuned")
def tuned(arm: str) -> str:
    """Accuracy over the draws of `benchmarks/tune_packaged.py`: the median, the lowest and the highest."""
    runs = loaded("packaged/tuning.json")["arms"][arm.replace("_", ", ")]["runs"]
    share = [100 * run["correct"] / run["images"] for run in runs]
    return f"{np.median(share):.1f} % ({min(share):.1f} to {max(share):.1f})"


@figure("models.tuning")
def tuning(what: str) -> str:
    """Tiles that taught (``train``), were looked at (``val``), judged (``test``); number of ``draws``."""
    found = loaded("packaged/tuning.json")
    runs = found["arms"]["start"]["runs"]
    numbers = {"train": found["train"], "val": found["val"], "test": runs[0]["images"], "draws": len(runs)}
    return str(numbers[what])


@figure("models.tuning_epochs")
def tuning_epochs(arm: str) -> str:
    """Epochs of an arm."""
    return str(loaded("packaged/tuning.json")["arms"][arm.replace("_", ", ")]["epochs"])
