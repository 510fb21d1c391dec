"""What was learned: accuracy and loss with intervals, curves over epochs, training time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from skytrigger.measure.seed_variance import seed_variance
from skytrigger.measure.stats import Interval, TooFewSamples, bootstrap_interval, median_interval, wilson
from skytrigger.report import charts
from skytrigger.report.content import (
    NOTHING,
    Block,
    Columns,
    Figure,
    Prose,
    Section,
    Table,
    Value,
    compact_seconds,
    estimate,
    number,
    span,
    table,
    words,
)
from skytrigger.report.palette import FIRST, SECOND
from skytrigger.report.study_folder import Run, StudyFolder, ranged
from skytrigger.study.study_file import entry

PARTS = (("train", "training", FIRST), ("val", "validation", f"{SECOND} dash"))
Named = tuple[str, list[Run]]


def part_name(study: StudyFolder) -> str:
    """The part of the data that accuracy is reported on, in words."""
    part = str(study.file.spec.get("part", "test"))
    return {"val": "validation", "train": "training"}.get(part, part) + " images"


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
        return bootstrap_interval(np.mean([r.losses for r in held], axis=0), resamples=1000)
    except TooFewSamples:
        return None


def accuracy_section(study: StudyFolder) -> Section:
    """Accuracy and loss of every network."""
    judged = [(name, runs) for name, runs in study.networks.items() if accuracy_of(runs) is not None]
    if not judged:
        return Section("accuracy", "Accuracy and loss", [Prose("No network has been evaluated yet.")])

    def found(runs: Sequence[Run], name: str) -> list[float]:
        return [float(r.found[name]) for r in runs if r.found]

    def count(item: Named) -> Value:
        images = found(item[1], "images")
        return number(fmean(images), "{:,.0f}", f"{len(images)} seed{'s' if len(images) > 1 else ''}")

    def calibration(item: Named) -> Value:
        values = found(item[1], "expected_calibration_error")
        return number(fmean(values), "{:.3f}", ranged(values, "{:.3f}"))

    columns: Columns[Named] = [
        ("network", lambda item: Value(item[0], item[0])),
        ("accuracy", lambda item: estimate(accuracy_of(item[1]), "{:.2f}", 100, " %")),
        ("each seed (Wilson 95 %)", lambda item: Value("\n".join(
            f"{r.seed}: {_percent(i)}" for r in item[1] if (i := wilson_of(r)) is not None))),
        ("loss (nats)", lambda item: estimate(loss_of(item[1]), "{:.3f}")),
        ("calibration error", calibration),
        ("parameters", lambda item: number(_result(item[1], "parameters"), "{:,.0f}")),
        ("images", count),
    ]  # fmt: skip
    caption = (
        f"On {part_name(study)}. Below each figure its 95 % interval. Accuracy: with one seed Wilson's, with several "
        "the mean over seeds with an interval that holds both the choice of images and of seeds. Loss: mean cross "
        "entropy, bootstrap over images. Calibration error: expected, 15 bins, mean over seeds, below it the range."
    )
    return Section("accuracy", "Accuracy and loss", [table(judged, columns, caption)])


def _percent(interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.estimate:.2f} % ({low:.1f} to {high:.1f})"


def _result(runs: Sequence[Run], name: str) -> Any:
    return next((r.result[name] for r in runs if name in r.result), None)


def figures_of(networks: Mapping[str, Sequence[Run]]) -> list[str]:
    """Names of what every line of history tells beside the loss: ``accuracy``, ``energy_mae``."""
    lines = [line for runs in networks.values() for r in runs for line in r.history]
    found = [key.removeprefix("val_") for key in lines[0] if key.startswith("val_") and not key.endswith("loss")]
    return [name for name in found if all(f"{part}_{name}" in line for line in lines for part in ("train", "val"))]


def curves_section(study: StudyFolder, mark: str = "") -> tuple[Section, dict[str, Any]]:
    """Loss and accuracy over epochs for each network, seeds overlaid, and the numbers for the page's script."""
    networks = study.trained
    if not networks:
        return Section("curves", "Training curves", [Prose("No epoch has been finished yet.")]), {}
    everything = [line for runs in networks.values() for r in runs for line in r.history]
    losses = [max(1e-4, line[k]) for line in everything for k in ("train_loss", "val_loss")]
    low, high = min(losses) / 1.1, max(losses) * 1.1
    panels, data = [], {}
    figures = figures_of(networks)
    for place, (name, runs) in enumerate(networks.items()):
        for what in ("loss", *figures):
            lines = [
                charts.Curve(f"{word}, seed {r.seed}", [float(x[f"{part}_{what}"]) for x in r.history], tone)
                for part, word, tone in PARTS
                for r in runs
            ]
            key, log, percent = f"{mark}{what}-{place}", what == "loss", what.endswith("accuracy")
            top = 1.0 if percent else max(x[f"{part}_{what}"] for x in everything for part in ("train", "val")) * 1.05
            title = "loss (nats, logarithmic)" if log else what.replace("_", " ")
            ends = (low, high) if log else (0.0, top)
            panels.append((name if log else "", charts.curves(key, title, lines, *ends, log=log, percent=percent)))
            listed = [{"name": c.name, "values": [round(v, 5) for v in c.values]} for c in lines]
            data[key] = {"percent": percent, "lines": listed}
    caption = (
        "Solid blue: training images; dashed orange: validation images; one line for each seed. All networks share "
        "their axes. Training figures are taken while the weights still change (and with dropout on, where the network "
        "has it), so validation may lie above them."
    )
    blocks: list[Block] = [Figure(panels, caption), _gap_table(networks, entry(study.file.data, "split"))]
    return Section("curves", "Training curves", blocks), data


