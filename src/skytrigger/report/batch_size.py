"""What the batch does: to training (time, gap, accuracy; learning rate kept and scaled apart), and to inference."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from skytrigger.core.host import host_id
from skytrigger.measure.records import Record
from skytrigger.measure.stats import Interval, newcombe, wilson
from skytrigger.measure.summary import TrainingSummary, training_summary
from skytrigger.report import svg
from skytrigger.report.content import Block, Figure, Prose, Section, Table, Value, estimate, number, words
from skytrigger.report.energy import joules_per_epoch, why_absent
from skytrigger.report.speedups import Timing
from skytrigger.report.timing import CEILING_NOTE, ceiling_value, joules_value, speedup_value

STUDY = "batch-size"
TONES = {"kept": "c3", "scaled": "c4 dash"}
Trained = tuple[Record, TrainingSummary]
Group = tuple[str, str, str]
Figured = Callable[[Record, TrainingSummary], Interval]


def of_study(record: Record) -> bool:
    """Whether the record belongs to a batch-size study, which has its own section."""
    return record.extra.get("study") == STUDY


def trainings_of(records: Sequence[Record]) -> dict[Group, list[Trained]]:
    """(host, network, device) -> trainings, by rule and batch size."""
    found: dict[Group, list[Trained]] = {}
    for record in records:
        if of_study(record) and (summary := training_summary(record)) is not None:
            key = (host_id(record.where), str(record.what.get("network")), str(record.what.get("device")))
            found.setdefault(key, []).append((record, summary))
    for group in found.values():
        group.sort(key=lambda t: (t[0].extra["rule"], t[0].what["batch_size"], t[0].what["seed"]))
    return found


def inference_of(timed: Sequence[Timing]) -> dict[Group, list[Timing]]:
    """(host, network, device) -> timings, by engine and batch size."""
    found: dict[Group, list[Timing]] = {}
    for t in timed:
        if of_study(t.record):
            found.setdefault((t.host, t.network, t.setting[1]), []).append(t)
    for group in found.values():
        group.sort(key=lambda t: (t.engine, t.setting[0]))
    return found


def batch_size_section(records: Sequence[Record], timed: Sequence[Timing], hosts: dict[str, str]) -> Section | None:
    """Both parts, a figure and a table each, for every host, network and device."""
    training, inference = trainings_of(records), inference_of(timed)
    blocks: list[Block] = []
    for key in dict.fromkeys([*training, *inference]):
        where = f"{key[1]} on {key[2]}" + (f", {hosts.get(key[0], key[0])}" if len(hosts) > 1 else "")
        if key in training:
            blocks += _training_blocks(training[key], where)
        if key in inference:
            blocks += _inference_blocks(inference[key], where)
    return Section("batch-size", "Batch size", blocks) if blocks else None


def accuracy_gap(record: Record) -> Interval:
    """Training minus validation accuracy after the last epoch, with Newcombe's interval where the counts are known."""
    counts = record.extra.get("data") or {}
    shares = [record.samples[f"{part}_accuracy"].values[-1] for part in ("train", "val")]
    sizes = [record.samples["epoch"].items, int(counts.get("val") or 0)]
    if not sizes[1]:
        return Interval(shares[0] - shares[1], math.nan, math.nan)
    first, second = (wilson(min(n, round(p * n)), n) for p, n in zip(shares, sizes, strict=True))
    return newcombe(first, second)


def _training_blocks(group: Sequence[Trained], where: str) -> list[Block]:
    part = str(group[0][0].extra.get("part"))
    drawn: dict[str, tuple[str, Figured, bool, bool]] = {
        "an epoch": ("s", lambda r, s: s.epoch_s, True, False),
        "gap in loss": ("validation − training, nats", lambda r, s: Interval(s.gap, math.nan, math.nan), False, False),
        "gap in accuracy": ("training − validation", lambda r, s: accuracy_gap(r), False, True),
        f"accuracy on {part} images": ("Wilson's 95 %", lambda r, s: s.accuracy, False, True),
    }
    first_seed = min(r.what["seed"] for r, _ in group)
    panels = []
    for title, (unit, value, log, percent) in drawn.items():
        lines = []
        for rule in dict.fromkeys(r.extra["rule"] for r, _ in group):
            points = [
                (float(r.what["batch_size"]), value(r, s))
                for r, s in group
                if r.what["seed"] == first_seed and (r.extra["rule"] == rule or is_base(r, group))
            ]
            lines.append(svg.Trace(f"rate {rule}", sorted(points, key=lambda p: p[0]), TONES.get(rule, "c7")))
        panels.append((title.capitalize(), svg.traces(unit or part, lines, log=log, percent=percent)))
    scaling = next((r.extra.get("scaling") for r, _ in group if r.extra["rule"] == "scaled"), None)
    how = {"sqrt": "the rate times the square root of batch / 32 (for Adam)", "linear": "the rate times batch / 32"}
    caption = (
        f"Training {where} with batches of different size, first seed: learning rate kept, and scaled: "
        f"{how.get(str(scaling), 'not trained')}. Whiskers: 95 % intervals."
    )
    return [Figure(panels, caption), _training_table(group, where, part)]


