"""The set of synthetic tiles: order, seeds, ranges, statistics, refusals."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from skytrigger.core.dataset import Dataset, content_hash
from skytrigger.core.errors import InputError
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.eurosat import CLASSES
from skytrigger.eo.synthetic import SCENES, make, tile


@pytest.fixture(scope="module")
def tiles() -> Dataset:
    return make(203, seed=4)


def test_shape_names_and_balance(tiles: Dataset) -> None:
    assert tiles.x.shape == (203, 13, 64, 64)
    assert tiles.x.dtype == np.uint16
    assert tiles.channels == EUROSAT_ORDER
    assert tiles.channels[-1] == "B8A"
    assert tiles.classes == CLASSES == tuple(sorted(SCENES))
    counts = np.bincount(tiles.y, minlength=10)
    assert counts.max() - counts.min() == 1
    assert counts.sum() == 203
    assert tiles.units == "DN"
    assert tiles.source == {"kind": "synthetic", "seed": 4, "count": 203, "version": 1}
    assert all(name.split("_")[0] == tiles.classes[label] for name, label in zip(tiles.ids, tiles.y, strict=True))
    assert tiles.ids[CLASSES.index("River") + 110] == "River_12"
    assert tiles.content_hash == content_hash(tiles.x, tiles.y, tiles.ids, tiles.channels, tiles.classes)


def test_same_seed_same_tiles_and_a_larger_set_begins_with_the_smaller(tiles: Dataset) -> None:
    smaller = make(24, seed=4)
    np.testing.assert_array_equal(smaller.x, tiles.x[:24])
    assert smaller.ids == tiles.ids[:24]
    np.testing.assert_array_equal(tile(137, seed=4), tiles.x[137])  # alone, out of order


def test_the_same_tiles_in_another_process_with_other_threads(tiles: Dataset) -> None:
    code = "from skytrigger.eo.synthetic import make; print(make(30, seed=4).content_hash)"
    environment = {**os.environ, "OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3", "PYTHONHASHSEED": "7"}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert answer.stdout.strip() == make(30, seed=4).content_hash


def test_no_tile_repeats_another(tiles: Dataset) -> None:
    other = make(20, seed=5)
    pool = np.concatenate([tiles.x, other.x])
    assert len({image.tobytes() for image in pool}) == len(pool)
    # nor does noise alone tell two apart: the scenes differ by far more than the sensor's noise
    difference = np.abs(other.x[:, 3].astype(float) - tiles.x[:20, 3]).mean(axis=(1, 2))
    assert np.median(difference) > 60


def test_values_lie_where_reflectance_lies(tiles: Dataset) -> None:
    assert tiles.x.min() >= 1  # 0 is no-data
    assert tiles.x.max() < 28_003  # the largest value of EuroSAT
    assert tiles.x.max() > 3_000
    mean = {band: tiles.x[:, i].mean() for i, band in enumerate(tiles.channels)}
    # molecules scatter blue light: TOA of dark Europe falls from B01 to B03; vapour takes most of B09
    assert mean["B01"] > mean["B02"] > mean["B03"]
    assert mean["B09"] < 0.5 * mean["B8A"]
    assert 800 < mean["B01"] < 2000
    assert 1500 < mean["B08"] < 3500


def test_cirrus_band_sees_cirrus_only(tiles: Dataset) -> None:
    cirrus = tiles.x[:, tiles.channels.index("B10")].astype(float)
    assert cirrus.mean() == pytest.approx(12.0, abs=1.2)
    assert cirrus.std() == pytest.approx(4.8, abs=1.0)
    by_class = [cirrus[tiles.y == label].mean() for label in range(10)]
    assert max(by_class) < 17  # bright halls do not shine through
    assert min(by_class) > 8


@pytest.mark.parametrize(
    ("band", "least", "most"), [("B04", "Forest", "Industrial"), ("B08", "SeaLake", "Pasture"), ("B11", "SeaLake", "")]
)
def test_classes_are_as_bright_as_their_materials(tiles: Dataset, band: str, least: str, most: str) -> None:
    brightness = [tiles.x[tiles.y == label, tiles.channels.index(band)].mean() for label in range(10)]
    assert CLASSES[int(np.argmin(brightness))] == least
    if most:
        assert CLASSES[int(np.argmax(brightness))] == most


def test_vegetation_index_orders_the_classes(tiles: Dataset) -> None:
    red, infrared = (tiles.x[:, tiles.channels.index(b)].astype(float) for b in ("B04", "B08"))
    index = ((infrared - red) / (infrared + red)).mean(axis=(1, 2))
    median = {name: np.median(index[tiles.y == label]) for label, name in enumerate(CLASSES)}
    assert median["SeaLake"] < 0.1 < median["Industrial"] < median["Residential"] < median["Pasture"]
    assert median["Forest"] > 0.6


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (-5, 0), (10, -1), (1.5, 0), (True, 0), (10, "a"), (10, None)])
def test_senseless_requests_are_refused(count: object, seed: object) -> None:
    with pytest.raises(InputError, match="expected"):
        make(count, seed)  # type: ignore[arg-type]


def test_a_single_tile_is_a_set() -> None:
    assert make(1, seed=9).ids == ("AnnualCrop_1",)
