"""Rows that the first convolution does not read can be left out, and nothing changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from skytrigger.core.card import ModelCard
from skytrigger.model.calibration import tensor_ranges
from skytrigger.model.export import export_onnx, write_model
from skytrigger.model.file import read_model
from skytrigger.model.fold import fold
from skytrigger.model.qdq import REDUCED_LIMIT, quantised_tensors
from skytrigger.model.quantise import calibration_facts, write_int8
from skytrigger.model.skip_rows import skip_rows
from skytrigger.optimize.students import build
from skytrigger.runtimes.open import open_session

CHANNELS = ("B02", "B03", "B04")


def tiles(count: int = 6, size: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, (count, len(CHANNELS), size, size)).astype(np.uint16)


def exported(folder: Path, stem: str) -> Path:
    network = build("student", len(CHANNELS), (16, 16), 4, widths=[4, 8], depths=[0, 1], stem=stem).eval()
    card = ModelCard("student", CHANNELS, tuple("abcd"), (16, 16), (1500.0,) * 3, (800.0,) * 3, "DN", data_hash="")
    export_onnx(network, card, folder / "whole.onnx")
    return folder / "whole.onnx"


def rounded(whole: Path) -> Path:
    model = fold(read_model(whole).graph(), input_too=False)
    ranges = tensor_ranges(model, quantised_tensors(model), tiles(), ["minmax"])["minmax"]
    out = whole.with_name("int8.onnx")
    facts = calibration_facts("minmax", ("a",))
    write_int8(model, read_model(whole).card, out, facts, ranges=ranges, limit=REDUCED_LIMIT, merge_input=True)
    return out


def with_all_rows(file: Path) -> Path:
    """An INT8 file as it was before: nothing in front, windows as far apart as they are."""
    model = read_model(file)
    graph = model.graph()
    assert [n.op_type for n in graph.graph.node][:3] == ["Reshape", "Slice", "Reshape"]
    del graph.graph.node[:3]
    for node in graph.graph.node:
        node.input[:] = ["tiles" if name == "rows/kept" else name for name in node.input]
    convolution = next(n for n in graph.graph.node if n.op_type == "Conv")
    next(a for a in convolution.attribute if a.name == "strides").ints[:] = [4, 4]
    out = file.with_name("all_rows.onnx")
    write_model(graph, model.card, out)
    return out


def cut(whole: Path) -> Path:
    """A float32 file without the rows that are not read; INT8 files are written so."""
    model = read_model(whole)
    graph = model.graph()
    assert skip_rows(graph)
    out = whole.with_name("cut.onnx")
    write_model(graph, model.card, out)
    return out


@pytest.mark.parametrize("stem", ["q4", "r4"])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_answers_stay_and_rows_that_are_not_read_do_not_matter(stem: str, runtime: str, tmp_path: Path) -> None:
    pytest.importorskip(runtime)
    whole = exported(tmp_path, stem)
    eight = rounded(whole)
    for file, shorter, precision in ((whole, cut(whole), "fp32"), (with_all_rows(eight), eight, "int8")):
        x = tiles().astype(np.float32)
        before, small = open_session(file, runtime, precision, 6, 1), open_session(shorter, runtime, precision, 6, 1)
        expected = before.run(x)
        np.testing.assert_allclose(small.run(x), expected, atol=1e-6)
        x[:, :, 2::4] = x[:, :, 3::4] = 60_000
        np.testing.assert_allclose(small.run(x), expected, atol=1e-6)
        x[:, :, 1::4] = 60_000
        assert np.abs(small.run(x) - expected).max() > 1e-4


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("kind", ["uint16", "float16"])
def test_stored_tiles_are_cast_behind_the_slice(runtime: str, kind: str, tmp_path: Path) -> None:
    pytest.importorskip(runtime)
    file = rounded(exported(tmp_path, "r4"))
    stored = tiles().astype(kind)
    floats = open_session(file, runtime, "int8", 6, 1).run(stored.astype(np.float32))
    np.testing.assert_array_equal(open_session(file, runtime, "int8", 6, 1, input_type=kind).run(stored), floats)


def test_the_cast_takes_what_is_left() -> None:
    from skytrigger.runtimes.input_type import cast_first

    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Reshape", ["tiles", "shape"], ["a"]),
        helper.make_node("Slice", ["a", "from", "to"], ["b"]),
        helper.make_node("Relu", ["b"], ["out"]),
    ]
    ends = [[helper.make_tensor_value_info(name, floats, ["n", 1, 4, 4])] for name in ("tiles", "out")]
    graph = helper.make_model(helper.make_graph(nodes, "g", *ends))
    cast_first(graph, "uint16", by_int32=True)
    assert [n.op_type for n in graph.graph.node] == ["Reshape", "Slice", "Cast", "Cast", "Relu"]
    assert [n.input[0] for n in graph.graph.node] == ["tiles", "a", "b", "tiles_as_int32", "tiles_as_float"]


@pytest.mark.parametrize("stem", ["p4", "k4", "mix"])
def test_other_first_layers_read_everything(stem: str, tmp_path: Path) -> None:
    graph = read_model(exported(tmp_path, stem)).graph()
    before = graph.SerializeToString()
    assert not skip_rows(graph)
    assert graph.SerializeToString() == before


def test_codes_before_the_first_layer_do_not_hide_it() -> None:
    """An input that is rounded to codes and back is still a pixel's own."""
    rng = np.random.default_rng(1)
    numbers = {"scale": np.float32(0.05), "zero": np.uint8(7), "w": rng.normal(size=(2, 3, 2, 4)).astype(np.float32)}
    floats = helper.TensorProto.FLOAT
    nodes = [
        helper.make_node("QuantizeLinear", ["tiles", "scale", "zero"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["back"]),
        helper.make_node("Conv", ["back", "w"], ["out"], kernel_shape=[2, 4], strides=[4, 4]),
    ]
    ends = [[helper.make_tensor_value_info("tiles", floats, ["n", 3, 8, 8])],
            [helper.make_tensor_value_info("out", floats, ["n", 2, 2, 2])]]  # fmt: skip
    constants = [numpy_helper.from_array(np.asarray(v), k) for k, v in numbers.items()]
    graph = helper.make_model(
        helper.make_graph(nodes, "g", *ends, constants), opset_imports=[helper.make_opsetid("", 21)]
    )
    seen = rng.uniform(0, 8, (2, 3, 8, 8)).astype(np.float32)
    before = ReferenceEvaluator(graph).run(None, {"tiles": seen})[0]
    assert skip_rows(graph)
    assert graph.graph.node[1].op_type == "Slice"
    np.testing.assert_allclose(ReferenceEvaluator(graph).run(None, {"tiles": seen})[0], before, rtol=1e-5, atol=1e-6)
