"""What the batch does: to training (time, gap, accuracy; learning rate kept and scaled apart), and to inference."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from skytrigger.core.host import host_id
from skytrigger.measure.records import Record
from skytrigger.measure.stats import Interval, newcombe, wilson
from skytrigger.measure.summary import TrainingSummary, training_summary
from skytrigger.report import charts
from skytrigger.report.content import (
    Block,
    Columns,
    Figure,
    Prose,
    Section,
    Table,
    Value,
    estimate,
    number,
    table,
    words,
)
from skytrigger.report.energy import joules_per_epoch, why_absent
from skytrigger.report.palette import FIRST, OTHER, SECOND
from skytrigger.report.speedups import Timing
from skytrigger.report.timing import CEILING_NOTE, ceiling_value, joules_value, speedup_value

STUDY = "batch-size"
TONES = {"kept": FIRST, "scaled": f"{SECOND} dash"}
Trained = tuple[Record, TrainingSummary]
Group = tuple[str, str, str]
Figured = Callable[[Record, TrainingSummary], Interval]


def of_study(record: Record) -> bool:
    """Whether the record belongs to a batch-size study, which has its own section."""
    return record.extra.get("study") == STUDY


def batch_size_section(records: Sequence[Record], timed: Sequence[Timing], hosts: dict[str, str]) -> Section | None:
    """Both parts, a figure and a table each, for every host, network and device."""
    training: dict[Group, list[Trained]] = {}
    inference: dict[Group, list[Timing]] = {}
    for record in records:
        if of_study(record) and (summary := training_summary(record)) is not None:
            key = (host_id(record.where), str(record.what.get("network")), str(record.what.get("device")))
            training.setdefault(key, []).append((record, summary))
    for t in timed:
        if of_study(t.record):
            inference.setdefault((t.host, t.network, t.setting[1]), []).append(t)
    blocks: list[Block] = []
    for key in dict.fromkeys([*training, *inference]):
        where = f"{key[1]} on {key[2]}" + (f", {hosts.get(key[0], key[0])}" if len(hosts) > 1 else "")
        if key in training:
            order = sorted(training[key], key=lambda t: (rule_of(t[0]), t[0].what["batch_size"], t[0].what["seed"]))
            blocks += _training_blocks(order, where)
        if key in inference:
            blocks += _inference_blocks(sorted(inference[key], key=lambda t: (t.engine, t.setting[0])), where)
    return Section("batch-size", "Batch size", blocks) if blocks else None


def rule_of(record: Record) -> str:
    """Whether the learning rate was ``kept`` or ``scaled``."""
    return str(record.extra.get("rule") or "kept")


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
    # a batch size that needs no scaling belongs to both rules
    scaled = {(r.what["batch_size"], r.what["seed"]) for r, _ in group if rule_of(r) == "scaled"}
    panels = []
    for title, (unit, value, log, percent) in drawn.items():
        lines = []
        for rule in dict.fromkeys(rule_of(r) for r, _ in group):
            points = [
                (float(r.what["batch_size"]), value(r, s))
                for r, s in group
                if r.what["seed"] == first_seed
                and (rule_of(r) == rule or (r.what["batch_size"], r.what["seed"]) not in scaled)
            ]
            lines.append(charts.Trace(f"rate {rule}", sorted(points, key=lambda p: p[0]), TONES.get(rule, OTHER)))
        panels.append((title.capitalize(), charts.traces(unit or part, lines, log=log, percent=percent)))
    scaling = next((r.extra.get("scaling") for r, _ in group if rule_of(r) == "scaled"), None)
    how = {"sqrt": "the rate times the square root of batch / 32 (for Adam)", "linear": "the rate times batch / 32"}
    caption = (
        f"Training {where} with batches of different size, first seed: learning rate kept, and scaled: "
        f"{how.get(str(scaling), 'not trained')}. Whiskers: 95 % intervals."
    )
    return [Figure(panels, caption), _training_table(group, where, part)]


def _training_table(group: Sequence[Trained], where: str, part: str) -> Table:
    seeds = len({r.what["seed"] for r, _ in group}) > 1
    columns: Columns[Trained] = [
        ("learning rate", lambda t: words(rule_of(t[0]))),
        ("batch", lambda t: number(t[0].what["batch_size"], "{:d}")),
        ("rate", lambda t: number(t[0].extra["learning_rate"], "{:.2g}")),
        ("seed", lambda t: number(t[0].what["seed"], "{:d}")) if seeds else None,
        ("an epoch", lambda t: estimate(t[1].epoch_s, "{:.3g}", unit=" s")),
        ("images/s", lambda t: number(t[0].samples["epoch"].items / t[1].epoch_s.estimate, "{:.4g}")),
        ("training / validation loss", lambda t: Value(f"{t[1].train_loss:.3f} / {t[1].val_loss:.3f}", t[1].val_loss)),
        ("gap in loss (nats)", lambda t: number(t[1].gap, "{:+.3f}", "one training: no interval")),
        ("gap in accuracy", lambda t: estimate(accuracy_gap(t[0]), "{:+.1f}", 100, " points")),
        (f"accuracy, {part} images", lambda t: estimate(t[1].accuracy, "{:.1f}", 100, " %")),
        ("J/epoch", lambda t: joules_per_epoch(t[0])),
        ("epochs (n)", lambda t: number(len(t[0].samples["epoch"].values), "{:d}", f"{t[1].accuracy.n} images")),
    ]
    record = group[0][0]
    what, facts = record.what, record.extra.get("data") or {}
    caption = (
        f"Training {where}, {what['precision']}, {what['threads']} threads, {record.samples['epoch'].items:,} training "
        f"and {facts.get('val', '?')} validation images. An epoch: median with its 95 % interval. Gaps are of the last "
        "epoch: validation minus training loss, training minus validation accuracy (Newcombe's interval); training "
        "figures are taken while the weights still change. Accuracy with Wilson's interval, which holds the images but "
        "not the seed: one training stands behind each row, and differences between rows are not tested here. All rows "
        "have the same number of epochs, so larger batches have fewer steps."
    ) + why_absent([r for r, _ in group])
    return table(group, columns, caption)


def _inference_blocks(group: Sequence[Timing], where: str) -> list[Block]:
    panels = []
    for title, unit, name in (("Time", "ms/image", "ms_per_item"), ("Throughput", "images/s", "items_per_s")):
        lines = []
        for engine in dict.fromkeys(t.engine for t in group):
            own = [t for t in group if t.engine == engine]
            points = [(float(t.setting[0]), getattr(t.summary, name)) for t in own]
            lines.append(charts.Trace(engine, points, own[0].tone))
        panels.append((title, charts.traces(unit, lines)))
    energy = any(t.record.energy["label"] != "unavailable" for t in group)
    columns: Columns[Timing] = [
        ("engine", lambda t: words(t.engine)),
        ("batch", lambda t: number(t.setting[0], "{:d}")),
        ("ms/image", lambda t: estimate(t.summary.ms_per_item)),
        ("images/s", lambda t: estimate(t.summary.items_per_s, "{:.4g}")),
        ("speed-up over torch fp32", speedup_value),
        ("of the machine's ceiling", ceiling_value) if (ceiling := any(t.ceiling for t in group)) else None,
        ("mJ/image above idle", joules_value) if energy else None,
        ("calls timed (n)", lambda t: number(t.summary.call_s.n, "{:d}")),
    ]
    threads = sorted({t.record.what.get("threads") or 1 for t in group})
    caption = (
        f"Inference with {where}, {' or '.join(map(str, threads))} threads: batch 1 call by call, larger ones back to "
        "back. Median over all timed calls with its 95 % interval. Speed-ups are paired within one batch size; each "
        "batch size is a run of its own, so small differences between batch sizes are not established."
    ) + (CEILING_NOTE if ceiling else "")
    said = f"Inference with {where} over the batch size, both axes logarithmic. Whiskers: 95 % intervals."
    blocks: list[Block] = [Figure(panels, said), table(group, columns, caption)]
    if not energy:
        blocks.append(Prose("Energy of inference: unavailable, this study does not ask for it; the power study does."))
    return blocks