def _gap_table(networks: dict[str, list[Run]], sizes: dict[str, Any]) -> Table:
    figures = figures_of(networks)

    def last(item: Named) -> list[dict[str, Any]]:
        return [r.history[-1] for r in item[1]]

    def after(key: str, scale: float, form: str) -> tuple[str, Any]:
        def value(item: Named) -> Value:
            values, images = [scale * x[key] for x in last(item)], None
            if key.endswith("accuracy") and len(values) == 1:
                images = sizes.get(key.split("_")[0])
            if isinstance(images, int) and images > 0:
                small = span(wilson(min(images, round(values[0] / scale * images)), images), "{:.1f}", 100)
            else:
                small = ranged(values, form)
            return number(fmean(values), form, small)

        return (
            f"{'training' if key.startswith('train') else 'validation'} {key.partition('_')[2].replace('_', ' ')}",
            value,
        )

    def gap(name: str) -> Callable[[Named], Value]:
        def value(item: Named) -> Value:
            gaps = [100 * (x[f"train_{name}"] - x[f"val_{name}"]) for x in last(item)]
            return number(fmean(gaps), "{:+.1f} points", ranged(gaps, "{:+.1f}"))

        return value

    def ratio(item: Named) -> Value:
        ratios = [x["val_loss"] / x["train_loss"] for x in last(item) if x["train_loss"] > 0]
        return number(fmean(ratios), "{:.3g}", ranged(ratios, "{:.3g}")) if ratios else NOTHING

    columns: Columns[Named] = [
        ("network", lambda item: Value(item[0], item[0])),
        ("seeds", lambda item: number(len(item[1]), "{:d}")),
        ("epochs", lambda item: number(max(x["epoch"] for x in last(item)), "{:.0f}")),
        *(
            after(f"{part}_{name}", *((100, "{:.1f} %") if name.endswith("accuracy") else (1, "{:.3f}")))
            for name in (*figures, "loss")
            for part in ("train", "val")
        ),
        *((f"gap in {name.replace('_', ' ')}", gap(name)) for name in figures if name.endswith("accuracy")),
        ("validation / training loss", ratio),
    ]
    caption = (
        "After the last epoch: mean over seeds, below it smallest to largest; with one seed Wilson's 95 % interval of "
        "an accuracy, and none for the rest. A large gap is overtraining. Validation images serve the choice of "
        "epochs, not the claim of accuracy, which is made above."
    )
    return table(networks.items(), columns, caption)


def training_section(study: StudyFolder) -> Section:
    """Training time and throughput."""
    if not study.trained:
        return Section("training", "Training time", [Prose("No epoch has been finished yet.")])

    def lines(item: Named, name: str) -> list[float]:
        return [x[name] for r in item[1] for x in r.history]

    def whole(item: Named) -> Value:
        totals = [sum(x["seconds"] for x in r.history) for r in item[1]]
        ends = [compact_seconds(pick(totals)) for pick in (min, max)]
        small = " to ".join(ends) if len(totals) > 1 else "one seed"
        return Value(compact_seconds(fmean(totals)), fmean(totals), small)

    def how(item: Named) -> Value:
        facts = {k: _result(item[1], k) for k in ("device", "threads", "precision")}
        return words(", ".join(f"{v} threads" if k == "threads" else str(v) for k, v in facts.items() if v is not None))

    columns: Columns[Named] = [
        ("network", lambda item: Value(item[0], item[0])),
        ("seeds", lambda item: number(len(item[1]), "{:d}")),
        ("whole training", whole),
        ("an epoch", lambda i: estimate(median_interval(lines(i, "seconds"), positive=True), "{:.3g}", unit=" s")),
        ("images/s", lambda i: estimate(median_interval(lines(i, "images_per_s"), positive=True), "{:.4g}")),
        ("epochs measured (n)", lambda item: number(len(lines(item, "seconds")), "{:d}")),
        ("how", how),
    ]
    caption = (
        "Whole training: mean over seeds, below it smallest to largest. An epoch and images/s: median over all epochs "
        "of all seeds with its 95 % interval. Other work on the machine at the time is part of these figures: they are "
        "not paired, so small differences between networks are not established."
    )
    energy = any(isinstance(x.get("joules"), (int, float)) for r in study.runs for x in r.history)
    said = "" if energy else " Energy of training: unavailable, no sensor was read."
    return Section("training", "Training time", [table(study.trained.items(), columns, caption + said)])
