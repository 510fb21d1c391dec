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

    DN and reflectance are stretched as EuroSAT's own JPEGs are, ``clip(DN / 2750) x 255``. In other units, and without
    red, green and blue (the first channel in grey), each tile goes from its 2nd to its 98th percentile.
    """
    picture = tile[:1].repeat(3, axis=0).transpose(1, 2, 0)
    title = channels[0]
    if all(name in channels for name in RGB):
        picture, title = np.stack([tile[channels.index(name)] for name in RGB], axis=-1), "B04, B03, B02"
        white = {"DN": RGB_WHITE_DN, "reflectance": RGB_WHITE_DN / 1e4}.get(units)
        if units == "rgb8":
            return picture.astype(np.uint8), title
        if white is not None:
            scaled = np.clip(picture / white, 0, 1) * 255
            return scaled.astype(np.uint8), f"{title}, white at {white:g} {units}"
    elif units == "grey8":
        return picture.astype(np.uint8), title
    low, high = np.percentile(picture, (2, 98))
    stretched = np.clip((picture - low) / (float(high - low) or 1.0), 0, 1) * 255
    return stretched.astype(np.uint8), f"{title}, each tile stretched"


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
