"""INT8 graphs for TensorRT mean what they meant: ONNX Runtime runs both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

from skytrigger.core.errors import InputError
from skytrigger.model.parity import parity
from skytrigger.model.quantise import quantise
from skytrigger.runtimes.tensorrt.quantisation import symmetric_int8

CODES = {"uint8": quantization.QuantType.QUInt8, "int8": quantization.QuantType.QInt8}


def run(model: onnx.ModelProto, tiles: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    # as written: the optimiser's own rules for QDQ pairs are not what is tested
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {model.graph.input[0].name: tiles})[0]


def is_symmetric(model: onnx.ModelProto) -> bool:
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    zeros = [constants[n.input[2]] for n in model.graph.node if n.op_type.endswith("eLinear")]
    return bool(zeros) and all(z.dtype == np.int8 and not z.any() for z in zeros)


class Reader(quantization.CalibrationDataReader):
    def __init__(self, name: str, tiles: np.ndarray) -> None:
        self.left = iter([{name: tile[None]} for tile in tiles])

    def get_next(self):
        return next(self.left, None)


@pytest.mark.parametrize("codes", ["uint8", "int8"])
def test_graphs_of_onnx_runtimes_own_quantiser(made, tmp_path: Path, codes: str) -> None:
    model = made()
    quantization.quantize_static(
        model.path, tmp_path / "q.onnx", Reader("tiles", model.tiles), quant_format=quantization.QuantFormat.QDQ,
        activation_type=CODES[codes], weight_type=quantization.QuantType.QInt8, per_channel=True,
        nodes_to_exclude=[n.name for n in onnx.load(model.path).graph.node if n.op_type in ("Sub", "Div")],
    )  # fmt: skip
    graph = onnx.load(tmp_path / "q.onnx")
    before = run(graph, model.tiles)
    done = symmetric_int8(graph)
    onnx.checker.check_model(graph)
    assert is_symmetric(graph)
    assert done["ranges"] >= 9
    assert parity(before, run(graph, model.tiles))["relative_error_max"] < 0.15  # one bit of the activations
    assert parity(model.logits, run(graph, model.tiles))["relative_error_max"] < 0.3


@pytest.mark.parametrize("name", ["basic", "1lessconv"])
def test_graphs_of_the_exporter(made, tmp_path: Path, name: str) -> None:
    model = made(name)
    quantise(model.path, tmp_path / "q.onnx", model.tiles, tuple(map(str, range(11))))
    graph = onnx.load(tmp_path / "q.onnx")
    before = run(graph, model.tiles)
    symmetric_int8(graph)
    assert is_symmetric(graph)
    assert parity(before, run(graph, model.tiles))["relative_error_max"] < 0.15
    assert parity(model.logits, run(graph, model.tiles))["relative_error_max"] < 0.3


def pair(
    source: tuple[list[float] | float, list[int] | int],
    read: tuple[list[float] | float, list[int] | int] | None = None,
    codes: type = np.uint8,
    before: str = "Identity",
) -> onnx.ModelProto:
    """tiles -> `before` -> QuantizeLinear(source) -> DequantizeLinear(read)."""
    constants = {
        "s": np.array(source[0], np.float32), "z": np.array(source[1], codes),
        "t": np.array((read or source)[0], np.float32), "y": np.array((read or source)[1], codes),
    }  # fmt: skip
    nodes = [
        helper.make_node(before, ["tiles"], ["v"], "before"),
        helper.make_node("QuantizeLinear", ["v", "s", "z"], ["q"], "Q", axis=1),
        helper.make_node("DequantizeLinear", ["q", "t", "y"], ["out"], "D", axis=1),
    ]
    shapes = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 2, 8, 8]) for n in ("tiles", "out")]
    graph = helper.make_graph(
        nodes, "g", shapes[:1], shapes[1:], [numpy_helper.from_array(v, k) for k, v in constants.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model


RAW = np.random.default_rng(0).uniform(-40, 300, (3, 2, 8, 8)).astype(np.float32)


@pytest.mark.parametrize(
    ("codes", "zero", "low"), [(np.uint8, 0, 0.0), (np.uint8, 30, -30.0), (np.int8, -128, 0.0), (np.int8, -90, -38.0)]
)
def test_the_range_stays(codes: type, zero: int, low: float) -> None:
    graph = pair((1.0, zero), codes=codes)
    done = symmetric_int8(graph)
    out = run(graph, RAW)
    high = low + 255.0
    step = max(-low, high) / 127
    inside = np.abs(RAW - (low + high) / 2) < 127.5
    assert np.abs(out - RAW)[inside].max() <= 0.5 * step + 1e-4
    assert out.max() == pytest.approx(high, abs=step)  # a range read on its old step would end at half of this
    assert done["relus"] == (low == 0)
    assert out.min() >= (0 if low == 0 else -40 - step)  # the ReLU that lay in the lower end of the range


@pytest.mark.parametrize(("before", "relus"), [("Relu", 0), ("Identity", 1), ("Neg", 1)])
def test_a_relu_comes_back_only_where_it_was_lost(before: str, relus: int) -> None:
    graph = pair((1.0, 0), before=before)
    assert symmetric_int8(graph)["relus"] == relus
    assert run(graph, RAW).min() >= 0


def test_standardisation_in_the_scales_becomes_a_product_and_a_sum() -> None:
    mean, std, step, zero = np.array([90.0, 140.0]), np.array([60.0, 35.0]), 0.04, 110
    zeros = np.rint(zero - mean / (step * std)).astype(int)
    graph = pair(((step * std).tolist(), zeros.tolist()), ([step, step], [zero, zero]))
    before = run(graph, RAW)
    symmetric_int8(graph)
    assert is_symmetric(graph)
    assert [n.op_type for n in graph.graph.node][1:3] == ["Mul", "Add"]
    # limits of the coded range: the old one ends at (255 - zero) step, the new one at the same value on both sides
    kept = (before > -zero * step + 1e-3) & (before < (255 - zero) * step - 1e-3)
    assert np.abs(run(graph, RAW) - before)[kept].max() < 1.6 * step
    assert kept.mean() > 0.5


def test_a_step_in_a_list_of_one_becomes_a_number() -> None:
    graph = pair(([1.0, 1.0], [0, 0]))
    assert symmetric_int8(graph)["ranges"] == 1
    single = pair((1.0, 0))
    for tensor in single.graph.initializer:
        tensor.dims.append(1)
    symmetric_int8(single)
    assert all(list(t.dims) == [] for t in single.graph.initializer)


def test_biases_become_the_numbers_they_stand_for() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["b", "s"], ["bias"], "BD", axis=0),
        helper.make_node("Add", ["tiles", "bias"], ["out"]),
    ]
    shapes = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 2]) for n in ("tiles", "out")]
    constants = {"b": np.array([1000, -3], np.int32), "s": np.array([0.5, 2.0], np.float32)}
    tensors = [numpy_helper.from_array(v, k) for k, v in constants.items()]
    model = helper.make_model(helper.make_graph(nodes, "g", shapes[:1], shapes[1:], tensors), ir_version=9)
    assert symmetric_int8(model) == {"ranges": 0, "relus": 0, "biases": 1}
    (bias,) = model.graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(bias), np.array([500.0, -6.0], np.float32))


def test_what_cannot_be_rewritten_is_named() -> None:
    graph = pair((1.0, 0))
    graph.graph.node[0].op_type = "QLinearAdd"
    with pytest.raises(InputError, match="quantised operators"):
        symmetric_int8(graph)
    graph = pair((1.0, 0))
    del graph.graph.node[1].input[2]
    with pytest.raises(InputError, match="'Q' names no zero point"):
        symmetric_int8(graph)
    graph = pair((1.0, 0))
    graph.graph.node[1].input[1] = "v"
    with pytest.raises(InputError, match="computes its scale"):
        symmetric_int8(graph)
    graph = pair((1.0, 0))
    graph.graph.node[2].op_type = "Cast"
    with pytest.raises(InputError, match="not read by a DequantizeLinear"):
        symmetric_int8(graph)
    graph = pair((1.0, 0))
    graph.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 2, 8, 8), np.uint8), "codes"))
    graph.graph.node[2].input[0] = "codes"
    del graph.graph.node[1]
    with pytest.raises(InputError, match="weight 'codes'"):
        symmetric_int8(graph)
