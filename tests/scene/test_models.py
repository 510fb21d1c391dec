"""Networks other than the packaged one: their own bands, order and tile size; Level-2A with twelve bands and SCL."""

from __future__ import annotations

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
import rasterio
from onnx import TensorProto, helper, numpy_helper

from scene.make_scenes import band_folder, pixels, safe
from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.scene.classify import Options, classify_scene
from skytrigger.model.export import write_model

TWELVE = tuple(n for n in EUROSAT_ORDER if n != "B10")
OPTIONS = Options(runtime="onnxruntime")


def brightest(path, channels, size=64, units="DN", classes=("dark", "bright")):
    """A model file whose answer is the mean of its first band: bright above 1,000 DN."""
    weights = np.zeros((2, len(channels)), np.float32)
    weights[1, 0] = 0.01
    nodes = [
        helper.make_node("GlobalAveragePool", ["tiles"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes, "skytrigger",
        [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["batch", len(channels), size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([10, 0], np.float32), "b")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    n = len(channels)
    card = ModelCard("brightest", tuple(channels), classes, (size, size), (1000.0,) * n, (500.0,) * n, units, "0" * 64)
    write_model(model, card, path)
    return path


def test_level_2a_with_twelve_bands(tmp_path):
    """SCL screens the clouds, the offset of Level-2A is applied, no limits are known and that is said."""
    bands = pixels(330, 270, -1000.0, hole=False)
    scl = np.full((135, 165), 4, np.uint16)
    scl[:64, :64] = 9
    scl[0, 0] = 0
    folder = safe(tmp_path, bands, level="L2A", scl=scl)
    summary = classify_scene(folder, brightest(tmp_path / "m.onnx", TWELVE), tmp_path / "o", OPTIONS)
    assert summary["level"] == "L2A"
    assert summary["radiometry"]["offset_dn"] == -1000
    assert summary["tiles_cloud"] == 4
    assert summary["tiles_rejected"] == 0
    assert summary["area_corrected_km2"] is None
    assert any("No limits" in n for n in summary["notes"])
    with rasterio.open(tmp_path / "o" / "landcover.tif") as s:
        assert (s.read(1)[:2, :2] == 3).all()


def test_order_and_choice_of_bands(tmp_path):
    """The first band of the network decides, wherever it stands in the product; the others are read for the picture."""
    bands = pixels(198, 132, hole=False)
    bands["B12"][:] = 3000
    bands["B11"][:] = 200
    folder = band_folder(tmp_path / "s", bands)
    for first, code in (("B12", 1), ("B11", 0)):
        rest = [n for n in ("B8A", "B02", "B11", "B12") if n != first]
        out = tmp_path / first
        classify_scene(folder, brightest(tmp_path / f"{first}.onnx", [first, *rest]), out, OPTIONS)
        with rasterio.open(out / "landcover.tif") as s:
            codes = s.read(1)
        assert set(codes[codes != 255]) == {code}
        table = pq.read_table(out / "landcover.parquet").to_pydict()
        assert np.allclose(table["mean_B12"], 0.3)
        assert np.allclose(table["mean_B11"], 0.02)


@pytest.mark.parametrize("size", [32, 96])
def test_tile_size_of_the_network(tmp_path, size):
    folder = band_folder(tmp_path / "s", pixels(330, 270, hole=False))
    summary = classify_scene(folder, brightest(tmp_path / "m.onnx", EUROSAT_ORDER, size), tmp_path / "o", OPTIONS)
    assert summary["tiles"] == -(-330 // size) * -(-270 // size)
    assert summary["cell_m"] == 10 * size
    assert sum(summary["area_km2"].values()) == pytest.approx(3.3 * 2.7, rel=1e-4)


def test_models_that_do_not_fit(tmp_path):
    folder = band_folder(tmp_path / "s", pixels(66, 66, hole=False))
    with pytest.raises(InputError, match="ADC"):
        classify_scene(folder, brightest(tmp_path / "a.onnx", EUROSAT_ORDER, units="ADC"), tmp_path / "o", OPTIONS)
    with pytest.raises(InputError, match="has no c0"):
        classify_scene(folder, brightest(tmp_path / "b.onnx", ["c0", "c1"]), tmp_path / "o", OPTIONS)
    (tmp_path / "c.onnx").write_bytes(b"no model")
    with pytest.raises(InputError):
        classify_scene(folder, tmp_path / "c.onnx", tmp_path / "o", OPTIONS)


def test_facts_of_another_model_are_refused(tmp_path):
    folder = band_folder(tmp_path / "s", pixels(66, 66, hole=False))
    path = brightest(tmp_path / "m.onnx", EUROSAT_ORDER)
    (tmp_path / "m.scene.json").write_text('{"model_sha256": "0"}')
    with pytest.raises(InputError, match="another model file"):
        classify_scene(folder, path, tmp_path / "o", OPTIONS)
