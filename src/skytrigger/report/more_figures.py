"""Pictures of the batch-size and power studies for report.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skytrigger.core.files import atomic_path
from skytrigger.core.host import host_label
from skytrigger.measure.summary import energy_summary
from skytrigger.report.batch_size import accuracy_gap, inference_of, is_base, trainings_of
from skytrigger.report.energy import limit_w, metered, name_of
from skytrigger.report.figures import BLUE, RUNTIME_COLOURS, SKY, VERMILLION
from skytrigger.report.provenance import is_synthetic

if TYPE_CHECKING:
    from skytrigger.measure.records import Record
    from skytrigger.measure.stats import Interval
    from skytrigger.report.speedups import Timing


def write_pictures(records: Sequence[Record], timed: Sequence[Timing], out: Path) -> list[Path]:
    """batch_size.png and power.png, of the first host, network and device that has such a study."""
    done = []
    if trainings_of(records) or inference_of(timed):
        batch_size_png(records, timed, out / "batch_size.png")
        done.append(out / "batch_size.png")
    measured = [r for r in metered(records) if energy_summary(r) is not None]
    if measured:
        power_png(measured, out / "power.png")
        done.append(out / "power.png")
    return done


def batch_size_png(records: Sequence[Record], timed: Sequence[Timing], out: Path) -> None:
    """Training (time, gap, accuracy) and inference (time, throughput) over the batch size."""
    from matplotlib.figure import Figure

    training, inference = trainings_of(records), inference_of(timed)
    key = next(iter([*training, *inference]))
    trained, timings = training.get(key, []), inference.get(key, [])
    figure = Figure(figsize=(15, 3.1), layout="constrained")
    axes = figure.subplots(1, 5)
    seed = min((r.what["seed"] for r, _ in trained), default=0)
    panels: tuple[tuple[Any, str, Callable[..., Interval]], ...] = (
        (axes[0], "training: s/epoch", lambda r, s: s.epoch_s),
        (axes[1], "training − validation accuracy", lambda r, s: accuracy_gap(r)),
        (axes[2], "accuracy", lambda r, s: s.accuracy),
    )
    for panel, title, value in panels:
        for rule, colour, style in (("kept", BLUE, "-"), ("scaled", VERMILLION, "--")):
            points = [
                (float(r.what["batch_size"]), value(r, s))
                for r, s in trained
                if r.what["seed"] == seed and (r.extra["rule"] == rule or is_base(r, trained))
            ]
            _trace(panel, points, f"learning rate {rule}", colour, style)
        panel.set_title(title, fontsize=9)
    for panel, title, name in (
        (axes[3], "inference: ms/image", "ms_per_item"),
        (axes[4], "inference: images/s", "items_per_s"),
    ):
        for engine in dict.fromkeys(t.engine for t in timings):
            own = [t for t in timings if t.engine == engine]
            colour = RUNTIME_COLOURS.get(str(own[0].record.what.get("runtime")), SKY)
            _trace(panel, [(float(t.setting[0]), getattr(t.summary, name)) for t in own], engine, colour, "-")
        panel.set_yscale("log")
        for axis in (panel.yaxis.set_major_formatter, panel.yaxis.set_minor_formatter):
            axis(lambda y, _: f"{y:g}")
        panel.tick_params(axis="y", which="both", labelsize=7)
        panel.set_title(title, fontsize=9)
    for panel in axes:
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        panel.set_xlabel("batch size", fontsize=8)
        panel.grid(alpha=0.25)
        if panel.get_legend_handles_labels()[1]:
            panel.legend(fontsize=7)
    first = next(iter([r for r, _ in trained] + [t.record for t in timings]))
    mark = " (synthetic data)" if is_synthetic(first) else ""
    figure.suptitle(f"{key[1]} on {key[2]}{mark}; {host_label(first.where)}; bars: 95 % intervals", fontsize=9)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _trace(panel: Any, points: Sequence[tuple[float, Interval]], label: str, colour: str, style: str) -> None:
    if not points:
        return
    points = sorted(points, key=lambda p: p[0])
    panel.plot([x for x, _ in points], [i.estimate for _, i in points], style, marker="o", ms=3.5, lw=1.2, color=colour,
               label=label)  # fmt: skip
    for x, i in points:
        if i.known:
            aside = x * (1.04 if style == "--" else 1.0)
            panel.plot([aside, aside], [i.low, i.high], "-", lw=1, color=colour)


def power_png(measured: Sequence[Record], out: Path) -> None:
    """Mean power of each window with its smallest and largest reading, beside the card's nominal maximum."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.4 + 0.34 * len(measured)), layout="constrained")
    panel = figure.add_subplot()
    labels = []
    for y, record in enumerate(measured):
        energy = record.energy
        colour = RUNTIME_COLOURS.get(str(record.what.get("runtime")), SKY)
        panel.plot([energy["watts_min"], energy["watts_max"]], [y, y], "-", lw=3, alpha=0.4, color=colour)
        panel.plot([energy["watts_mean"]], [y], "o", color=colour)
        network, done, batch = (v.text for v in name_of(record))
        labels.append(f"{network}, {done}, batch {batch}, {record.what.get('device')}")
    for limit in sorted({w for r in measured if (w := limit_w(r)) is not None}):
        panel.axvline(limit, color="black", lw=1, ls=":", label=f"nominal maximum {limit:g} W")
    panel.set_yticks(range(len(labels)), labels, fontsize=7)
    panel.invert_yaxis()
    panel.set_xlim(left=0)
    panel.set_xlabel("W: mean (point), smallest to largest reading (line)", fontsize=8)
    panel.grid(axis="x", alpha=0.25)
    if panel.get_legend_handles_labels()[1]:
        panel.legend(fontsize=7)
    hosts = "; ".join(sorted({host_label(r.where) for r in measured}))
    mark = " (synthetic data)" if any(is_synthetic(r) for r in measured) else ""
    figure.suptitle(hosts + mark, fontsize=8)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
