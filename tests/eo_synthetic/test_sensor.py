"""Air, optics, sampling, noise: against formulas, brute force and flat scenes."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrigger.eo.bands import BANDS, EUROSAT_ORDER
from skytrigger.eo.eurosat import CLASSES
from skytrigger.eo.synthetic import sensor, tile
from skytrigger.eo.synthetic.canvas import CELLS, Canvas
from skytrigger.eo.synthetic.materials import SPECTRA
from skytrigger.eo.synthetic.sensor import SIZE, Air, average, blur, noise_deviation, observe, upsample

NUMBER = {name: i for i, name in enumerate(EUROSAT_ORDER)}


def flat(material: str, seed: int = 0) -> Canvas:
    canvas = Canvas(np.random.default_rng(seed))
    canvas.paint(np.ones((CELLS, CELLS), bool), canvas.new(material, spread=0.0))
    return canvas


def column_space(resolution_m: int, start: int) -> np.ndarray:
    """Basis of what upsampling can make along one axis, by its effect on unit vectors."""
    n = 720 // resolution_m
    return np.stack([upsample(np.outer(row, np.ones(n)), resolution_m, start, 0)[:, 0] for row in np.eye(n)], axis=1)


@cache
def complements(resolution_m: int) -> list[np.ndarray]:
    """Projections, one per offset, onto what upsampling along one axis cannot make."""
    bases = [column_space(resolution_m, start) for start in range(sensor.OFFSETS)]
    return [np.eye(SIZE) - basis @ np.linalg.pinv(basis) for basis in bases]


def residual(image: np.ndarray, resolution_m: int) -> float:
    """RMS of what no upsampled coarse image explains, at the best offset of the worse axis."""
    return max(
        min(float(np.sqrt(((left @ view) ** 2).mean())) for left in complements(resolution_m))
        for view in (image, image.T)
    )


@pytest.mark.parametrize("number", [3, 4, 7])  # Highway, Industrial, Residential: full of detail
def test_each_band_has_its_own_resolution(number: int) -> None:
    image = tile(number, seed=2).astype(float)
    for band in BANDS:
        left = residual(image[NUMBER[band.name]], 60 if band.resolution_m == 60 else 20)
        if band.resolution_m == 10:
            assert left > 12, band.name  # detail that 20 m pixels cannot carry
        else:
            assert left < 0.4, band.name  # rounding to whole DN: 1 / sqrt(12)
    assert residual(image[NUMBER["B05"]], 60) > 12  # 20 m bands are no 60 m bands


def test_little_power_beyond_the_nyquist_frequency_of_60_m() -> None:
    window = np.outer(np.hanning(SIZE), np.hanning(SIZE))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE, 10.0), np.fft.fftfreq(SIZE, 10.0)))
    image = tile(CLASSES.index("Residential"), seed=3).astype(float)

    def fine_share(band: str) -> float:
        power = np.abs(np.fft.fft2(window * (image[NUMBER[band]] - image[NUMBER[band]].mean()))) ** 2
        return float(power[frequency > 1 / 60].sum() / power.sum())  # twice Nyquist: cubic images leak up to there

    assert fine_share("B01") < 0.03
    assert fine_share("B09") < 0.03
    assert fine_share("B02") > 0.4


@given(
    st.sampled_from([20, 60]),
    st.integers(0, 8),
    st.integers(0, 8),
    st.lists(st.floats(-3, 3), min_size=6, max_size=6),
)
@settings(max_examples=40, deadline=None)
def test_upsampling_reproduces_quadratic_surfaces(resolution_m: int, top: int, left: int, c: list[float]) -> None:
    """Keys 1981: third-order accurate, exact on quadratics, away from the border."""

    def surface(south: np.ndarray, east: np.ndarray) -> np.ndarray:
        return c[0] + c[1] * south + c[2] * east + c[3] * south**2 + c[4] * east**2 + c[5] * south * east

    n = 720 // resolution_m
    coarse = (np.arange(n) + 0.5) * resolution_m / 100
    south, east = ((np.arange(SIZE) + start + 0.5) / 10 for start in (top, left))
    made = upsample(surface(coarse[:, None], coarse[None]), resolution_m, top, left)
    wanted = surface(south[:, None], east[None])
    rim = 2 * resolution_m / 100
    inside = ((south > rim) & (south < 7.2 - rim))[:, None] & ((east > rim) & (east < 7.2 - rim))[None]
    np.testing.assert_allclose(made[inside], wanted[inside], atol=1e-9)


def test_averages_and_blur_against_brute_force() -> None:
    image = np.random.default_rng(0).random((12, 12))
    for factor in (1, 2, 3, 6):
        n = 12 // factor
        expected = [
            [image[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor].mean() for j in range(n)]
            for i in range(n)
        ]
        np.testing.assert_allclose(average(image, factor), expected)
    from scipy.ndimage import correlate1d

    kernel = [0.12, 0.76, 0.12]
    np.testing.assert_allclose(
        blur(image, 0.12), correlate1d(correlate1d(image, kernel, 0, mode="nearest"), kernel, 1, mode="nearest")
    )


def test_molecular_depth_is_that_of_the_literature() -> None:
    # Bodhaine et al. 1999: 0.0973 at 550 nm at sea level; the fourth power nearly holds
    at_560 = sensor.RAYLEIGH_DEPTH[NUMBER["B03"]]
    assert at_560 * (559.8 / 550) ** 4.08 == pytest.approx(0.0973, rel=0.02)
    assert sensor.RAYLEIGH_DEPTH[NUMBER["B01"]] == pytest.approx(0.239, rel=0.03)


def test_air_adds_light_to_dark_ground_and_takes_it_from_bright() -> None:
    for seed in range(20):
        air = Air(Canvas(np.random.default_rng(seed)))
        dark, bright = np.full((72, 72), 0.01), np.full((72, 72), 0.7)
        assert (air.top(dark, NUMBER["B02"]) > dark).all()
        for name in EUROSAT_ORDER:
            if name != "B10":
                assert (air.top(bright, NUMBER[name]) < bright).all()
        paths = [
            float(air.top(np.zeros((72, 72)), NUMBER[name]).mean()) for name in ("B01", "B02", "B03", "B04", "B8A")
        ]
        assert paths == sorted(paths, reverse=True)
        assert 0.05 < paths[0] < 0.35


def test_neighbours_lend_light() -> None:
    air = Air(Canvas(np.random.default_rng(1)))
    pond = np.full((72, 72), 0.02)
    pond_in_snow = np.full((72, 72), 0.9)
    pond_in_snow[30:40, 30:40] = 0.02
    blue = NUMBER["B02"]
    assert air.top(pond_in_snow, blue)[35, 35] > air.top(pond, blue)[35, 35] + 0.02


def test_noise_at_the_reference_radiance_has_the_reference_ratio() -> None:
    for i, band in enumerate(BANDS):
        radiance, ratio, irradiance = sensor.RADIOMETRY[band.name]
        reflectance = np.array(math.pi * radiance / (irradiance * 0.7))
        assert reflectance / noise_deviation(reflectance, i, 0.7) == pytest.approx(ratio)
        assert noise_deviation(reflectance / 10, i, 0.7) < noise_deviation(reflectance, i, 0.7)


@pytest.mark.parametrize("material", ["water_clear", "meadow", "concrete"])
def test_a_flat_scene_shows_the_noise_and_nothing_else(material: str) -> None:
    canvas = flat(material)
    image = observe(canvas)
    mu = math.cos(canvas.sun_zenith)
    for name in ("B02", "B03", "B04", "B08"):
        seen = image[NUMBER[name]].astype(float)
        expected = 10_000 * float(noise_deviation(np.array(seen.mean() / 10_000), NUMBER[name], mu))
        assert seen.std() == pytest.approx(math.hypot(expected, 12**-0.5), rel=0.06)


def test_materials_follow_their_physics() -> None:
    def of(material: str, band: str) -> float:
        return float(SPECTRA[material][NUMBER[band]])

    for name in SPECTRA:
        assert (SPECTRA[name] > 0).all()
        assert (SPECTRA[name] < 0.6).all()
    for green in ("crop_green", "crop_young", "meadow", "broadleaf", "conifer", "shrub", "orchard"):
        assert of(green, "B08") > 3 * of(green, "B04"), green  # red edge
        assert of(green, "B03") > max(of(green, "B02"), of(green, "B04")), green  # green peak
        assert of(green, "B12") < of(green, "B11") < of(green, "B8A"), green  # leaf water
    for soil in ("soil_bright", "soil_red", "soil_dark", "sand"):
        visible = [of(soil, b) for b in ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A")]
        assert visible == sorted(visible), soil
        assert of(soil, "B11") > of("soil_wet", "B11")
    for water in ("water_clear", "water_lake", "water_algae", "water_turbid"):
        assert of(water, "B11") < 0.01, water
        assert of(water, "B08") < of(water, "B03"), water
