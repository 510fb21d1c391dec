"""One scene in every form opens to the same bands; what is damaged or ambiguous is refused with a reason."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from scene.make_scenes import (
    CRS,
    LEFT,
    RESOLUTION,
    SAFE_NAME,
    TOP,
    band_folder,
    eopf,
    multiband,
    pixels,
    product_xml,
    safe,
    stac_item,
    tile_xml,
    write_band,
)
from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.scene.band_names import bands_in, known_band
from skytrigger.eo.scene.classify import check_bands
from skytrigger.eo.scene.engine import model_for
from skytrigger.eo.scene.grid import Grid
from skytrigger.eo.scene.mgrs import tile_grid, tile_name
from skytrigger.eo.scene.opening import open_scene


@pytest.fixture(scope="module")
def bands():
    return pixels(126, 90, offset=-1000.0)


def zipped(folder: Path, path: Path, inside: bool = True) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder.parent if inside else folder))
    return path


def same(scene, bands, kind):
    assert scene.kind == kind
    assert set(scene.bands) == set(bands)
    assert scene.grid == Grid(CRS, LEFT, TOP, 10.0, 126, 90)
    for name, band in scene.bands.items():
        assert (band.dn() == bands[name]).all(), name
        assert scene.factors()[name] == RESOLUTION[name] // 10


class TestForms:
    def test_safe(self, tmp_path, bands):
        folder = safe(tmp_path, bands)
        for given in (folder, folder / "MTD_MSIL1C.xml", tmp_path, zipped(folder, tmp_path / "p.zip"),
                      zipped(folder, tmp_path / "q.zip", inside=False)):  # fmt: skip
            scene = open_scene(given)
            same(scene, bands, "SAFE")
            assert (scene.level, scene.baseline, scene.time) == ("L1C", "05.10", "2024-06-01T10:05:59.024Z")
            assert scene.name == SAFE_NAME.removesuffix(".SAFE")

    def test_safe_l2a_takes_own_resolutions(self, tmp_path, bands):
        folder = safe(tmp_path, bands, level="L2A", scl=np.full((45, 63), 4))
        extra = folder / "GRANULE/L2A_T33TWN_A037700_20240601T101231/IMG_DATA/R20m/T33TWN_20240601T100559_B02_20m.jp2"
        write_band(extra, np.ones((45, 63), np.uint16), 20)
        text = (folder / "MTD_MSIL2A.xml").read_text()
        listed = f"<IMAGE_FILE>{extra.relative_to(folder).with_suffix('')}</IMAGE_FILE></Granule>"
        (folder / "MTD_MSIL2A.xml").write_text(text.replace("</Granule>", listed))
        scene = open_scene(folder)
        assert scene.level == "L2A"
        assert set(scene.bands) == {*EUROSAT_ORDER, "SCL"} - {"B10"}
        assert (scene.bands["B02"].dn() == bands["B02"]).all()
        assert scene.bands["SCL"].radiometry.offset == 0

    @pytest.mark.parametrize("suffix", [".jp2", ".tif"])
    def test_band_files(self, tmp_path, bands, suffix):
        folder = band_folder(tmp_path / "scene", bands, suffix)
        (folder / "notes.txt").write_text("B02 is blue")
        same(open_scene(folder), bands, "band files")
        same(open_scene(zipped(folder, tmp_path / "z.zip")), bands, "band files")

    def test_multiband_by_name(self, tmp_path, bands):
        order = ("B12", "B8A", *(n for n in EUROSAT_ORDER if n not in ("B12", "B8A")))
        scene = open_scene(multiband(tmp_path / "a.tif", bands, order=order))
        assert (scene.bands["B02"].dn() == bands["B02"]).all()
        assert (scene.bands["B8A"].dn()[::2, ::2] == bands["B8A"]).all()

    @pytest.mark.parametrize("version", [2, 3])
    @pytest.mark.parametrize("groups", [True, False])
    @pytest.mark.parametrize("transform", [True, False])
    @pytest.mark.parametrize("name", ["p.zarr", "p.zarr.zip"])
    def test_eopf_zarr(self, tmp_path, bands, version, groups, transform, name):
        scene = open_scene(eopf(tmp_path / name, bands, version, groups, transform=transform))
        same(scene, bands, "EOPF Zarr")
        assert (scene.level, scene.baseline) == ("L1C", "05.12")

    def test_eopf_zip_with_its_folder_and_scl(self, tmp_path, bands):
        import zarr

        l2a = {n: v for n, v in bands.items() if n != "B10"}
        folder = eopf(tmp_path / "S2B_MSIL2A.zarr", l2a)
        group = zarr.open_group(str(folder), mode="r+").create_group("conditions/mask/l2a_classification/r20m")
        group.create_array("scl", data=np.full((45, 63), 9, np.uint8), chunks=(32, 32),
                           attributes={"proj:epsg": 32633, "proj:transform": [20, 0, LEFT, 0, -20, TOP]})  # fmt: skip
        scene = open_scene(zipped(folder, tmp_path / "S2B_MSIL2A.zarr.zip"))
        assert set(scene.bands) == {*l2a, "SCL"}
        assert (scene.bands["SCL"].dn() == 9).all()
        assert (scene.bands["B02"].dn() == bands["B02"]).all()

    def test_own_no_data_value(self, tmp_path, bands):
        folder = band_folder(tmp_path / "s", bands, profile={"nodata": 7})
        dn = bands["B02"].copy()
        dn[:5] = 7
        write_band(folder / "T33TWN_20240601T100559_B02.tif", dn, 10, profile={"nodata": 7})
        assert (open_scene(folder).bands["B02"].dn()[:5] == 0).all()

    @pytest.mark.parametrize("common", [False, True])
    def test_stac_item(self, tmp_path, bands, common):
        scene = open_scene(stac_item(tmp_path, bands, common=common))
        same(scene, bands, "STAC item")
        assert scene.level == "L1C"

    def test_to_xarray(self, tmp_path, bands):
        pytest.importorskip("xarray")
        data = open_scene(safe(tmp_path, bands)).to_xarray()
        assert dict(data.sizes) == {"y_10m": 90, "x_10m": 126, "y_20m": 45, "x_20m": 63, "y_60m": 15, "x_60m": 21}
        assert float(data.x_60m[0]) == LEFT + 30
        expected = (bands["B02"][3, 100].astype(float) - 1000) / 10_000
        assert float(data.B02[3, 100]) == pytest.approx(expected, abs=1e-6)

    def test_reduced(self, tmp_path):
        large = pixels(792, 780, hole=False)
        scene = open_scene(safe(tmp_path, {n: large[n] for n in ("B01", "B02", "B05")}), reduce=1)
        assert scene.grid == Grid(CRS, LEFT, TOP, 10.0, 792, 780)
        assert {n: scene.factors()[n] for n in scene.bands} == {"B01": 12, "B02": 2, "B05": 4}
        assert scene.bands["B02"].dn().shape == (390, 396)
        mean = large["B02"].reshape(390, 2, 396, 2).mean(axis=(1, 3))
        assert np.corrcoef(scene.bands["B02"].dn().ravel(), mean.ravel())[0, 1] > 0.9

    @pytest.mark.real
    def test_real_granule(self, real_data):
        scene = open_scene(real_data / "sentinel2_l1c_T19UDP_160m")
        assert scene.grid == Grid("EPSG:32619", 399_960.0, 5_400_000.0, 109_800 / 687, 687, 687)
        assert scene.off_scale
        assert "without georeference" in " ".join(scene.notes)
        assert set(scene.bands) == set(EUROSAT_ORDER)


class TestRefusals:
    def refused(self, path, *words, **options):
        def read_all():
            for band in open_scene(path, **options).bands.values():
                band.dn()

        with pytest.raises(SkytriggerError) as error:
            read_all()
        for word in words:
            assert word in str(error.value), str(error.value)

    def test_missing(self, tmp_path):
        self.refused(tmp_path / "no", "does not exist", "SAFE")
        self.refused(tmp_path, "no product")

    def test_l2a_for_a_model_with_b10(self, tmp_path, bands):
        scene = open_scene(safe(tmp_path, bands, level="L2A"))
        with pytest.raises(InputError, match=r"B10: Level-2A products have none.*\n.*\n.*Level-1C"):
            check_bands(scene, model_for("eurosat_ms"))

    def test_each_level_has_its_model(self, tmp_path, bands):
        surface = open_scene(safe(tmp_path / "surface", bands, level="L2A"))
        check_bands(surface, model_for("eurosat_l2a"))
        top = open_scene(safe(tmp_path / "top", bands))
        check_bands(top, model_for("eurosat_ms"))
        with pytest.raises(InputError, match="has B10: only Level-1C has it"):
            check_bands(top, model_for("eurosat_l2a"))

    def test_a_band_missing(self, tmp_path, bands):
        scene = open_scene(band_folder(tmp_path, {n: v for n, v in bands.items() if n != "B05"}))
        with pytest.raises(InputError, match="has no B05"):
            check_bands(scene, model_for("eurosat_ms"))

    def test_an_image_of_the_product_missing(self, tmp_path, bands):
        folder = safe(tmp_path, bands)
        next(folder.rglob("*_B05.jp2")).unlink()
        self.refused(folder, "no image of B05")

    def test_a_band_twice(self, tmp_path, bands):
        folder = band_folder(tmp_path, bands)
        shutil.copy(folder / "T33TWN_20240601T100559_B02.tif", folder / "B2.tif")
        self.refused(folder, "band B02 twice", "one file a band")

    def test_two_bands_in_a_name(self, tmp_path, bands):
        folder = band_folder(tmp_path, bands)
        shutil.copy(folder / "T33TWN_20240601T100559_B02.tif", folder / "B02_B03.tif")
        self.refused(folder, "names B02 and B03")

    def test_mixed_crs(self, tmp_path, bands):
        folder = band_folder(tmp_path, bands)
        write_band(folder / "T33TWN_20240601T100559_B05.tif", bands["B05"], 20, crs="EPSG:32632")
        self.refused(folder, "B05", "EPSG:32632", "one CRS")

    def test_grids_that_do_not_nest(self, tmp_path, bands):
        folder = band_folder(tmp_path, bands)
        write_band(folder / "T33TWN_20240601T100559_B05.tif", bands["B05"], 20, left=LEFT + 10)
        self.refused(folder, "B05", "does not nest")
        write_band(folder / "T33TWN_20240601T100559_B05.tif", bands["B05"][:-3], 20)
        self.refused(folder, "B05", "does not nest")

    def test_truncated_jp2(self, tmp_path, bands):
        folder = safe(tmp_path, bands)
        path = next(folder.rglob("*_B03.jp2"))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        self.refused(folder, "B03", "download")

    @pytest.mark.real
    def test_truncated_real_jp2(self, tmp_path, real_data):
        folder = tmp_path / "T19UDP"
        shutil.copytree(real_data / "sentinel2_l1c_T19UDP_160m", folder)
        path = folder / "B03.jp2"
        path.chmod(0o644)
        folder.chmod(0o755)
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[: len(content) // 3])
        self.refused(folder, "B03")

    def test_not_what_its_name_says(self, tmp_path, bands):
        folder = band_folder(tmp_path, bands)
        (folder / "T33TWN_20240601T100559_B02.tif").write_text("this is no TIFF")
        self.refused(folder, "B02", "cannot be opened")
        shutil.copy(folder / "T33TWN_20240601T100559_B03.tif", folder / "T33TWN_20240601T100559_B02.jp2")
        (folder / "T33TWN_20240601T100559_B02.tif").unlink()
        self.refused(folder, "B02.jp2 is a GTiff file", ".jp2")

    def test_floats(self, tmp_path, bands):
        folder = band_folder(tmp_path, bands)
        import rasterio

        with rasterio.open(folder / "T33TWN_20240601T100559_B02.tif") as source:
            profile = source.profile | {"dtype": "float32", "compress": "deflate"}
        with rasterio.open(folder / "T33TWN_20240601T100559_B02.tif", "w", **profile) as target:
            target.write(bands["B02"].astype(np.float32) / 10_000, 1)
        self.refused(folder, "float32", "uint16")

    def test_multiband_without_names(self, tmp_path, bands):
        self.refused(multiband(tmp_path / "a.tif", bands, named=False), "13 bands have no names")

    def test_no_georeference_and_no_tile(self, tmp_path, bands):
        import rasterio

        folder = tmp_path / "scene"
        folder.mkdir()
        with rasterio.open(folder / "B02.tif", "w", driver="GTiff", width=126, height=90, count=1, dtype="uint16") as t:
            t.write(bands["B02"], 1)
        self.refused(folder, "no georeference", "T19UDP")

    def test_metadata_and_image_disagree(self, tmp_path, bands):
        """A cut-out has its own georeference; without one it is refused."""
        folder = safe(tmp_path, bands, tile=tile_xml(252, 180))
        scene = open_scene(folder)
        assert scene.grid == Grid(CRS, LEFT, TOP, 10.0, 126, 90)
        assert "own georeference" in scene.notes[0]
        assert scene.bands["B02"].radiometry.offset == -1000
        import rasterio

        path = next(folder.rglob("*_B03.jp2"))
        path.unlink()
        with rasterio.open(
            path, "w", driver="JP2OpenJPEG", width=126, height=90, count=1, dtype="uint16", QUALITY=100
        ) as target:
            target.write(bands["B03"], 1)
        self.refused(folder, "B03", "does not nest")  # taken for the 20 m grid, which has as many pixels
        (folder / "GRANULE/L1C_T33TWN_A037700_20240601T101231/MTD_TL.xml").write_text(tile_xml(600, 600))
        self.refused(folder, "126 x 90 pixels and no georeference", "600 x 600")

    def test_no_tile_metadata(self, tmp_path, bands):
        folder = safe(tmp_path, bands)
        next(folder.rglob("MTD_TL.xml")).unlink()
        self.refused(folder, "MTD_TL.xml")

    def test_several_granules(self, tmp_path, bands):
        xml = product_xml(-1000).replace("</Granule_List>", "<Granule/></Granule_List>")
        self.refused(safe(tmp_path, bands, xml=xml), "2 granules")

    def test_damaged_xml(self, tmp_path, bands):
        self.refused(safe(tmp_path, bands, xml=product_xml(-1000)[:-40]), "not valid XML")

    def test_damaged_zip(self, tmp_path, bands):
        path = zipped(safe(tmp_path, bands), tmp_path / "p.zip")
        path.write_bytes(path.read_bytes()[:-30])
        self.refused(path, "p.zip")

    @pytest.mark.parametrize("content", ["{}", "[1]", "not json", '{"type": "Feature", "assets": {}}'])
    def test_no_item(self, tmp_path, content):
        (tmp_path / "item.json").write_text(content)
        with pytest.raises(InputError):
            open_scene(tmp_path / "item.json")

    def test_item_with_a_band_twice(self, tmp_path, bands):
        path = stac_item(tmp_path, bands)
        item = json.loads(path.read_text())
        item["assets"]["blue"] = item["assets"]["B02"]
        path.write_text(json.dumps(item))
        self.refused(path, "B02 in several assets")

    def test_zarr_without_reflectance(self, tmp_path, bands):
        path = eopf(tmp_path / "p.zarr", bands)
        shutil.rmtree(path / "measurements" / "reflectance")
        self.refused(path, "no EOPF product")

    def test_zarr_chunk_damaged(self, tmp_path, bands):
        path = eopf(tmp_path / "p.zarr", bands)
        chunk = next(p for p in (path / "measurements/reflectance/r10m/b03").iterdir() if p.name[0].isdigit())
        chunk.write_bytes(b"damaged")
        self.refused(path, "b03", "download")

    def test_no_overview_to_reduce(self, tmp_path, bands):
        self.refused(band_folder(tmp_path, bands), "--reduce 1", "--reduce 0", reduce=1)
        self.refused(eopf(tmp_path / "p.zarr", bands), "Zarr", reduce=1)
        self.refused(tmp_path, "--reduce 9", reduce=9)

    def test_model_that_does_not_fit(self):
        with pytest.raises(InputError, match="rgb8"):
            model_for("eurosat_rgb")


class TestNames:
    @pytest.mark.parametrize(
        ("text", "name"),
        [("b2", "B02"), ("B02", "B02"), ("B8A", "B8A"), ("b08a", "B8A"), ("B12", "B12"), ("SCL", "SCL"), ("B13", None),
         ("B0", None), ("B8B", None), ("", None), ("TCI", None)],
    )  # fmt: skip
    def test_known(self, text, name):
        assert known_band(text) == name

    @pytest.mark.parametrize(
        ("stem", "names"),
        [("T19UDP_20170729T153101_B8A_20m", {"B8A"}), ("B02", {"B02"}), ("b2", {"B02"}), ("S2B_33TWN", set()),
         ("T33TWN_20240601T100559_TCI", set()), ("B01_B02", {"B01", "B02"}), ("AB02", set()), ("x.B11.y", {"B11"})],
    )  # fmt: skip
    def test_in_files(self, stem, names):
        assert bands_in(stem) == names


class TestTiles:
    @pytest.mark.parametrize(
        ("tile", "crs", "left", "top"),
        [  # corners as the products' own metadata state them
            ("46RER", "EPSG:32646", 499_980, 3_100_020),
            ("01LAC", "EPSG:32701", 99_960, 8_300_020),
            ("07HFE", "EPSG:32707", 600_000, 6_500_020),
            ("33XWJ", "EPSG:32633", 499_980, 8_900_040),
            ("19UDP", "EPSG:32619", 399_960, 5_400_000),
        ],
    )
    def test_corner(self, tile, crs, left, top):
        grid = tile_grid(tile, 10_980, 10_980)
        assert (grid.crs, grid.pixel_m) == (crs, 10.0)
        assert (grid.left, grid.top) == (left, top)

    @pytest.mark.real
    def test_corners_of_real_metadata(self, real_data):
        from skytrigger.eo.scene.safe import read_tile_grids

        paths = list((real_data / "safe_metadata").glob("*/GRANULE/*/MTD_TL.xml"))
        assert len(paths) == 4
        for path in paths:
            expected = read_tile_grids(path.read_bytes(), path.name)[10]
            assert tile_grid(tile_name(path.parent.name), 10_980, 10_980) == expected

    def test_names(self):
        assert tile_name("sentinel2_l1c_T19UDP_160m") == "19UDP"
        assert tile_name("S2B_33TWN_20240601") == "33TWN"
        assert tile_name("nothing") is None
        assert tile_name("T33TWN_T33TWP") is None
        assert tile_grid("33TWN", 500, 500) is None
        assert tile_grid("33TWN", 10_980, 5_490) is None
