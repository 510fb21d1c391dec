"""The files of a map, judged by others' validators and readers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio

from scene.make_scenes import CRS, LEFT, TOP, band_folder, multiband, pixels, safe, stac_item, tile_xml
from skytrigger.cli.main import main
from skytrigger.eo.scene import classify as classify_module
from skytrigger.eo.scene.classify import FILES, Options, classify_scene
from skytrigger.eo.scene.grid import Grid
from skytrigger.eo.scene.write_item import footprint
from skytrigger.eo.scene.write_vectors import clip_at


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict]:
    """A map of a scene with a hole, partial last cells and an offset."""
    folder = tmp_path_factory.mktemp("scene")
    out = folder / "out"
    summary = classify_scene(safe(folder, pixels(570, 450, -1000.0)), "eurosat_ms", out)
    return out, summary


def test_all_files_and_nothing_else(made):
    out, summary = made
    assert {p.name for p in out.iterdir()} == {*FILES, "landcover.tif.aux.xml"}
    assert json.loads((out / "summary.json").read_text()) == summary


def test_summary_counts(made):
    _, s = made
    assert s["tiles"] == 9 * 8
    counts = [s[f"tiles_{k}"] for k in ("classified", "no_data", "rejected", "cloud")]
    assert sum(counts) == s["tiles"]
    assert counts[1] > 0
    assert sum(s["area_km2"].values()) == pytest.approx(s["area_with_data_km2"], abs=1e-3)
    assert 0 < s["area_with_data_km2"] < 5.7 * 4.5
    assert s["radiometry"] == s["radiometry"] | {"offset_dn": -1000.0, "checked": True}
    for name, (low, high) in s["area_interval_95_km2"].items():
        assert 0 <= low <= s["area_corrected_km2"][name] <= high
    assert s["tiles_per_s"] > 0
    assert s["seconds"] > 0
    assert not s["off_scale"]


def test_geotiff(made):
    from rio_cogeo.cogeo import cog_validate

    out, summary = made
    valid, errors, _ = cog_validate(out / "landcover.tif", strict=True)
    assert valid, errors
    with rasterio.open(out / "landcover.tif") as s:
        assert (s.crs.to_string(), s.width, s.height, s.count, s.nodata) == (CRS, 9, 8, 3, 255)
        assert tuple(s.transform)[:6] == (640, 0, LEFT, 0, -640, TOP)
        assert set(s.dtypes) == {"uint8"}
        assert s.descriptions == ("class", "confidence_percent", "valid_percent")
        assert s.colormap(1)[9][:3] == (0x1D, 0x4F, 0x91)
        codes, confidence, valid = s.read()
        assert s.tags(1)["CLASS_9"] == "Sea, lake"
    assert (codes == 255).sum() == summary["tiles_no_data"]
    assert ((confidence == 255) == (codes == 255)).all()
    assert ((valid == 255) == (codes == 255)).all()
    assert confidence[codes != 255].max() <= 100
    assert valid[0, 1] == 100
    assert valid[0, -1] == round(100 * 58 / 64)


def test_parquet(made):
    pyogrio = pytest.importorskip("pyogrio")
    out, summary = made
    table = pq.read_table(out / "landcover.parquet")
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"]["crs"]["id"] == {"authority": "EPSG", "code": 32633}
    assert len(table) == summary["tiles"] - summary["tiles_no_data"]
    with rasterio.open(out / "landcover.tif") as s:
        codes = s.read(1)
    rows = table.to_pydict()
    assert all(codes[r, c] == v for r, c, v in zip(rows["row"], rows["column"], rows["code"], strict=True))
    p = np.stack([rows[f"p_{n}"] for n in ("AnnualCrop", "SeaLake")])
    assert ((p >= 0) & (p <= 1)).all()
    assert 2e-4 < min(rows["mean_B10"]) < max(rows["mean_B10"]) < 3e-3  # reflectance, without the offset
    ndvi = (np.array(rows["mean_B08"]) - rows["mean_B04"]) / (np.array(rows["mean_B08"]) + rows["mean_B04"])
    assert np.allclose(rows["ndvi"], ndvi, atol=1e-5)
    if "Parquet" in pyogrio.list_drivers():
        assert pyogrio.read_info(out / "landcover.parquet")["crs"] == CRS


def test_parquet_geometry(made):
    """Well-known binary as its standard has it: the rings of the cells, counter-clockwise, cut at the scene's edge."""
    out, _ = made
    table = pq.read_table(out / "landcover.parquet").to_pydict()
    for row, column, wkb in zip(table["row"], table["column"], table["geometry"], strict=True):
        assert wkb[:13] == bytes([1, 3, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0])
        ring = np.frombuffer(wkb[13:], "<f8").reshape(5, 2)
        x0, y1 = LEFT + 640 * column, TOP - 640 * row
        x1, y0 = min(x0 + 640, LEFT + 5700), max(y1 - 640, TOP - 4500)
        assert ring.tolist() == [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]


