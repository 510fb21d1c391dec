"""Whole products as a replay's stream."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rasterio")
pytest.importorskip("skyfield")

from scene.make_scenes import multiband, pixels
from skytrigger.core.errors import InputError
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.onboard.mission import prepare
from skytrigger.onboard.scene_tiles import scene_tiles
from skytrigger.onboard.spec_file import load_spec

SMALL = Path(__file__).parent / "small.toml"


def test_tiles_are_the_scenes_own_pixels_and_whole(tmp_path):
    bands = pixels(330, 270, seed=4)
    path = multiband(tmp_path / "scene.tif", bands)
    tiles = scene_tiles([str(path)])
    whole = [
        (r, c)
        for r in range(270 // 64) for c in range(330 // 64)
        if (bands["B02"][64 * r : 64 * r + 64, 64 * c : 64 * c + 64] > 0).all()
    ]  # fmt: skip
    assert 0 < len(tiles) <= len(whole)
    blue = EUROSAT_ORDER.index("B02")
    cut = [bands["B02"][64 * r : 64 * r + 64, 64 * c : 64 * c + 64] for r, c in whole]
    assert all(any(np.array_equal(tile[blue], other) for other in cut) for tile in tiles)


def test_a_mission_takes_scenes_and_says_what_its_truth_is(tmp_path):
    path = multiband(tmp_path / "scene.tif", pixels(330, 270, seed=4))
    spec = load_spec(SMALL)
    spec = replace(spec, stream=replace(spec.stream, scenes=(str(path),)), mission=replace(spec.mission, hours=1.0))
    day = prepare(spec)
    assert day.pool.self_labelled
    assert not day.pool.synthetic
    assert sum(day.spec.stream.classes.values()) == pytest.approx(1)
    clear = ~day.found.cloudy
    right = day.found.probabilities.argmax(axis=1) == day.found.true
    assert right[clear].mean() > 0.5  # its own answers, in other orientations


def test_a_scene_without_all_bands_is_refused(tmp_path):
    bands = pixels(200, 200, hole=False)
    path = multiband(tmp_path / "scene.tif", bands, order=tuple(b for b in EUROSAT_ORDER if b != "B10"))
    with pytest.raises(InputError, match="B10"):
        scene_tiles([str(path)])
