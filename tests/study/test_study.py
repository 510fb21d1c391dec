"""The study: planned, killed, resumed, broken in one cell, asked for the impossible."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import tiny
from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json
from skytrigger.learn.run_folder import RunFolder
from skytrigger.measure.roofline import measure_ceilings
from skytrigger.report.build import build_report
from skytrigger.study import runner
from skytrigger.study.cells import plan
from skytrigger.study.runner import run_study
from skytrigger.study.spec import Measure, Spec
from skytrigger.study.study_file import StudyFile
from skytrigger.study.toml import load_spec

SPEC = Spec(
    title="small",
    data=("made by the test",),
    models=("basic", "regularized"),
    seeds=(0, 1),
    device="cpu",
    recipe={"epochs": 2, "batch_size": 16, "precision": "fp32"},
    measure=(Measure(("onnxruntime:fp32", "openvino:fp32"), (2,), 0.2, threads=1),),
)

CHILD = """
import os, signal, sys
sys.path.insert(0, {tests!r}); sys.path.insert(0, {here!r})
import tiny
from test_study import SPEC
from skytrigger.measure.roofline import measure_ceilings
from skytrigger.study import runner
real = runner.WORK[{kind!r}]
def dying(study, cell, tick):
    def fatal(cost, note):
        os.kill(os.getpid(), signal.SIGKILL)
    if cell.label == {label!r}:
        real(study, cell, fatal)
        os.kill(os.getpid(), signal.SIGKILL)
    return real(study, cell, tick)
runner.WORK[{kind!r}] = dying
runner.run_study(SPEC, tiny.dataset(), tiny.split(), {out!r}, only=("train", "evaluate", "export"))
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:  # a child that imports torch for the ceilings takes seconds
        small = partial(measure_ceilings, matrix=64, copy_bytes=1 << 20, rounds=2)
        patch.setattr("skytrigger.bench.run.in_own_process", small)
        cells = run_study(SPEC, tiny.dataset(), tiny.split(), out)
    assert [(c.kind, c.label, c.error) for c in cells if c.status != "done"] == []
    return out


def results(out: Path) -> dict[str, object]:
    """All that must not depend on how often the study was killed: times and host facts left out."""
    found: dict[str, object] = {}
    for row in read_json(out / "study.json")["cells"]:
        folder = out / row["folder"]
        if row["kind"] == "train":
            found[row["folder"]] = RunFolder(folder).weights.read_bytes()
        elif row["kind"] == "evaluate":
            found[row["folder"]] = {k: v for k, v in read_json(folder / "metrics.json").items() if k != "seconds"}
    return found


