"""What was learned: accuracy and loss with intervals, curves over epochs, training time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

from skytrigger.measure.seed_variance import seed_variance
from skytrigger.measure.stats import Interval, TooFewSamples, mean_interval, median_interval, wilson
from skytrigger.report import svg
from skytrigger.report.content import (
    NOTHING,
    Block,
    Figure,
    Prose,
    Section,
    Table,
    Value,
    compact_seconds,
    estimate,
    number,
    span,
)
from skytrigger.report.study_folder import Run, StudyFolder


def part_name(study: StudyFolder) -> str:
    """The part of the data that accuracy is reported on, in words."""
    part = str(study.spec.get("part", "test"))
    return {"test": "test images", "val": "validation images", "train": "training images"}.get(part, f"{part} images")


def accuracy_of(runs: Sequence[Run]) -> Interval | None:
    """Accuracy of a recipe: Wilson's interval with one seed; with several, one that holds seeds and images."""
    judged = [r for r in runs if r.found is not None]
    if not judged:
        return None
    held = [r for r in judged if r.predictions is not None]
    if len(held) > 1 and len({r.image_ids for r in held}) == 1:
        return seed_variance(np.array([r.right for r in held])).accuracy
    if len(judged) == 1:
        return wilson_of(judged[0])
    mean = fmean(float(r.found["accuracy"]) for r in judged if r.found)
    return Interval(mean, math.nan, math.nan, n=len(judged))


def wilson_of(run: Run) -> Interval | None:
    """Accuracy of one trained network with Wilson's interval."""
    if run.found is None:
        return None
    low, high = run.found["accuracy_interval_95"]
    return Interval(float(run.found["accuracy"]), low, high, n=int(run.found["images"]))


def loss_of(runs: Sequence[Run]) -> Interval | None:
    """Mean loss over images and seeds; the interval is a bootstrap of the images (seeds as they are)."""
    held = [r for r in runs if r.predictions is not None]
    if not held or len({r.image_ids for r in held}) != 1:
        return None
    try:
        return mean_interval(np.mean([r.losses for r in held], axis=0), resamples=1000)
    except TooFewSamples:
        return None


def accuracy_section(study: StudyFolder) -> Section:
    """Accuracy and loss of every network."""
    rows = []
    images: set[int] = set()
    for name, runs in study.networks.items():
        accuracy = accuracy_of(runs)
        if accuracy is None:
            continue
        found = [r.found for r in runs if r.found]
        images |= {int(f["images"]) for f in found}
        loss = loss_of(runs)
        seeds = [f"{r.seed}: {_percent(i)}" for r in runs if (i := wilson_of(r)) is not None]
        calibration = [float(f["expected_calibration_error"]) for f in found]
        rows.append(
            [
                Value(name, name),
                estimate(accuracy, "{:.2f}", 100, " %"),
                Value("\n".join(seeds)),
                estimate(loss, "{:.3f}") if loss else NOTHING,
                number(fmean(calibration), "{:.3f}", _range(calibration, "{:.3f}")),
                number(_result(runs, "parameters"), "{:,.0f}"),
                number(
                    sum(int(f["images"]) for f in found) / len(found),
                    "{:,.0f}",
                    f"{len(found)} seed{'s' if len(found) > 1 else ''}",
                ),
            ]
        )
    if not rows:
        return Section("accuracy", "Accuracy and loss", [Prose("No network has been evaluated yet.")])
    head = (
        "network",
        "accuracy",
        "each seed (Wilson 95 %)",
        "loss (nats)",
        "calibration error",
        "parameters",
        "images",
    )
    caption = (
        f"On {part_name(study)}. Below each figure its 95 % interval. Accuracy: with one seed Wilson's, with several "
        "the mean over seeds with an interval that holds both the choice of images and of seeds. Loss: mean cross "
        "entropy, studentised bootstrap over images. Calibration error: expected, 15 bins, mean over seeds, below it "
        "the range."
    )
    return Section("accuracy", "Accuracy and loss", [Table(head, rows, caption)])


def _percent(interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.estimate:.2f} % ({low:.1f} to {high:.1f})"


def _range(values: Sequence[float], form: str) -> str:
    if len(values) < 2:
        return "one seed"
    return f"{form.format(min(values))} to {form.format(max(values))}"


def _result(runs: Sequence[Run], name: str) -> float | None:
    values = [r.result.get(name) for r in runs]
    found = next((v for v in values if isinstance(v, (int, float))), None)
    return None if found is None else float(found)


