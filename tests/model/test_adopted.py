"""Somebody else's ONNX: the answers stay theirs, and what is not certain is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from skytrigger.cli.main import main
from skytrigger.core.errors import InputError
from skytrigger.model.adopt import adopt
from skytrigger.model.card_file import read_card
from skytrigger.model.file import read_model

CARD = """
name = "theirs"
channels = ["B04", "B03", "B02"]
classes = ["field", "water"]
size = [8, 6]
units = "rgb8"
"""


def foreign(
    path: Path, shape: list[object], *, name: str = "tiles", softmax: bool = False, fixed: bool = False
) -> np.ndarray:
    """A classifier of means over the pixels; its weights."""
    weights = np.array([[1, -1], [0.5, 2], [-1, 0.25]], np.float32) / 100
    axes = [2, 3] if shape[1] in (3, "c") else [1, 2]
    nodes = [helper.make_node("ReduceMean", [name, "axes"], ["logits"], keepdims=0)]
    start = [numpy_helper.from_array(np.array(axes, np.int64), "axes"), numpy_helper.from_array(weights, "w")]
    if fixed:
        start.append(numpy_helper.from_array(np.array([1, 3], np.int64), "one"))
        nodes.append(helper.make_node("Reshape", ["logits", "one"], ["flat"]))
    nodes.append(helper.make_node("MatMul", ["flat" if fixed else "logits", "w"], ["scores"]))
    nodes.append(helper.make_node("Softmax" if softmax else "Identity", ["scores"], ["out"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [shape[0], 2])],
        start,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(path))
    return weights


def answers(content: bytes, tiles: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"tiles": tiles})[0])


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("batch", ["n", 1])
def test_answers_stay_theirs(tmp_path: Path, layout: str, softmax: bool, normalise: bool, batch: object) -> None:
    path, card = tmp_path / "theirs.onnx", tmp_path / "card.toml"
    weights = foreign(path, [batch, 3, 8, 6] if layout == "nchw" else [batch, 8, 6, 3], softmax=softmax)
    outputs = "probabilities" if softmax else "logits"
    card.write_text(CARD + f'outputs = "{outputs}"\nnormalise = {str(normalise).lower()}\n'
                    "mean = [100, 90, 80]\nstd = [10, 20, 30]\n")  # fmt: skip
    content = adopt(path, read_card(card))
    tiles = np.random.default_rng(0).uniform(0, 255, (5, 3, 8, 6)).astype(np.float32)
    seen = (tiles - np.array([100, 90, 80])[:, None, None]) / np.array([10, 20, 30])[:, None, None]
    expected = (seen if normalise else tiles).mean(axis=(2, 3)) @ weights
    if softmax:
        expected -= np.log(np.exp(expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(answers(content, tiles), expected, rtol=1e-4, atol=1e-5)
    (tmp_path / "ours.onnx").write_bytes(content)
    assert read_model(tmp_path / "ours.onnx").card.classes == ("field", "water")


def test_what_is_refused(tmp_path: Path) -> None:
    path, card = tmp_path / "theirs.onnx", tmp_path / "card.toml"
    card.write_text(CARD)
    foreign(path, [1, 3, 8, 6], fixed=True)
    with pytest.raises(InputError, match=r"any number of images(.|\n)*free axis"):
        adopt(path, read_card(card))
    foreign(path, ["n", 3, 16, 16])
    with pytest.raises(InputError, match=r"takes \[0, 3, 16, 16\](.|\n)*\[3, 8, 6\] or \[8, 6, 3\]"):
        adopt(path, read_card(card))
    foreign(path, ["n", "c", "h", "w"])
    with pytest.raises(InputError, match="both layouts fit"):
        adopt(path, read_card(card))
    with pytest.raises(InputError, match="--input-shape CHANNELS,HEIGHT,WIDTH"):
        adopt(path)
    path.write_bytes(b"no")
    with pytest.raises(InputError, match="not a valid ONNX"):
        adopt(path, read_card(card))
    for text, reason in (
        ("classes = 3", "no TOML"),
        (CARD.replace("units", "unit"), "has the entry 'unit'"),
        (CARD.replace('units = "rgb8"', ""), "has no entry 'units'"),
        (CARD + 'outputs = "x"', "outputs 'x'"),
        (CARD + "normalise = true", "needs mean and std"),
        (CARD + "mean = [1]", "differ in length"),
    ):
        card.write_text(CARD + text if reason == "no TOML" else text)
        with pytest.raises(InputError, match=reason):
            read_card(card)


@pytest.mark.parametrize("softmax", [False, True])
def test_answers_of_another_kind_than_stated(tmp_path: Path, softmax: bool) -> None:
    path, card = tmp_path / "theirs.onnx", tmp_path / "card.toml"
    foreign(path, ["n", 3, 8, 6], softmax=softmax)
    card.write_text(CARD + f'outputs = "{"logits" if softmax else "probabilities"}"')
    with pytest.raises(InputError, match="add up to 1" if softmax else "do not add up to 1"):
        adopt(path, read_card(card))


def test_data_in_other_files(tmp_path: Path) -> None:
    card = tmp_path / "card.toml"
    card.write_text(CARD)
    foreign(tmp_path / "a.onnx", ["n", 3, 8, 6])
    model = onnx.load(str(tmp_path / "a.onnx"))
    whole = adopt(tmp_path / "a.onnx", read_card(card))
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.onnx"
    onnx.save(model, str(path), save_as_external_data=True, location="a.data", size_threshold=0)
    tiles = np.ones((2, 3, 8, 6), np.float32)
    np.testing.assert_array_equal(answers(adopt(path, read_card(card)), tiles), answers(whole, tiles))
    (tmp_path / "a.data").write_bytes((tmp_path / "in" / "a.data").read_bytes())
    for place in ("../a.data", str(tmp_path / "a.data"), "absent"):
        model = onnx.load(str(path), load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = place
        (tmp_path / "in" / "bad.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(InputError, match="expected: a file in its own folder"):
            adopt(tmp_path / "in" / "bad.onnx", read_card(card))


def test_export_then_predict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SKYTRIGGER_CACHE", str(tmp_path / "cache"))
    weights = foreign(tmp_path / "theirs.onnx", ["n", 3, 8, 6])
    (tmp_path / "card.toml").write_text(CARD)
    ours = str(tmp_path / "ours.onnx")
    command = ["export", str(tmp_path / "theirs.onnx"), "--card", str(tmp_path / "card.toml"), "--out", ours]
    assert main(command) == 0
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3)).astype(np.uint8)
    (tmp_path / "new").mkdir()
    Image.fromarray(pixels).save(tmp_path / "new" / "x.png")
    out = str(tmp_path / "p.csv")
    capsys.readouterr()
    assert main(["predict", ours, "--data", str(tmp_path / "new"), "--out", out, "--json"]) == 0
    expected = ("field", "water")[int((pixels.mean(axis=(0, 1)) @ weights).argmax())]
    assert json.loads(capsys.readouterr().out)["predicted"] == {"class": {expected: 1}}


def test_bench_of_a_file_without_a_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SKYTRIGGER_CACHE", str(tmp_path / "cache"))
    foreign(tmp_path / "theirs.onnx", ["n", "c", "h", "w"])
    few = ["--batch-size", "1", "--seconds", "0.1", "--no-control", "--no-roofline", "--out", str(tmp_path / "b")]
    command = ["bench", str(tmp_path / "theirs.onnx"), *few, "--scenario", "single-stream"]
    assert main(command) == 2
    assert "--input-shape" in capsys.readouterr().err
    assert main([*command, "--input-shape", "3,8,8", "--json"]) == 0
    printed = capsys.readouterr()
    assert "carries no model card" in printed.err
    assert len(json.loads(printed.out)["rows"]) == 1
