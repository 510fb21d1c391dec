"""Networks on native pixels answer as on whole bands brought to 10 m, wherever the tile begins."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from scene.oracle import matrix
from skytrigger.cli.main import main
from skytrigger.core.errors import InputError
from skytrigger.eo.packaged import packaged
from skytrigger.model.file import read_model
from skytrigger.model.native import native_groups, with_native_inputs

FACTORS = (6, 1, 2, 1, 2, 6)
SIDE = 300  # pixels of the scene


def network(kernel, stride, pad, size=64, standardised=True, seed=0):
    """One convolution of six bands; sizes as (rows, columns) where they differ. What follows does not matter here."""
    kernel, strides = ([v] * 2 if isinstance(v, int) else v for v in (kernel, stride))
    pads = [pad] * 4 if isinstance(pad, int) else pad
    random = np.random.default_rng(seed)
    values = {
        "mean": random.normal(1000, 200, (1, 6, 1, 1)), "std": random.uniform(200, 600, (1, 6, 1, 1)),
        "w": random.normal(0, 0.3, (5, 6, *kernel)), "b": random.normal(0, 1, 5),
    }  # fmt: skip
    source = "tiles"
    nodes = []
    if standardised:
        nodes = [helper.make_node("Sub", ["tiles", "mean"], ["c"]), helper.make_node("Div", ["c", "std"], ["x"])]
        source = "x"
    nodes.append(helper.make_node("Conv", [source, "w", "b"], ["logits"], strides=strides, pads=pads))
    graph = helper.make_graph(
        nodes, "n", [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["batch", 6, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", "c", "h", "w"])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in values.items() if standardised or len(k) == 1],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def answers(model, inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


@pytest.fixture(scope="module")
def bands():
    """Native DN, and the same bands at 10 m: an independent matrix product over the whole band."""
    random = np.random.default_rng(3)
    native = [random.integers(300, 6000, (SIDE // f, SIDE // f)).astype(np.uint16) for f in FACTORS]
    whole = []
    for values, factor in zip(native, FACTORS, strict=True):
        weights = matrix(SIDE, SIDE // factor, factor)
        whole.append(weights @ values.astype(float) @ weights.T)
    return native, np.stack(whole)


def native_inputs(model, native, starts):
    """Of tiles that begin at `starts` and share a phase."""
    inputs, phases = {}, set()
    for group in native_groups(model):
        cuts = []
        for top, left in starts:
            (y0, y1, py), (x0, x1, px) = group.window(top), group.window(left)
            cuts.append(np.stack([native[c][y0:y1, x0:x1] for c in group.channels]))
            if group.phases > 1:
                phases.add((py, px))
        inputs[group.input] = np.stack(cuts).astype(np.float32)
    if phases:
        ((py, px),) = phases
        inputs["phase"] = np.array([py, px], np.int64)
    return inputs


# k4 and s2 of the students, patches, patches that skip, the 2019 networks' 3x3, one that looks far over the border
@pytest.mark.parametrize(
    ("kernel", "stride", "pad"),
    [(4, 2, 1), (3, 2, 1), (4, 4, 0), (2, 4, 0), (3, 1, 1), (7, 3, 3), (1, 1, 0), ([3, 5], [2, 1], [1, 2, 0, 1])],
)
def test_native_pixels_answer_as_whole_bands(bands, kernel, stride, pad):
    native, whole = bands
    model = network(kernel, stride, pad)
    changed = with_native_inputs(model, FACTORS)
    onnx.checker.check_model(changed, full_check=True)
    for starts in ([(64, 64)], [(128, 64), (128, 64)], [(64, 192)], [(192, 128)]):
        tiles = np.stack([whole[:, t : t + 64, x : x + 64] for t, x in starts]).astype(np.float32)
        expected = answers(model, {"tiles": tiles})
        found = answers(changed, native_inputs(changed, native, starts))
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 2e-5 * max(1.0, np.abs(expected).max())


def test_all_phases_of_overlapping_tiles(bands):
    """Stride 32: tiles begin 16 pixels before multiples of 32, at each third of a pixel of 60 m."""
    native, whole = bands
    model = network(4, 2, 1, standardised=False)
    changed = with_native_inputs(model, FACTORS, stride=32)
    seen = set()
    for top in (48, 80, 112):
        for left in (48, 80, 112):
            inputs = native_inputs(changed, native, [(top, left)])
            seen.add(tuple(inputs["phase"]))
            tile = whole[None, :, top : top + 64, left : left + 64].astype(np.float32)
            expected = answers(model, {"tiles": tile})
            found = answers(changed, inputs)
            assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()
    assert len(seen) == 9


def test_fewer_numbers_go_in(bands):
    changed = with_native_inputs(network(4, 2, 1), FACTORS)
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in changed.graph.input}
    assert shapes == {
        "tiles_10m": [0, 2, 64, 64], "tiles_20m": [0, 2, 36, 36], "tiles_60m": [0, 2, 16, 16], "phase": [2],
    }  # fmt: skip


def test_command(tmp_path, capsys):
    """Of the packaged network: its weights in float32."""
    int8 = read_model(packaged("eurosat_ms"))
    assert main(["export", str(int8.path), "--native", "--out", str(tmp_path / "n.onnx"), "--json"]) == 0
    inputs = json.loads(capsys.readouterr().out)["inputs"]
    assert inputs["tiles_10m"]["bands"] == ["B02", "B03", "B04", "B08"]
    assert inputs["tiles_60m"] == {"bands": ["B01", "B09", "B10"], "pixels": 16, "phases": 3}
    file = read_model(tmp_path / "n.onnx")
    assert file.card.precision == "fp32"
    assert file.card.notes == int8.card.notes
    assert [g.side for g in file.native] == [64, 36, 16]
    rgb = str(packaged("eurosat_rgb"))
    assert main(["export", rgb, "--native", "--out", str(tmp_path / "m.onnx")]) == 2
    assert "Sentinel-2" in capsys.readouterr().err


def test_refusals():
    with pytest.raises(InputError, match="resolutions"):
        with_native_inputs(network(4, 2, 1), (1, 2))
    model = network(4, 2, 1)
    model.graph.node[2].op_type = "MaxPool"
    with pytest.raises(InputError, match="convolution"):
        with_native_inputs(model, FACTORS)


def test_a_file_of_whole_bands_has_no_native_inputs():
    assert native_groups(network(3, 1, 1)) == ()
