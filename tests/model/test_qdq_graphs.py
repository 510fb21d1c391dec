"""Where QDQ pairs go: a ReLU that quantisation does by itself, and shapes that share a scale."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from skytrigger.model.qdq import Scale, _before_relu, _same_through_shapes, write_qdq

SHAPE = ["n", 2, 4, 4]


def _graph(nodes: list[onnx.NodeProto], outputs: dict[str, list]) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.normal(size=(2, 2, 1, 1)).astype(np.float32), "b": np.array([0.3, -0.2], np.float32),
        "w2": rng.normal(size=(2, 2, 1, 1)).astype(np.float32), "flat": np.array([0, 32], np.int64),
        "w3": rng.normal(size=(3, 32)).astype(np.float32), "b3": np.zeros(3, np.float32),
    }  # fmt: skip
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(v, k) for k, v in constants.items() if k in used],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def _node(op: str, inputs: str, output: str, **how: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=output, **how)


CONV = [_node("Conv", "tiles w b", "c"), _node("Relu", "c", "r")]
ZERO, OTHER = Scale(0.1, 0), Scale(0.1, 30)


@pytest.mark.parametrize(
    ("nodes", "found", "floats", "fused"),
    [
        (CONV, {"r": ZERO}, (), {"c"}),
        (CONV, {"r": OTHER}, (), set()),  # code 0 is not the value 0: the ReLU must stay
        (CONV, {}, (), set()),
        (CONV, {"r": ZERO}, ("c",), set()),  # a float convolution
        ([*CONV, _node("Add", "c r", "s")], {"r": ZERO}, (), set()),  # someone else reads it before the ReLU
        ([_node("Add", "tiles tiles", "c"), _node("Relu", "c", "r")], {"r": ZERO}, (), {"c"}),
        ([_node("Sigmoid", "tiles", "c"), _node("Relu", "c", "r")], {"r": ZERO}, (), set()),
        ([_node("Relu", "tiles", "r")], {"r": ZERO}, (), set()),  # of the input itself
        ([CONV[0], _node("Sigmoid", "c", "r")], {"r": ZERO}, (), set()),
    ],
)
def test_which_relus_quantisation_does(nodes: list, found: dict, floats: tuple, fused: set) -> None:
    assert _before_relu(_graph(nodes, {nodes[-1].output[0]: SHAPE}), found, floats) == fused


@pytest.mark.parametrize("op", ["Reshape", "Flatten", "Squeeze"])
def test_reshaped_tensors_share_their_sources_scale(op: str) -> None:
    model = _graph([_node("Relu", "tiles", "r"), _node("Reshape", "r flat", "f")], {"f": ["n", 32]})
    model.graph.node[1].op_type = op
    found = {"r": ZERO, "f": OTHER}
    _same_through_shapes(model, found)
    assert found == {"r": ZERO, "f": ZERO}
    for alone in ({"r": ZERO}, {"f": OTHER}):
        kept = dict(alone)
        _same_through_shapes(model, kept)
        assert kept == alone
    model.graph.node[1].op_type = "Sigmoid"
    found = {"r": ZERO, "f": OTHER}
    _same_through_shapes(model, found)
    assert found == {"r": ZERO, "f": OTHER}


def _run(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"]).run(None, {"tiles": x})


@pytest.mark.parametrize(
    "nodes",
    [
        [*CONV, _node("Conv", "r w2", "y")],
        [*CONV, _node("Add", "c r", "s"), _node("Conv", "s w2", "y")],  # the convolution is read twice
    ],
)
def test_quantised_graphs_answer_as_float_ones(nodes: list) -> None:
    """Within a few steps of 1/255 of each range: a lost ReLU or a wrong scale is off by the range itself."""
    names = list(dict.fromkeys(["tiles", *(n.output[0] for n in nodes)]))
    whole = _graph(nodes, dict.fromkeys(names[1:], SHAPE))
    x = np.random.default_rng(1).normal(size=(64, 2, 4, 4)).astype(np.float32)
    values = dict(zip(names, [x, *_run(whole, x)], strict=True))
    ranges = {name: (float(v.min()), float(v.max())) for name, v in values.items() if name != "y"}
    model = _graph(nodes, {"y": SHAPE})
    quantised = write_qdq(model, ranges)
    answer = _run(quantised, x)[0]
    error = np.abs(answer - values["y"]).max() / np.abs(values["y"]).max()
    assert 1e-5 < error < 0.04
