"""What a new user does with data of their own, command by command, from `data info` to the report.

`optimize` has the smallest search. Without ``SKYTRIGGER_SLOW=1`` its times are made up (everything but the clock), and
only the model of somebody else is put through it.
"""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clue.layouts import root_file
from eo_data.tile_files import planes, tif
from optimize.made_up import MadeUp
from skytrigger.cli.bench import _with_card
from skytrigger.cli.main import main
from skytrigger.optimize import optimise as optimising
from skytrigger.optimize import settings
from skytrigger.study.cells import load_data
from skytrigger.study.toml import load_spec

SLOW = bool(os.environ.get("SKYTRIGGER_SLOW"))
TEN = ["B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12"]
QUICK = "--seconds 0.05 --batch-size 1 --threads 1 --no-roofline --no-control --scenario single-stream"
SEARCH = "--max-drop 90 --effort quick --runtime onnxruntime --threads 1 --batch-size 8 --precision int8"


@pytest.fixture(autouse=True)
def _smallest_search(monkeypatch: pytest.MonkeyPatch) -> None:
    least = replace(
        settings.EFFORTS["quick"], pool=1, candidates=1, rungs=(), epochs=1, finalists=1, tune_epochs=1, prunings=(),
        least_steps=2, most_images=100, seconds=0.06,
    )  # fmt: skip
    monkeypatch.setitem(settings.EFFORTS, "quick", least)
    if not SLOW:
        monkeypatch.setattr(optimising, "optimise", partial(optimising.optimise, bench=MadeUp()))


