"""INT8 files opened at their own codes answer as the files themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from skytrigger.eo.packaged import packaged
from skytrigger.model.file import read_model
from skytrigger.model.input_codes import from_codes, input_codes
from skytrigger.runtimes.open import open_session


@pytest.fixture(scope="module")
def model():
    return read_model(packaged("eurosat_ms"))


def test_codes_are_those_of_the_file(model):
    """Every whole number, every band: as ONNX defines QuantizeLinear."""
    graph = model.graph()
    arrays = {t.name: numpy_helper.to_array(t) for t in graph.graph.initializer}
    node = graph.graph.node[0]
    steps, zeros = arrays[node.input[1]], arrays[node.input[2]].astype(np.float32)
    numbers = np.arange(65_536, dtype=np.float32).reshape(1, 1, 256, 256)
    expected = np.clip(np.rint(numbers / steps[:, None, None]) + zeros[:, None, None], 0, 255).astype(np.uint8)
    codes = input_codes(model)
    assert (codes.of(np.repeat(numbers, len(steps), 1)) == expected).all()


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_answers_are_the_same(model, runtime):
    pytest.importorskip(runtime)
    tiles = np.random.default_rng(0).integers(0, 9000, (5, 13, 64, 64)).astype(np.float32)
    codes = input_codes(model).of(tiles)
    plain = open_session(model, runtime, "int8", 4, threads=1).run(tiles)
    short = open_session(from_codes(model), runtime, "int8", 4, threads=1, input_type="uint8").run(codes)
    assert np.abs(plain - short).max() < 1e-4


def test_rows_left_out_before_the_codes(model):
    """A reshape in front (as where rows are skipped) is passed by: it moves codes as it moves numbers."""
    graph = model.graph()
    graph.graph.initializer.append(numpy_helper.from_array(np.array([0, 13, 64, 64], np.int64), "shape"))
    graph.graph.node[0].input[0] = "moved"
    graph.graph.node.insert(0, onnx.helper.make_node("Reshape", ["tiles", "shape"], ["moved"]))
    other = replace(model, content=graph.SerializeToString())
    assert (input_codes(other).gains == input_codes(model).gains).all()
    tiles = np.random.default_rng(0).integers(0, 9000, (2, 13, 64, 64)).astype(np.float32)
    codes = input_codes(other).of(tiles)
    plain = open_session(model, "onnxruntime", "int8", 2, threads=1).run(tiles)
    short = open_session(from_codes(other), "onnxruntime", "int8", 2, threads=1, input_type="uint8").run(codes)
    assert np.abs(plain - short).max() < 1e-4


def test_only_the_rows_that_are_read_have_codes():
    """`skip_rows` slices in front of the codes: whoever writes codes leaves the other rows out altogether."""
    fast = read_model(packaged("eurosat_ms_fast"))
    codes = input_codes(fast)
    assert codes.rows == (2, 4)
    tiles = np.random.default_rng(0).integers(0, 9000, (3, 13, 64, 64)).astype(np.float32)
    short = from_codes(fast)
    assert short.card.size == (32, 64)
    assert not {"Slice", "Reshape"} & {n.op_type for n in short.graph().graph.node[:3]}
    assert (
        codes.of(tiles) == replace(codes, rows=(1, 1)).of(tiles)[:, :, [4 * (i // 2) + i % 2 for i in range(32)]]
    ).all()
    plain = open_session(fast, "onnxruntime", "int8", 3, threads=1).run(tiles)
    found = open_session(short, "onnxruntime", "int8", 3, threads=1, input_type="uint8").run(codes.of(tiles))
    assert np.abs(plain - found).max() < 1e-4


def test_files_that_begin_otherwise(model, tmp_path):
    graph = model.graph()
    first = graph.graph.node[0]
    relu = onnx.helper.make_node("Relu", ["tiles"], ["front"])
    first.input[0] = "front"
    graph.graph.node.insert(0, relu)
    other = replace(model, content=graph.SerializeToString())
    assert input_codes(other) is None
    with pytest.raises(ValueError, match="codes"):
        from_codes(other)
