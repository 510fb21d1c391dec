"""Pictures drawn with matplotlib, written as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skytrigger.core.files import atomic_path
from skytrigger.core.host import host_label

if TYPE_CHECKING:
    from skytrigger.report.speedups import Timing
    from skytrigger.report.study_folder import Run, StudyFolder


def confusion_png(found: dict[str, Any], out: str | Path, title: str = "") -> None:
    """Confusion matrix: counts in the cells, colour by share of the true class (row)."""
    from matplotlib.figure import Figure

    counts = np.array(found["confusion"])
    classes = found["classes"]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.52 * len(classes)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    for (row, column), value in np.ndenumerate(counts):
        if value:
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, str(value), ha="center", va="center", color=colour, fontsize=8)
    low, high = found["accuracy_interval_95"]
    axes.set_title(
        f"{title}\n{100 * found['accuracy']:.1f} % of {found['images']} images right "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f})".strip(),
        fontsize=10,
    )
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


# Okabe & Ito's palette: told apart with any colour vision
BLUE, ORANGE, GREEN, VERMILLION, PINK, SKY, GREY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
    "#777",
)
RUNTIME_COLOURS = {"torch": GREY, "torch-compiled": PINK, "onnxruntime": BLUE, "openvino": VERMILLION,
                   "tensorrt": GREEN, "tensorrt_rtx": ORANGE}  # fmt: skip


def write_pictures(studies: Sequence[StudyFolder], timed: Sequence[Timing], out: Path) -> list[Path]:
    """curves.png, confusion.png, speed.png, as far as there is something to show; of the first study."""
    done = []
    for study in studies[:1]:
        networks = {name: [r for r in runs if r.history] for name, runs in study.networks.items()}
        networks = {name: runs for name, runs in networks.items() if runs}
        mark = " (synthetic data)" if study.synthetic else ""
        if networks:
            curves_png(networks, out / "curves.png", mark)
            done.append(out / "curves.png")
        judged = [r for runs in study.networks.values() for r in runs[:1] if r.found]
        if judged and len(judged[0].found["classes"]) <= 40:  # type: ignore[index]
            title = f"{judged[0].network}, seed {judged[0].seed}{mark}"
            confusion_png(judged[0].found, out / "confusion.png", title)  # type: ignore[arg-type]
            done.append(out / "confusion.png")
    if timed:
        speed_png(timed, out / "speed.png")
        done.append(out / "speed.png")
    return done


def curves_png(networks: dict[str, list[Run]], out: Path, mark: str = "") -> None:
    """Loss (above) and accuracy (below) over epochs, a column for each network, a line for each seed."""
    from matplotlib.figure import Figure

    count = len(networks)
    figure = Figure(figsize=(max(4.5, 2.3 * count), 4.6), layout="constrained")
    axes = figure.subplots(2, count, sharex=True, sharey="row", squeeze=False)
    for column, (name, runs) in enumerate(networks.items()):
        for row, what in enumerate(("loss", "accuracy")):
            panel = axes[row][column]
            for part, colour, style in (("train", BLUE, "-"), ("val", VERMILLION, "--")):
                for i, run in enumerate(runs):
                    values = [x[f"{part}_{what}"] for x in run.history]
                    label = {"train": "training", "val": "validation"}[part] if i == 0 else None
                    marker = "o" if len(values) == 1 else None
                    panel.plot(
                        range(1, len(values) + 1), values, style, marker=marker, color=colour, lw=1.2, label=label
                    )
            panel.grid(alpha=0.25)
        axes[0][column].set_title(name, fontsize=9)
        axes[0][column].set_yscale("log")
        axes[1][column].set_ylim(0, 1)
        axes[1][column].set_xlabel("epoch", fontsize=8)
    axes[0][0].set_ylabel("loss (nats)")
    axes[1][0].set_ylabel("accuracy")
    axes[1][0].legend(fontsize=7, loc="lower right")
    seeds = max(len(runs) for runs in networks.values())
    figure.suptitle(f"Training and validation, {seeds} seed{'s' if seeds > 1 else ''}{mark}", fontsize=10)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def speed_png(timed: Sequence[Timing], out: Path) -> None:
    """Median ms per image with 95 % intervals, a column for each batch size and device, a row for each engine."""
    from matplotlib.figure import Figure

    settings = sorted({t.setting for t in timed})
    rows = {s: [t for t in timed if t.setting == s] for s in settings}
    height = 1.2 + 0.2 * max(len(r) + len({t.network for t in r}) for r in rows.values())
    figure = Figure(figsize=(5.4 * len(settings), min(height, 40)), layout="constrained")
    for panel, (size, device) in zip(figure.subplots(1, len(settings), squeeze=False)[0], settings, strict=True):
        labels, places, y = [], [], 0.0
        for network in dict.fromkeys(t.network for t in rows[size, device]):
            for t in [t for t in rows[size, device] if t.network == network]:
                ms = t.summary.ms_per_item
                colour = RUNTIME_COLOURS.get(str(t.record.what.get("runtime")), SKY)
                panel.barh(y, ms.estimate, color=colour, height=0.8)
                if ms.known:
                    panel.plot([max(ms.low, 0.0), ms.high], [y, y], color="black", lw=1.2)
                labels.append(f"{network}  {t.engine}")
                places.append(y)
                y += 1
            y += 0.6
        panel.set_yticks(places, labels, fontsize=7)
        panel.invert_yaxis()
        panel.set_xlim(left=0)  # bars need their zero
        panel.set_xlabel("ms per image (black: 95 % interval)", fontsize=8)
        panel.set_title(f"batch {size}, {device}", fontsize=9)
        panel.grid(axis="x", alpha=0.25)
    hosts = sorted({host_label(t.record.where) for t in timed})
    figure.suptitle("; ".join(hosts), fontsize=8)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
