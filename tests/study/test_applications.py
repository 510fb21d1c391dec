"""Studies of other applications than tiles: pixel doublets, and a toy network of two heads, to their pages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from skytrigger.applications import registry
from skytrigger.cli.main import main
from skytrigger.core.files import read_json

pytest.importorskip("torch")


def section(text: str, title: str) -> str:
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def test_doublets_are_a_study_like_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "small.toml"
    spec.write_text(
        'title = "Doublets"\napplication = "doublets"\ndata = ["synthetic:600"]\nmodels = ["doublets_small"]\n'
        'device = "cpu"\n[recipe]\nepochs = 1\n[[measure]]\nengines = ["onnxruntime:fp32", "onnxruntime:int8"]\n'
        "batch_sizes = [8]\nstreams = [1, 2]\nthreads = 1\nseconds = 0.05\nceilings = false\n"
    )
    out = tmp_path / "out"
    assert main(["study", str(spec), "--out", str(out), "--json"]) == 0
    problems = json.loads(capsys.readouterr().out)["problems"]  # whether it can be had in INT8 is up to the CPU
    assert {(p["cell"], p["status"]) for p in problems} <= {("export doublets_small-int8", "unavailable")}
    labels = {(c["kind"], c["label"]) for c in read_json(out / "study.json")["cells"]}
    assert labels == {
        ("train", "doublets_small-0"), ("evaluate", "doublets_small-0"), ("export", "doublets_small"),
        ("export", "doublets_small-int8"), ("bench", "doublets_small-batch8"),
        ("bench", "doublets_small-batch8-streams2"),
    }  # fmt: skip
    text = (out / "report.md").read_text()
    found = read_json(next(out.glob("cells/evaluate-*")) / "metrics.json")
    low, high = found["intervals_95"]["auc"]
    row = f"| doublets\\_small | 0 | auc | {found['auc']:.4f} ({low:.4f} to {high:.4f}) |"
    assert row in section(text, "The application's own figures")
    timed = section(text, "Time per image")
    assert "onnxruntime fp32 |" in timed
    assert "onnxruntime fp32 x2" in timed
    assert ("onnxruntime:int8 | unavailable |" in timed) == bool(problems)


def test_a_network_of_two_heads_has_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.VARIABLE, "applications.toy:TOY")
    spec = tmp_path / "toy.toml"
    spec.write_text(
        'title = "Toy"\ndata = ["synthetic:240:1"]\nmodels = ["toy"]\ndevice = "cpu"\nseeds = [0, 1]\n'
        "[recipe]\nepochs = 4\n[[measure]]\n"
        'engines = ["onnxruntime:fp32"]\nbatch_sizes = [8]\nthreads = 1\nseconds = 0.05\nceilings = false\n'
    )
    out = tmp_path / "out"
    assert main(["study", str(spec), "--out", str(out)]) == 0
    text = (out / "report.md").read_text()
    cells = [c for c in read_json(out / "study.json")["cells"] if c["kind"] == "evaluate"]
    first = read_json(out / cells[0]["folder"] / "metrics.json")["heads"]
    values = section(text, "Bias and resolution: energy")
    row = first["energy"]["values"]["energy"]
    assert re.search(rf"\| toy \| 0 \| energy \| {row['bias']:.4g} GeV \(.* to .*\) \|", values)
    assert f"| {row['rmse']:.4g} GeV (" in values
    shape = section(text, "Accuracy and loss: shape")
    assert f"0: {100 * first['shape']['accuracy']:.2f} %" in shape
    curves = section(text, "Training curves")
    assert "validation energy mae" in curves
    assert "gap in shape accuracy" in curves
    assert "Confusion matrices and their change: shape" in text
