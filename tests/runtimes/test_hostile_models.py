"""ONNX files that name other files or would build huge tensors: refused before any engine sees them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from skytrigger.core.errors import InputError
from skytrigger.hep.doublets.trees import Trees
from skytrigger.model import checks as onnx_checks
from skytrigger.model.checks import refuse_large, refuse_outside
from skytrigger.model.file import read_model

Change = Callable[[onnx.ModelProto], None]


def _outside(name: str = "secret") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "secret.bin"), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def _constant(tensor: TensorProto, output: str = "c") -> onnx.NodeProto:
    return helper.make_node("Constant", [], [output], value=tensor)


def _in_constant(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, _constant(_outside()))


def _in_branch(model: onnx.ModelProto) -> None:
    out = helper.make_tensor_value_info("c", TensorProto.FLOAT, [4])
    branch = helper.make_graph([_constant(_outside())], "branch", [], [out])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.append(helper.make_node("If", ["yes"], ["picked"], then_branch=branch, else_branch=branch))


def _deep_in_branches(model: onnx.ModelProto) -> None:
    out = helper.make_tensor_value_info("c", TensorProto.FLOAT, [4])
    inner = helper.make_graph([], "inner", [], [out], initializer=[_outside("c")])
    for level in range(6):
        nodes = [helper.make_node("If", ["yes"], ["c"], then_branch=inner, else_branch=inner)]
        inner = helper.make_graph(nodes, f"level{level}", [], [out])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.extend(inner.node)


def _in_loop(model: onnx.ModelProto) -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [_constant(_outside()), helper.make_node("Identity", ["go"], ["go_on"])], "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, [])], [value("go_on", TensorProto.BOOL, [])],
    )  # fmt: skip
    model.graph.node.append(helper.make_node("Loop", ["", ""], [], body=body))


def _in_function(model: onnx.ModelProto) -> None:
    model.functions.append(
        helper.make_function("own", "F", [], ["c"], [_constant(_outside())], [helper.make_opsetid("", 18)])
    )


def _in_sparse(model: onnx.ModelProto) -> None:
    sparse = model.graph.sparse_initializer.add(dims=[10])
    sparse.values.CopyFrom(_outside())
    sparse.indices.CopyFrom(numpy_helper.from_array(np.arange(4), "indices"))


def _in_sparse_attribute(model: onnx.ModelProto) -> None:
    sparse = onnx.SparseTensorProto(dims=[10])
    sparse.values.CopyFrom(_outside())
    model.graph.node.append(helper.make_node("Constant", [], ["c"], sparse_value=sparse))


def _in_list_of_tensors(model: onnx.ModelProto) -> None:
    node = helper.make_node("Identity", ["tiles"], ["copy"])
    node.attribute.append(helper.make_attribute("weights", [_outside()]))
    model.graph.node.append(node)


def _in_training(model: onnx.ModelProto) -> None:
    model.training_info.add().initialization.initializer.append(_outside())


def _without_location(model: onnx.ModelProto) -> None:
    """External entries in a tensor that says it lies here."""
    tensor = _outside()
    tensor.data_location = TensorProto.DEFAULT
    model.graph.initializer.append(tensor)


OUTSIDE = (
    _in_constant, _in_branch, _deep_in_branches, _in_loop, _in_function, _in_sparse, _in_sparse_attribute,
    _in_list_of_tensors, _in_training, _without_location,
)  # fmt: skip


@pytest.fixture
def changed(made, tmp_path: Path):
    def write(change: Change) -> Path:
        model = onnx.load(made().path)
        change(model)
        (tmp_path / "secret.bin").write_bytes(np.full(4, 42, np.float32).tobytes())
        path = tmp_path / "changed.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write


@pytest.mark.parametrize("change", OUTSIDE, ids=lambda c: c.__name__)
def test_no_tensor_outside_the_file(changed, change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    path = changed(change)
    monkeypatch.chdir(path.parent)
    with pytest.raises(InputError, match="lies outside the file"):
        read_model(path)


def _node_with(op: str, sizes: list[int], extra: list[str] | None = None) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), "sizes"))
        model.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), "one"))
        model.graph.node.append(helper.make_node(op, [*(extra or []), "sizes"], ["huge"]))

    return change


def _product(model: onnx.ModelProto) -> None:
    for name, shape in (("column", (40_000, 1)), ("row", (1, 40_000))):
        model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    model.graph.node.append(helper.make_node("MatMul", ["column", "row"], ["huge"]))


def _in_a_branch(model: onnx.ModelProto) -> None:
    out = helper.make_tensor_value_info("huge", TensorProto.FLOAT, None)
    sizes = _constant(numpy_helper.from_array(np.array([1 << 20, 1 << 20], np.int64)), "s")
    branch = helper.make_graph([sizes, helper.make_node("ConstantOfShape", ["s"], ["huge"])], "branch", [], [out])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.append(helper.make_node("If", ["yes"], ["picked"], then_branch=branch, else_branch=branch))


@pytest.mark.parametrize(
    "change",
    [
        _node_with("ConstantOfShape", [100_000, 100_000]),
        _node_with("Expand", [100_000, 100_000], ["one"]),
        _node_with("Tile", [1 << 31], ["one"]),
        _product,
        _in_a_branch,
    ],
    ids=["ConstantOfShape", "Expand", "Tile", "MatMul", "in a branch"],
)
def test_no_huge_tensors_out_of_a_small_file(changed, change: Change) -> None:
    path = changed(change)
    assert path.stat().st_size < 6_000_000
    with pytest.raises(InputError, match=r"elements|how large the output"):
        read_model(path)


def test_a_size_that_cannot_be_told_is_refused(changed) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(0.0, np.float32), "zero"))
        model.graph.initializer.append(numpy_helper.from_array(np.array(1.0, np.float32), "one"))
        model.graph.initializer.append(numpy_helper.from_array(np.array(25.0, np.float32), "power"))
        model.graph.node.append(helper.make_node("Exp", ["power"], ["limit"]))  # 7.2e10
        model.graph.node.append(helper.make_node("Range", ["zero", "limit", "one"], ["huge"]))

    with pytest.raises(InputError, match="how large the output of Range"):
        read_model(changed(change))


def test_the_batch_may_size_a_tensor(changed) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "first"))
        model.graph.node.append(helper.make_node("Shape", ["tiles"], ["extents"]))
        model.graph.node.append(helper.make_node("Gather", ["extents", "first"], ["count"]))
        model.graph.node.append(helper.make_node("ConstantOfShape", ["count"], ["zeros"]))

    assert read_model(changed(change)).card.channels


def test_loops_and_functions_are_refused(changed) -> None:
    def loop(model: onnx.ModelProto) -> None:
        value = helper.make_tensor_value_info
        body = helper.make_graph(
            [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Identity", ["x"], ["y"])], "body",
            [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("x", TensorProto.FLOAT, [1])],
            [value("go_on", TensorProto.BOOL, []), value("y", TensorProto.FLOAT, [1])],
        )  # fmt: skip
        model.graph.initializer.append(numpy_helper.from_array(np.array(1 << 60), "times"))
        model.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), "start"))
        model.graph.node.append(helper.make_node("Loop", ["times", "", "start"], ["end"], body=body))

    with pytest.raises(InputError, match="loops or functions"):
        read_model(changed(loop))


@pytest.mark.parametrize("dims", [[1 << 40], [1 << 20, 1 << 20], [-1, 4], [2**62, 4]])
def test_a_tensor_larger_than_its_file_is_refused(changed, dims: list[int]) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(
            TensorProto(name="claim", data_type=TensorProto.FLOAT, dims=dims, raw_data=b"1234")
        )

    with pytest.raises(InputError, match="'claim' of shape"):
        read_model(changed(change))


def test_elements_at_the_bound_are_taken() -> None:
    """4-bit numbers: twice as many as bytes, and not one more."""
    model = helper.make_model(helper.make_graph([], "g", [], []))
    model.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.INT4, dims=[200], raw_data=bytes(100)))
    refuse_outside(model, "a.onnx", 100)
    with pytest.raises(InputError, match="in a file of 99 bytes"):
        refuse_outside(model, "a.onnx", 99)


def test_a_tensor_at_the_bound_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(size: int) -> onnx.ModelProto:
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            [helper.make_node("Relu", ["x"], ["y"])], "g", [value("x", TensorProto.FLOAT, ["batch", size])],
            [value("y", TensorProto.FLOAT, ["batch", size])],
        )  # fmt: skip
        return helper.make_model(graph)

    monkeypatch.setattr(onnx_checks, "MAX_ELEMENTS", 100)
    refuse_large(of(100), "a.onnx")
    with pytest.raises(InputError, match=r"'\w' of shape \[1, 101\]"):
        refuse_large(of(101), "a.onnx")


def test_trees_are_checked_the_same_way(tmp_path: Path) -> None:
    from importlib import resources

    shipped = resources.files("skytrigger.hep.doublets").joinpath("doublets_trees.onnx").read_bytes()
    model = onnx.load_model_from_string(shipped)
    _in_constant(model)
    path = tmp_path / "trees.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="lies outside the file"):
        Trees.read(path)
    path.write_bytes(shipped)
    assert Trees.read(path).content == shipped


def test_shipped_models_pass() -> None:
    from importlib import resources

    for package, name in (
        ("skytrigger.eo", "models/eurosat_ms.onnx"),
        ("skytrigger.eo", "models/eurosat_rgb.onnx"),
        ("skytrigger.hep.doublets", "doublets.onnx"),
    ):
        with resources.as_file(resources.files(package).joinpath(name)) as path:
            assert read_model(path).card.channels
