"""Studies with axes: batch size and power, on a small dataset, with a recorded power trace in place of a sensor."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tiny
from skytrigger.bench import power_window
from skytrigger.cli.main import main
from skytrigger.core.errors import InputError
from skytrigger.measure.meters.protocol import MeterFacts, Reading
from skytrigger.measure.meters.replay import ReplayMeter
from skytrigger.measure.origin import read_origin
from skytrigger.measure.records import Record, read
from skytrigger.measure.roofline import measure_ceilings
from skytrigger.measure.summary import energy_summary, roofline_of, training_summary
from skytrigger.report.build import build_report
from skytrigger.study import runner
from skytrigger.study.runner import run_study
from skytrigger.study.spec import Measure, Spec, Sweep
from skytrigger.study.toml import load_spec

pytest.importorskip("torch")
ENGINE = ("onnxruntime:fp32",)
FACTS = MeterFacts("replay", "a recorded trace", "as recorded")


@pytest.fixture(autouse=True)
def small_ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ceilings of a small matrix in this process: a child that imports torch takes seconds."""
    monkeypatch.setattr(
        "skytrigger.bench.run.in_own_process",
        lambda threads, device: measure_ceilings(threads, device, matrix=64, copy_bytes=1 << 20, rounds=2),
    )


def small(topic: str, sweep: Sweep, measure: Measure, **recipe: Any) -> Spec:
    return Spec("small", ("made",), models=("1lessconv",), device="cpu", recipe={"precision": "fp32", **recipe},
                measure=(replace(measure, seconds=0.02, threads=1),), sweep=(sweep,), topic=topic).check()  # fmt: skip


def records(out: Path) -> list[Record]:
    return [r for file in sorted(out.rglob("records.jsonl")) for r in read(file)]


def trace(watts: float, seconds: float = 10.0) -> list[Reading]:
    return [Reading(i * 0.5, watts=watts + 0.1 * (i % 2)) for i in range(round(seconds / 0.5) + 1)]


def test_recipes_keep_and_scale_the_learning_rate() -> None:
    def rates(scaling: str) -> dict[tuple[str, int], float]:
        sweep = Sweep("batch_size", (16, 32, 128), scaling=scaling)
        spec = Spec("x", ("synthetic",), sweep=(sweep,))
        return {(v.facts["rule"], v.facts["batch_size"]): spec.recipe_of("basic", 0, v).learning_rate
                for v in spec.variants()}  # fmt: skip

    root = rates("sqrt")
    assert root["kept", 128] == 1e-3
    assert root["scaled", 128] == pytest.approx(2e-3)
    assert root["scaled", 16] == pytest.approx(1e-3 / math.sqrt(2))
    assert ("scaled", 32) not in root
    assert rates("linear")["scaled", 128] == pytest.approx(4e-3)


@pytest.mark.parametrize(
    "wrong",
    [{"scaling": "x"}, {"values": ()}, {"values": (8, 8)}, {"axis": "model"}, {"measured": 5},
     {"axis": "device", "values": ("gpu",)}, {"axis": "learning_rate", "values": (1.0,), "scaling": "sqrt"}],
)  # fmt: skip
def test_what_is_no_axis_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Sweep(**{"axis": "batch_size", "values": (16, 32), **wrong}).check()
    with pytest.raises(InputError, match="batch_size = 0"):
        Spec("x", ("synthetic",), sweep=(Sweep("batch_size", (0,)),)).check()


