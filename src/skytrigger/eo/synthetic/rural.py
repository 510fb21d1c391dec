"""Scenes of fields, meadows, scrub and woods."""

from __future__ import annotations

import math

import numpy as np

from skytrigger.eo.synthetic.canvas import CELLS, Canvas, Codes, Field, Mask
from skytrigger.eo.synthetic.shapes import Lattice, borders, brick_parcels, frame, voronoi_parcels, widen

EVERYWHERE: Mask = np.ones((CELLS, CELLS), bool)


def crop_stages(canvas: Canvas) -> list[str]:
    """What neighbouring fields carry: one full crop, and two of the other stages as the season has it."""
    green = math.exp(-(((canvas.season - 0.4) / 0.22) ** 2))  # most crops are green in early summer
    weight = np.array([1.0 - 0.65 * green, 0.4, 0.5])
    others = canvas.rng.choice(["bare", "young", "ripe"], 2, replace=False, p=weight / weight.sum())
    return [str(stage) for stage in canvas.rng.permutation(["full", *others])]


def crop(canvas: Canvas, stage: str) -> tuple[int, float]:
    """One field of an annual crop: its object, and the crop's share of the ground."""
    soil = canvas.soil if canvas.chance(0.9) else "soil_wet"
    if stage == "bare":
        return canvas.new(soil, "crop_young", spread=0.12), canvas.between(0.0, 0.12)
    if stage == "young":
        return canvas.new(soil, "crop_young"), canvas.between(0.3, 0.75)
    if stage == "full":
        return canvas.new(soil, "crop_green"), canvas.between(0.75, 1.0)
    return canvas.new(soil, "ripe_cereal", spread=0.10), canvas.between(0.5, 0.95)


def annual_crop(canvas: Canvas) -> None:
    """A few large, even fields, drilled or ploughed in one direction each; farm tracks between them."""
    arable(canvas, canvas.between(190, 380), canvas.between(260, 560), drilling=canvas.between(0.02, 0.06))


def arable(canvas: Canvas, width_m: float, length_m: float, drilling: float) -> None:
    """Arable fields; `drilling` is the contrast of machine passes."""
    angle = canvas.between(0, math.pi)
    label = brick_parcels(canvas, angle, width_m, length_m)
    stages = crop_stages(canvas)  # neighbours differ: a farm rotates its crops
    fields = [crop(canvas, stages[number % 3]) for number in range(int(label.max()) + 1)]
    code, share = np.array([f[0] for f in fields], np.intp), np.array([f[1] for f in fields])
    turned = canvas.rng.random(len(fields)) < 0.35
    along, across = frame(angle)
    passes = np.sin(2 * math.pi * np.where(turned[label], along, across) / canvas.between(44, 70))
    patchy = canvas.noise(2.0) * 0.05
    light = 1 + drilling * 0.6 * passes + patchy
    canvas.paint(EVERYWHERE, code[label], np.clip(share[label] * (1 + drilling * passes + patchy), 0, 1), light)
    if drilling and canvas.chance(0.7):
        track = widen(borders(label), 1)
        canvas.paint(track, canvas.new(canvas.soil, "meadow"), canvas.between(0.3, 1.0))


def permanent_crop(canvas: Canvas) -> None:
    """Small blocks of vines or trees, planted in lines or on a square grid over soil that stays visible.

    Real vine rows stand 2 m apart, below what 10 m pixels show; the spacing here is that of planting
    blocks and service lanes, 28 to 42 m, so that the pattern survives the sensor.
    """
    angle = canvas.between(0, math.pi)
    label = brick_parcels(canvas, angle, canvas.between(130, 230), canvas.between(170, 320))
    count = int(label.max()) + 1
    rng = canvas.rng
    soil = canvas.soil
    code = np.array([canvas.new(soil, "orchard" if rng.random() < 0.8 else "shrub", 0.10) for _ in range(count)])
    vigour = rng.uniform(0.7, 1.0, count) * (0.75 + 0.35 * math.sin(math.pi * canvas.season))
    grid, turned = rng.random(count) < canvas.between(0.2, 1), rng.random(count) < 0.4
    along, across = frame(angle)
    spacing = canvas.between(28, 42)
    wave_along, wave_across = (np.cos(2 * math.pi * c / spacing) for c in (along, across))
    lines = np.where(turned[label], wave_along, wave_across)
    trees = np.where(grid[label], 1.35 * (0.5 + 0.5 * wave_along) * (0.5 + 0.5 * wave_across), 0.5 + 0.5 * lines)
    trees = trees * (1 + 0.25 * canvas.noise(0.5))
    fallow = (rng.random(count) < 0.05)[label]
    share = np.where(fallow, 0.2 * vigour[label], 0.1 + 1.2 * vigour[label] * trees)
    canvas.paint(EVERYWHERE, code[label], np.clip(share, 0, 1))
    track = widen(borders(label), 1)
    canvas.paint(track, canvas.new(soil, "dry_grass"), canvas.between(0.1, 0.6))


def pasture(canvas: Canvas) -> None:
    """Smooth meadows behind hedges, single trees, cattle tracks."""
    meadows(canvas, int(canvas.rng.integers(1, 8)))


