"""Folding on small graphs: the same answers, fewer nodes, and nothing touched where it would not be exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from skytrigger.model.fold import Graph, fold

RNG = np.random.default_rng(0)
VALUES: dict[str, np.ndarray] = {
    "mean": np.array([3.0, -2.0], np.float32).reshape(1, 2, 1, 1),
    "std": np.array([2.0, 0.5], np.float32).reshape(1, 2, 1, 1),
    "w": RNG.normal(size=(4, 2, 3, 3)).astype(np.float32),
    "w2": RNG.normal(size=(4, 1, 3, 3)).astype(np.float32),
    "b": RNG.normal(size=4).astype(np.float32),
    "gamma": RNG.uniform(0.5, 2, 4).astype(np.float32),
    "beta": RNG.normal(size=4).astype(np.float32),
    "at": RNG.normal(size=4).astype(np.float32),
    "var": np.array([1e-5, 1.0, 2.0, 1e-4], np.float32),  # epsilon counts
    "rows": np.array([2, 3], np.int64),
    "ends": np.array([-1, -2], np.int64),
    "depth": np.array([1, 2], np.int64),
    "one": np.array([3], np.int64),
}
X = RNG.normal(size=(3, 2, 6, 6)).astype(np.float32)


def node(op: str, inputs: str, output: str, **how: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=output, **how)


def graph(*nodes: onnx.NodeProto, outputs: str = "y") -> onnx.ModelProto:
    used = {name for n in nodes for name in n.input}
    shape = {name: ["n", None, None, None] for name in outputs.split()}
    made = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["n", 2, 6, 6])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in shape.items()],
        [numpy_helper.from_array(v, k) for k, v in VALUES.items() if k in used],
    )  # fmt: skip
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def folded(*nodes: onnx.NodeProto, input_too: bool = True, outputs: str = "y") -> list[str]:
    """Kinds of the nodes that are left; the answers are checked to be the same."""
    model = graph(*nodes, outputs=outputs)
    before = model.SerializeToString()
    made = fold(model, input_too=input_too)
    assert model.SerializeToString() == before
    for mine, theirs in zip(*(ReferenceEvaluator(m).run(None, {"tiles": X}) for m in (made, model)), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=2e-5 * np.abs(theirs).max())
    assert {t.name for t in made.graph.initializer} <= {name for n in made.graph.node for name in n.input}
    return [n.op_type for n in made.graph.node]


NORM = node("BatchNormalization", "c gamma beta at var", "n")
RELU = node("Relu", "n", "y")


@pytest.mark.parametrize("inputs", ["tiles w b", "tiles w"])
@pytest.mark.parametrize("how", [{}, {"epsilon": 1e-3}, {"epsilon": 1e-3, "momentum": 0.5}])
def test_batch_normalisation_goes_into_its_convolution(inputs: str, how: dict[str, float]) -> None:
    norm = node("BatchNormalization", "c gamma beta at var", "n", **how)
    assert folded(node("Conv", inputs, "c"), norm, RELU) == ["Conv", "Relu"]


def test_batch_normalisation_of_something_else_stays() -> None:
    conv = node("Conv", "tiles w b", "k")
    assert folded(conv, node("Relu", "k", "c"), NORM, RELU) == ["Conv", "Relu", "BatchNormalization", "Relu"]
    twice = folded(node("Conv", "tiles w b", "c"), NORM, node("Add", "n c", "y"))
    assert twice == ["Conv", "BatchNormalization", "Add"]
    own = node("BatchNormalization", "tiles mean2 mean2 mean2 std2", "y")
    VALUES.update(mean2=np.ones(2, np.float32), std2=np.ones(2, np.float32))
    assert folded(own) == ["BatchNormalization"]


def test_shared_weights_are_changed_for_one_reader_only() -> None:
    kinds = folded(node("Conv", "tiles w b", "c"), NORM, node("Conv", "tiles w b", "d"), node("Add", "n d", "y"))
    assert kinds == ["Conv", "Conv", "Add"]


@pytest.mark.parametrize(
    ("inputs", "how", "kind"),
    [
        ("c rows", {}, "GlobalAveragePool"),
        ("c ends", {"keepdims": 1}, "GlobalAveragePool"),
        ("c rows", {"keepdims": 0}, "ReduceMean"),
        ("c depth", {}, "ReduceMean"),
        ("c one", {}, "ReduceMean"),
        ("c", {}, "ReduceMean"),
    ],
)
def test_a_mean_over_rows_and_columns_is_pooling(inputs: str, how: dict[str, int], kind: str) -> None:
    assert folded(node("Conv", "tiles w b", "c"), node("ReduceMean", inputs, "y", **how)) == ["Conv", kind]


SUB, DIV = node("Sub", "tiles mean", "t"), node("Div", "t std", "x")


@pytest.mark.parametrize("inputs", ["x w b", "x w"])
@pytest.mark.parametrize(
    ("how", "kinds"),
    [
        ({}, ["Conv"]),
        ({"pads": [0, 0, 0, 0], "group": 1}, ["Conv"]),
        ({"pads": [0, 0, 0, 1]}, ["Sub", "Conv"]),
        ({"pads": [1, 1, 1, 1], "strides": [2, 2]}, ["Sub", "Conv"]),
    ],
)
def test_standardisation_goes_into_the_first_convolution(inputs: str, how: dict[str, Any], kinds: list[str]) -> None:
    first = node("Conv", inputs, "y", **how)
    assert folded(SUB, DIV, first) == kinds
    assert folded(SUB, DIV, first, input_too=False) == ["Sub", "Div", "Conv"]


@pytest.mark.parametrize(
    "nodes",
    [
        (SUB, DIV, node("Conv", "x w2 b", "y", group=2)),
        (SUB, DIV, node("Relu", "x", "y")),
        (SUB, node("Conv", "t w b", "y")),
        (SUB, node("Mul", "t std", "x"), node("Conv", "x w b", "y")),
        (node("Sub", "tiles tiles", "t"), DIV, node("Conv", "x w b", "y")),
        (SUB, node("Exp", "t", "e"), node("Div", "t e", "x"), node("Conv", "x w b", "y")),
        (SUB, DIV, node("Conv", "x w b", "c"), node("Conv", "x w b", "d"), node("Add", "c d", "y")),
        (SUB, DIV, node("Conv", "x w b", "c"), node("Conv", "t w b", "d"), node("Add", "c d", "y")),
        (SUB, DIV, node("Conv", "x w b", "c"), node("Conv", "tiles w b", "d"), node("Add", "c d", "y")),
        (node("Add", "tiles mean", "t"), DIV, node("Conv", "x w b", "y")),
    ],
)
def test_a_standardisation_that_others_read_or_that_is_none_stays(nodes: tuple[onnx.NodeProto, ...]) -> None:
    assert folded(*nodes) == [n.op_type for n in nodes]


def test_what_the_graph_answers_is_not_folded_away() -> None:
    assert folded(SUB, DIV, node("Conv", "x w b", "y"), outputs="y x") == ["Sub", "Div", "Conv"]


def test_a_graph_as_it_is_read_and_written() -> None:
    model = graph(SUB, DIV, node("Conv", "x w b", "y"))
    found = Graph(model)
    np.testing.assert_array_equal(found.constants["w"], VALUES["w"])
    assert [n.name for n in found.users("x")] == ["y"]
    assert found.only_user("x", ("Gemm", "Conv")).name == "y"
    assert found.only_user("x", ("Gemm",)) is None
    assert found.only_user("y", ("Conv",)) is None
    found.set("w", VALUES["w"][::-1])
    found.set("new", np.arange(3.0))
    read = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert [t.name for t in model.graph.initializer].count("w") == 1
    np.testing.assert_array_equal(read["w"], VALUES["w"][::-1])
    np.testing.assert_array_equal(found.constants["new"], read["new"])
    model.graph.value_info.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, None))
    found.remove(model.graph.node[1])
    assert list(model.graph.node[1].input) == ["t", "w", "b"]
    found.tidy()
    assert sorted(t.name for t in model.graph.initializer) == ["b", "mean", "w"]
    assert not model.graph.value_info
