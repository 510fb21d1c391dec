"""A picture of a dataset: some tiles of every class, in natural colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.core.files import atomic_path
from skytrigger.core.seeds import generator
from skytrigger.eo.bands import RGB, RGB_WHITE_DN

COLUMNS = 10
_INCHES = 0.8


def natural_colour(tile: NDArray[Any], channels: tuple[str, ...], units: str) -> tuple[NDArray[np.uint8], str]:
    """(h, w, 3) picture of a (c, h, w) tile and what it shows.

    DN are stretched as EuroSAT's own JPEGs are, ``clip(DN / 2750) x 255``. Without red, green and blue the first
    channel is shown in grey, from the tile's 2nd to its 98th percentile.
    """
    if all(name in channels for name in RGB):
        picture = np.stack([tile[channels.index(name)] for name in RGB], axis=-1)
        if units == "rgb8":
            return picture.astype(np.uint8), "B04, B03, B02"
        scaled = np.clip(picture / RGB_WHITE_DN, 0, 1) * 255
        return scaled.astype(np.uint8), f"B04, B03, B02, white at {RGB_WHITE_DN:.0f} DN"
    low, high = np.percentile(tile[0], (2, 98))
    grey = np.clip((tile[0] - low) / max(float(high - low), 1.0), 0, 1) * 255
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1), f"{channels[0]}, each tile stretched"


def write_contact_sheet(dataset: Dataset, path: Path, *, columns: int = COLUMNS, seed: int = 0) -> Path:
    """Write a PNG with one labelled row of tiles per class, chosen by `seed`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = np.bincount(dataset.y, minlength=len(dataset.classes))
    figure = Figure(figsize=((columns + 2.4) * _INCHES, (len(counts) + 0.9) * _INCHES))
    FigureCanvasAgg(figure)
    width, height = columns + 2.4, len(counts) + 0.9
    shown = ""
    for row, name in enumerate(dataset.classes):
        members = generator(seed, "contact sheet", name).permutation(np.flatnonzero(dataset.y == row))[:columns]
        bottom = (len(counts) - 1 - row + 0.05) / height
        figure.text(2.25 / width, bottom + 0.56 / height, name, ha="right", va="center", fontsize=8)
        figure.text(
            2.25 / width,
            bottom + 0.28 / height,
            f"{counts[row]:,} tiles",
            ha="right",
            va="center",
            fontsize=6.5,
            c="0.4",
        )
        for column, index in enumerate(np.sort(members)):
            axes = figure.add_axes(((2.4 + column) / width, bottom, 0.95 / width, 0.95 / height))
            picture, shown = natural_colour(np.asarray(dataset.x[index]), dataset.channels, dataset.units)
            axes.imshow(picture, interpolation="nearest")
            axes.set_axis_off()
    kind = "synthetic tiles" if dataset.source.get("kind") == "synthetic" else "tiles"
    title = f"{len(dataset):,} {kind} of {len(counts)} classes ({shown})"
    figure.text(0.5, 1 - 0.45 / height, title, ha="center", va="center", fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png", metadata={"Software": "skytrigger"})
    return path
