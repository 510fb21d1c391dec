"""Scenes of houses, halls and roads."""

from __future__ import annotations

import math

import numpy as np

from skytrigger.eo.synthetic.canvas import Canvas, Field, Mask
from skytrigger.eo.synthetic.rural import EVERYWHERE, countryside, woods
from skytrigger.eo.synthetic.shapes import Lattice, course, frame


def residential(canvas: Canvas) -> None:
    """Streets, rows of small roofs, gardens; in older towns the streets bend."""
    town(canvas, EVERYWHERE)


def town(canvas: Canvas, where: Mask) -> None:
    """Small houses in blocks within `where`."""
    rng = canvas.rng
    garden = canvas.new("meadow", "dry_grass" if canvas.chance(0.6) else canvas.soil, 0.1)
    canvas.paint(where, garden, np.clip(0.35 + 0.25 * canvas.noise(1.0) + 0.4 * (canvas.season - 0.5), 0, 1))
    woods(canvas, where & (canvas.noise(0.8, shortest_m=12) > canvas.between(0.45, 1.6)), 0.12)
    warp = canvas.noise(2.4, shortest_m=250)
    along, across = frame(canvas.between(0, math.pi), warp, canvas.between(0, 25))
    block_along, block_across = canvas.between(85, 190), canvas.between(52, 76)
    blocks = Lattice.over(along, across, block_along, block_across)
    street = (np.abs(blocks.across) > block_across / 2 - 5.5) | (np.abs(blocks.along) > block_along / 2 - 4.5)

    # two rows of plots back to back: a house near the street in each
    plot = canvas.between(17, 27)
    plots = Lattice.over(along, across, plot, block_across / 2)
    dice, size = plots.dice(canvas), plots.dice(canvas)
    front = np.where(plots.row % 2 == 0, -1.0, 1.0) * block_across * 0.03
    house = (
        (dice < canvas.between(0.62, 0.97))
        & (np.abs(plots.along) < plot * (0.27 + 0.16 * size))
        & (np.abs(plots.across - front) < block_across * (0.10 + 0.06 * size))
        & ~street
        & where
    )
    canvas.cast_shadow(house, canvas.between(5, 9))
    tiled = canvas.between(0.1, 0.95)
    kinds = [canvas.new("roof_tile", "roof_slate", 0.14) for _ in range(4)]
    others = [canvas.new("roof_slate", "concrete", 0.14), canvas.new("roof_dark", "concrete", 0.14)]
    bright = canvas.new("concrete", "roof_metal", 0.12)
    which = plots.dice(canvas)
    code = np.array([*kinds, *others, bright], np.intp)[
        np.where(
            which < tiled, (which * 97).astype(int) % 4, np.where(which < 0.96, 4 + (which * 89).astype(int) % 2, 6)
        )
    ]
    canvas.paint(house, code, 0.3 * size, 0.85 + 0.3 * plots.dice(canvas))
    canvas.paint(street & where, canvas.new("asphalt", "concrete", 0.1), 0.15 + 0.3 * rng.random())


ROOFS = (
    ("roof_white", "concrete"),
    ("roof_metal", "roof_white"),
    ("roof_slate", "concrete"),
    ("roof_slate", "asphalt"),
    ("roof_dark", "asphalt"),
    ("concrete", "roof_tile"),
)


def industrial(canvas: Canvas) -> None:
    """Large flat roofs and yards in few big blocks, wide roads, little green."""
    rng = canvas.rng
    angle = canvas.between(0, math.pi)
    along, across = frame(angle)
    along, across = along + canvas.between(-90, 90), across + canvas.between(-90, 90)
    step_along, step_across = canvas.between(130, 230), canvas.between(100, 180)
    lots = Lattice.over(along, across, step_along, step_across)
    dice = lots.dice(canvas)

    yard = canvas.new("asphalt", "concrete", 0.12)
    canvas.paint(EVERYWHERE, yard, np.clip(dice * 0.9 + 0.12 * canvas.noise(0.8), 0, 1))
    green = dice < canvas.between(0.05, 0.5)
    canvas.paint(green, canvas.new("meadow", canvas.soil, 0.1), np.clip(0.4 + 0.3 * canvas.noise(1.5), 0, 1))
    woods(canvas, green & (canvas.noise(0.8, shortest_m=15) > 0.8))

    # each lot holds one hall, or two or three side by side
    parts = 1 + (lots.dice(canvas) * 3).astype(int)
    cut = lots.across / step_across * parts
    part = np.floor(cut + parts / 2)
    local = (cut + parts / 2 - part - 0.5) * step_across / parts
    key = lots.dice(canvas) + 0.37 * part
    key = key - np.floor(key)
    length, depth = 0.28 + 0.16 * lots.dice(canvas), np.where(parts == 1, 0.34, 0.38)
    hall = (np.abs(lots.along) < length * step_along) & (np.abs(local) < depth * step_across / parts) & ~green
    canvas.cast_shadow(hall, canvas.between(8, 16))
    ridges = 0.06 * np.sin(2 * math.pi * local / canvas.between(18, 30))
    chosen = rng.permutation(len(ROOFS))[: rng.integers(3, len(ROOFS))]
    code = np.array([canvas.new(ROOFS[k][0], ROOFS[k][1], 0.14) for k in chosen], np.intp)
    canvas.paint(hall, code[(key * len(code)).astype(int)], 0.35 * lots.dice(canvas), 1 + ridges)
    road = np.abs(lots.across) > step_across / 2 - canvas.between(5, 9)
    canvas.paint(road, canvas.new("asphalt", "gravel"), 0.1)


def highway(canvas: Canvas) -> None:
    """One wide road, two carriageways and verges, through whatever landscape."""
    countryside(canvas)
    if canvas.chance(0.15):
        town(canvas, canvas.noise(2.4) > canvas.between(0.4, 1.2))
    if canvas.chance(0.4):
        distance, _ = course(canvas, canvas.between(0, 40), canvas.between(700, 1500))
        road(canvas, distance, canvas.between(14, 20), median_m=0.0)
    distance, _ = course(canvas, canvas.between(0, 70), canvas.between(900, 2200))
    road(canvas, distance, canvas.between(34, 48), median_m=canvas.between(3, 9))


def road(canvas: Canvas, distance: Field, width_m: float, median_m: float) -> None:
    """A road about the line distance = 0: verge, asphalt or concrete, a median strip."""
    away = np.abs(distance)
    verge = canvas.new("meadow", "dry_grass")
    canvas.paint(away < width_m / 2 + canvas.between(8, 24), verge, canvas.between(0.0, 0.5))
    surface = canvas.new("asphalt", "concrete", 0.12)
    canvas.paint(away < width_m / 2, surface, canvas.between(0.0, 0.35))
    canvas.paint(away < median_m / 2, canvas.new("meadow", "concrete"), canvas.between(0.2, 0.9))
