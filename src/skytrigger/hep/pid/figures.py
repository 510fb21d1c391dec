"""Pictures of particle identity: confusion, ROC, energies, resolution, and showers themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.files import atomic_path
from skytrigger.hep.pid.geometry import CLASSES, LAYER_Z, MUON
from skytrigger.hep.pid.tracksters import Tracksters

COLOURS = dict(zip(CLASSES, ("#0072b2", "#e69f00", "#009e73", "#cc3311"), strict=True))
WORDS = dict(zip(CLASSES, ("photon", "electron", "muon", "charged hadron"), strict=True))


def pictures(found: Mapping[str, Any], folder: Path) -> None:
    """confusion.png, roc.png and resolution.png of what `figures_of_merit` gives."""
    synthetic = found.get("data", {}).get("kind") == "synthetic"
    what = f"{found['n']} {'simulated ' if synthetic else ''}showers ({found.get('part', 'all')})"
    confusion_png(found, folder / "confusion.png", what)
    roc_png(found, folder / "roc.png", what)
    resolution_png(found, folder / "resolution.png", what)


def _save(figure: Any, out: Path) -> None:
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def confusion_png(found: Mapping[str, Any], out: Path, what: str) -> None:
    """Shares of each true class, with counts."""
    from matplotlib.figure import Figure

    counts = np.array(found["confusion"])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(5.6, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(share.shape):
        colour = "white" if share[row, column] > 0.5 else "black"
        text = f"{100 * share[row, column]:.1f} %\n{counts[row, column]}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    names = [WORDS[c] for c in CLASSES]
    axes.set_xticks(range(len(names)), names, rotation=20)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="answered", ylabel="true")
    low, high = found["accuracy_interval_95"]
    axes.set_title(f"{what}\naccuracy {found['accuracy']:.4f} ({low:.4f} to {high:.4f})", fontsize=10)
    _save(figure, out)


def roc_png(found: Mapping[str, Any], out: Path, what: str) -> None:
    """Rejection against efficiency of every pair of classes; beside, the pairs that are nearly apart, enlarged."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    whole, close = figure.subplots(1, 2)
    for number, (pair, curve) in enumerate(found["pairs"].items()):
        first, second = pair.split("/")
        label = f"{WORDS[first]} / {WORDS[second]}: AUC {curve['auc']:.4f}"
        whole.plot(curve["efficiency"], curve["rejection"], color=f"C{number}", label=label)
        lost = np.maximum(1 - np.array(curve["rejection"]), 1e-5)
        close.semilogy(curve["efficiency"], lost, color=f"C{number}")
    whole.plot([0, 1], [1, 0], ":", color="grey")
    whole.set(xlabel="efficiency (first of the pair kept)", ylabel="rejection (second removed)")
    whole.legend(fontsize=7, loc="lower left")
    close.set(xlabel="efficiency", ylabel="share of the second that stays", ylim=(1e-4, 1))
    figure.suptitle(what, fontsize=10)
    _save(figure, out)


def resolution_png(found: Mapping[str, Any], out: Path, what: str) -> None:
    """Response (above) and sigma68 (below) against energy, network and baselines, 95 % intervals."""
    from matplotlib.figure import Figure

    names = list(found["response"])
    figure = Figure(figsize=(4.2 * max(len(names), 1), 6.4), layout="constrained")
    panels = figure.subplots(2, max(len(names), 1), squeeze=False, sharex=True)
    rows = {"network": found, **found["baselines"]}
    for column, name in enumerate(names):
        for number, (who, row) in enumerate(rows.items()):
            if name in row["response"]:
                label = who if who != "network" else "this network"
                _curve(panels[:, column], row["response"][name], f"C{number}", label)
            if name in row["response_outside"]:
                _curve(panels[:, column], row["response_outside"][name], f"C{number}", None, fit=False)
        panels[0, column].axhline(1, color="grey", linewidth=0.8)
        for panel in panels[:, column]:
            for edge in found["trained_range_GeV"]:
                panel.axvline(edge, color="grey", linestyle=":", linewidth=0.8)
        panels[0, column].set_title(WORDS[name], fontsize=10)
        panels[1, column].set(xlabel="true energy, GeV", ylim=(0, None))
        panels[1, column].legend(fontsize=7)
    panels[0, 0].set_ylabel("median of predicted / true")
    panels[1, 0].set_ylabel("sigma68 of predicted / true")
    figure.suptitle(f"{what}; dotted: trained range", fontsize=10)
    _save(figure, out)