def test_batch_size_study_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Sweep("batch_size", (16, 32), scaling="sqrt", measured=32)
    spec = small("batch-size", sweep, Measure(ENGINE, (1, 4)), epochs=2)
    data, split = tiny.dataset(), tiny.split()
    cells = run_study(spec, data, split, tmp_path)
    assert [(c.kind, c.label, c.error) for c in cells if c.status != "done"] == []
    found = records(tmp_path)
    trained = {(r.extra["rule"], r.what["batch_size"]): r for r in found if r.kind == "training"}
    assert set(trained) == {("kept", 16), ("scaled", 16), ("kept", 32)}
    for record in trained.values():
        summary = training_summary(record)
        assert summary is not None
        assert summary.gap == record.samples["val_loss"].values[-1] - record.samples["train_loss"].values[-1]
        assert summary.accuracy.low <= record.extra["correct"] / record.extra["images"] <= summary.accuracy.high
        assert record.samples["epoch"].items == len(split.train)
        assert record.energy["label"] in ("unavailable", "measured", "estimated")
    timed = {(r.kind, r.what["batch_size"]) for r in found if r.kind in ("latency", "throughput")}
    assert timed == {("latency", 1), ("throughput", 4)}
    build_report(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| kept | 16 |" in text.split("## Batch size")[1]
    assert "1lessconv, batch size 16, rule scaled" in text.split("## Accuracy and loss")[1]

    def never(*_: object) -> None:
        raise RuntimeError("computed again")

    monkeypatch.setattr(runner, "WORK", dict.fromkeys(runner.WORK, never))
    assert {c.status for c in run_study(spec, data, split, tmp_path)} == {"done"}


def test_power_study_meters_every_epoch_and_every_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traces = [trace(60), trace(70), trace(5)]  # two epochs and what follows them
    monkeypatch.setattr("skytrigger.learn.energy.open_meters", lambda device: [ReplayMeter(traces, FACTS)])
    inference = [trace(20), trace(90, 5.0), trace(20)] * 4
    monkeypatch.setattr("skytrigger.bench.records.open_meters", lambda *a: [ReplayMeter(inference, FACTS)])
    for module in ("skytrigger.bench.job", "skytrigger.study.spec", power_window.__name__):
        monkeypatch.setattr(f"{module}.MIN_WINDOW_S", 0.01)
    sweep = Sweep("device", ("cpu", "cuda:7"))
    measure = Measure(ENGINE, (8,), device="training", energy_seconds=0.02)
    spec = small("power", sweep, measure, epochs=2, batch_size=8)
    cells = run_study(spec, tiny.dataset(), tiny.split(), tmp_path)
    states = {(c.kind, c.training.params["variant"]["device"]): c.status for c in cells}
    assert {states[kind, "cpu"] for kind in ("train", "evaluate", "export", "bench")} == {"done"}
    assert states["train", "cuda:7"] == "unavailable"
    found = records(tmp_path)
    training = next(r for r in found if r.kind == "training")
    assert training.samples["epoch_joules"].values == pytest.approx((600, 700), rel=0.01)
    summary = training_summary(training)
    assert summary is not None
    assert summary.joules_per_epoch is not None
    assert (training.energy["watts_min"], training.energy["watts_max"]) == (60.0, 70.1)
    energy = energy_summary(next(r for r in found if r.kind == "throughput"))
    assert energy is not None
    assert energy.watts == pytest.approx(90, rel=0.01)
    assert energy.net_j == pytest.approx(energy.gross_j * 70 / 90, rel=0.01)
    assert energy.label == "estimated"  # the window is far too short, and says so
    build_report(tmp_path)
    assert "| 1lessconv | training, torch fp32 | 8 |" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "power.png").is_file()


def test_power_without_a_sensor_still_measures_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("skytrigger.learn.energy", "skytrigger.bench.records"):
        monkeypatch.setattr(f"{module}.open_meters", lambda *device: [])
    measure = Measure(ENGINE, (8,), device="training", energy_seconds=30.0)
    spec = small("power", Sweep("device", ("cpu",)), measure, epochs=1, batch_size=8)
    run_study(spec, tiny.dataset(), tiny.split(), tmp_path)
    found = records(tmp_path)
    assert {r.energy["label"] for r in found} == {"unavailable"}
    assert all(r.energy["why_not"] for r in found if r.kind != "ceilings")
    engine = next(r for r in found if r.kind == "throughput")
    assert roofline_of(engine, found) is not None  # the ceilings of its own run stand beside it
    assert {r.extra["data"]["val"] for r in found if "data" in r.extra} == {len(tiny.split().val)}
    with pytest.raises(InputError, match="energy_seconds"):
        replace(spec, measure=(replace(measure, energy_seconds=1.0),)).check()


def test_origin_holds_only_what_is_known(tmp_path: Path) -> None:
    found = read_origin(Path(__file__).parents[2] / "results/origin.toml")
    assert found["year"] == 2019
    p100 = {e.get("precision", e["runtime"]): e["ms_per_image"] for e in found["time"] if e["device"] == "NVIDIA P100"}
    assert p100 == {"TensorFlow": 0.93, "fp32": 0.044, "fp16": 0.039}
    assert not any("watts" in e for e in found["time"])
    assert set(found["unavailable"]) >= {"NVIDIA K40", "NVIDIA Xavier"}
    bad = tmp_path / "origin.toml"
    for text in ("x", "source = 'a'", "source = 'a'\n[[time]]\ndevice = 'd'\ntask = 't'\nruntime = 'r'\nms = -1\n"):
        bad.write_text(text)
        with pytest.raises(InputError, match=r"origin\.toml"):
            read_origin(bad)


@pytest.mark.parametrize("name", ["batch-size", "power"])
def test_the_command_line_reaches_the_axes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Spec] = []

    def instead(spec: Spec) -> None:
        asked.append(spec)
        raise InputError("enough")

    monkeypatch.setattr("skytrigger.study.cells.load_data", instead)
    line = ["study", name, "--data", "synthetic:40", "--models", "regularized", "--epochs", "4", "--part", "val"]
    assert main([*line, "--seconds", "0.5", "--device", "cpu", "--out", str(tmp_path)]) == 2
    spec = asked[0]
    assert (spec.models, spec.part, spec.topic) == (("regularized",), "val", name)
    assert {spec.recipe_of("regularized", 0, v).epochs for v in spec.variants()} == {4}
    assert [m.seconds for m in spec.measure] == [0.5]
    assert {spec.device_of(v) for v in spec.variants()} == {"cpu"}


def test_every_preset_can_be_planned() -> None:
    for name in ("quick", "batch-size", "power", "doublets"):
        spec = load_spec(name)
        assert spec.variants()
    assert [v.facts for v in load_spec("power").variants()] == [{"device": "cpu"}, {"device": "cuda:0"}]
