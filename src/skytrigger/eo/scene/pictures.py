"""True colour and classes as images, and quicklook.png."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.files import atomic_path
from skytrigger.eo.scene.cells import Cells
from skytrigger.eo.scene.decide import LandCover
from skytrigger.eo.scene.legend import NO_DATA
from skytrigger.eo.scene.model import Scene

Image = NDArray[np.uint8]


def true_colour(cover: LandCover, cells: Cells) -> Image:
    """(h, w, 3): the cells' pictures side by side, cut at the scene's edge, at most about `PICTURE_SIDE` a side."""
    picture = cover.cells.picture
    rows, columns = picture.shape[:2]
    side = cells.picture
    whole = picture.transpose(0, 2, 1, 3, 4).reshape(rows * side, columns * side, 3)
    step = cells.stride / side
    height, width = round(cells.grid.height / step), round(cells.grid.width / step)
    whole = whole[: max(height, 1), : max(width, 1)]
    return np.ascontiguousarray(whole)


def class_colours(cover: LandCover) -> Image:
    """(rows, columns, 4) RGBA, transparent where there is no data."""
    table = np.zeros((256, 4), np.uint8)
    for entry in cover.entries:
        table[entry.value] = (*entry.rgb, 255)
    return table[cover.codes]


def write_quicklook(path: Path, scene: Scene, cells: Cells, cover: LandCover, facts: dict[str, Any]) -> None:
    """True colour beside the map, with legend and scale bar."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    width_km, height_km = (n * cells.grid.pixel_m / 1000 for n in (cells.grid.width, cells.grid.height))
    panel = 5.2
    figure = Figure(figsize=(2 * panel + 2.6, max(panel * min(height_km / width_km, 2.0), 3.4) + 0.75))
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    extent = (0, width_km, height_km, 0)
    left.imshow(true_colour(cover, cells), extent=extent, interpolation="antialiased")
    cut = (0, cells.columns * cells.map_grid.pixel_m / 1000, cells.rows * cells.map_grid.pixel_m / 1000, 0)
    right.imshow(class_colours(cover), extent=cut, interpolation="nearest")
    right.set_facecolor("#dddddd")
    for axes, title in ((left, "true colour (B04, B03, B02)"), (right, "land cover")):
        axes.set(xlim=(0, width_km), ylim=(height_km, 0), xticks=[], yticks=[])
        axes.set_title(title, fontsize=9)
    _scale_bar(left, width_km, height_km)
    shown = [e for e in cover.entries if facts["area_km2"][e.key] > 0]
    handles = [
        Patch(
            facecolor=e.colour, edgecolor="0.5", linewidth=0.4, label=f"{e.title}  {facts['area_km2'][e.key]:,.0f} km²"
        )
        for e in shown
    ]
    if (cover.codes == NO_DATA).any():
        handles.append(Patch(facecolor="#dddddd", edgecolor="0.5", linewidth=0.4, label="No data"))
    figure.legend(handles=handles, loc="center right", fontsize=8, frameon=False)
    title = f"{scene.name}   {scene.time[:10]}".strip()
    off = f"   OFF SCALE: pixels of {scene.grid.pixel_m:.4g} m" if scene.off_scale else ""
    figure.suptitle(f"{title}{off}", fontsize=10)
    figure.subplots_adjust(left=0.01, right=1 - 2.5 / figure.get_figwidth(), bottom=0.02, top=0.9, wspace=0.03)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png", metadata={"Software": "skytrigger"})


def _scale_bar(axes: Any, width_km: float, height_km: float) -> None:
    """A round length of about a quarter of the width."""
    length = nice_length(width_km / 4)
    x, y = 0.04 * width_km, 0.95 * height_km
    axes.plot([x, x + length], [y, y], color="white", linewidth=5, solid_capstyle="butt")
    axes.plot([x, x + length], [y, y], color="black", linewidth=2.5, solid_capstyle="butt")
    label = f"{length:g} km" if length >= 1 else f"{1000 * length:g} m"
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.2}
    axes.text(x, y - 0.02 * height_km, label, fontsize=8, va="bottom", bbox=box)


def nice_length(about: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is at most `about`."""
    power = 10.0 ** np.floor(np.log10(about))
    return float(power * max(m for m in (1, 2, 5) if m * power <= about * (1 + 1e-9)))