def _curve(axes: Any, row: Mapping[str, Any], colour: str, label: str | None, fit: bool = True) -> None:
    energy = np.array([b["energy"] for b in row["bins"]])
    for panel, value in zip(axes, ("median", "sigma68"), strict=True):
        middle = np.array([b[value] for b in row["bins"]])
        ends = np.array([b[f"{value}_interval"] for b in row["bins"]])
        error = np.maximum(np.abs(ends.T - middle), 0)
        panel.errorbar(energy, middle, error, fmt="o" if fit else "x", color=colour, markersize=4)
    if fit:
        grid = np.linspace(energy.min(), energy.max(), 100)
        text = f"{label}: {100 * row['a']:.1f} %/sqrt(E) + {100 * row['b']:.1f} %"
        axes[1].plot(grid, np.sqrt(row["a"] ** 2 / grid + row["b"] ** 2), color=colour, label=text, linewidth=1)


def energies_png(
    true: NDArray[np.floating], predicted: NDArray[np.floating], label: NDArray[np.integer], out: Path, what: str
) -> None:
    """Predicted against true energy, a panel for each class that showers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    limit = float(np.nanmax(true)) * 1.1
    showering = [(kind, name) for kind, name in enumerate(CLASSES) if kind != MUON]
    for axes, (kind, name) in zip(figure.subplots(1, 3, sharey=True), showering, strict=True):
        own = label == kind
        axes.plot(true[own], predicted[own], ".", markersize=1.5, alpha=0.4, color=COLOURS[name])
        axes.plot([0, limit], [0, limit], color="grey", linewidth=0.8)
        axes.set(title=WORDS[name], xlabel="true energy, GeV", xlim=(0, limit), ylim=(0, limit))
    figure.axes[0].set_ylabel("predicted energy, GeV")
    figure.suptitle(what, fontsize=10)
    _save(figure, out)


def showers_png(found: Tracksters, rows: Sequence[int], out: Path, what: str) -> None:
    """Event displays: each shower from the side (distance from the beam against z) and in eta and phi by layer."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(rows), 6.2), layout="constrained")
    panels = figure.subplots(2, len(rows), squeeze=False)
    for column, row in enumerate(rows):
        one = found.take(np.array([row]))
        c = one.clusters
        z = LAYER_Z[c.layer - 1]
        radius = z / np.sinh(np.abs(c.eta))
        order = np.argsort(c.energy)
        size, colour = 2 + 60 * np.sqrt(c.energy / c.energy.max()), np.log10(c.energy)
        shared: dict[str, Any] = {"s": size[order], "cmap": "viridis", "alpha": 0.8, "linewidths": 0}
        panels[0, column].scatter(z[order], radius[order], c=colour[order], **shared)
        drawn = panels[1, column].scatter(c.eta[order], c.phi[order], c=c.layer[order], **shared)
        title = "shower"
        if one.label is not None and one.true_energy is not None:
            title = f"{WORDS[CLASSES[one.label[0]]]}, {one.true_energy[0]:.0f} GeV"
        panels[0, column].set(title=title, xlabel="z, cm", xlim=(315, 520))
        panels[1, column].set(xlabel="eta")
    panels[0, 0].set_ylabel("distance from the beam, cm")
    panels[1, 0].set_ylabel("phi")
    figure.colorbar(drawn, ax=panels[1, :].tolist(), label="layer")
    figure.suptitle(f"{what}; area by energy, colour by energy (above) and layer (below)", fontsize=10)
    _save(figure, out)
