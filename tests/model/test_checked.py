"""Model files of a few nodes: what is read, and what is refused at each bound."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.core.heads import Head
from skytrigger.model import checks
from skytrigger.model import file as files
from skytrigger.model.checks import refuse_large, refuse_outside
from skytrigger.model.export import write_model
from skytrigger.model.file import read_model

CARD = ModelCard("n", ("a", "b"), ("x", "y", "z"), (4, 4), (0.0, 0.0), (1.0, 1.0), "DN", "hash")
WEIGHT = np.zeros((3, 32), np.float32)


def network(shape: tuple[Any, ...] = ("n", 2, 4, 4), out: tuple[Any, ...] = ("n", 3), *, name: str = "tiles",
            outputs: tuple[str, ...] = ("logits",), kind: int = TensorProto.FLOAT) -> onnx.ModelProto:  # fmt: skip
    nodes = [helper.make_node("Flatten", [name], ["f"]), helper.make_node("Gemm", ["f", "w"], [outputs[0]], transB=1)]
    nodes += [helper.make_node("Identity", [outputs[0]], [other]) for other in outputs[1:]]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(name, kind, shape)],
        [helper.make_tensor_value_info(each, TensorProto.FLOAT, out) for each in outputs],
        [numpy_helper.from_array(WEIGHT, "w")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_model(network(), CARD, path)
    found = read_model(str(path))
    assert (found.path, found.content) == (path, path.read_bytes())
    assert found.sha256 == hashlib.sha256(found.content).hexdigest()
    assert found.card == CARD
    assert [n.op_type for n in found.graph().graph.node] == ["Flatten", "Gemm"]
    assert [p.key for p in found.graph().metadata_props] == ["skytrigger.card"]
    write_model(found.graph(), replace(CARD, name="other"), path)  # a card instead of the card, not beside it
    assert read_model(path).card.name == "other"
    write_model(network(out=("n", "c")), CARD, path)  # classes that the graph leaves open
    assert read_model(path).card == CARD


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (network(name="images"), r"inputs \['images'\].*\['logits'\]"),
        (network(outputs=("scores",)), r"outputs \['scores'\]"),
        (network(outputs=("logits", "more")), r"outputs \['logits', 'more'\]"),
        (network((5, 2, 4, 4)), r"input tiles of shape \[5, 2, 4, 4\]"),
        (network(("n", 1, 8, 4)), r"input tiles of shape \[0, 1, 8, 4\]"),
        (network(("n", 2, 2, 8)), r"input tiles of shape \[0, 2, 2, 8\]"),
        (network(kind=TensorProto.DOUBLE), "m.onnx"),
        (network(out=("n", 4)), r"m\.onnx"),
    ],
)
def test_a_graph_that_its_card_does_not_describe(tmp_path: Path, model: onnx.ModelProto, words: str) -> None:
    write_model(model, CARD, tmp_path / "m.onnx")
    with pytest.raises(InputError, match=words):
        read_model(tmp_path / "m.onnx")


def test_outputs_stand_in_the_cards_order(tmp_path: Path) -> None:
    heads = (Head("kind", "classes", ("x", "y", "z")), Head("size", "values", ("a", "b", "c"), "m"))
    card = replace(CARD, classes=(), heads=heads)
    write_model(network(outputs=("kind", "size")), card, tmp_path / "m.onnx")
    assert read_model(tmp_path / "m.onnx").card.heads == heads
    write_model(network(outputs=("size", "kind")), card, tmp_path / "m.onnx")
    with pytest.raises(InputError, match=r"\['size', 'kind'\]"):
        read_model(tmp_path / "m.onnx")


def test_what_is_no_model_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(InputError, match="is a folder"):
        read_model(tmp_path)
    with pytest.raises(InputError, match=r"cannot read the model file .*m\.onnx: No such file"):
        read_model(path)
    path.write_bytes(b"no")
    with pytest.raises(InputError, match=r"m\.onnx is not a valid ONNX model"):
        read_model(path)
    path.write_bytes(network().SerializeToString())
    with pytest.raises(InputError, match="carries no model card"):
        read_model(path)
    write_model(network(), CARD, path)
    monkeypatch.setattr(files, "LIMIT_BYTES", path.stat().st_size)
    read_model(path)
    monkeypatch.setattr(files, "LIMIT_BYTES", path.stat().st_size - 1)
    with pytest.raises(InputError, match=f"has {path.stat().st_size} bytes"):
        read_model(path)


def change_tensor(change: Callable[[Any], object]) -> onnx.ModelProto:
    model = network()
    change(model.graph.initializer[0])
    return model


def with_dims(*dims: int) -> Callable[[Any], object]:
    return lambda tensor: tensor.dims.__setitem__(slice(None), dims)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: setattr(t, "data_location", TensorProto.EXTERNAL), "'w' lies outside"),
        (lambda t: t.external_data.add(key="location", value="x"), "'w' lies outside"),
        (with_dims(-1, -1), r"shape \[-1, -1\]"),
        (with_dims(201), r"shape \[201\] in a file of 100 bytes"),
        (with_dims(3, 67), r"shape \[3, 67\]"),
    ],
)
def test_tensors_that_are_not_in_the_file(change: Callable[[Any], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        refuse_outside(change_tensor(change), "m.onnx", 100)


@pytest.mark.parametrize("dims", [(200,), (4, 50), (0, 9), ()])
def test_tensors_that_the_file_can_hold(dims: tuple[int, ...]) -> None:
    refuse_outside(change_tensor(with_dims(*dims)), "m.onnx", 100)  # of four bits: two elements a byte


def grown(op: str, *sizes: int, source: tuple[str, ...] = (), **how: Any) -> onnx.ModelProto:
    model = network()
    model.graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), "sizes"))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 1), np.float32), "one"))
    model.graph.node.append(helper.make_node(op, [*source, "sizes"], ["big"], name="grow", **how))
    return model


@pytest.mark.parametrize(("rows", "refused"), [(16, False), (17, True)])
def test_tensors_an_engine_would_build(rows: int, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.MAX_ELEMENTS == 1 << 28
    monkeypatch.setattr(checks, "MAX_ELEMENTS", 160)
    for model in (grown("ConstantOfShape", rows, 10), grown("Expand", rows, 10, source=("one",)),
                  grown("Tile", rows, 10, source=("one",))):  # fmt: skip
        if refused:
            with pytest.raises(InputError, match=r"tensor 'big' of shape \[17, 10\]"):
                refuse_large(model, "m.onnx")
        else:
            refuse_large(model, "m.onnx")


@pytest.mark.parametrize(
    "op",
    ["ConstantOfShape", "Expand", "EyeLike", "OneHot", "Pad", "RandomNormal", "RandomUniform", "Range", "Resize",
     "Tile", "Upsample", "CenterCropPad", "HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix",
     "AffineGrid", "STFT"],
)  # fmt: skip
def test_sizes_that_nothing_tells(op: str) -> None:
    model = network()
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 1), np.float32), "one"))
    model.graph.node.append(helper.make_node("NonZero", ["f"], ["places"]))
    model.graph.node.append(helper.make_node("Shape", ["places"], ["sizes"]))
    inputs = {"EyeLike": ["places"], "Range": ["sizes"] * 3}.get(op, ["one", "sizes"])
    model.graph.node.append(helper.make_node(op, inputs, ["big"], name="grow"))
    with pytest.raises(InputError, match=rf"output of {op} \('grow'\)"):
        refuse_large(model, "m.onnx")


def test_the_batch_is_known_and_other_words_are_not() -> None:
    for word, refused in (("n", False), ("m", True)):
        model = network()
        model.graph.node.append(helper.make_node("RandomNormal", [], ["big"], name="grow", shape=[2, 2]))
        model.graph.value_info.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [word, 2]))
        model.graph.node.append(helper.make_node("Resize", ["other", "", "", "sizes"], ["more"], name="grow"))
        kinds = {"t": helper.make_tensor_value_info("t", TensorProto.FLOAT, [word, 3]).type.tensor_type}
        assert checks._told(kinds["t"], {"n"}) != refused
    assert not checks._told(None, {"n"})
    empty = helper.make_tensor_value_info("t", TensorProto.FLOAT, [None]).type.tensor_type
    assert not checks._told(empty, {"n"})


@pytest.mark.parametrize("kind", ["Loop", "Scan"])
def test_loops_are_refused_however_deep(kind: str) -> None:
    inner = helper.make_graph([helper.make_node(kind, [], [], body=helper.make_graph([], "b", [], []))], "i", [], [])
    branch = helper.make_graph(
        [helper.make_node("If", ["yes"], ["p"], then_branch=inner, else_branch=inner)], "o", [], []
    )
    for node in (inner.node[0], helper.make_node("If", ["yes"], ["q"], then_branch=branch, else_branch=branch)):
        model = network()
        model.graph.node.append(node)
        with pytest.raises(InputError, match=r"m\.onnx holds loops"):
            refuse_large(model, "m.onnx")
    model = network()
    model.functions.append(helper.make_function("own", "F", [], [], [], [helper.make_opsetid("", 18)]))
    with pytest.raises(InputError, match="functions"):
        refuse_large(model, "m.onnx")


def test_shapes_that_contradict_each_other() -> None:
    model = network()
    model.graph.node.append(helper.make_node("Range", ["w", "w"], ["big"], name="grow"))
    with pytest.raises(InputError, match=r"m\.onnx: its shapes contradict"):
        refuse_large(model, "m.onnx")
