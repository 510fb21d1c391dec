"""What products come as once people have had them in hand: read as what it is, or refused."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from scene.make_scenes import CRS, LEFT, RESOLUTION, TOP, band_folder, eopf, multiband, pixels, stac_item, write_band
from skytrigger.core.errors import InputError
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.scene.classify import Options, classify_scene
from skytrigger.eo.scene.engine import model_for
from skytrigger.eo.scene.guard import check_offset
from skytrigger.eo.scene.opening import open_scene
from skytrigger.eo.scene.stac_product import gdal_path

FILE = "T33TWN_20240601T100559_{}.tif"


@pytest.fixture(scope="module")
def bands():
    return pixels(126, 90, hole=False)


def same(scene, bands):
    assert all((scene.bands[n].dn() == bands[n]).all() for n in bands)


def plain(path: Path, dn: np.ndarray, crs: str = CRS, pixel: float = 10, left: float = LEFT, top: float = TOP) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = dn.shape
    with rasterio.open(path, "w", driver="GTiff", width=width, height=height, count=1, dtype=dn.dtype, crs=crs,
                       transform=from_origin(left, top, pixel, pixel)) as target:  # fmt: skip
        target.write(dn, 1)
    return path


def test_names_of_any_kind(tmp_path, bands):
    folder = band_folder(tmp_path / "my scene #1 (é)!?&=%20", bands)
    same(open_scene(folder), bands)
    (tmp_path / "old.zip").mkdir()
    for name in ("odd #1 (é)!.zip", "product", "old.zip/x.zip"):  # a zip is one by its content
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for file in folder.iterdir():
                archive.write(file, f"inside it/{file.name}")
        same(open_scene(tmp_path / name), bands)


def test_hidden_files_of_other_systems_are_left_alone(tmp_path, bands):
    folder = band_folder(tmp_path / "s", bands)
    for file in list(folder.iterdir()):
        (folder / f"._{file.name}").write_bytes(b"\0\5\x16\7")
    same(open_scene(folder), bands)


@pytest.mark.parametrize(
    "name", ["LC08_L1TP_193027_20240601_20240610_02_T1_{}.TIF", "HLS.L30.T33TWN.2024153T1.v2.0.{}.tif"]
)
def test_landsat_has_other_numbers(tmp_path, bands, name):
    for band in ("B02", "B03", "B10"):
        plain(tmp_path / name.format(band), bands["B02"])
    with pytest.raises(InputError, match="Landsat"):
        open_scene(tmp_path)


@pytest.mark.parametrize("kind", ["uint8", "int16", "float32"])
def test_other_kinds_of_pixels(tmp_path, bands, kind):
    folder = band_folder(tmp_path, bands)
    plain(folder / FILE.format("B02"), (bands["B02"] // 20).astype(kind))
    with pytest.raises(InputError, match=rf"B02.*pixels of {kind}"):
        open_scene(folder)


@pytest.mark.parametrize(
    ("crs", "pixel", "left", "top"),
    [("EPSG:4326", 1e-4, 10, 50), ("EPSG:3857", 10, 1e6, 6e6), ("EPSG:2263", 10, 1e6, 2e5)],
)
def test_pixels_that_are_not_metres_on_the_ground(tmp_path, bands, crs, pixel, left, top):
    plain(tmp_path / "B02.tif", bands["B02"], crs, pixel, left, top)
    with pytest.raises(InputError, match=rf"{crs}(?s:.*)UTM"):
        open_scene(tmp_path)


class TestRadiometry:
    def test_a_scale_of_one_leaves_dn(self, tmp_path):
        scene = open_scene(band_folder(tmp_path, pixels(66, 66, -1000.0), scale=1.0, offset=-1000.0))
        found = scene.bands["B05"].radiometry
        assert (found.quantification, found.offset) == (10_000, -1000)

    @pytest.mark.parametrize(("scale", "offset"), [(1e-4, -1000.0), (0.01, 0.0)])
    def test_what_nothing_can_be_meant_by(self, tmp_path, scale, offset):
        folder = band_folder(tmp_path, pixels(66, 66), scale=scale, offset=offset)
        with pytest.raises(InputError, match=r"reflectance = (?s:.*)--offset"):
            open_scene(folder)
        found = open_scene(folder, offset="none").bands["B05"].radiometry  # the remedy works
        assert (found.quantification, found.offset) == (10_000, 0)

    def test_bright_in_spite_of_an_offset(self, tmp_path):
        scene = open_scene(band_folder(tmp_path, pixels(offset=-2000.0), scale=1e-4, offset=-0.1))
        with pytest.raises(InputError, match=r"still above 100\d DN"):
            check_offset(scene, model_for("eurosat_ms").card)

    def test_bands_that_are_only_counted(self, tmp_path, bands):
        """B1 to B13 in EuroSAT's order: B09 to B13 would be taken for B9 to B12."""
        path = multiband(tmp_path / "a.tif", bands, named=False)
        with rasterio.open(path, "r+") as target:
            for k in range(13):
                target.set_band_description(k + 1, f"B{k + 1}")
        with pytest.raises(InputError, match="called 'B1' to 'B13'"):
            open_scene(path)

    def test_spellings(self, tmp_path, bands):
        path = multiband(tmp_path / "a.tif", bands, named=False)
        with rasterio.open(path, "r+") as target:
            for k, name in enumerate(EUROSAT_ORDER):
                target.set_band_description(k + 1, {"B02": "Blue", "B08": "B08 (842 nm)"}.get(name, name.lower()))
        assert set(open_scene(path).bands) == set(EUROSAT_ORDER)