def test_geojson(made):
    pyogrio = pytest.importorskip("pyogrio")
    out, summary = made
    info = pyogrio.read_info(out / "landcover.geojson")
    assert info["crs"] == "EPSG:4326"
    assert info["features"] == summary["tiles"] - summary["tiles_no_data"]
    assert info["geometry_type"] == "Polygon"
    west, south, east, north = info["total_bounds"]
    assert 14.99 < west < east < 15.1
    assert 47.8 < south < north < 47.9


def test_item(made):
    pystac = pytest.importorskip("pystac")
    from pystac.extensions.classification import ClassificationExtension
    from pystac.extensions.mlm import MLMExtension

    out, _summary = made
    item = pystac.Item.from_file(str(out / "item.json"))
    offline = Path(pystac.__file__).parent / "validation/jsonschemas/stac-spec/v1.1.0"
    assert offline.is_dir()
    core = item.to_dict()
    core["stac_extensions"] = []  # their schemas are not bundled; the classes below check them
    from pystac.validation import validate_dict

    validate_dict(core, pystac.STACObjectType.ITEM, stac_version="1.1.0", extensions=[])
    classes = ClassificationExtension.ext(item.assets["landcover"]).classes
    assert [c.value for c in classes] == [*range(12), 255]
    assert classes[9].color_hint == "1D4F91"
    mlm = MLMExtension.ext(item)
    assert mlm.mlm_name == "eurosat_ms"
    assert mlm.input[0].bands[-1].name == "B8A" if hasattr(mlm.input[0].bands[-1], "name") else True
    assert len(mlm.output[0].to_dict()["classification:classes"]) == 10
    assert any("mlm:model" in (a.roles or []) for a in item.assets.values())
    assert item.properties["proj:code"] == CRS
    assert item.properties["proj:shape"] == [8, 9]
    assert item.properties["datetime"].startswith("2024-06-01T10:05:59")
    for name, asset in item.assets.items():
        assert name == "model" or (out / asset.href).is_file()


def test_page_is_self_contained(made):
    text = (made[0] / "map.html").read_text()
    assert "http://" not in text
    assert "https://" not in text
    assert "default-src 'none'" in text or "default-src &#x27;none&#x27;" in text
    data = json.loads(text.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    assert (data["rows"], data["columns"]) == (8, 9)


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium")
def test_page_in_a_browser(made, tmp_path):
    """It draws, a hover names the class and the place, and nothing is asked of the network."""
    page = tmp_path / "map.html"
    text = (made[0] / "map.html").read_text()
    probe = """<script>window.onload = () => setTimeout(() => {
      const s = document.getElementById('stage'), b = s.getBoundingClientRect();
      const at = {clientX: b.left + b.width / 2, clientY: b.top + b.height / 4, bubbles: true};
      s.dispatchEvent(new PointerEvent('pointermove', at));
      const c = document.getElementById('canvas').getContext('2d');
      const seen = new Set(c.getImageData(0, 0, 900, 500).data.filter((v, i) => i % 4 < 3));
      document.title = 'colours ' + seen.size;
    }, 300);</script></body>"""
    policy = text.split('content="')[1].split('"')[0]
    page.write_text(text.replace(policy, "").replace("</body>", probe))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"]
    dom = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120).stdout
    tip = dom.split('id="tip"')[1].split("</div></div>")[0]
    assert "° N" in tip
    assert "° E" in tip
    assert "%" in tip
    assert "row " in tip
    assert int(dom.split("<title>colours ")[1].split("<")[0]) > 20
    assert dom.count("<tr>") == 13


def test_second_call_does_nothing_and_another_option_does(made, monkeypatch):
    out, summary = made
    source = Path(summary["source"])
    monkeypatch.setattr(classify_module, "Lanes", None)  # opening an engine would fail now
    assert classify_scene(source, "eurosat_ms", out) == summary
    with pytest.raises(TypeError):
        classify_scene(source, "eurosat_ms", out, Options(stride=32))