def curves_section(study: StudyFolder, mark: str = "") -> tuple[Section, dict[str, Any]]:
    """Loss and accuracy over epochs for each network, seeds overlaid, and the numbers for the page's script."""
    networks = {name: [r for r in runs if r.history] for name, runs in study.networks.items()}
    networks = {name: runs for name, runs in networks.items() if runs}
    if not networks:
        return Section("curves", "Training curves", [Prose("No epoch has been finished yet.")]), {}
    everything = [line for runs in networks.values() for r in runs for line in r.history]
    losses = [max(1e-4, line[k]) for line in everything for k in ("train_loss", "val_loss")]
    low, high = min(losses) / 1.1, max(losses) * 1.1
    panels, data = [], {}
    for number_, (name, runs) in enumerate(networks.items()):
        for what in ("loss", "accuracy"):
            lines = [
                svg.Curve(f"{word}, seed {r.seed}", [float(x[f"{part}_{what}"]) for x in r.history], part)
                for part, word in (("train", "training"), ("val", "validation"))
                for r in runs
            ]
            key = f"{mark}{what}-{number_}"
            log = what == "loss"
            ends = (low, high) if log else (0.0, 1.0)
            title = "loss (nats, logarithmic)" if log else "accuracy"
            drawn = svg.curves(key, title, lines, *ends, log=log, percent=not log)
            panels.append((name if log else "", drawn))
            data[key] = {
                "percent": not log,
                "lines": [{"name": c.name, "tone": c.tone, "values": [round(v, 5) for v in c.values]} for c in lines],
            }
    caption = (
        "Solid blue: training images; dashed orange: validation images; one line for each seed. All networks share "
        "their axes. Training figures are taken while the weights still change (and with dropout on, where the network "
        "has it), so validation may lie above them."
    )
    blocks: list[Block] = [Figure(panels, caption), _gap_table(networks, study.data.get("split"))]
    return Section("curves", "Training curves", blocks), data


def _gap_table(networks: dict[str, list[Run]], split: Any) -> Table:
    sizes = split if isinstance(split, dict) else {}
    rows = []
    for name, runs in networks.items():
        last = [r.history[-1] for r in runs]
        cells = [Value(name, name), number(len(runs), "{:d}"), number(max(x["epoch"] for x in last), "{:.0f}")]
        for key, scale, form in (
            ("train_accuracy", 100, "{:.1f} %"),
            ("val_accuracy", 100, "{:.1f} %"),
            ("train_loss", 1, "{:.3f}"),
            ("val_loss", 1, "{:.3f}"),
        ):
            values = [scale * x[key] for x in last]
            images = sizes.get(key.split("_")[0]) if key.endswith("accuracy") else None
            if len(values) == 1 and isinstance(images, int) and images > 0:
                small = span(wilson(min(images, round(last[0][key] * images)), images), "{:.1f}", 100)
            else:
                small = _range(values, form)
            cells.append(number(fmean(values), form, small))
        gaps = [100 * (x["train_accuracy"] - x["val_accuracy"]) for x in last]
        cells.append(number(fmean(gaps), "{:+.1f} points", _range(gaps, "{:+.1f}")))
        ratios = [x["val_loss"] / x["train_loss"] for x in last if x["train_loss"] > 0]
        cells.append(number(fmean(ratios), "{:.3g}", _range(ratios, "{:.3g}")) if ratios else NOTHING)
        rows.append(cells)
    head = ("network", "seeds", "epochs", "training accuracy", "validation accuracy", "training loss",
            "validation loss", "gap in accuracy", "validation / training loss")  # fmt: skip
    caption = (
        "After the last epoch: mean over seeds, below it smallest to largest; with one seed Wilson's 95 % interval of "
        "an accuracy, and none for the rest. A large gap is overtraining. Validation images serve the choice of "
        "epochs, not the claim of accuracy, which is made above."
    )
    return Table(head, rows, caption)


def training_section(study: StudyFolder) -> Section:
    """Training time and throughput."""
    rows = []
    for name, runs in study.networks.items():
        runs = [r for r in runs if r.history]
        if not runs:
            continue
        lines = [x for r in runs for x in r.history]
        totals = [sum(x["seconds"] for x in r.history) for r in runs]
        facts = {
            k: next((r.result[k] for r in runs if k in r.result), None) for k in ("device", "threads", "precision")
        }
        how = ", ".join(str(v) if k != "threads" else f"{v} threads" for k, v in facts.items() if v is not None)
        rows.append(
            [
                Value(name, name),
                number(len(runs), "{:d}"),
                Value(compact_seconds(fmean(totals)), fmean(totals), _seconds_range(totals)),
                estimate(median_interval([x["seconds"] for x in lines], positive=True), "{:.3g}", unit=" s"),
                estimate(median_interval([x["images_per_s"] for x in lines], positive=True), "{:.4g}"),
                number(len(lines), "{:d}"),
                Value(how or "–", how),
            ]
        )
    if not rows:
        return Section("training", "Training time", [Prose("No epoch has been finished yet.")])
    head = ("network", "seeds", "whole training", "an epoch", "images/s", "epochs measured (n)", "how")
    caption = (
        "Whole training: mean over seeds, below it smallest to largest. An epoch and images/s: median over all epochs "
        "of all seeds with its 95 % interval. Other work on the machine at the time is part of these figures: they are "
        "not paired, so small differences between networks are not established."
    )
    energy = [x["joules"] for r in study.runs for x in r.history if isinstance(x.get("joules"), (int, float))]
    said = "" if energy else " Energy of training: unavailable, no sensor was read."
    return Section("training", "Training time", [Table(head, rows, caption + said)])


def _seconds_range(totals: Sequence[float]) -> str:
    return f"{compact_seconds(min(totals))} to {compact_seconds(max(totals))}" if len(totals) > 1 else "one seed"