def meadows(canvas: Canvas, count: int) -> None:
    """Meadows of `count` parcels, with hedges on some borders and scattered trees."""
    rng = canvas.rng
    label = voronoi_parcels(canvas, count)
    dry = np.clip(canvas.season - 0.35, 0, 1) * canvas.between(0, 1.6)
    code = canvas.news(count, "meadow", "dry_grass", 0.09)
    share = np.clip(dry + rng.normal(0.08, 0.12, count), 0, 0.85)
    canvas.paint(
        EVERYWHERE,
        code[label],
        np.clip(share[label] + 0.05 * canvas.noise(2.0), 0, 1),
        1 + 0.035 * canvas.noise(2.2) + 0.01 * canvas.noise(0.3),
    )
    wooded = borders(np.where(rng.random(count)[label] < 0.75, label, count))
    hedge = widen(wooded, int(rng.integers(1, 4))) & (canvas.noise(1.0) > -0.9)
    woods(canvas, hedge | _single_trees(canvas, canvas.between(0.0, 0.06)), spread=0.1)
    canvas.cast_shadow(hedge, 6)


def _single_trees(canvas: Canvas, density: float) -> Mask:
    lattice = Lattice.over(*frame(0.4, canvas.noise(1.0), 20), 30, 30)
    dice = lattice.dice(canvas)
    return np.asarray((dice < density) & (np.hypot(lattice.along, lattice.across) < 5 + 9 * dice / max(density, 1e-9)))


def woods(canvas: Canvas, where: Mask, spread: float = 0.08, conifer: float = 0.3) -> None:
    """Closed canopy: lit crowns and the shade between them, at the size of crowns and stands."""
    kind = "conifer" if canvas.chance(conifer) else "broadleaf"
    crowns = canvas.noise(0.0, shortest_m=16)
    stands = canvas.noise(1.8, shortest_m=40)
    share = np.clip(0.36 + 0.24 * crowns + 0.08 * stands, 0, 1)
    canvas.paint(where, canvas.new(kind, "canopy_shade", spread), share, 1 + 0.05 * stands)


def forest(canvas: Canvas) -> None:
    """Canopy over hills, sometimes two kinds of trees, a forest road or a clearing."""
    woods(canvas, EVERYWHERE, 0.18, conifer=0.35)
    if canvas.chance(0.5):
        woods(canvas, canvas.noise(2.2) > canvas.between(-0.3, 1.2), 0.18, conifer=0.6)
    if canvas.chance(0.4):
        canvas.paint(canvas.noise(2.4) > canvas.between(0.8, 2.0), canvas.new("meadow", "shrub"), canvas.between(0, 1))
    if canvas.chance(0.12):
        _, across = frame(canvas.between(0, math.pi), canvas.noise(2.0, shortest_m=150), 40)
        canvas.paint(np.abs(across - canvas.between(-150, 150)) < 5, canvas.new("gravel", "meadow"), 0.5)
    canvas.relief(canvas.noise(2.4, shortest_m=60), canvas.between(3, 20))


def herbaceous(canvas: Canvas) -> None:
    """Heath and scrub: a patchwork without borders of dry grass, shrubs and open ground, with footpaths."""
    scrub(canvas)
    if canvas.chance(0.15):
        for _ in range(int(canvas.rng.integers(1, 4))):
            _, across = frame(canvas.between(0, math.pi), canvas.noise(2.0, shortest_m=100), 45)
            canvas.paint(np.abs(across - canvas.between(-250, 250)) < 4.5, canvas.new(canvas.soil, "sand"), 0.3)
    canvas.relief(canvas.noise(2.4, shortest_m=60), canvas.between(2, 15))


def scrub(canvas: Canvas) -> None:
    """The patchwork itself, at all sizes from 10 to 500 m."""
    grass = "dry_grass" if canvas.season > canvas.between(0.0, 0.45) else "meadow"
    mosaic = canvas.noise(1.2) + canvas.between(-0.4, 0.4)
    share = _step(mosaic, canvas.between(0.3, 0.7))
    canvas.paint(EVERYWHERE, canvas.new(grass, "shrub", 0.12), share)
    open_ground = canvas.noise(1.4)
    canvas.paint(
        open_ground > canvas.between(0.9, 2.2), canvas.new(canvas.soil, "dry_grass", 0.1), _step(mosaic, 1.0) * 0.6
    )
    bushes = canvas.noise(0.3, shortest_m=22) > 1.35 - 0.7 * share
    canvas.paint(bushes, canvas.new("shrub", "canopy_shade", 0.1), canvas.between(0.1, 0.4))
    canvas.cast_shadow(bushes, 3)


def _step(field: Field, width: float) -> Field:
    """From 0 to 1 through `width` about 0."""
    return np.asarray(np.clip(field / width + 0.5, 0, 1))


def countryside(canvas: Canvas) -> None:
    """What lies around roads, rivers and towns: any of the open landscapes."""
    kind = canvas.pick(arable=0.5, meadows=0.3, woods=0.2)
    if kind == "arable":
        arable(canvas, canvas.between(120, 300), canvas.between(200, 450), 0.0)
    elif kind == "meadows":
        meadows(canvas, int(canvas.rng.integers(2, 9)))
    else:
        meadows(canvas, int(canvas.rng.integers(2, 6)))
        woods(canvas, canvas.noise(2.2) > canvas.between(0.0, 0.9))


__all__ = ["Codes", "annual_crop", "countryside", "forest", "herbaceous", "pasture", "permanent_crop", "woods"]