def test_strides(tmp_path):
    folder = band_folder(tmp_path / "s", pixels(330, 270, hole=False))
    for stride, shape in ((32, (9, 11)), (16, (17, 21))):
        out = tmp_path / str(stride)
        summary = classify_scene(folder, "eurosat_ms", out, Options(stride=stride))
        with rasterio.open(out / "landcover.tif") as s:
            assert s.shape == shape
            assert s.transform.a == 10 * stride
        assert summary["tiles"] == shape[0] * shape[1]
        assert sum(summary["area_km2"].values()) == pytest.approx(3.3 * 2.7, rel=1e-3)
    with pytest.raises(Exception, match="--stride 20"):
        classify_scene(folder, "eurosat_ms", tmp_path / "x", Options(stride=20))


def test_every_form_makes_the_same_map(tmp_path):
    bands = pixels(198, 132)
    sources = [
        band_folder(tmp_path / "a", bands, ".jp2"),
        safe(tmp_path / "b", bands, offset=0.0),
        stac_item(tmp_path / "c", bands, offset=0.0),
    ]
    (tmp_path / "c").mkdir(exist_ok=True)
    maps = []
    for i, source in enumerate(sources):
        classify_scene(source, "eurosat_ms", tmp_path / f"o{i}", Options(runtime="onnxruntime"))
        with rasterio.open(tmp_path / f"o{i}/landcover.tif") as s:
            maps.append(s.read())
    assert all((m == maps[0]).all() for m in maps)


def test_offset_in_the_data_changes_nothing(tmp_path):
    """The same ground with and without the offset gives one map: reflectance is what counts."""
    for name, offset in (("a", 0.0), ("b", -1000.0)):
        classify_scene(
            safe(tmp_path / name, pixels(198, 132, offset), offset=offset), "eurosat_ms", tmp_path / name / "out"
        )
    a, b = (pq.read_table(tmp_path / n / "out/landcover.parquet").to_pydict() for n in "ab")
    assert a["code"] == b["code"]
    assert np.allclose(a["mean_B08"], b["mean_B08"], atol=1e-6)


class TestAntimeridian:
    grid = Grid("EPSG:32701", 99_960, 8_300_020, 10, 10_980, 10_980)

    def test_footprint(self):
        shape, box = footprint(self.grid)
        assert shape["type"] == "MultiPolygon"
        east, west = (np.array(p[0]) for p in shape["coordinates"])
        assert east[:, 0].min() > 176
        assert east[:, 0].max() == 180
        assert west[:, 0].min() == -180
        assert west[:, 0].max() < -175
        assert box[0] > 176
        assert box[2] < -175

    def test_scene(self, tmp_path):
        bands = pixels(570, 450, hole=False)
        folder = safe(tmp_path, bands, offset=0.0, tile=tile_xml(570, 450, "EPSG:32701", 178_000.0, 8_300_020))
        classify_scene(folder, "eurosat_ms", tmp_path / "out")
        content = json.loads((tmp_path / "out/landcover.geojson").read_text())
        kinds = {f["geometry"]["type"] for f in content["features"]}
        assert kinds <= {"Polygon", "MultiPolygon"}
        for f in content["features"]:
            rings = (
                [f["geometry"]["coordinates"]] if f["geometry"]["type"] == "Polygon" else f["geometry"]["coordinates"]
            )
            for (ring,) in rings:
                assert np.ptp(np.array(ring)[:, 0]) < 1

    def test_clipping(self):
        ring = np.array([[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]], float)
        left, right = clip_at(ring, 0.5, True), clip_at(ring, 0.5, False)

        def area(p):
            return 0.5 * np.sum(p[:-1, 0] * p[1:, 1] - p[1:, 0] * p[:-1, 1])

        assert area(left) == 1
        assert area(right) == 3