class User:
    """Somebody at a shell."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home, self.capsys = home, capsys

    def says(self, command: str, *paths: object, status: int = 0) -> dict[str, Any]:
        """What a command answers; each ``@`` of it is the next of `paths`."""
        rest = iter(paths)
        words = [str(next(rest)) if word == "@" else word for word in command.split()]
        self.capsys.readouterr()
        found = main([*words, "--json"])
        told = self.capsys.readouterr()
        assert found == status, told.err
        answer: dict[str, Any] = json.loads(told.out)
        return answer

    def optimises(self, model: Path, data: Path, theirs: bool = False) -> None:
        """A search, its page, and what it found on the data."""
        if not (SLOW or theirs):
            return
        out = self.home / "search"
        assert self.says(f"optimize @ --data @ --out @ {SEARCH}", model, data, out)["winner"]["precision"] in (
            "fp32",
            "int8",
        )
        assert (out / "report.html").is_file()
        self.says("report @", out)
        assert self.says("evaluate @ --data @ --out @", out / "best.onnx", data, self.home / "e2")["images"] > 0

    def times(self, *models: Path) -> None:
        """A bench and its page."""
        out = self.home / "bench"
        assert len(self.says(f"bench {'@ ' * len(models)} --out @ {QUICK}", *models, out)["rows"]) == len(models)
        self.says("report @", out)
        assert "onnxruntime" in (out / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> User:
    return User(tmp_path, capsys)


def pictures(root: Path, classes: tuple[str, ...], count: int, side: int, seed: int = 0) -> None:
    """PNG whose brightness is their class; names start anew in every class."""
    for k, label in enumerate(classes):
        (root / label).mkdir(parents=True)
        for n in range(count):
            random = np.random.default_rng([seed, k, n])
            pixels = random.integers(0, 100, (side, side, 3)) + 60 * k
            Image.fromarray(pixels.astype(np.uint8)).save(root / label / f"{n:03}.png")


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_ten_bands_of_float32(user: User) -> None:
    data, run, home = user.home / "data", user.home / "run", user.home
    for k, label in enumerate(("bare", "crop", "forest", "water")):
        for n in range(10):
            values = planes(100 * k + n, 10, "float32", (120, 120)) + np.float32(0.03 * k)
            tif(data / label / f"{n:03}.tif", values, TEN)
    facts = user.says("data info @ --scale 1 --out @", data, home)
    assert (facts["shape"], facts["dtype"], facts["units"]) == ([10, 120, 120], "float32", "reflectance")
    assert list(facts["classes"].values()) == [10] * 4
    means = {c["name"]: c["mean"] for c in facts["channel_statistics"]}
    assert means["B8A"] == pytest.approx(0.02 * 7 + 0.01 + 0.045, abs=1e-3)  # eighth in the file, told by its name
    user.says("train --model student --data @ --scale 1 --epochs 1 --threads 1 --device cpu --out @", data, run)
    found = user.says("evaluate @ --data @ --scale 1 --out @", run, data, home / "e")
    assert (found["images"], found["part"], found["leakage"]["images"]) == (4, "test", 0)  # 003 is in every class
    user.says("export @ --data @ --scale 1 --precision int8 --out @", run, data, home / "q.onnx")
    user.says("predict @ --data @ --scale 1 --out @", home / "q.onnx", data / "crop", home / "p.csv")
    assert [row["id"] for row in rows_of(home / "p.csv")] == [f"{n:03}" for n in range(10)]
    user.times(home / "q.onnx")
    (home / "own.toml").write_text(
        f'title = "Ten bands"\ndata = ["{data}"]\nscale = 1.0\nband_names = {json.dumps(TEN)}\nmodels = ["student"]\n'
    )
    assert load_data(load_spec(str(home / "own.toml")))[0].units == "reflectance"


def test_pictures_of_256(user: User) -> None:
    data, run, home = user.home / "data", user.home / "run", user.home
    pictures(data, ("airport", "beach"), 10, 256)
    assert user.says("data info @ --out @", data, home)["shape"] == [3, 256, 256]
    user.says("train --model student --data @ --epochs 1 --threads 1 --device cpu --out @", data, run)
    assert user.says("evaluate @ --data @ --out @", run, data, home / "e")["leakage"]["images"] == 0
    user.says("export @ --data @ --out @", run, data, home / "m.onnx")
    user.says("predict @ --data @ --out @", home / "m.onnx", data, home / "p.parquet")
    user.times(home / "m.onnx")
    user.optimises(run, data)


def test_folders_of_parts(user: User) -> None:
    data, run, home = user.home / "data", user.home / "run", user.home
    for seed, (part, count) in enumerate((("train", 8), ("val", 4), ("test", 3))):
        pictures(data / part, ("airport", "beach", "chaparral"), count, 32, seed)
    assert user.says("data info @ --out @", data, home)["parts"] == {"train": 24, "val": 12, "test": 9}
    user.says("train --model student --data @ --epochs 1 --threads 1 --device cpu --out @", data, run)
    for words, where, n, leaks in (("", data, 9, 0), ("--split val", data, 12, 0), ("", data / "test", 9, 0),
                                   ("--split train", data, 24, 24)):  # fmt: skip
        found = user.says(f"evaluate @ --data @ {words} --out @", run, where, home / "e")
        assert (found["images"], found["leakage"]["images"]) == (n, leaks), words
    user.says("export @ --data @ --precision int8 --out @", run, data, home / "q.onnx")
    user.says("predict @ --data @ --out @", home / "q.onnx", data / "test", home / "p.csv")
    assert len(rows_of(home / "p.csv")) == 9
    user.times(home / "q.onnx")
    user.optimises(run, data)


def foreign(path: Path, shape: list[object]) -> None:
    """Somebody's classifier: NHWC, three probabilities, weights in a file beside it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    weights = {"w": random.normal(0, 0.01, (8, 3, 3, 3)), "v": random.normal(0, 0.1, (8, 3))}
    nodes = [
        helper.make_node("Transpose", ["image"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "v"], ["l"]),
        helper.make_node("Softmax", ["l"], ["y"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes, "theirs", [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], 3])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)


CARD = """
channels = ["B04", "B03", "B02"]
classes = ["airport", "beach", "chaparral"]
size = [40, 40]
units = "rgb8"
"""


