"""Quantification and offsets come from the metadata, for each band; the data must not contradict them."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from scene.make_scenes import LEVELS, band_folder, eopf, multiband, pixels, product_xml, safe, stac_item, write_band
from skytrigger.core.errors import InputError
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.scene.engine import model_for
from skytrigger.eo.scene.guard import check_offset, dark_pixels
from skytrigger.eo.scene.opening import open_scene
from skytrigger.eo.scene.radiometry import Radiometry, from_scale_offset, parse_offset
from skytrigger.eo.scene.safe import read_product, read_tile_grids


@pytest.fixture(scope="module")
def card():
    return model_for("eurosat_ms").card


def offsets(scene):
    return {b.radiometry.offset for n, b in scene.bands.items() if n != "SCL"}


class TestProductMetadata:
    @pytest.mark.real
    @pytest.mark.parametrize(
        ("name", "level", "baseline", "offset"),
        [
            ("S2A_MSIL1C_20200717*", "L1C", "02.09", 0.0),
            ("S2A_MSIL1C_20210908*", "L1C", "03.01", 0.0),
            ("S2A_MSIL2A_20190212*", "L2A", "02.12", 0.0),
            ("S2B_MSIL2A_20220413*", "L2A", "04.00", -1000.0),
        ],
    )
    def test_real_products(self, real_data, name, level, baseline, offset):
        (folder,) = (real_data / "safe_metadata").glob(name)
        path = folder / f"MTD_MSI{level}.xml"
        product = read_product(path.read_bytes(), path.name)
        assert (product.level, product.baseline) == (level, baseline)
        assert product.name == folder.name.removesuffix(".SAFE") or "N0209" in product.name
        assert {r.offset for r in product.radiometry.values()} == {offset}
        assert {r.quantification for r in product.radiometry.values()} == {10_000.0}
        assert set(product.radiometry) == set(EUROSAT_ORDER)
        (tile,) = folder.glob("GRANULE/*/MTD_TL.xml")
        grids = read_tile_grids(tile.read_bytes(), tile.name)
        assert {r: (g.width, g.pixel_m) for r, g in grids.items()} == {
            10: (10_980, 10),
            20: (5_490, 20),
            60: (1_830, 60),
        }
        assert grids[60].factor_to(grids[10]) == 6

    def test_reprocessed_from_before_2022_has_the_offset(self):
        product = read_product(product_xml(-1000, time="2017-07-29T15:31:29.024Z", baseline="05.00").encode(), "x")
        assert product.radiometry["B02"] == Radiometry(10_000, -1000.0, "x")

    def test_offsets_go_by_band_id_not_by_file(self):
        values = {i: -1000.0 - i for i in range(13)}
        product = read_product(product_xml(None, offsets=dict(reversed(values.items()))).encode(), "x")
        found = {n: r.offset for n, r in product.radiometry.items()}
        assert (found["B08"], found["B8A"], found["B09"], found["B10"], found["B12"]) == (
            -1007,
            -1008,
            -1009,
            -1010,
            -1012,
        )

    def test_each_band_gets_its_own(self, tmp_path):
        bands = pixels(66, 66, hole=False)
        values = {i: -10.0 * i for i in range(13)}
        scene = open_scene(safe(tmp_path, bands, xml=product_xml(None, offsets=values)))
        assert scene.bands["B8A"].radiometry.offset == -80
        first = scene.bands["B8A"].reflectance((0, 1), (0, 1))[0, 0]
        assert first == pytest.approx((float(bands["B8A"][0, 0]) - 80) / 10_000, abs=1e-6)

    def test_l2a_lists_may_leave_b10_out(self):
        values = {i: -1000.0 for i in range(13) if i != 10}
        assert read_product(product_xml(None, "L2A", offsets=values).encode(), "x").radiometry["B12"].offset == -1000

    @pytest.mark.parametrize("values", [{0: -1000.0}, dict.fromkeys(range(12), -1000.0), {99: 0.0}])
    def test_offsets_of_some_bands_only_are_refused(self, values):
        with pytest.raises(InputError, match="RADIO_ADD_OFFSET"):
            read_product(product_xml(None, offsets=values).encode(), "x")

    @pytest.mark.parametrize("quantification", ["", "many", "0", "-5"])
    def test_bad_quantification_is_refused(self, quantification):
        with pytest.raises(InputError, match=r"QUANTIFICATION|quantification"):
            read_product(product_xml(-1000).replace(">10000<", f">{quantification}<").encode(), "x")

    def test_entities_are_refused(self):
        bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
        with pytest.raises(InputError, match="document type"):
            read_product(bomb.encode(), "x")


class TestOtherSources:
    def test_geotiff_tags(self, tmp_path):
        scene = open_scene(band_folder(tmp_path, pixels(66, 66, -1000.0), scale=1e-4, offset=-0.1))
        assert {b.radiometry for b in scene.bands.values()}.pop().quantification == 10_000
        assert offsets(scene) == {-1000.0}

    def test_multiband_tags(self, tmp_path):
        path = multiband(tmp_path / "a.tif", pixels(66, 66, -1000.0))
        with rasterio.open(path, "r+") as target:
            target.scales, target.offsets = (1e-4,) * 13, (-0.1,) * 13
        assert offsets(open_scene(path)) == {-1000.0}

    def test_metadata_beside_band_files(self, tmp_path):
        folder = band_folder(tmp_path / "s", pixels(66, 66, -1000.0))
        (folder / "MTD_MSIL1C.xml").write_text(product_xml(-1000))
        scene = open_scene(folder)
        assert offsets(scene) == {-1000.0}
        assert scene.time.startswith("2024-06-01T10:05")

    @pytest.mark.parametrize("version", [2, 3])
    def test_zarr(self, tmp_path, version):
        assert offsets(open_scene(eopf(tmp_path / "p.zarr", pixels(66, 66, -1000.0), version))) == {-1000.0}

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, -1000.0),  # raster:bands says -0.1
            ({"applied": True}, 0.0),  # and that it was applied: not twice
            ({"applied": False}, -1000.0),
            ({"offset": None}, 0.0),
            ({"offset": None, "scale": None}, 0.0),
        ],
    )
    def test_stac(self, tmp_path, options, expected):
        scene = open_scene(stac_item(tmp_path, pixels(66, 66), **options))
        assert offsets(scene) == {expected}
        assert scene.bands["B02"].radiometry.stated == (options.get("scale", 1) is not None)

    def test_option_overrides(self, tmp_path):
        folder = safe(tmp_path, pixels(66, 66), offset=-1000.0)
        scene = open_scene(folder, offset="none")
        assert offsets(scene) == {0.0}
        assert scene.bands["B02"].radiometry.stated_by == "--offset none"
        assert offsets(open_scene(folder, offset="-1000")) == {-1000.0}

    @pytest.mark.parametrize("text", ["maybe", "", "1e9", "nan", "inf"])
    def test_bad_option(self, text):
        with pytest.raises(InputError, match="--offset"):
            parse_offset(text)

    @pytest.mark.parametrize("scale", [0.0, -1e-4, float("nan")])
    def test_bad_scale(self, scale):
        with pytest.raises(InputError, match="scale"):
            from_scale_offset(scale, 0.0, "x")


class TestPixels:
    def test_no_data_saturated_and_below_zero(self, tmp_path):
        folder = band_folder(tmp_path / "s", pixels(66, 66, -1000.0), scale=1e-4, offset=-0.1)
        dn = np.array([[0, 990, 1000, 11_000, 65_535, 1]], np.uint16).repeat(66, 0).repeat(11, 1)
        write_band(folder / "T33TWN_20240601T100559_B02.tif", dn, 10, scale=1e-4, offset=-0.1)
        values = open_scene(folder).bands["B02"].reflectance()[0, ::11]
        assert np.isnan(values[0])
        assert values[1:4] == pytest.approx([-0.001, 0.0, 1.0], abs=1e-6)
        assert np.isinf(values[4])


class TestGuard:
    def test_agrees(self, tmp_path, card):
        for i, (offset, stated) in enumerate(((0.0, None), (-1000.0, -1000.0), (0.0, 0.0))):
            scene = open_scene(safe(tmp_path / str(i), pixels(offset=offset), offset=stated))
            facts = check_offset(scene, card)
            assert facts["checked"]
            assert facts["dark_band"] == "B10"
            assert abs(facts["dark_dn"] - LEVELS["B10"][0]) < 20

    def test_offset_that_nothing_states(self, tmp_path, card):
        scene = open_scene(band_folder(tmp_path, pixels(offset=-1000.0)))
        with pytest.raises(InputError, match="nothing in the product") as refused:
            check_offset(scene, card)
        text = str(refused.value)
        assert "--offset -1000" in text
        assert "standard deviations" in text
        found = dark_pixels(scene)
        assert f"{found.as_stated:.0f} DN" in text
        assert f"{found.other:.0f} DN" in text
        assert check_offset(scene, card, force=True)["contradiction"] == "missed"
        assert check_offset(open_scene(tmp_path, offset="-1000"), card)["offset_dn"] == -1000.0

    def test_false_although_applied(self, tmp_path, card):
        scene = open_scene(stac_item(tmp_path, pixels(), applied=False))
        with pytest.raises(InputError, match="--offset none"):
            check_offset(scene, card)

    def test_true_and_applied(self, tmp_path, card):
        check_offset(open_scene(stac_item(tmp_path, pixels(), applied=True)), card)

    def test_true_although_not_applied(self, tmp_path, card):
        with pytest.raises(InputError, match="--offset -1000"):
            check_offset(open_scene(stac_item(tmp_path, pixels(offset=-1000.0), applied=True)), card)

    def test_without_b10_the_darkest_band_decides(self, tmp_path, card):
        bands = {n: v for n, v in pixels(offset=-1000.0).items() if n != "B10"}
        scene = open_scene(band_folder(tmp_path / "a", bands))
        with pytest.raises(InputError, match="--offset -1000"):
            check_offset(scene, card)
        bands = {n: v for n, v in pixels().items() if n != "B10"}
        assert "contradiction" not in check_offset(open_scene(band_folder(tmp_path / "b", bands)), card)

    def test_little_data_is_said(self, tmp_path, card):
        bands = {n: v * (np.arange(v.size).reshape(v.shape) < 20) for n, v in pixels(66, 66).items()}
        assert not check_offset(open_scene(band_folder(tmp_path, bands)), card)["checked"]

    @pytest.mark.real
    def test_real_granule(self, real_data, card):
        folder = real_data / "sentinel2_l1c_T19UDP_160m"
        facts = check_offset(open_scene(folder), card)
        assert 1 <= facts["dark_dn"] <= 50
        with pytest.raises(InputError, match="--offset none"):
            check_offset(open_scene(folder, offset="-1000"), card)