def test_the_study_leaves_what_it_says(whole: Path) -> None:
    index = read_json(whole / "study.json")
    kinds = [row["kind"] for row in index["cells"]]
    assert {k: kinds.count(k) for k in set(kinds)} == {"train": 4, "evaluate": 4, "export": 2, "bench": 2}
    assert index["data"]["split"]["test"] == len(tiny.split().test)
    for row in index["cells"]:
        assert (whole / row["folder"] / "result.json").is_file()
    bench = next(row for row in index["cells"] if row["kind"] == "bench")
    lines = (whole / bench["folder"] / "records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert {r["what"]["runtime"] for r in records if r["kind"] != "ceilings"} == {"onnxruntime", "openvino"}
    assert {r["kind"] for r in records} >= {"throughput", "control", "ceilings"}


@pytest.mark.parametrize(("kind", "label"), [("train", "regularized-0"), ("evaluate", "basic-1"), ("export", "basic")])
def test_a_killed_study_goes_on_to_the_same_result(tmp_path: Path, whole: Path, kind: str, label: str) -> None:
    code = CHILD.format(
        tests=str(Path(tiny.__file__).parent),
        here=str(Path(__file__).parent),
        kind=kind,
        label=label,
        out=str(tmp_path),
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()[-2000:]
    run_study(SPEC, tiny.dataset(), tiny.split(), tmp_path, only=("train", "evaluate", "export"))
    assert results(tmp_path) == results(whole)


def test_a_finished_study_computes_nothing(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise RuntimeError("computed again")

    monkeypatch.setattr(runner, "WORK", dict.fromkeys(runner.WORK, never))
    cells = run_study(SPEC, tiny.dataset(), tiny.split(), whole)
    assert {c.status for c in cells} == {"done"}


def test_a_failed_cell_is_reported_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = runner.WORK["train"]

    def broken(study, cell, tick):
        if cell.label == "basic-0":
            raise ZeroDivisionError("made to fail")
        return real(study, cell, tick)

    monkeypatch.setitem(runner.WORK, "train", broken)
    spec = replace(SPEC, seeds=(0,))
    cells = run_study(spec, tiny.dataset(), tiny.split(), tmp_path, only=("train", "evaluate"))
    state = {f"{c.kind} {c.label}": c.status for c in cells if c.kind in ("train", "evaluate")}
    assert state == {
        "train basic-0": "failed",
        "evaluate basic-0": "skipped",
        "train regularized-0": "done",
        "evaluate regularized-0": "done",
    }
    row = next(r for r in read_json(tmp_path / "study.json")["cells"] if r["status"] == "failed")
    assert "ZeroDivisionError: made to fail" in row["error"]


def test_the_address_of_a_cell_holds_all_that_decides_it() -> None:
    def keys(spec: Spec, seed: int = 0) -> dict[str, str]:
        return {f"{c.kind} {c.label}": c.key for c in plan(spec, tiny.dataset(seed=seed), tiny.split())}

    base = keys(SPEC)
    assert keys(SPEC) == base
    longer = keys(replace(SPEC, recipe={**SPEC.recipe, "epochs": 3}))
    assert all(longer[name] != base[name] for name in base)
    assert all(keys(SPEC, seed=1)[name] != base[name] for name in base)
    part = keys(replace(SPEC, part="val"))
    assert {name for name in base if part[name] != base[name]} == {n for n in base if n.startswith("evaluate")}


def test_the_study_file_reads_what_it_wrote(whole: Path) -> None:
    file = StudyFile.read(whole)
    planned = plan(SPEC, tiny.dataset(), tiny.split())
    assert [c.to_json() for c in file.cells] == read_json(whole / "study.json")["cells"]
    assert [(c.key, c.folder, c.network, [n.key for n in c.needs]) for c in file.cells] == [
        (c.key, c.folder, c.network, [n.key for n in c.needs]) for c in planned
    ]


def test_the_page_is_written_where_a_network_did_not_fit(tmp_path: Path) -> None:
    """Tiles too small for the seventh level of a network: its cells fail, the others' page is whole."""
    spec = replace(SPEC, models=("basic", "from64"), seeds=(0,), measure=())
    spec = replace(spec, recipe_of_model={"from64": {"learning_rate": 1e30}})
    cells = run_study(spec, tiny.dataset(), tiny.split(), tmp_path)
    states = {f"{c.kind} {c.label}": c.status for c in cells}
    assert states["train from64-0"] == "failed"
    assert states["evaluate from64-0"] == states["export from64"] == "skipped"
    build_report(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "loss is not finite" in text
    assert "| basic | " in text.split("## Accuracy and loss")[1].split("## ")[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = 'x'", "data"),
        ("title = 'x'\ndata = []", "names no data"),
        ("title = 'x'\ndata = ['synthetic']\nmodels = []", "models are empty"),
        ("title = 'x'\ndata = ['synthetic']\nseeds = [1, 1]", "seeds are empty or repeat"),
        ("title = 'x'\ndata = ['synthetic']\nepochs = 3", "unknown entries"),
        ("title = 'x'\ndata = ['synthetic']\n[recipe]\nepocs = 3", "epocs"),
        ("title = 'x'\ndata = ['synthetic']\n[[measure]]\nengines = ['tensorflow:fp32']", "tensorflow"),
        ("title = 'x'\ndata = ['synthetic']\n[[measure]]\nengines = ['torch']", "RUNTIME:PRECISION"),
        ("title = 'x'\ndata = ['synthetic']\npart = 'everything'", "everything"),
        ("title = 'x'\ndata = ['synthetic']\nmodels = ['nonsense']", "nonsense"),
        ("title = 'x'\ndata = ['synthetic']\nmodels = ['basic', 'nonsense']", "nonsense"),
        ("title = 'x'\ndata = ['synthetic']\nmodels = ['basic', 'doublets_cnn']", "doublets_cnn"),
        ("title = 'x'\ndata = ['synthetic']\napplication = 'nothing'", "nothing"),
        ("title = 'x'\ndata = ['synthetic']\nsplit = 'halves'", "halves"),
        ("title = 'x'\ndata = ['synthetic']\ndevice = 'gpu'", "gpu"),
        ("title = 'x'\ndata = 'synthetic'", "data = 'synthetic'"),
        ("title = 'x'\ndata = ['synthetic']\nseeds = ['a']", "seeds"),
        ("title = 'x'\ndata = ['synthetic']\nseeds = [-1]", "seed"),
        ("title = 'x'\ndata = ['synthetic']\nsplit_lists = ['a']", "names 1 files"),
        ("title = 'x'\ndata = ['synthetic']\n[recipe]\nepochs = 'three'", "three"),
        ("title = 'x'\ndata = ['synthetic']\n[recipe]\nepochs = 0", "epochs"),
        ("title = 'x'\ndata = ['synthetic']\n[recipe_of_model]\nbasics = { epochs = 1 }", "basics"),
        ("title = 'x'\ndata = ['synthetic']\n[[measure]]\nengines = ['onnxruntime:bf16']", "onnxruntime:bf16"),
        ("title = 'x'\ndata = ['synthetic']\n[[measure]]\nbatch_sizes = [0]", "batch_sizes"),
        ("title = 'x'\ndata = ['synthetic']\n[[measure]]\nmodels = ['basics']", "basics"),
        ("title = 'x'\ndata = ['synthetic']\n[[measure]]\nseconds = 0", "seconds"),
        ("title = 'x'\ndata = ['synthetic']\n[[sweep]]\naxis = 'epoch'\nvalues = [1]", "epoch"),
        ("title = 'x'\ndata = ['synthetic']\n[[sweep]]\naxis = 'epochs'\nvalues = [0]", "epochs = 0"),
        ("title = 'x'\ndata = ['synthetic']\n[measure]\nseconds = 1.0", "list of tables"),
        ("title = ", "not valid TOML"),
    ],
)
def test_a_bad_study_file_is_named_before_anything_runs(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "my.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        load_spec(str(file))


def test_presets_are_valid_and_changes_reach_them() -> None:
    assert load_spec("quick").models == load_spec("eurosat", data=("x",)).models
    assert load_spec("quick", epochs=3).recipe["epochs"] == 3
    with pytest.raises(InputError, match="quik"):
        load_spec("quik")