def test_a_model_of_somebody_else(user: User) -> None:
    data, home = user.home / "data", user.home
    for seed, (part, count) in enumerate((("train", 6), ("val", 4), ("test", 4))):
        pictures(data / part, ("airport", "beach", "chaparral"), count, 40, seed)
    theirs, ours, card = home / "theirs" / "m.onnx", home / "ours.onnx", home / "card.toml"
    foreign(theirs, ["batch", 40, 40, 3])
    assert main(["predict", str(theirs), "--data", str(data), "--out", str(home / "p.csv")]) == 2
    assert f"skytrigger export {theirs} --card card.toml" in user.capsys.readouterr().err
    card.write_text(CARD)
    assert main(["export", str(theirs), "--card", str(card), "--out", str(ours)]) == 2
    assert 'remedy: outputs = "probabilities"' in user.capsys.readouterr().err
    card.write_text(CARD + 'outputs = "probabilities"\n')
    assert user.says("export @ --card @ --out @", theirs, card, ours)["layout"] == "nhwc"
    user.says("predict @ --data @ --out @", ours, data / "test", home / "p.csv")
    given = np.array(
        [[float(row[f"p_{c}"]) for c in ("airport", "beach", "chaparral")] for row in rows_of(home / "p.csv")]
    )
    np.testing.assert_allclose(given, answers(theirs, data / "test"), atol=1e-5)
    assert user.says("evaluate @ --data @ --split test --out @", ours, data, home / "e")["images"] == 12
    small = user.says("export @ --data @ --precision int8 --out @", ours, data, home / "q.onnx")
    assert (small["ranges"], small["images"]) == ("the training images", 18)
    user.times(theirs, home / "q.onnx")
    user.optimises(ours, data, theirs=True)


def answers(model: Path, data: Path) -> np.ndarray:
    """What the file itself says, in the order of class and name."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    images = np.stack([np.asarray(Image.open(path)) for path in sorted(data.rglob("*.png"))])
    return np.asarray(session.run(None, {"image": images.astype(np.float32)})[0])


def test_weights_in_another_file_that_change(user: User) -> None:
    model = user.home / "m.onnx"
    foreign(model, [1, 40, 40, 3])
    first = Path(_with_card(model, None)).read_bytes()
    (user.home / "weights.bin").write_bytes(bytes((user.home / "weights.bin").stat().st_size))
    second = Path(_with_card(model, None)).read_bytes()
    assert len(first) == len(second)
    assert first != second


def test_layer_clusters_under_other_names(user: User) -> None:
    awkward = pytest.importorskip("awkward")
    path, home = user.home / "ntuple.root", user.home
    random, lengths = np.random.default_rng(0), [40, 0, 60]

    def lists(values: Any, dtype: type) -> Any:
        return awkward.unflatten(np.asarray(values).astype(dtype), lengths)

    x, y = random.normal(0, 20, (2, 100)).astype(np.float32)
    layer, energy = random.integers(1, 5, 100), random.exponential(2, 100).astype(np.float32)
    columns = {
        "evt": np.array([11, 12, 13]), "lcX": lists(x, np.float32), "lcY": lists(y, np.float32),
        "lcZ": lists(320 + layer, np.float32), "lcLayer": lists(layer, np.int32), "lcEnergy": lists(energy, np.float32),
        "lcTime": lists(random.random(100), np.float32),
    }  # fmt: skip
    root_file(path, {"lc": columns, "tracksters": {"barycenter_r": np.arange(3.0)}})
    assert main(["clue", str(path), "--dc", "3", "--rhoc", "4"]) == 2
    assert "--columns x=NAME" in user.capsys.readouterr().err
    stated = "x=lcX,y=lcY,z=lcZ,weight=lcEnergy,layer=lcLayer"
    words = f"clue @ --dc 3 --rhoc 4 --columns {stated} --tree lc --out @ --clusters @ --picture @"
    found = user.says(words, path, home / "h.parquet", home / "c.csv", home / "layer.png")
    assert found["read"]["columns"] == {**dict(part.split("=") for part in stated.split(",")), "event": "evt"}
    from skytrigger.hep.clue import cluster

    event = np.repeat([11, 12, 13], lengths)
    expected = cluster(x, y, layer, energy, event, dc=3.0, rhoc=4.0)
    assert found["n_clusters"] == expected.n_clusters > 3
    table = rows_of(home / "c.csv")
    members = [np.flatnonzero(expected.cluster_id == k) for k in range(expected.n_clusters)]
    assert [float(row["energy"]) for row in table] == pytest.approx([float(energy[m].sum()) for m in members], rel=1e-5)
    assert [int(row["event"]) for row in table] == [int(event[m[0]]) for m in members]
    assert (home / "layer.png").read_bytes().startswith(b"\x89PNG")
