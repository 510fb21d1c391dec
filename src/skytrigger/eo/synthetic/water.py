"""Scenes of rivers, lakes and the sea."""

from __future__ import annotations

import math

import numpy as np

from skytrigger.eo.synthetic.built import town
from skytrigger.eo.synthetic.canvas import Canvas, Mask
from skytrigger.eo.synthetic.rural import EVERYWHERE, countryside, woods
from skytrigger.eo.synthetic.shapes import course, frame


def water(canvas: Canvas, where: Mask, kinds: dict[str, float], waves: float) -> None:
    """Open water: two waters that mix in long swirls, wind waves, a little sun glint."""
    code = canvas.new(canvas.pick(**kinds), canvas.pick(**kinds), 0.2)
    _, across = frame(canvas.between(0, math.pi), canvas.noise(2.0), 12)
    ripple = np.sin(2 * math.pi * across / canvas.between(30, 60))
    light = 1 + waves * (0.5 * ripple + canvas.noise(0.4, shortest_m=12))
    canvas.paint(where, code, np.clip(canvas.between(0, 1) + 0.25 * canvas.noise(2.4), 0, 1), np.clip(light, 0.5, 2))


def river(canvas: Canvas) -> None:
    """A meandering river, wooded or sandy banks, the countryside around."""
    countryside(canvas)
    if canvas.chance(0.2):
        town(canvas, canvas.noise(2.4) > canvas.between(0.3, 1.2))
    distance, _ = course(canvas, canvas.between(30, 110), canvas.between(550, 1100))
    distance = distance + 7 * canvas.noise(1.6, shortest_m=30)
    width = math.exp(canvas.between(math.log(85), math.log(240)))
    bank = np.abs(distance) < width / 2 + canvas.between(5, 35)
    if canvas.chance(0.6):
        woods(canvas, bank & (canvas.noise(1.0) > -0.8), 0.1)
    else:
        canvas.paint(bank, canvas.new("meadow", "sand", 0.1), canvas.between(0, 1))
    water(canvas, np.abs(distance) < width / 2, {"water_lake": 1, "water_turbid": 0.5, "water_algae": 0.6}, 0.03)


def sea_lake(canvas: Canvas) -> None:
    """Open water to the border of the tile; in four of ten a shore."""
    shore = canvas.chance(0.4)
    if shore:
        countryside(canvas)
    offset = canvas.noise(2.2, shortest_m=40) * 60
    _, across = frame(canvas.between(0, 2 * math.pi))
    limit = canvas.between(60, 250)
    where = (across + offset < limit) if shore else EVERYWHERE
    if shore:
        canvas.paint(
            across + offset < limit + canvas.between(5, 20), canvas.new("sand", "meadow"), canvas.between(0, 1)
        )
    kinds = {"water_clear": 1.2, "water_lake": 1.0, "water_turbid": 0.35, "water_algae": 0.35}
    water(canvas, where, kinds, canvas.between(0.02, 0.10))
