from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from skytrigger.cli.main import main
from skytrigger.hep.doublets.application import DOUBLETS
from skytrigger.hep.doublets.evaluation import packaged
from skytrigger.learn.exporting import export_run
from skytrigger.learn.predictions import read_predictions
from skytrigger.model.file import read_model


def _json(capsys, *words):
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A filter trained for a moment on 1,500 simulated doublets."""
    folder = tmp_path_factory.mktemp("doublets") / "run"
    words = ["doublets", "train", "--data", "synthetic:1500", "--out", str(folder), "--epochs", "3", "--threads", "1"]
    assert main(words) == 0
    return folder


def test_train_and_evaluate(run, tmp_path, capsys):
    found = _json(capsys, "doublets", "evaluate", run, "--data", "synthetic:1500", "--out", tmp_path, "--threads", 1)
    assert found["trained_on_these_data"]
    assert found["part"] == "test"
    assert 200 < found["n"] < 400
    assert list(found["rejection"]) == ["0.5", "0.9", "0.95", "0.99"]
    written = read_predictions(tmp_path / "predictions.parquet")
    score = written.logits[:, 1] - written.logits[:, 0]
    assert found["auc"] == pytest.approx(roc_auc_score(written.true, score), abs=1e-6)
    assert found["auc"] > 0.6
    assert found["baseline"]["auc"] > 0.6
    low, high = found["auc_minus_baseline"]["interval_95"]
    assert low <= found["auc"] - found["baseline"]["auc"] <= high
    assert (tmp_path / "roc.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "metrics.json").read_text())["auc"] == found["auc"]


def test_other_data_are_judged_whole(run, write_file, doublets, capsys):
    x, y = np.concatenate([doublets.x] * 2), np.concatenate([doublets.y] * 2)
    found = _json(capsys, "doublets", "evaluate", run, "--data", write_file(x, y, gzipped=True), "--threads", 1)
    assert (found["part"], found["n"], found["distinct"]) == ("all", 3000, 1500)
    assert not found["trained_on_these_data"]


def test_a_model_file_says_what_its_run_says(run, tmp_path, capsys):
    out = tmp_path / "filter.onnx"
    export_run(run, DOUBLETS, out)
    words = ("--data", "synthetic:1500", "--split", "test", "--threads", 1)
    of_run = _json(capsys, "doublets", "evaluate", run, *words)
    of_file = _json(capsys, "doublets", "evaluate", out, *words, "--trees", run / "trees.onnx")
    assert of_file["auc"] == pytest.approx(of_run["auc"], abs=1e-4)
    assert of_file["baseline"] == of_run["baseline"]
    # the file takes charges in electrons: nothing is left of the standardisation
    assert read_model(out).card.mean == (0.0, 0.0)


def test_the_general_commands_do_the_same(run, tmp_path, capsys):
    data = ("--data", "synthetic:1500")
    again = tmp_path / "again"
    words = ("train", "--model", "doublets_small", *data, "--epochs", 3, "--device", "cpu", "--threads", 1)
    _json(capsys, *words, "--out", again)
    for name in ("weights.safetensors", "trees.onnx", "recipe.toml"):
        assert (again / name).read_bytes() == (run / name).read_bytes()
    short = _json(capsys, "doublets", "evaluate", run, *data, "--threads", 1)
    general = _json(capsys, "evaluate", run, *data, "--threads", 1, "--out", tmp_path / "general")
    assert general == short
    assert (tmp_path / "general" / "roc.png").is_file()
    out = tmp_path / "fp16.onnx"
    found = _json(capsys, "export", run, "--out", out, *data, "--precision", "fp16")
    assert found["tiles"] == "validation images"
    card = read_model(out).card
    assert (card.mean, card.precision) == ((0.0, 0.0), "fp16")
    # its shape features stay float32, so that no engine would call it INT8
    assert main(["export", str(run), "--out", str(out), *data, "--precision", "int8"]) == 2
    assert "in fp32, not in int8" in capsys.readouterr().err
    packaged_one = _json(capsys, "evaluate", "doublets", *data, "--threads", 1, "--out", tmp_path / "packaged")
    assert packaged_one["part"] == "all"
    assert packaged_one["auc"] > 0.6


def test_the_package_brings_a_filter(capsys):
    assert packaged().stat().st_size <= 300_000
    card = read_model(packaged()).card
    assert (card.channels, card.classes, card.units) == (("inner", "outer"), ("fake", "true"), "ADC")
    assert card.notes["source_of_data"].startswith("CMS simulated")
    assert 0.7 < card.notes["test_part"]["auc"] < 0.8
    found = _json(capsys, "doublets", "evaluate", "--data", "synthetic:2000", "--threads", 1)
    assert found["n"] == 2000
    assert found["auc"] > 0.6  # simulated doublets are like the real ones it was trained on


@pytest.mark.real
def test_the_packaged_filter_on_the_test_part_of_the_real_file(real_data, capsys):
    file = real_data / "cms_doublets" / "pixel_doublets.h5.gz"
    found = _json(capsys, "doublets", "evaluate", "--data", file, "--threads", 1)
    card = read_model(packaged()).card
    assert found["part"] == "test"
    assert found["auc"] == pytest.approx(card.notes["test_part"]["auc"], abs=1e-4)
    assert found["n"] == card.notes["test_part"]["n"]
    assert found["auc"] > found["baseline"]["auc"] - 0.01


def test_twenty_channels_train_and_are_evaluated(tmp_path, capsys):
    words = ("--data", "synthetic:400", "--threads", 1)
    _json(capsys, "doublets", "train", *words, "--channels", 20, "--epochs", 1, "--out", tmp_path / "run")
    found = _json(capsys, "doublets", "evaluate", tmp_path / "run", *words)
    assert found["baseline"] is None


def test_throughput_measures_every_cell_and_goes_on(run, tmp_path, capsys):
    words = ["doublets", "throughput", run, "--data", "synthetic:1500", "--images", 200, "--batch-size", "50,200"]
    words += ["--streams", "1,2", "--precision", "fp32,fp16", "--rounds", 1, "--seconds", 0.2, "--out", tmp_path]
    found = _json(capsys, *words)
    cells = [(row["batch_size"], row["streams"]) for row in found["rows"]]
    assert cells == [(50, 1), (50, 2), (200, 1)]  # two streams need two batches
    assert all(row["images_per_s"][0] > 0 for row in found["rows"])
    assert [row["gain"] is None for row in found["rows"]] == [True, False, True]
    assert found["refused"].keys() == {"onnxruntime fp16"}
    assert (tmp_path / "throughput.png").read_bytes().startswith(b"\x89PNG")
    lines = (tmp_path / "records.jsonl").read_text()
    assert _json(capsys, *words)["rows"] == found["rows"]
    assert (tmp_path / "records.jsonl").read_text() == lines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "--data", "nowhere.h5"], "cannot read nowhere.h5"),
        (["evaluate", "--data", "synthetic:1"], "synthetic:COUNT"),
        (["evaluate", "nowhere.onnx", "--data", "synthetic:100"], "nowhere.onnx"),
        (["train", "--model", "basic", "--out", "x"], "no network called 'basic'"),
        (["throughput", "--batch-size", "1,two", "--out", "x"], "--batch-size '1,two'"),
        (["throughput", "--images", "0", "--out", "x"], "images = 0"),
        (["throughput", "--memory", "page-locked", "--out", "x"], "memory 'page-locked' on device 'cpu'"),
        (["throughput", "--transfers", "with,without", "--out", "x"], "transfers 'without' on device 'cpu'"),
        (["throughput", "--device", "cuda", "--transfers", "some", "--out", "x"], "transfers 'some'"),
        (["throughput", "--input-type", "uint8", "--data", "synthetic:100", "--out", "x"], "for data in float16"),
    ],
)
def test_wrong_requests_exit_with_2_and_one_line(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["doublets", *words]) == 2
    assert message in capsys.readouterr().err


def test_one_class_only_exits_with_2(write_file, doublets, capsys):
    path = write_file(doublets.x, np.ones(len(doublets), int))
    assert main(["doublets", "evaluate", "--data", str(path)]) == 2
    assert "all 1500 doublets are true" in capsys.readouterr().err
