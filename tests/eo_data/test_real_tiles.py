"""EuroSAT's own files, where SKYTRIGGER_TEST_DATA has them."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from skytrigger.core.dataset import Dataset
from skytrigger.core.split import split_lists, split_random, split_spatial
from skytrigger.eo.bands import BY_NAME, EUROSAT_ORDER
from skytrigger.eo.contact_sheet import natural_colour
from skytrigger.eo.eurosat import CLASSES
from skytrigger.eo.load import load
from skytrigger.eo.statistics import channel_statistics

pytestmark = pytest.mark.real

COUNTS = {
    "eurosat_ms_train.zip": [31, 99, 32, 28, 148, 33, 145, 145, 135, 16],
    "eurosat_ms_val.zip": [7, 35, 4, 9, 45, 3, 53, 41, 61, 18],
    "eurosat_rgb_train.zip": [1788, 1309, 1854, 1698, 1659, 1767, 1716, 1927, 1507, 975],
    "eurosat_rgb_val.zip": [394, 614, 330, 462, 488, 118, 477, 566, 662, 1289],
}


@pytest.fixture(scope="module")
def opened(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    """The four archives, packed once for this file."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SKYTRIGGER_CACHE", str(tmp_path_factory.mktemp("cache")))
        return {name: load([str(real_data / name)]) for name in COUNTS}


@pytest.mark.parametrize("name", COUNTS)
def test_classes_and_counts(opened: dict[str, Dataset], name: str) -> None:
    data = opened[name]
    assert data.classes == CLASSES
    assert np.bincount(data.y).tolist() == COUNTS[name]
    assert data.source["skipped"] == []
    assert data.source["ignored_files"] == 0
    assert all(identity.startswith(data.classes[label]) for identity, label in zip(data.ids, data.y, strict=True))
    kind = (np.uint16, (13, 64, 64), "DN") if "_ms_" in name else (np.uint8, (3, 64, 64), "rgb8")
    assert (data.x.dtype, data.x.shape[1:], data.units) == kind


def test_band_order(opened: dict[str, Dataset]) -> None:
    """Facts that fail when a band is in another's place: cirrus is dark, B8A follows B08, water vapour is between."""
    for name in ("eurosat_ms_train.zip", "eurosat_ms_val.zip"):
        data = opened[name]
        assert data.channels == EUROSAT_ORDER
        found = {channel.name: channel for channel in channel_statistics(data)}
        assert 10.5 < found["B10"].mean < 13.5
        assert 3.0 < found["B10"].std < 5.5
        assert min(found, key=lambda band: found[band].mean) == "B10"
        near, narrow = (data.x[:, data.channels.index(band)].mean(axis=(1, 2)) for band in ("B08", "B8A"))
        assert np.corrcoef(near, narrow)[0, 1] > 0.98
    assert max(channel.max for channel in channel_statistics(opened["eurosat_ms_val.zip"])) == 28003


def test_rgb_is_the_same_tiles(opened: dict[str, Dataset]) -> None:
    """JPEG = clip(DN / 2750) x 255 of B04, B03, B02: within compression on every tile that is in both sets."""
    many, rgb = opened["eurosat_ms_val.zip"], opened["eurosat_rgb_val.zip"]
    row = {name: k for k, name in enumerate(rgb.ids)}
    common = [name for name in many.ids if name in row]
    assert len(common) == 276
    for name in common[::5]:
        expected, _ = natural_colour(many.x[many.ids.index(name)], many.channels, many.units)
        found, _ = natural_colour(rgb.x[row[name]], rgb.channels, rgb.units)
        difference = expected.astype(float) - found
        assert np.abs(difference).mean() < 6, name
        if expected.std() > 10:
            assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.95, name


def test_places_follow_the_spatial_lists(opened: dict[str, Dataset]) -> None:
    west, middle = opened["eurosat_ms_train.zip"], opened["eurosat_ms_val.zip"]
    assert west.lonlat is not None
    assert middle.lonlat is not None
    assert np.isfinite(west.lonlat).all()
    assert west.lonlat[:, 0].max() < middle.lonlat[:, 0].min()  # the published split is by longitude
    both = np.concatenate([west.lonlat, middle.lonlat])
    assert both[:, 0].min() > -10
    assert both[:, 0].max() < 18
    assert both[:, 1].min() > 34
    assert both[:, 1].max() < 66
    split = split_spatial(west)
    assert split.facts["counts"] == {"train": 487, "val": 163, "test": 162}


def test_lists_of_names(real_data: Path, opened: dict[str, Dataset]) -> None:
    lists = [real_data / f"eurosat-spatial-{part}.txt" for part in ("train", "val")]
    union = load([str(Path(opened[name].x.filename).parent) for name in COUNTS if "_ms_" in name])
    split = split_lists(union, *lists)
    assert [split.facts["lists"][part]["found"] for part in ("train", "val")] == [812, 276]
    assert [split.facts["lists"][part]["names"] for part in ("train", "val")] == [16200, 5400]
    assert {union.ids[k] for k in split.val} == set(opened["eurosat_ms_val.zip"].ids)
    assert split.facts["unlisted"] == 0


def test_random_split_of_16200(opened: dict[str, Dataset]) -> None:
    split = split_random(opened["eurosat_rgb_train.zip"], 0)
    counts = split.facts["counts"]
    assert sum(counts.values()) == 16200
    assert abs(counts["val"] - 1620) < 10


def test_deflated_and_unpacked_are_the_same(real_data: Path, opened: dict[str, Dataset], tmp_path: Path) -> None:
    with zipfile.ZipFile(real_data / "eurosat_ms_val.zip") as packed:
        packed.extractall(tmp_path / "folder")
        with zipfile.ZipFile(tmp_path / "deflated.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as deflated:
            for info in packed.infolist():
                deflated.writestr(info.filename, packed.read(info))
    for path in (tmp_path / "folder", tmp_path / "deflated.zip"):
        assert load([str(path)]).content_hash == opened["eurosat_ms_val.zip"].content_hash


def test_wavelengths_are_the_products(real_data: Path) -> None:
    product = min((real_data / "safe_metadata").glob("S2A_MSIL1C_*/MTD_MSIL1C.xml"))
    text = product.read_text()
    pattern = r'physicalBand="B(\w+)">\s*<RESOLUTION>(\d+)</RESOLUTION>.*?<CENTRAL unit="nm">([\d.]+)</CENTRAL>'
    found = {f"B{name:0>2}": (int(res), float(nm)) for name, res, nm in re.findall(pattern, text, re.DOTALL)}
    assert found == {name: (band.resolution_m, band.centre_nm) for name, band in BY_NAME.items()}
