"""`skytrigger optimize` from its words to its page; a doublet filter judged by AUC."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from made_up import MadeUp
from test_search import TINY

from skytrigger.applications.registry import application_of, model_path
from skytrigger.cli import optimize as command
from skytrigger.cli.main import main
from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError
from skytrigger.core.seen import NOTE
from skytrigger.eo.application import EUROSAT, load_tiles
from skytrigger.hep.doublets.application import DOUBLETS, default_recipe, prepare
from skytrigger.hep.doublets.metrics import auc_difference, scores
from skytrigger.hep.doublets.simulator import simulate
from skytrigger.learn.runs import train_run
from skytrigger.measure.stats import Interval
from skytrigger.model.file import read_model
from skytrigger.optimize import settings as settings_module
from skytrigger.optimize.floor import judge
from skytrigger.optimize.metric import bootstrapped
from skytrigger.optimize.optimise import optimise
from skytrigger.optimize.problem import Problem
from skytrigger.optimize.settings import Settings
from skytrigger.report.optimize_page import write_search_page


@pytest.fixture(autouse=True)
def _tiny_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        settings_module.EFFORTS, "quick", replace(TINY, pool=1, candidates=1, rungs=(), prunings=(), seconds=0.06)
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network on synthetic tiles, hardly trained."""
    out = tmp_path_factory.mktemp("given") / "run"
    words = "train --model student --data synthetic:120 --bands rgb --epochs 1 --threads 1 --device cpu --out"
    assert main([*words.split(), str(out)]) == 0
    return out


def without_list(name: str, file: Path) -> None:
    """A copy of a packaged model whose card does not say what it has seen."""
    model = onnx.load(model_path(name))
    (entry,) = model.metadata_props
    card = json.loads(entry.value)
    del card["notes"][NOTE]
    entry.value = json.dumps(card)
    onnx.save(model, file)


def test_from_a_packaged_model_on_other_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without_list("eurosat_ms", tmp_path / "old.onnx")
    words = f"optimize {tmp_path / 'old.onnx'} --data synthetic:120 --max-drop 90 --effort quick --runtime onnxruntime"
    words += " --threads 1 --batch-size 8 --precision int8 --bands-candidates none --stored --json --out"
    whole = [*words.split(), str(tmp_path / "out")]
    assert main(whole) == 2  # nothing divides data that the network was not trained on, unless it is said
    assert "--split random" in capsys.readouterr().err
    assert main([*whole, "--split", "all"]) == 2
    capsys.readouterr()
    assert main([*whole, "--split", "random"]) == 0
    found = json.loads(capsys.readouterr().out)
    given = [row for row in found["engines"] if row["name"] == "given"]
    assert {row["precision"] for row in given} == {"int8"}
    assert found["leakage"] == ["old.onnx: not known which images it has seen (its card keeps no list)"]
    assert len(read_model(tmp_path / "out" / "best.onnx").card.channels) == 13


def test_other_data_are_divided_by_lists(tmp_path: Path) -> None:
    dataset = load_tiles(["synthetic:120"])
    for part, first, last in (("train", 0, 80), ("val", 80, 100), ("test", 100, 120)):
        (tmp_path / f"{part}.txt").write_text("\n".join(dataset.ids[first:last]) + "\n")
    lists = [str(tmp_path / f"{part}.txt") for part in ("train", "val", "test")]
    card = read_model(model_path("eurosat_ms")).card
    args = Namespace(run="eurosat_ms", split=None, split_lists=lists, seed=0)
    split = command._split_of(args, application_of(card), dataset, card)
    assert [len(split.part(p)) for p in ("train", "val", "test")] == [80, 20, 20]
    own = replace(card, split={"kind": "random", "seed": 0, "data_hash": dataset.content_hash})
    with pytest.raises(InputError, match="keeps the split"):
        command._split_of(Namespace(run="x", split="random", split_lists=None, seed=0), EUROSAT, dataset, own)


