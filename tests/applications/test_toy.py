"""A toy application of two heads goes all the way, by the commands that everything else goes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from skytrigger.applications import registry
from skytrigger.cli.main import main
from skytrigger.learn.evaluate import align
from skytrigger.learn.predictions import read_predictions
from skytrigger.learn.run_folder import RunFolder
from skytrigger.model.file import read_model
from skytrigger.runtimes.open import open_session

DATA = ("--data", "synthetic:360:1")


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.VARIABLE, "applications.toy:TOY")


def told(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(registry.VARIABLE, "applications.toy:TOY")
        words = ["train", "--model", "toy", *DATA, "--epochs", "12", "--device", "cpu", "--precision", "fp32"]
        assert main([*words, "--threads", "1", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> Path:
    out = run.parent / "toy.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(registry.VARIABLE, "applications.toy:TOY")
        assert main(["export", str(run), "--out", str(out), *DATA]) == 0
    return out


def test_it_is_short_and_found() -> None:
    assert len(Path(__file__).with_name("toy.py").read_text().splitlines()) <= 60
    assert registry.application_of("toy").name == "toy"


def test_history_names_the_heads(run: Path) -> None:
    first, last = (RunFolder(run).history()[i] for i in (0, -1))
    assert "val_accuracy" not in last
    assert last["val_shape_accuracy"] > 0.9
    assert last["val_energy_mae"] < first["val_energy_mae"] < 5
    total = last["val_shape_loss"] + 0.2 * last["val_energy_loss"]
    assert last["val_loss"] == pytest.approx(total)


def test_evaluate_has_columns_and_figures_of_each_head(run, model, tmp_path, capsys) -> None:
    found = told(capsys, "evaluate", run, *DATA, "--out", tmp_path / "a")
    assert found["part"] == "test"
    written = read_predictions(tmp_path / "a" / "predictions.parquet")
    assert [head.name for head in written.heads] == ["shape", "energy"]
    known = ~np.isnan(written.truth["energy"][:, 0])
    error = (written.answers["energy"] - written.truth["energy"])[known, 0]
    row = found["heads"]["energy"]["values"]["energy"]
    assert 0 < row["images"] == known.sum() < len(known)
    assert row["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-6)
    assert row["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-6)
    right = (written.answers["shape"].argmax(1) == written.truth["shape"]).sum()
    assert found["heads"]["shape"]["correct"] == right
    assert (tmp_path / "a" / "confusion_shape.png").is_file()
    of_file = told(capsys, "evaluate", model, *DATA, "--out", tmp_path / "b")
    assert of_file["heads"]["energy"]["values"]["energy"]["mae"] == pytest.approx(row["mae"], rel=1e-4)
    assert main(["evaluate", str(run), *DATA, "--out", str(tmp_path / "a")]) == 0
    text = capsys.readouterr().out
    assert "test shape: accuracy" in text
    assert "GeV" in text


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_export_has_every_head_and_its_parity(run, tmp_path, capsys, precision) -> None:
    out = tmp_path / "model.onnx"
    found = told(capsys, "export", run, "--out", out, *DATA, "--precision", precision)
    assert set(found["heads"]) == {"shape", "energy"}
    assert found["relative_error_max"] == max(h["relative_error_max"] for h in found["heads"].values()) < 0.1
    file = read_model(out)
    assert [o.name for o in file.graph().graph.output] == ["shape", "energy"]
    assert file.card.heads == RunFolder(run).card().heads


def test_a_session_answers_for_both(model) -> None:
    data = align(registry.application("toy").load(["synthetic:20:2"]), read_model(model).card)
    session = open_session(model, "onnxruntime", "fp32", 8, threads=1)
    answers = session.answers(data.x.astype(np.float32))
    session.close()
    assert {name: value.shape for name, value in answers.items()} == {"shape": (20, 3), "energy": (20, 1)}


def test_bench_measures_it(model, tmp_path, capsys) -> None:
    words = ("--runtime", "onnxruntime,torch", "--batch-size", 8, "--threads", 1, "--seconds", 0.2, "--no-roofline")
    found = told(capsys, "bench", model, *words, "--out", tmp_path)
    assert {row["runtime"] for row in found["rows"]} == {"onnxruntime", "torch"}


SPEC = """
title = "Spots"
data = ["synthetic:120:1"]
models = ["toy"]
[recipe]
epochs = 2
[[measure]]
engines = ["onnxruntime:fp32"]
batch_sizes = [8]
seconds = 0.2
threads = 1
ceilings = false
"""


def test_a_study_of_it_is_shown(tmp_path, capsys) -> None:
    (tmp_path / "spots.toml").write_text(SPEC)
    assert main(["study", str(tmp_path / "spots.toml"), "--out", str(tmp_path / "study")]) == 0
    assert main(["report", str(tmp_path / "study")]) == 0
    page = (tmp_path / "study" / "report.md").read_text()
    assert "SYNTHETIC" in page.upper()
    for word in ("shape", "energy", "GeV"):
        assert word in page


def test_optimize_holds_a_floor_for_each_head(run, tmp_path, capsys) -> None:
    words = ("--max-drop", 60, "--effort", "quick", "--runtime", "onnxruntime", "--precision", "fp32", "--threads", 1)
    more = ("--streams", 1, "--batch-size", 8, "--bands-candidates", "none", "--out", tmp_path / "search")
    found = told(capsys, "optimize", run, *DATA, *words, *more)
    assert found["winner"]["runtime"] == "onnxruntime"
    text = json.dumps(found["test"])
    assert "shape" in text
    assert "energy" in text
