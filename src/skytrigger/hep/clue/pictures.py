"""An event's layer as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skytrigger.core.errors import InputError
from skytrigger.core.files import atomic_path
from skytrigger.hep.clue.hitset import Hitset
from skytrigger.hep.clue.results import Clusters


def layer_picture(
    path: str | Path, hits: Hitset, clusters: Clusters, layer: int | None = None, event: int | None = None
) -> None:
    """Hits of one layer (default: the one with most hits) coloured by cluster, seeds as stars, outliers grey."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(path)
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"{path}: unknown kind of picture", expected=".png, .svg or .pdf")
    shown = np.ones(len(hits), bool)
    if hits.event is not None:
        event = int(hits.event[0]) if event is None and len(hits) else event
        shown &= hits.event == event
    if layer is None and shown.any():
        values, counts = np.unique(hits.layer[shown], return_counts=True)
        layer = int(values[np.argmax(counts)])
    shown &= hits.layer == layer
    if not shown.any():
        raise InputError(f"no hits on layer {layer}", expected="a layer of the event")
    x, y, cluster = hits.x[shown], hits.y[shown], clusters.cluster_id[shown]
    size = np.clip(120.0 / np.sqrt(shown.sum()), 1.0, 30.0)
    figure = Figure(figsize=(8, 8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(aspect="equal", xlabel="x", ylabel="y")
    out, seed = cluster < 0, clusters.is_seed[shown]
    axes.scatter(x[out], y[out], s=size, c="0.75", label=f"outliers ({out.sum()})", linewidths=0)
    colour = (cluster[~out] * 7) % 20  # neighbouring numbers far apart on the colour scale
    axes.scatter(x[~out], y[~out], s=size, c=colour, cmap="tab20", vmin=0, vmax=19, linewidths=0)
    axes.scatter(x[seed], y[seed], s=4 * size, marker="*", c="k", linewidths=0, label=f"seeds ({seed.sum()})")
    name = f"layer {layer}" + ("" if event is None else f" of event {event}")
    axes.set_title(f"{name}: {shown.sum()} hits, {seed.sum()} clusters")
    axes.legend(loc="upper right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=150)
