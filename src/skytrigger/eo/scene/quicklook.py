"""quicklook.png: true colour beside the map, with legend and scale bar.

Drawn with Pillow: loading Matplotlib takes longer than drawing this picture, and a granule takes a few seconds in all.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from skytrigger.core.files import atomic_path
from skytrigger.eo.scene.cells import Cells
from skytrigger.eo.scene.decide import LandCover
from skytrigger.eo.scene.legend import NO_DATA
from skytrigger.eo.scene.model import Scene
from skytrigger.eo.scene.pictures import class_colours, nice_length, true_colour

PANEL, LEGEND, EDGE, HEAD = 640, 310, 16, 74  # pixels
INK, EMPTY = "#222222", "#dddddd"
TALLEST = 2.0  # height of a panel in its widths


def write_quicklook(path: Path, scene: Scene, cells: Cells, cover: LandCover, facts: dict[str, Any]) -> None:
    """Write it, whole or not at all."""
    grid = cells.grid
    tall = min(grid.height / grid.width, TALLEST)
    width = PANEL if grid.height <= TALLEST * grid.width else round(PANEL * TALLEST * grid.width / grid.height)
    size = (max(width, 1), max(round(PANEL * tall), 1))
    lines = legend_lines(cover, facts)
    height = HEAD + max(size[1], 24 * len(lines)) + EDGE
    picture = Image.new("RGB", (2 * PANEL + LEGEND + 4 * EDGE, height), "white")
    draw = ImageDraw.Draw(picture)
    title = f"{scene.name}   {scene.time[:10]}".strip()
    off = f"   OFF SCALE: pixels of {grid.pixel_m:.4g} m" if scene.off_scale else ""
    draw.text((EDGE, 10), f"{title}{off}", INK, _font(19))
    corners = [(EDGE, HEAD), (2 * EDGE + PANEL, HEAD)]
    for corner, words in zip(corners, ("true colour (B04, B03, B02)", "land cover"), strict=True):
        draw.text((corner[0], HEAD - 26), words, INK, _font(16))
    picture.paste(_fitted(Image.fromarray(true_colour(cover, cells)), size), corners[0])
    picture.paste(_class_panel(cells, cover, size), corners[1])
    _scale_bar(draw, corners[0], size, grid.width * grid.pixel_m / 1000)
    for k, (colour, words) in enumerate(lines):
        x, y = 3 * EDGE + 2 * PANEL, HEAD + 24 * k
        draw.rectangle((x, y + 3, x + 26, y + 17), colour, "#888888")
        draw.text((x + 36, y + 1), words, INK, _font(15))
    with atomic_path(path) as temporary:
        picture.save(temporary, "png", compress_level=4)


def legend_lines(cover: LandCover, facts: dict[str, Any]) -> list[tuple[str, str]]:
    """(colour, words) of what the map shows, with its area."""
    area = facts["area_km2"]
    lines = [(e.colour, f"{e.title}  {area[e.key]:,.0f} km²") for e in cover.entries if area[e.key] > 0]
    return [*lines, (EMPTY, "No data")] if (cover.codes == NO_DATA).any() else lines


def _fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Averaged where it shrinks, plain pixels where it grows."""
    shrinks = image.width > size[0]
    return image.resize(size, Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST)


def _class_panel(cells: Cells, cover: LandCover, size: tuple[int, int]) -> Image.Image:
    """The cells, cut at the scene's edge; never mixed: a mean of two classes' colours would be a third's."""
    codes = Image.fromarray(class_colours(cover), "RGBA")
    part = (0, 0, cells.grid.width / cells.stride, cells.grid.height / cells.stride)
    codes = codes.resize(size, Image.Resampling.NEAREST, box=part)
    ground = Image.new("RGB", size, EMPTY)
    ground.paste(codes, mask=codes)
    return ground


def _scale_bar(draw: ImageDraw.ImageDraw, corner: tuple[int, int], size: tuple[int, int], width_km: float) -> None:
    """A round length of about a quarter of the width."""
    length = nice_length(width_km / 4)
    x, y = corner[0] + 0.04 * size[0], corner[1] + size[1] - 22
    end = x + length / width_km * size[0]
    draw.rectangle((x - 2, y - 2, end + 2, y + 6), "white")
    draw.rectangle((x, y, end, y + 4), "black")
    words = f"{length:g} km" if length >= 1 else f"{1000 * length:g} m"
    left, top, right, bottom = draw.textbbox((x + 2, y - 24), words, _font(15))
    draw.rectangle((left - 3, top - 2, right + 3, bottom + 2), "white")
    draw.text((x + 2, y - 24), words, "black", _font(15))


def _font(pixels: int) -> Any:
    """Matplotlib's own font file (it has ² and accents), found without loading Matplotlib; else Pillow's."""
    found = importlib.util.find_spec("matplotlib")
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), pixels - 2)
    return ImageFont.load_default(pixels)
