"""The batch-size and power studies on a small dataset, with a recorded power trace in place of a sensor."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest

from skytrigger.cli.main import main
from skytrigger.core.errors import InputError
from skytrigger.measure.meters.protocol import MeterFacts, Reading
from skytrigger.measure.meters.replay import ReplayMeter
from skytrigger.measure.origin import read_origin
from skytrigger.measure.records import read
from skytrigger.measure.roofline import measure_ceilings
from skytrigger.measure.summary import energy_summary, roofline_of, training_summary
from skytrigger.study import batch_size, power
from skytrigger.study.batch_size import BatchSizeOptions
from skytrigger.study.power import PowerOptions

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny

pytest.importorskip("torch")
SMALL: dict[str, Any] = {"model": "1lessconv", "threads": 1, "seconds": 0.02}


@pytest.fixture(autouse=True)
def small_ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ceilings of a small matrix in this process: a child that imports torch takes seconds."""
    monkeypatch.setattr(
        "skytrigger.bench.run.in_own_process",
        lambda threads, device: measure_ceilings(threads, device, matrix=64, copy_bytes=1 << 20, rounds=2),
    )


def trace(watts: float, seconds: float = 10.0) -> list[Reading]:
    return [Reading(i * 0.5, watts=watts + 0.1 * (i % 2)) for i in range(round(seconds / 0.5) + 1)]


def test_recipes_keep_and_scale_the_learning_rate() -> None:
    grid = BatchSizeOptions(training_sizes=(16, 32, 128)).recipes()
    rates = {(rule, r.batch_size): r.learning_rate for rule, r in grid}
    assert rates[("kept", 128)] == 1e-3
    assert rates[("scaled", 128)] == pytest.approx(2e-3)
    assert rates[("scaled", 16)] == pytest.approx(1e-3 / math.sqrt(2))
    assert ("scaled", 32) not in rates
    linear = {(rule, r.batch_size): r.learning_rate for rule, r in BatchSizeOptions(scaling="linear").recipes()}
    assert linear[("scaled", 256)] == pytest.approx(8e-3)
    for wrong in ({"scaling": "x"}, {"training_sizes": ()}, {"engines": ("a", "a")}):
        with pytest.raises(InputError):
            BatchSizeOptions(**wrong).check()


def test_batch_size_study_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = BatchSizeOptions(
        training_sizes=(16, 32), epochs=2, inference_sizes=(1, 4), engines=("onnxruntime:fp32",), **SMALL
    )
    shares: list[float] = []
    data, split = tiny.dataset(), tiny.split()
    records = batch_size.run(data, split, tmp_path, options, lambda share, note: shares.append(share))
    assert sum(shares) == pytest.approx(1.0)
    trainings = [r for r in records if r.kind == "training"]
    assert [(r.extra["rule"], r.what["batch_size"]) for r in trainings] == [("kept", 16), ("scaled", 16), ("kept", 32)]
    for record in trainings:
        summary = training_summary(record)
        assert summary is not None
        assert summary.gap == record.samples["val_loss"].values[-1] - record.samples["train_loss"].values[-1]
        assert summary.accuracy.low <= record.extra["correct"] / record.extra["images"] <= summary.accuracy.high
        assert record.samples["epoch"].items == len(split.train)
        assert record.energy["label"] in ("unavailable", "measured", "estimated")
    assert [(r.kind, r.what["batch_size"]) for r in records if r.kind in ("latency", "throughput")] == [
        ("latency", 1), ("throughput", 4),
    ]  # fmt: skip
    assert read(tmp_path) != []
    monkeypatch.setattr(batch_size, "bench", lambda *a: pytest.fail("measured again"))
    again = batch_size.run(data, split, tmp_path, options)
    kept = [(r.kind, r.samples) for r in again]
    assert kept == [(r.kind, r.samples) for r in records]


def test_power_study_meters_every_epoch_and_every_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traces = [trace(60), trace(70), trace(5)]  # two epochs and what follows them
    facts = MeterFacts("replay", "a recorded trace", "as recorded")
    monkeypatch.setattr(power, "open_meters", lambda device: [ReplayMeter(traces, facts)])
    inference = [trace(20), trace(90, 5.0), trace(20)] * 4
    monkeypatch.setattr("skytrigger.bench.records.open_meters", lambda *a: [ReplayMeter(inference, facts)])
    for module in ("power_window", "power", "bench_job"):
        monkeypatch.setattr(f"skytrigger.study.{module}.MIN_WINDOW_S", 0.01)
    options = PowerOptions(
        devices=("cpu",), epochs=2, batch_size=8, engines=("onnxruntime:fp32",), window_s=0.02, **SMALL
    )
    records = power.run(tiny.dataset(), tiny.split(), tmp_path, options)
    training = records[0]
    assert training.samples["epoch_joules"].values == pytest.approx((600, 700), rel=0.01)
    summary = training_summary(training)
    assert summary is not None
    assert summary.joules_per_epoch is not None
    assert (training.energy["watts_min"], training.energy["watts_max"]) == (60.0, 70.1)
    engine = next(r for r in records if r.kind == "throughput")
    energy = energy_summary(engine)
    assert energy is not None
    assert energy.watts == pytest.approx(90, rel=0.01)
    assert energy.net_j is not None
    assert energy.net_j == pytest.approx(energy.gross_j * 70 / 90, rel=0.01)
    assert energy.label == "estimated"  # the window is far too short, and says so


def test_power_without_a_sensor_still_measures_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "open_meters", lambda device: [])
    options = PowerOptions(devices=("cpu",), epochs=1, batch_size=8, engines=("onnxruntime:fp32",), **SMALL)
    records = power.run(tiny.dataset(), tiny.split(), tmp_path, options)
    assert {r.energy["label"] for r in records} == {"unavailable"}
    assert all(r.energy["why_not"] for r in records if r.kind != "ceilings")
    engine = next(r for r in records if r.kind == "throughput")
    assert roofline_of(engine, records) is not None  # the ceilings of its own run stand beside it
    assert {r.extra["data"]["val"] for r in records if "data" in r.extra} == {len(tiny.split().val)}
    with pytest.raises(InputError, match="window_s"):
        power.run(tiny.dataset(), tiny.split(), tmp_path, PowerOptions(window_s=1.0))


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
def test_the_command_line_reaches_the_grid(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def instead(dataset: Any, split: Any, out: Path, options: Any, advance: Any) -> list[Any]:
        asked.append(options)
        raise InputError("enough")

    monkeypatch.setattr({"batch-size": batch_size, "power": power}[name], "run", instead)
    line = ["study", name, "--data", "synthetic:40", "--models", "regularized", "--epochs", "4", "--part", "val"]
    assert main([*line, "--seconds", "0.5", "--out", str(tmp_path)]) == 2
    options = asked[0]
    assert (options.model, options.epochs, options.part, options.seconds) == ("regularized", 4, "val", 0.5)
