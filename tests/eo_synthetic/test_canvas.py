"""Random fields, light and shapes of the drawn ground."""

from __future__ import annotations

import math

import numpy as np
import pytest

from skytrigger.eo.synthetic.canvas import CELL_M, CELLS, EAST_M, SOUTH_M, Canvas
from skytrigger.eo.synthetic.materials import SPECTRA
from skytrigger.eo.synthetic.shapes import Lattice, borders, brick_parcels, course, frame, voronoi_parcels, widen


@pytest.fixture
def canvas() -> Canvas:
    return Canvas(np.random.default_rng(3))


@pytest.mark.parametrize(("exponent", "shortest_m"), [(0.0, 0.0), (0.5, 0.0), (1.4, 0.0), (2.2, 0.0), (1.0, 120.0)])
def test_fields_are_standardised_and_as_rough_as_asked(canvas: Canvas, exponent: float, shortest_m: float) -> None:
    field = canvas.noise(exponent, shortest_m)
    assert field.shape == (CELLS, CELLS)
    assert field.mean() == pytest.approx(0, abs=1e-9)
    assert field.std() == pytest.approx(1)
    power = np.mean([np.abs(np.fft.rfft2(canvas.noise(exponent))) ** 2 for _ in range(12)], axis=0)
    slope = (math.log(power[30, 0] + power[0, 30]) - math.log(power[5, 0] + power[0, 5])) / (2 * math.log(6))
    assert slope == pytest.approx(-exponent, abs=0.6)


def test_reflectance_is_light_times_the_mixture(canvas: Canvas) -> None:
    code = canvas.new("meadow", "soil_red", spread=0.0)
    half = SOUTH_M < 0
    canvas.paint(np.ones_like(half), code, 0.25, 1.0)
    canvas.paint(half, code, 0.25, 0.5)
    for band in range(13):
        mixture = canvas.exposure * (0.75 * SPECTRA["meadow"][band] + 0.25 * SPECTRA["soil_red"][band])
        made = canvas.reflectance(band)
        np.testing.assert_allclose(made[~half], mixture)
        np.testing.assert_allclose(made[half], mixture / 2)


def test_the_sun_is_in_the_south_east(canvas: Canvas) -> None:
    body = np.zeros((CELLS, CELLS), bool)
    body[70:74, 70:74] = True
    canvas.cast_shadow(body, 30.0)
    south, east = np.nonzero(canvas.light < 1)
    assert len(south)
    assert (canvas.light[body] == 1).all()
    assert south.mean() < 71.5
    assert east.mean() < 71.5
    reach = np.hypot(south - 71.5, east - 71.5).max() * CELL_M
    assert reach == pytest.approx(30.0 * math.tan(canvas.sun_zenith) + 2 * CELL_M, abs=2.5 * CELL_M)

    lit = Canvas(np.random.default_rng(3))
    hill = -np.hypot(EAST_M, SOUTH_M) / 100
    lit.relief(hill, 20.0)
    toward = EAST_M * math.sin(lit.sun_azimuth) - SOUTH_M * math.cos(lit.sun_azimuth)
    sunny, shady = (sign * toward > 0.5 * np.hypot(EAST_M, SOUTH_M) for sign in (1, -1))
    assert lit.light[sunny].min() > 1 > lit.light[shady].max()


def test_a_winding_band_keeps_its_width() -> None:
    for seed in range(12):
        distance, along = course(Canvas(np.random.default_rng(seed)), 60, 1200)
        inside = np.abs(distance) < 40
        if np.abs(along).max() < 400:  # area over length is the width, for bands that cross straight through
            assert inside.sum() * CELL_M**2 / 720 == pytest.approx(80, rel=0.35)
        gradient = np.hypot(*np.gradient(distance, CELL_M))
        assert np.median(np.abs(gradient[inside] - 1)) < 0.1  # a distance has slope one


@pytest.mark.parametrize("seed", range(4))
def test_parcels_cover_the_scene(seed: int) -> None:
    canvas = Canvas(np.random.default_rng(seed))
    bricks = brick_parcels(canvas, 0.7, 150, 250)
    assert sorted(np.unique(bricks)) == sorted(set(bricks.ravel().tolist()))
    area = np.bincount(bricks.ravel()) * CELL_M**2
    assert 6 <= (area > 0).sum() <= 60
    assert area.max() < 2.6 * 150 * 250
    cells = voronoi_parcels(canvas, 9, warp_m=0.0)
    assert cells.max() < 9
    edge = borders(cells)
    assert 0 < edge.mean() < 0.2
    assert (widen(edge, 2) >= edge).all()
    assert widen(edge, 2).sum() > 1.5 * edge.sum()


def test_voronoi_parcels_are_nearest_seeds() -> None:
    canvas, twin = (Canvas(np.random.default_rng(8)) for _ in range(2))
    label = voronoi_parcels(canvas, 7, warp_m=0.0)
    seeds = twin.rng.uniform(-360, 360, (7, 2))
    for row, column in ((0, 0), (40, 99), (143, 20), (77, 77)):
        away = np.hypot(seeds[:, 0] - EAST_M[row, column], seeds[:, 1] - SOUTH_M[row, column])
        assert label[row, column] == away.argmin()


def test_lattice_cells_are_equal_and_dice_are_per_cell(canvas: Canvas) -> None:
    lattice = Lattice.over(*frame(0.0), 60, 45)
    assert np.abs(lattice.along).max() <= 30
    assert np.abs(lattice.across).max() <= 22.5
    dice = lattice.dice(canvas)
    cell = lattice.column * 1000 + lattice.row
    for number in np.unique(cell)[:20]:
        assert len(np.unique(dice[cell == number])) == 1
    assert len(np.unique(dice)) == len(np.unique(cell))
