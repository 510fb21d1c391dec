"""Bands brought to 10 m and cut to tiles, against a plain reference and against GDAL."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from scene.oracle import whole_band, window
from skytrigger.eo.scene.cells import mirrored
from skytrigger.eo.scene.cubic import copy_band, phase_weights, resample_band
from skytrigger.eo.scene.radiometry import Radiometry


def resampled(dn, factor, height, width, ys, xs, r=None, first=0, dtype=np.uint16):
    r = r or Radiometry()
    out = np.full((len(xs), 1, len(ys), xs.shape[1]), 7, dtype)
    gain, shift = np.float32(r.gain), np.float32(r.shift)
    if factor == 1:
        copy_band(dn[first:], first, gain, shift, ys, xs, out, 0)
    else:
        resample_band(dn[first:], first, len(dn), factor, *phase_weights(factor), gain, shift, ys, xs, out, 0)
    return out[:, 0]


def noise(shape, holes=0.0, seed=1):
    random = np.random.default_rng(seed)
    dn = random.integers(200, 12_000, shape).astype(np.uint16)
    dn[random.random(shape) < holes] = 0
    return dn


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("holes", [0.0, 0.15])
@pytest.mark.parametrize("r", [Radiometry(), Radiometry(10_000, -1000.0), Radiometry(20_000, 40.0)])
def test_whole_band_equals_the_plain_sum(factor, holes, r):
    height, width = 53, 74  # odd: the last native pixels stick out
    dn = noise((-(-height // factor), -(-width // factor)), holes)
    ys, xs = np.arange(height), np.arange(width)[None]
    found = resampled(dn, factor, height, width, ys, xs, r)[0]
    expected = whole_band(dn, factor, height, width, r)
    assert ((found == 0) == (expected == 0)).all()
    assert np.abs(found.astype(int) - expected).max() <= 1  # float32 sums round differently at halves
    assert (found == expected).mean() > 0.98  # gains of 1/2 make halves


@pytest.mark.parametrize("factor", [2, 6])
def test_whole_band_equals_gdals_cubic(factor, tmp_path):
    dn = noise((60, 84))
    with rasterio.open(tmp_path / "b.tif", "w", driver="GTiff", width=84, height=60, count=1, dtype="uint16") as t:
        t.write(dn, 1)
    with rasterio.open(tmp_path / "b.tif") as s:
        expected = s.read(1, out_shape=(60 * factor, 84 * factor), resampling=Resampling.cubic)
    found = resampled(dn, factor, *expected.shape, np.arange(expected.shape[0]), np.arange(expected.shape[1])[None])[0]
    inner = slice(2 * factor, -2 * factor)  # GDAL has its own rule at the edge
    difference = np.abs(found.astype(int) - expected.astype(int))[inner, inner]
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.99


def test_tiles_of_a_part_are_those_of_the_whole():
    """Neither seams nor shifts: every tile equals the whole band there, wherever its rows begin."""
    dn = noise((90, 90), 0.02)
    size = 32
    whole = resampled(dn, 6, 540, 540, np.arange(540), np.arange(540)[None])[0]
    for top in (0, 64, 131, 508):
        ys = np.arange(top, top + size)
        first = max(0, top // 6 - 2)
        xs = np.stack([np.arange(a, a + size) for a in (0, 32, 77, 508)])
        tiles = resampled(dn, 6, 540, 540, ys, xs, first=first)
        for tile, left in zip(tiles, (0, 32, 77, 508), strict=True):
            difference = np.abs(tile.astype(int) - whole[top : top + size, left : left + size])
            assert difference.max() <= 1  # the slow way and the fast one round differently at halves
            assert (difference == 0).mean() > 0.99


def test_float_tiles_hold_the_same_integers():
    dn, ys, xs = noise((40, 40), 0.1), np.arange(64), np.arange(64)[None]
    plain = resampled(dn, 2, 80, 80, ys, xs, Radiometry(10_000, -1000.0))
    floats = resampled(dn, 2, 80, 80, ys, xs, Radiometry(10_000, -1000.0), dtype=np.float32)
    assert (plain == floats).all()


@pytest.mark.parametrize("factor", [1, 2, 6])
def test_offset_never_wraps_and_no_data_stays(factor):
    dn = np.full((20, 20), 990, np.uint16)
    dn[5:9, 5:9] = 0
    dn[12:, 12:] = 65_535
    side = 20 * factor
    found = resampled(dn, factor, side, side, np.arange(side), np.arange(side)[None], Radiometry(10_000, -1000.0))[0]
    nearest = np.repeat(np.repeat(dn, factor, 0), factor, 1)
    assert (found[nearest == 0] == 0).all()  # not negative, not 64536
    assert (found[(nearest == 990)][:50] == 1).all()  # below zero becomes the least with data
    assert (found[-factor:, -factor:] == 65_535).all()  # saturated stays saturated
    assert set(np.unique(found[: 4 * factor, : 4 * factor])) == {1}


def test_weights_sum_to_one_and_are_symmetric():
    for factor in (2, 6, 12):
        base, weights = phase_weights(factor)
        assert np.abs(weights.sum(axis=1) - 1).max() < 1e-6
        assert np.abs(weights - weights[::-1, ::-1]).max() < 1e-6
        assert set(base) <= {-2, -1}


@pytest.mark.parametrize("size", [1, 3, 10])
def test_mirrored_as_numpy_pads(size):
    index = np.arange(-25, 40)
    expected = np.pad(np.arange(size), 40, mode="symmetric")[index + 40]
    assert (mirrored(index, size) == expected).all()
    assert (
        window(np.arange(size)[:, None] * np.ones(size, int), -2, 0, 4)[:, 0] == mirrored(np.arange(-2, 2), size)
    ).all()
