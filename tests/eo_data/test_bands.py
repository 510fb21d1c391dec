"""Spellings of bands: one table, and nothing that is not certain."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from skytrigger.core.errors import InputError
from skytrigger.eo.bands import BANDS, EUROSAT_ORDER, described_bands, extra_name, select_bands, spelt
from skytrigger.eo.reading import Reading, names_of
from skytrigger.eo.tiff import ASSUMED_ORDER
from skytrigger.eo.tiles import BadTile, decode

# common_name of STAC's eo extension 1.1, as its table pairs them with Sentinel-2
STAC = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge071": "B05", "rededge075": "B06",
    "rededge078": "B07", "nir": "B08", "nir08": "B8A", "nir09": "B09", "cirrus": "B10", "swir16": "B11",
    "swir22": "B12",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "band"),
    [
        *STAC.items(),
        *((f"B{k}", f"B{k:02}") for k in range(1, 13)),
        *((f"B{k:02}", f"B{k:02}") for k in range(1, 13)),
        ("b8a", "B8A"), ("B08 (842 nm)", "B08"), ("Band 8A", "B8A"), ("band_08", "B08"), ("B8A - reflectance", "B8A"),
        ("NIR narrow", "B8A"), ("Narrow NIR", "B8A"), ("rededge1", "B05"), ("Red Edge 2", "B06"), ("swir 2", "B12"),
        ("B02: Blue", "B02"), ("Band 3 - Green", "B03"), ("B05 - vegetation red edge", "B05"), ("S2A_MSI_B03", "B03"),
        ("Sentinel-2 B11", "B11"), ("B12_20m", "B12"), ("B04 (0.665 µm)", "B04"), ("Water vapor", "B09"),
        ("B08 near infrared", "B08"), ("B2 blue 490nm", "B02"), ("Coastal aerosol", "B01"),
    ],
)  # fmt: skip
def test_what_people_write(text: str, band: str) -> None:
    assert spelt(text) == band
    assert spelt(f"  {text.upper()} ") == band


@pytest.mark.parametrize(
    "text",
    ["", "x", "B13", "B00", "B8B", "rededge", "red edge", "swir", "842 nm", "B04 blue", "B8A (842 nm)", "B08 / B04",
     "B04 mask", "B04 cloud", "NDVI", "Band", "B", "8", "B1B2", "B04 red edge 1", "thermal", "red2", "SB04", "B123"],
)  # fmt: skip
def test_what_is_not_certain_names_nothing(text: str) -> None:
    assert spelt(text) is None


@given(st.text(max_size=30))
def test_any_text_is_a_band_or_none(text: str) -> None:
    assert spelt(text) in (None, *EUROSAT_ORDER)


def test_every_band_is_spelt_by_its_own_record() -> None:
    for band in BANDS:
        for word in (band.name, band.title, *band.spellings, f"{band.name} ({band.centre_nm} nm)"):
            assert spelt(word) == band.name, word


def test_mere_numbers_are_no_names() -> None:
    for style in ("Band {}", "B{}", "band_{}"):
        with pytest.raises(InputError, match="numbers in the file, not names"):
            described_bands({k: style.format(k + 1) for k in range(4)}, 4)
    assert described_bands({0: "B2", 1: "B3", 2: "B4", 3: "B8"}, 4) == ("B02", "B03", "B04", "B08")


def test_all_leaves_no_layer_out_unasked() -> None:
    channels = ("B02", "B03", "B04", "SCL")
    with pytest.raises(InputError, match=r"SCL beside the bands(.|\n)*--bands B02,B03,B04"):
        select_bands("all", channels)
    assert select_bands("B02,red", channels) == ("B02", "B04")
    assert select_bands("B02,scl", channels) == ("B02", "SCL")
    assert extra_name("msk-cldprb") == "MSK_CLDPRB"


def written(planes: np.ndarray, names: list[str] | None = None, **options: object) -> bytes:
    """A GeoTIFF by rasterio."""
    with MemoryFile() as file:
        profile = {"driver": "GTiff", "count": len(planes), "height": planes.shape[1], "width": planes.shape[2]}
        with file.open(**profile, dtype=planes.dtype, **options) as opened:
            opened.write(planes)
            for k, name in enumerate(names or (), 1):
                if name:
                    opened.set_band_description(k, name)
        return bytes(file.read())


def planes(count: int, dtype: str = "uint16", shape: tuple[int, int] = (12, 16)) -> np.ndarray:
    random = np.random.default_rng(count)
    return (100 * np.arange(count)[:, None, None] + random.integers(0, 90, (count, *shape))).astype(dtype)


PRODUCT = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12"]


@pytest.mark.parametrize("style", ["{}", "{} - reflectance", "Sentinel-2 {}", "{} TOA"])
def test_described_in_a_products_order(style: str) -> None:
    """What used to be read as EuroSAT's order: B8A's values as B09's."""
    stored = planes(13)
    found = decode(written(stored, [style.format(name) for name in PRODUCT]), "a.tif")
    assert found.channels == tuple(f"B{n[1:].zfill(2)}" for n in PRODUCT)
    np.testing.assert_array_equal(found.pixels[found.channels.index("B8A")], stored[8])
    assert not found.notes


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([*PRODUCT[:8], "NIR something", *PRODUCT[9:]], "name no band: 9 'NIR something'"),
        ([*PRODUCT[:8], "B8", *PRODUCT[9:]], "two bands are described as B08"),
        ([*PRODUCT[:12], ""], "band 13 of 13 has no description"),
        ([f"Band {k}" for k in range(1, 14)], "numbers in the file"),
        (["x" * 300, *PRODUCT[1:]], "name no band: 1 'xxx"),
    ],
)
def test_descriptions_in_doubt_are_refused(names: list[str], reason: str) -> None:
    with pytest.raises(BadTile, match=f"{reason}.*--band-names"):
        decode(written(planes(13), names), "a.tif")
    stated = Reading(tuple(PRODUCT))
    assert decode(written(planes(13), names), "a.tif", stated).channels[8] == "B8A"