def test_from_the_command_line_to_the_page(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = "--data synthetic:120 --bands rgb --max-drop 90 --effort quick --runtime onnxruntime"
    words += " --threads 1 --batch-size 8 --precision int8 --json --out"
    assert main(["optimize", str(run), *words.split(), str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["winner"]["engine"]["precision_run"] == found["winner"]["precision"] == "int8"
    assert read_model(out / "best.onnx").card.channels == ("B04", "B03", "B02")
    assert found["winner"]["kernels"]["QLinearConv"] > 2
    page = (out / "report.html").read_text()
    for said in ("SYNTHETIC DATA", found["winner"]["name"], found["test"]["sentence"][:30], "The choice"):
        assert said in page
    assert found["winner"]["name"] in (out / "report.md").read_text().replace("\\", "")
    assert (out / "front.png").read_bytes().startswith(b"\x89PNG")
    lines = (out / "records" / "records.jsonl").read_text().splitlines()
    assert all(json.loads(line)["samples"]["call"]["values"] for line in lines)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--max-drop", "-1"], "max-drop"),
        (["--effort", "heroic"], "heroic"),
        (["--runtime", "abacus"], "abacus"),
        (["--threads", "none"], "--threads"),
        (["--bands-candidates", "B08"], "B08"),
        (["--metric", "auc"], "expected: accuracy"),
        (["--data", "synthetic:130"], "other data"),
        (["--bands", "B02"], "B0"),
    ],
)
def test_wrong_words(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: list[str], words: str
) -> None:
    asked = ["--data", "synthetic:120", "--bands", "rgb", "--max-drop", "1", "--out"]
    assert main(["optimize", str(run), *asked, str(tmp_path), *change]) == 2
    assert words in capsys.readouterr().err


def test_not_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", str(tmp_path), "--max-drop", "1", "--out", str(tmp_path / "out")]) == 2
    assert "not a finished run folder" in capsys.readouterr().err


@pytest.fixture(scope="module")
def doublets() -> Dataset:
    return simulate(1500, seed=3)


@pytest.fixture(scope="module")
def doublet_filter(tmp_path_factory: pytest.TempPathFactory, doublets: Dataset) -> Path:
    out = tmp_path_factory.mktemp("filter") / "run"
    recipe = default_recipe("doublets_small", 3, epochs=1)
    plain = replace(DOUBLETS, prepare=partial(prepare, copies=1))
    train_run(plain, doublets, DOUBLETS.split(doublets, "cluster-disjoint", 3), recipe, out, threads=1)
    return out


def test_a_filter_is_judged_by_auc(doublet_filter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skytrigger.hep.doublets.application.RESAMPLES", 100)
    data = DOUBLETS.load(["synthetic:1500"], seed=3)
    split = DOUBLETS.split(data, "cluster-disjoint", 3)
    problem = Problem(doublet_filter, DOUBLETS.build, data, split, {"logits": DOUBLETS.figures["auc"](data)})
    assert problem.metric.name == "auc"
    asked = Settings(max_drop=30.0, effort="quick", batch_sizes=(8,), augment=False, precisions=("fp32",), bands=())
    found = optimise(problem, asked, tmp_path / "out", threads=1, bench=MadeUp())
    given = [r for r in found["engines"] if r["name"] == "given"]
    assert 0.4 < given[0]["auc"]["estimate"] < 1
    assert given[0]["verdict"] == "holds"
    assert abs(given[0]["change"]["estimate"]) < 1e-3  # ONNX Runtime against the framework
    assert found["test"]["auc"]["winner"]["n"] == len(problem.split.test)
    page = write_search_page(tmp_path / "out")[0]
    text = page.read_text()
    assert "AUC" in text.replace("auc", "AUC")
    page.unlink()
    assert main(["report", str(tmp_path / "out")]) == 0
    assert page.read_text() == text
    assert main(["report", str(tmp_path / "out"), "--out", str(tmp_path / "elsewhere")]) == 2


def test_a_noisy_filter_is_below_the_floor(doublets: Dataset) -> None:
    """AUC of known size: scores that know the truth, and the same with most of it drowned."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 600)
    good = np.stack([np.zeros(600), true + 0.3 * rng.standard_normal(600)], 1).astype(np.float32)
    poor = np.stack([np.zeros(600), true + 3.0 * rng.standard_normal(600)], 1).astype(np.float32)

    def paired(a, b, true, rows) -> Interval:
        return Interval(*auc_difference(scores(b), scores(a), true, rows, resamples=200), 0.95, len(true))

    metric = bootstrapped("auc", paired, paired)
    rows = np.arange(600)
    assert judge(metric, good, poor, true, rows, 0.05).word == "below"
    assert judge(metric, good, good, true, rows, 0.05).word == "holds"
    assert judge(metric, poor, good, true, rows, 0.0).word == "holds"


def test_a_filter_takes_one_source(doublet_filter: Path) -> None:
    with pytest.raises(InputError, match="2 sources"):
        DOUBLETS.load(["a.h5", "b.h5"])