class TestCommand:
    def test_json(self, tmp_path, capsys):
        folder = band_folder(tmp_path / "s", pixels(132, 126, hole=False))
        assert main(["classify", str(folder), "--out", str(tmp_path / "o"), "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert data["tiles"] == 6
        assert {"tiles_per_s", "seconds", "area_km2"} <= set(data)
        assert main(["classify", str(folder), "--out", str(tmp_path / "o")]) == 0
        assert "6 tiles" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "arguments",
        [["nothing"], ["S", "--stride", "7"], ["S", "--model", "eurosat_rgb"], ["S", "--offset", "x"],
         ["S", "--runtime", "x"], ["S", "--threads", "0"], ["S", "--reduce", "2"], ["S", "--model", "S"]],
    )  # fmt: skip
    def test_wrong_requests(self, tmp_path, capsys, arguments):
        folder = band_folder(tmp_path / "s", pixels(66, 66, hole=False))
        words = [str(folder) if a == "S" else a for a in arguments]
        assert main(["classify", *words, "--out", str(tmp_path / "o")]) == 2
        error = capsys.readouterr().err
        assert "skytrigger: error:" in error
        assert "Traceback" not in error

    def test_full_disk(self, tmp_path, capsys, monkeypatch):
        folder = band_folder(tmp_path / "s", pixels(66, 66, hole=False))

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("skytrigger.core.files.os.fsync", full)
        assert main(["classify", str(folder), "--out", str(tmp_path / "o")]) == 1
        assert "No space left on device" in capsys.readouterr().err
        assert not [p for p in (tmp_path / "o").rglob("*") if p.is_file()]


@pytest.mark.slow
def test_killed_and_gone_on_with(tmp_path):
    """SIGKILL in the middle: the same command ends with the same map, from the chunks that were kept."""
    folder = band_folder(tmp_path / "s", pixels(396, 1530))
    code = (
        "import sys, time\nfrom skytrigger.eo.scene import native_rows, stream\nnative_rows.CHUNK_ROWS = (64, 64)\n"
        "row = stream._classify_row\n"
        "stream._classify_row = lambda *a: (time.sleep(0.2), row(*a))[1]\n"
        "from skytrigger.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    )
    words = ["classify", str(folder), "--out", str(tmp_path / "o"), "--runtime", "onnxruntime", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    parts = tmp_path / "o" / ".parts"
    for _ in range(3000):
        if len(list(parts.glob("*.npz"))) >= 3 or process.poll() is not None:
            break
        time.sleep(0.02)
    process.kill()
    process.wait()
    kept = len(list(parts.glob("*.npz")))
    assert 3 <= kept < 24
    assert not (tmp_path / "o" / "summary.json").exists()
    # chunks are part of the plan, not of the result: the second run cuts as the first did
    again = subprocess.run([sys.executable, "-c", code.replace("0.2", "0"), *words], capture_output=True, text=True)
    found = json.loads(again.stdout)
    classify_scene(folder, "eurosat_ms", tmp_path / "plain", Options(runtime="onnxruntime"))
    for name in ("landcover.tif",):
        with rasterio.open(tmp_path / "o" / name) as a, rasterio.open(tmp_path / "plain" / name) as b:
            assert (a.read() == b.read()).all()
    assert found["tiles"] == 7 * 24
    assert not parts.exists()


@pytest.mark.real
class TestRealGranule:
    def test_map(self, real_data, tmp_path):
        summary = classify_scene(real_data / "sentinel2_l1c_T19UDP_160m", "eurosat_ms", tmp_path)
        assert summary["tiles"] == 121
        assert summary["off_scale"]
        assert any("Off scale" in n for n in summary["notes"])
        assert 35 <= summary["tiles_no_data"] <= 55
        with rasterio.open(tmp_path / "landcover.tif") as s:
            codes = s.read(1)
        assert codes[0, 0] == 255
        assert codes[5, 7] != 255
        # the estuary is water, or none of the classes at this scale: never a crop or a forest
        assert set(codes[2:5, 9:11].ravel()) <= {8, 9, 10}

    def test_multiband_of_it(self, real_data, tmp_path):
        """The same pixels as one raster give the same map."""
        names, values = [], []
        for path in sorted((real_data / "sentinel2_l1c_T19UDP_160m").glob("*.jp2")):
            with rasterio.open(path) as s:
                names.append(path.stem)
                values.append(s.read(1))
        profile = {"driver": "GTiff", "width": 687, "height": 687, "count": 13, "dtype": "uint16", "crs": "EPSG:32619"}
        transform = rasterio.transform.from_origin(399_960, 5_400_000, 109_800 / 687, 109_800 / 687)
        with rasterio.open(tmp_path / "all.tif", "w", transform=transform, **profile) as t:
            t.write(np.stack(values))
            for i, name in enumerate(names, 1):
                t.set_band_description(i, name)
        a = classify_scene(tmp_path / "all.tif", "eurosat_ms", tmp_path / "a", Options(runtime="onnxruntime"))
        b = classify_scene(
            real_data / "sentinel2_l1c_T19UDP_160m", "eurosat_ms", tmp_path / "b", Options(runtime="onnxruntime")
        )
        assert a["area_km2"] == b["area_km2"]


def test_multiband_scene(tmp_path):
    summary = classify_scene(multiband(tmp_path / "m.tif", pixels(132, 126, hole=False)), "eurosat_ms", tmp_path / "o")
    assert summary["kind"] == "raster"
    assert summary["tiles"] == 6
