"""Which way a graph of somebody else takes its tiles, what is made up for timing, and what is refused of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.core.heads import Head
from skytrigger.model import adopt as adopting
from skytrigger.model.adopt import adopt, carries_card
from skytrigger.model.card_file import Statement
from skytrigger.model.export import write_model
from skytrigger.model.file import read_model

RNG = np.random.default_rng(0)
Shape = Sequence[Any]


def foreign(path: Path, shape: Shape, classes: int = 3, *, out: Shape | None = None, extra: Sequence[Any] = (),
            kind: int = TensorProto.FLOAT, outputs: int = 1, listed: bool = False) -> np.ndarray:  # fmt: skip
    """Flattened pixels times a matrix, which is returned; free axes have eight pixels."""
    sizes = [8 if isinstance(d, str) else d for d in shape[1:]]
    weights = RNG.normal(size=(int(np.prod(sizes)), classes)).astype(np.float32)
    nodes = [helper.make_node("Reshape", ["image", "flat"], ["f"])]
    nodes += [helper.make_node("MatMul", ["f", "w"], [f"y{k}"]) for k in range(outputs)]
    inputs = [helper.make_tensor_value_info("image", kind, shape), *extra]
    if listed:
        inputs.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, weights.shape))
    graph = helper.make_graph(
        nodes, "g", inputs,
        [helper.make_tensor_value_info(f"y{k}", TensorProto.FLOAT, out or (shape[0], classes)) for k in range(outputs)],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([-1, weights.shape[0]]), "flat")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return weights


def card(size: tuple[int, int] = (4, 6), channels: int = 2, classes: str = "xyz", **more: Any) -> ModelCard:
    names = tuple(f"c{k}" for k in range(channels))
    return ModelCard("theirs", names, tuple(classes), size, (2.0,) * channels, (4.0,) * channels, "DN", "", **more)


def answers(content: bytes, tiles: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"tiles": tiles})


@pytest.mark.parametrize(
    ("shape", "size", "channels", "stated", "layout"),
    [
        (("n", 2, 4, 6), (4, 6), 2, "", "nchw"),
        (("n", 4, 6, 2), (4, 6), 2, "", "nhwc"),
        (("n", 2, 4, 6), (4, 6), 2, "nchw", "nchw"),
        (("n", 3, 3, 3), (3, 3), 3, "", "nchw"),  # the same either way
        (("n", 3, 3, 3), (3, 3), 3, "nhwc", "nhwc"),
        (("n", "a", 8, "b"), (8, 8), 8, "nhwc", "nhwc"),
        (("n", "a", "b", "c"), (8, 8), 8, "nchw", "nchw"),
    ],
)
def test_layouts(tmp_path: Path, shape: Shape, size: tuple[int, int], channels: int, stated: str, layout: str) -> None:
    weights = foreign(tmp_path / "m.onnx", shape)
    content = adopt(tmp_path / "m.onnx", Statement(card(size, channels), stated))
    tiles = RNG.normal(size=(3, channels, *size)).astype(np.float32)
    seen = tiles if layout == "nchw" else tiles.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(answers(content, tiles)[0], seen.reshape(3, -1) @ weights, rtol=1e-4, atol=1e-4)
    (tmp_path / "ours.onnx").write_bytes(content)
    found = read_model(tmp_path / "ours.onnx").card
    assert found.notes["adopted"] == {"file": "m.onnx", "layout": layout, "normalised": False, "outputs": "logits"}
    assert found.name == "theirs"


@pytest.mark.parametrize(
    ("shape", "stated", "words"),
    [
        (("n", "c", "h", "w"), "", "both layouts fit"),
        (("n", 2, 4, 6), "nhwc", r"\[2, 4, 6\] or \[4, 6, 2\]"),
        (("n", 2, 6, 4), "", r"\[2, 4, 6\] or \[4, 6, 2\]"),
        (("n", 48), "", r"takes \[0, 48\]"),
        (("n", 2, 4, 6, 1), "", r"takes \[0, 2, 4, 6, 1\]"),
    ],
)
def test_layouts_that_do_not_fit(tmp_path: Path, shape: Shape, stated: str, words: str) -> None:
    foreign(tmp_path / "m.onnx", shape)
    with pytest.raises(InputError, match=words):
        adopt(tmp_path / "m.onnx", Statement(card(), stated))


@pytest.mark.parametrize(
    ("shape", "asked", "channels", "size"),
    [
        (("n", 3, 40, 50), (), 3, (40, 50)),
        (("n", 32, 33, 40), (), 32, (33, 40)),
        (("n", 40, 50, 3), (), 3, (40, 50)),
        (("n", "c", "h", "w"), (8, 8, 8), 8, (8, 8)),
        (("n", 2, 4, 6), (2, 4, 6), 2, (4, 6)),
        (("n", 4, 6, 2), (2, 4, 6), 2, (4, 6)),
    ],
)
def test_a_card_made_up_for_timing(tmp_path: Path, shape: Shape, asked: Any, channels: int, size: Any) -> None:
    foreign(tmp_path / "m.onnx", shape)
    (tmp_path / "ours.onnx").write_bytes(adopt(tmp_path / "m.onnx", shape=asked))
    found = read_model(tmp_path / "ours.onnx").card
    assert (found.name, found.size, found.units, found.data_hash) == ("m", size, "float", "")
    assert found.channels == tuple(f"channel{k}" for k in range(1, channels + 1))
    assert found.classes == ("class1", "class2", "class3")
    assert (set(found.mean), set(found.std)) == ({0.0}, {1.0})
    assert "numbered" in found.notes["made_up"]


@pytest.mark.parametrize(
    ("shape", "asked", "out"),
    [
        (("n", 8, 8, 8), (), None),  # either axis may be the channels
        (("n", 40, 40, 40), (), None),
        (("n", 3, "h", "w"), (), None),
        (("n", 8, 8, 8), (8, 8), None),
        (("n", 8, 8, 8), (8, 0, 8), None),
        (("n", 3, 40, 50), (), ("n", "c")),
        (("n", 3, 40, 50), (), ("n", 3, 1)),
    ],
)
def test_where_nothing_is_made_up(tmp_path: Path, shape: Shape, asked: Any, out: Shape | None) -> None:
    foreign(tmp_path / "m.onnx", shape, out=out)
    with pytest.raises(InputError, match=r"m\.onnx (carries no model card and takes|gives)"):
        adopt(tmp_path / "m.onnx", shape=asked)


def test_one_class_is_no_classifier(tmp_path: Path) -> None:
    foreign(tmp_path / "m.onnx", ("n", 3, 40, 50), 1)
    with pytest.raises(InputError, match=r"gives \[0, 1\]"):
        adopt(tmp_path / "m.onnx")
    foreign(tmp_path / "m.onnx", ("n", 3, 40, 50), 2)
    adopt(tmp_path / "m.onnx")


def test_inputs_and_outputs_that_are_not_ours(tmp_path: Path) -> None:
    path, statement = tmp_path / "m.onnx", Statement(card())
    foreign(path, ("n", 2, 4, 6), listed=True)  # weights listed among the inputs are none
    adopt(path, statement)
    foreign(path, ("n", 2, 4, 6), extra=[helper.make_tensor_value_info("more", TensorProto.FLOAT, [1])])
    with pytest.raises(InputError, match=r"inputs \['theirs.image', 'theirs.more'\]"):
        adopt(path, statement)
    foreign(path, ("n", 2, 4, 6), kind=TensorProto.UINT8)
    with pytest.raises(InputError, match="takes UINT8"):
        adopt(path, statement)
    foreign(path, ("n", 2, 4, 6), outputs=2)
    with pytest.raises(InputError, match="2 outputs"):
        adopt(path, statement)
    foreign(path, ("n", 2, 4, 6), 4)
    with pytest.raises(InputError, match=r"gives \(3, 4\) for 3 images"):
        adopt(path, statement)


def test_heads_of_values_and_probabilities(tmp_path: Path) -> None:
    heads = (Head("kind", "classes", ("x", "y")), Head("size", "values", ("s", "t"), "m"))
    weights = foreign(tmp_path / "m.onnx", ("n", 2, 4, 6), 2, outputs=2)
    content = adopt(tmp_path / "m.onnx", Statement(card(classes="", heads=heads), normalise=True))
    tiles = RNG.normal(size=(3, 2, 4, 6)).astype(np.float32)
    for found in answers(content, tiles):
        np.testing.assert_allclose(found, ((tiles - 2) / 4).reshape(3, -1) @ weights, rtol=1e-4, atol=1e-4)


def test_answers_that_hang_on_the_images_beside(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    foreign(path, ("n", 2, 4, 6))
    model = onnx.load(str(path))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "axis"))
    model.graph.node[1].output[0] = "each"
    model.graph.node.append(helper.make_node("ReduceMean", ["each", "axis"], ["all"], keepdims=1))
    model.graph.node.append(helper.make_node("Add", ["each", "all"], ["y0"]))
    onnx.save(model, str(path))
    with pytest.raises(InputError, match="depends on the images beside it"):
        adopt(path, Statement(card()))


def test_files_that_are_none_or_ours_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(InputError, match=r"cannot read the model file .*m\.onnx: No such"):
        adopt(path)
    assert carries_card(path)  # reading it will say what is wrong
    foreign(path, ("n", 2, 4, 6))
    assert not carries_card(path)
    write_model(onnx.load(str(path)), card(), tmp_path / "ours.onnx")
    assert carries_card(tmp_path / "ours.onnx")
    monkeypatch.setattr(adopting, "LIMIT_BYTES", path.stat().st_size)
    adopt(path, Statement(card()))
    monkeypatch.setattr(adopting, "LIMIT_BYTES", path.stat().st_size - 1)
    with pytest.raises(InputError, match=f"has {path.stat().st_size} bytes"):
        adopt(path, Statement(card()))


def test_data_beside_the_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    foreign(path, ("n", 2, 4, 6))
    onnx.save(onnx.load(str(path)), str(path), save_as_external_data=True, location="m.data", size_threshold=0)
    size = path.stat().st_size + 2 * (tmp_path / "m.data").stat().st_size
    monkeypatch.setattr(adopting, "LIMIT_BYTES", size)
    adopt(path, Statement(card()))
    monkeypatch.setattr(adopting, "LIMIT_BYTES", path.stat().st_size + (tmp_path / "m.data").stat().st_size - 1)
    with pytest.raises(InputError, match="with its data has"):
        adopt(path, Statement(card()))
    monkeypatch.undo()
    (tmp_path / "real.data").write_bytes((tmp_path / "m.data").read_bytes())
    (tmp_path / "m.data").unlink()
    (tmp_path / "m.data").symlink_to(tmp_path / "real.data")
    with pytest.raises(InputError, match=r"lies in 'm\.data'"):
        adopt(path, Statement(card()))