def is_base(record: Record, group: Sequence[Trained]) -> bool:
    """Whether the record's batch size needs no scaling, so that it belongs to both rules."""
    own = (record.what["batch_size"], record.what["seed"])
    return not any(r.extra["rule"] == "scaled" and (r.what["batch_size"], r.what["seed"]) == own for r, _ in group)


def _training_table(group: Sequence[Trained], where: str, part: str) -> Table:
    seeds = len({r.what["seed"] for r, _ in group}) > 1
    rows = []
    for r, s in group:
        shown = [
            words(r.extra["rule"]),
            number(r.what["batch_size"], "{:d}"),
            number(r.extra["learning_rate"], "{:.2g}"),
        ]
        shown += [number(r.what["seed"], "{:d}")] if seeds else []
        shown += [
            estimate(s.epoch_s, "{:.3g}", unit=" s"),
            number(r.samples["epoch"].items / s.epoch_s.estimate, "{:.4g}"),
            Value(f"{s.train_loss:.3f} / {s.val_loss:.3f}", s.val_loss),
            number(s.gap, "{:+.3f}", "one training: no interval"),
            estimate(accuracy_gap(r), "{:+.1f}", 100, " points"),
            estimate(s.accuracy, "{:.1f}", 100, " %"),
            joules_per_epoch(r),
            number(len(r.samples["epoch"].values), "{:d}", f"{s.accuracy.n} images"),
        ]
        rows.append(shown)
    head = ("learning rate", "batch", "rate", *(["seed"] if seeds else []), "an epoch", "images/s",
            "training / validation loss", "gap in loss (nats)", "gap in accuracy", f"accuracy, {part} images",
            "J/epoch", "epochs (n)")  # fmt: skip
    record = group[0][0]
    what = record.what
    facts = record.extra.get("data") or {}
    caption = (
        f"Training {where}, {what['precision']}, {what['threads']} threads, {record.samples['epoch'].items:,} training "
        f"and {facts.get('val', '?')} validation images. An epoch: median with its 95 % interval. Gaps are of the last "
        "epoch: validation minus training loss, training minus validation accuracy (Newcombe's interval); training "
        "figures are taken while the weights still change. Accuracy with Wilson's interval, which holds the images but "
        "not the seed: one training stands behind each row, and differences between rows are not tested here. All rows "
        "have the same number of epochs, so larger batches have fewer steps."
    ) + why_absent([r for r, _ in group])
    return Table(head, rows, caption)


def _inference_blocks(group: Sequence[Timing], where: str) -> list[Block]:
    engines = list(dict.fromkeys(t.engine for t in group))
    panels = []
    for title, unit, name in (("Time", "ms/image", "ms_per_item"), ("Throughput", "images/s", "items_per_s")):
        lines = []
        for engine in engines:
            own = [t for t in group if t.engine == engine]
            points = [(float(t.setting[0]), getattr(t.summary, name)) for t in own]
            lines.append(svg.Trace(engine, points, own[0].tone))
        panels.append((title, svg.traces(unit, lines)))
    ceiling = any(t.ceiling for t in group)
    energy = any(t.record.energy["label"] != "unavailable" for t in group)
    rows = [
        [
            words(t.engine), number(t.setting[0], "{:d}"), estimate(t.summary.ms_per_item),
            estimate(t.summary.items_per_s, "{:.4g}"), speedup_value(t), *([ceiling_value(t)] if ceiling else []),
            *([joules_value(t)] if energy else []), number(t.summary.call_s.n, "{:d}"),
        ]
        for t in group
    ]  # fmt: skip
    threads = sorted({t.record.what.get("threads") or 1 for t in group})
    head = ("engine", "batch", "ms/image", "images/s", "speed-up over torch fp32",
            *(["of the machine's ceiling"] if ceiling else []), *(["mJ/image above idle"] if energy else []),
            "calls timed (n)")  # fmt: skip
    caption = (
        f"Inference with {where}, {' or '.join(map(str, threads))} threads: batch 1 call by call, larger ones back to "
        "back. Median over all timed calls with its 95 % interval. Speed-ups are paired within one batch size; each "
        "batch size is a run of its own, so small differences between batch sizes are not established."
    ) + (CEILING_NOTE if ceiling else "")
    fig = Figure(
        panels, f"Inference with {where} over the batch size, both axes logarithmic. Whiskers: 95 % intervals."
    )
    blocks: list[Block] = [fig, Table(head, rows, caption)]
    if not energy:
        blocks.append(Prose("Energy of inference: unavailable, this study does not ask for it; the power study does."))
    return blocks