def test_without_descriptions() -> None:
    assert decode(written(planes(13)), "a.tif").notes == (ASSUMED_ORDER,)
    for count in (2, 3, 4, 10, 12, 14):
        with pytest.raises(BadTile, match=f"{count} bands without names.*--band-names"):
            decode(written(planes(count)), "a.tif")
    twelve = Reading(tuple(name for name in PRODUCT if name != "B10"))
    assert len(decode(written(planes(12)), "a.tif", twelve).channels) == 12
    grey = decode(written(planes(1)), "a.tif")
    assert (grey.channels, grey.units) == (("grey",), "DN")


def test_stated_names() -> None:
    stored = planes(4)
    found = decode(written(stored), "a.tif", Reading(("red", "-", "B8", "LC08_B10")))
    assert found.channels == ("B04", "B08", "LC08_B10")
    np.testing.assert_array_equal(found.pixels, stored[[0, 2, 3]])
    with pytest.raises(BadTile, match="4 bands, --band-names names 3"):
        decode(written(stored), "a.tif", Reading(("B02", "B03", "B04")))
    with pytest.raises(BadTile, match="descriptions say B03 where --band-names says B02"):
        decode(written(stored, ["B3", "B2", "B4", "B8"]), "a.tif", Reading(("B02", "B03", "B04", "B08")))
    for wrong in (("B02", "blue"), ("-",), ("",), ("x" * 50,)):
        with pytest.raises(InputError):
            Reading(wrong)


def test_extra_layers_are_named() -> None:
    found = decode(written(planes(5), ["B02", "B03", "B04", "B08", "SCL"]), "a.tif")
    assert found.channels[-1] == "SCL"


def item(tmp_path: Path, **assets: object) -> str:
    (tmp_path / "item.json").write_text(json.dumps({"type": "Feature", "properties": {}, "assets": assets}))
    return str(tmp_path / "item.json")


def test_names_of_a_stac_item(tmp_path: Path) -> None:
    bands = [{"name": "B02", "common_name": "blue"}, {"name": "B8A", "common_name": "nir08"}, {"name": "SCL"}]
    path = item(tmp_path, data={"eo:bands": bands}, preview={"eo:bands": bands[:1]})
    assert Reading(names_of(path)).band_names == ("B02", "B8A", "SCL")
    newer = [{"name": "first", "eo:common_name": "red"}, {"name": "LC09_B10"}]
    assert names_of(item(tmp_path, data={"bands": newer})) == ("B04", "LC09_B10")
    for wrong, reason in (
        ({"a": {"eo:bands": bands}, "b": {"eo:bands": bands[:2]}}, "2 lists of bands that differ"),
        ({"a": {"eo:bands": bands[:1]}}, "no list of several"),
        ({"a": {"eo:bands": [{"name": "B02", "common_name": "red"}, {"name": "B03"}]}}, "'B02' and 'red'"),
        ({"a": {"eo:bands": [{}, 3]}}, "called nothing"),
    ):
        with pytest.raises(InputError, match=reason):
            names_of(item(tmp_path, **wrong))
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(InputError, match="no STAC item"):
        names_of(str(tmp_path / "list.json"))


def test_the_oracle_is_another_reader() -> None:
    with MemoryFile(written(planes(3), ["B02", "B03", "B04"])) as file, file.open() as opened:
        assert opened.descriptions == ("B02", "B03", "B04")
    assert rasterio.__version__