def test_a_file_that_describes_itself_as_another_band(tmp_path, bands):
    folder = band_folder(tmp_path, bands)
    with rasterio.open(folder / FILE.format("B02"), "r+") as target:
        target.set_band_description(1, "B03")
    with pytest.raises(InputError, match="taken for B02, and describes itself as B03"):
        open_scene(folder)


class TestItems:
    def test_an_asset_of_two_bands(self, tmp_path, bands):
        path = stac_item(tmp_path, bands)
        multiband(tmp_path / "B02.tif", bands, order=("B02", "B03"))
        with pytest.raises(InputError, match=r"B02\.tif has 2 bands"):
            open_scene(path)

    def test_hrefs_are_addresses(self, tmp_path, bands):
        path = stac_item(tmp_path / "a b", bands, href="./c%20d/")
        (tmp_path / "a b" / "c d").mkdir()
        for file in list((tmp_path / "a b").glob("*.tif")):
            file.rename(tmp_path / "a b" / "c d" / file.name)
        same(open_scene(path), bands)

    def test_stores(self):
        assert gdal_path("gs://bucket/B02.jp2", "/x/") == "/vsigs/bucket/B02.jp2"
        assert gdal_path("az://box/B02.jp2", "/x/") == "/vsiaz/box/B02.jp2"
        with pytest.raises(InputError, match="ftp"):
            gdal_path("ftp://host/B02.jp2", "/x/")


class TestWrittenInPart:
    def test_blocks_that_are_missing(self, tmp_path):
        """GDAL reads them as zeros: such cells get no class, and the page says why."""
        bands = pixels(330, 270, hole=False)
        folder = band_folder(tmp_path / "s", bands)
        with rasterio.open(folder / FILE.format("B05")) as source:
            profile = source.profile | {"SPARSE_OK": True}
        with rasterio.open(folder / FILE.format("B05"), "w", **profile) as target:
            target.write(bands["B05"][:64], 1, window=rasterio.windows.Window(0, 0, 165, 64))
        summary = classify_scene(folder, "eurosat_ms", tmp_path / "o", Options(runtime="onnxruntime"))
        assert summary["tiles_no_data"] == 18  # three of five rows of six
        assert "B05 in 18" in " ".join(summary["notes"])

    def test_chunks_of_zarr_that_are_missing(self, tmp_path):
        bands = pixels(330, 270, hole=False)
        path = eopf(tmp_path / "p.zarr", bands, offset=0.0)
        for chunk in (path / "measurements/reflectance/r20m/b12").iterdir():
            if chunk.name.startswith(("1.", "2.")):
                chunk.unlink()
        summary = classify_scene(path, "eurosat_ms", tmp_path / "o", Options(runtime="onnxruntime"))
        assert "B12 in 18" in " ".join(summary["notes"])

    def test_a_file_of_nothing(self, tmp_path, bands):
        folder = band_folder(tmp_path, bands)
        (folder / FILE.format("B02")).write_bytes(b"")
        with pytest.raises(InputError, match="B02"):
            open_scene(folder)


def test_crs_elsewhere_in_a_zarr(tmp_path, bands):
    import zarr

    path = eopf(tmp_path / "p.zarr", bands, transform=False)
    group = zarr.open_group(str(path), mode="r+")
    about = group.attrs["stac_discovery"]
    del about["properties"]["proj:epsg"]
    group.attrs["stac_discovery"], group.attrs["other_metadata"] = about, {"horizontal_CRS_code": CRS}
    assert open_scene(path).grid.crs == CRS
    group.attrs["other_metadata"] = {}
    with pytest.raises(InputError, match="proj:code"):
        open_scene(path)


def test_a_zarr_by_its_content(tmp_path, bands):
    path = eopf(tmp_path / "p.zarr", bands)
    same(open_scene(path.rename(tmp_path / "product")), bands)
    for inside in (True, False):
        with zipfile.ZipFile(tmp_path / f"{inside}.zip", "w") as archive:
            for file in (tmp_path / "product").rglob("*"):
                if file.is_file():
                    archive.write(file, file.relative_to(tmp_path if inside else tmp_path / "product"))
        same(open_scene(tmp_path / f"{inside}.zip"), bands)


@pytest.mark.parametrize(("width", "height"), [(30, 30), (6, 66), (66, 6)])
def test_scenes_smaller_than_a_tile(tmp_path, width, height):
    folder = band_folder(tmp_path / "s", pixels(width, height, hole=False))
    summary = classify_scene(folder, "eurosat_ms", tmp_path / "o", Options(runtime="onnxruntime", force=True))
    assert summary["tiles"] == -(-width // 64) * -(-height // 64)
    assert summary["tiles_no_data"] == 0


def test_one_grid_for_all_bands(tmp_path):
    """As exports have it: 20 and 60 m repeated at 10 m; nothing is resampled."""
    bands = pixels(130, 70, hole=False)
    for name, dn in bands.items():
        factor = RESOLUTION[name] // 10
        write_band(tmp_path / "s" / f"{name}.tif", np.repeat(np.repeat(dn, factor, 0), factor, 1)[:70, :130], 10)
    scene = open_scene(tmp_path / "s")
    assert set(scene.factors().values()) == {1}
    item = json.loads(stac_item(tmp_path / "i", bands).read_text())
    shutil.copy(tmp_path / "s" / "B05.tif", tmp_path / "i" / "B05.tif")
    (tmp_path / "i" / "item.json").write_text(json.dumps(item))
    assert open_scene(tmp_path / "i" / "item.json").factors()["B05"] == 1
