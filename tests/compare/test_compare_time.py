"""`compare` on timing records, and `bench` that makes them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_model import tiny_model

from skytrigger.bench.compare_times import compare_times, held_up, match
from skytrigger.bench.process import WorkerProcess
from skytrigger.bench.run import Options, bench
from skytrigger.cli.main import main
from skytrigger.core.errors import InputError, SkytriggerError, UnavailableError
from skytrigger.measure.records import Record, Samples, append, read
from skytrigger.runtimes.spec import EngineSpec
from skytrigger.study.comparison import compare

HOST = {"cpu": {"model": "A", "logical_cores": 2}}


def timed(
    factor: float,
    seed: int,
    run: str | None = "r",
    network: str = "basic",
    batch: int = 1,
    blocks: int = 30,
    **more: Any,
) -> Record:
    rng = np.random.default_rng(seed)
    slots = tuple(factor * 0.01 * np.exp(0.02 * rng.standard_normal(2 * blocks)))
    a, c = (tuple(0.01 * np.exp(0.02 * np.random.default_rng(s).standard_normal(2 * blocks))) for s in (900, 901))
    extra: dict[str, Any] = {"control": {"a": a, "c": c}, "label": f"{network}.onnx"}
    what = {"network": network, "runtime": "onnxruntime", "precision": "fp32", "batch_size": batch, "threads": 2}
    samples = {"call": Samples("s", slots, batch), "slot": Samples("s", slots, batch)}
    return Record(
        "latency", what, more.get("where", HOST), samples,
        conditions=more.get("conditions", {"wall_s": 10.0, "steal_s": 0.0}), extra={**extra, "run": run},
    )  # fmt: skip


def test_paired_within_one_run() -> None:
    found = compare_times([timed(1.0, 1)], [timed(1.05, 2, network="wide")])
    cell = found["cells"][0]
    assert cell["paired"]
    assert found["verdict"] == "worse"
    assert cell["ratio"]["estimate"] == pytest.approx(1.05, abs=0.01)
    assert compare_times([timed(1.05, 1)], [timed(1.0, 2)])["verdict"] == "better"
    assert compare_times([timed(1.0, 1)], [timed(1.001, 2)])["verdict"] == "not established"


def test_separate_runs_need_far_larger_differences() -> None:
    near = compare_times([timed(1.0, 1)], [timed(1.05, 2, run="other")])
    assert near["verdict"] == "not established"
    assert any("x1.10" in reason for reason in near["cells"][0]["reasons"])
    assert compare_times([timed(1.0, 1)], [timed(1.5, 2, run="other")])["verdict"] == "worse"
    busy = timed(1.5, 2, run="other", conditions={"wall_s": 10.0, "steal_s": 0.0, "stall_cpu_some_s": 5.0})
    assert held_up(busy) == 0.5
    held = compare_times([timed(1.0, 1)], [busy])  # the slower one was held up half of the time: up to 2.2 is excused
    assert held["verdict"] == "not established"
    assert compare_times([busy], [timed(1.0, 1)])["verdict"] == "not established"
    other = compare_times([timed(1.0, 1)], [timed(2.0, 2, run="x", where={"cpu": {"model": "B"}})])
    assert any("different machines" in r for r in other["cells"][0]["reasons"])


def test_cells_are_matched_by_what_the_sides_share() -> None:
    a = [timed(1.0, 1, batch=1), timed(1.0, 2, batch=8)]
    b = [timed(1.0, 3, batch=8, network="wide"), timed(2.0, 4, batch=1, network="wide")]
    pairs = match(a, b)
    assert [(x.what["batch_size"], y.what["batch_size"]) for x, y in pairs] == [(1, 1), (8, 8)]
    found = compare_times(a, b)
    assert [c["verdict"] for c in found["cells"]] == ["worse", "not established"]
    with pytest.raises(InputError, match="no cell of A"):
        match([timed(1, 1, batch=1), timed(1, 1, batch=2)], [timed(1, 1, batch=4), timed(1, 1, batch=8)])
    with pytest.raises(InputError, match="no timing records"):
        compare_times(a, [])


def test_many_equal_cells_are_corrected_for() -> None:
    rng = np.random.default_rng(0)
    claims = 0
    for _ in range(60):
        seeds = rng.integers(0, 1 << 30, 16)
        a = [timed(1.0, int(s), batch=2**i) for i, s in enumerate(seeds[:8])]
        b = [timed(1.0, int(s), batch=2**i, network="b") for i, s in enumerate(seeds[8:])]
        claims += compare_times(a, b)["verdict"] != "not established"
    assert claims <= 6


def test_selectors_pick_records(tmp_path: Path) -> None:
    for record in (timed(1.0, 1), timed(2.0, 2, network="wide"), timed(1.0, 3, network="wide", batch=8)):
        append(tmp_path / "records.jsonl", record)
    assert compare(f"{tmp_path}::basic", f"{tmp_path}::wide,batch1")["exit_code"] == 3
    assert compare(f"{tmp_path}::wide,batch1", f"{tmp_path}::basic.onnx")["exit_code"] == 4
    with pytest.raises(InputError, match="has all of"):
        compare(f"{tmp_path}::basic", f"{tmp_path}::nothing")
    with pytest.raises(InputError, match="--margin"):
        compare(f"{tmp_path}::basic", f"{tmp_path}::wide", margin=1.0)


QUICK = Options(seconds=0.2, min_blocks=10, max_blocks=10)


def test_bench_measures_in_processes_of_their_own(tmp_path: Path) -> None:
    small, large = tiny_model(tmp_path / "small.onnx", 2), tiny_model(tmp_path / "large.onnx", 128, "large")
    done = []
    jobs = [EngineSpec(str(small)), EngineSpec(str(large)), EngineSpec(str(small), runtime="no-such-runtime")]
    with pytest.raises(InputError, match="no-such-runtime"):
        bench(jobs, QUICK)
    found = bench(jobs[:2], QUICK, lambda cost, note: done.append(cost))
    assert sum(done) == pytest.approx(2.0)
    assert [r.kind for r in found.records] == ["latency", "latency", "control"]
    first, second, control = found.records
    assert first.extra["run"] == second.extra["run"] == control.extra["run"]
    for record in found.records:
        assert len(record.samples["slot"].values) == 20
        assert (
            len(record.samples["call"].values) == 20 * record.extra["calls_per_slot"] or record.samples["call"].values
        )
        assert record.what["provider"] == "CPUExecutionProvider"
        assert len(record.what["model_hash"]) == 64
        assert record.energy["label"] == "unavailable"
        assert record.extra["work"]["operations"] > 0
        assert Record.from_json(record.to_json()) == record
    cell = compare_times([first], [second])["cells"][0]
    assert cell["paired"]
    stolen = any("usable pairs" in reason for reason in cell["reasons"])  # the host gave the time to others
    assert (cell["control_ratio"] is None) == stolen
    assert stolen or cell["ratio"]["estimate"] > 1.5


def test_cells_that_fail_do_not_stop_the_others(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(job: dict[str, Any]) -> WorkerProcess:
        if job["batch_size"] == 2:
            raise SkytriggerError("broke")
        if job["batch_size"] == 3:
            raise UnavailableError("not here")
        return WorkerProcess(job)

    monkeypatch.setattr("skytrigger.bench.run.WorkerProcess", start)
    options = Options(seconds=0.05, min_blocks=2, max_blocks=2, control=False, scenario="single-stream")
    found = bench([EngineSpec(str(model), batch_size=size) for size in (1, 2, 3)], options)
    assert [r.what["batch_size"] for r in found.records] == [1]
    assert list(found.failed.values()) == ["broke"]
    assert list(found.unavailable.values()) == ["not here"]


def test_scenarios_of_one_cell(model: Path) -> None:
    job = EngineSpec(str(model), batch_size=2)
    paced = bench([job], Options(scenario="frame-rate", seconds=0.3, frame_rate_hz=50)).records[0]
    assert paced.extra["frames"] == 15
    assert paced.extra["missed"] >= paced.extra["dropped"]
    bare = bench([job], Options(scenario="stages", seconds=0.05)).records[0]
    assert list(bare.samples) == ["prepare", "compute", "post"]
    codec = "skytrigger.eo.codec:codec_of"
    stages = bench([job], Options(scenario="stages", seconds=0.05, codec=codec)).records[0]
    assert list(stages.samples) == ["decode", "prepare", "compute", "post"]
    assert len(stages.samples["compute"].values) >= 20
    cold = bench([job], Options(scenario="cold-start", starts=2)).records[0]
    assert len(cold.samples["process"].values) == 2
    process, parts = cold.samples["process"].values, [cold.samples[n].values for n in ("import", "open", "first")]
    assert all(sum(p[i] for p in parts) < process[i] for i in range(2))
    streams = bench([EngineSpec(str(model), streams=2)], Options(scenario="streams", seconds=0.2)).records[0]
    assert len(streams.extra["calls_per_stream"]) == 2


def test_a_dying_process_is_reported(model: Path) -> None:
    job = {"model": str(model), "runtime": "onnxruntime", "precision": "fp32", "batch_size": 1, "threads": 1,
           "streams": 1, "device": "cpu", "input_type": "float32", "tiles": None, "flush": True}  # fmt: skip
    with WorkerProcess(job) as worker:
        assert worker.ask("slot", calls=3, offline=False, lead_in=1, limit_s=5)["seconds"]
        with pytest.raises(SkytriggerError, match="KeyError"):
            worker.ask("no-such-request")
        worker._child.kill()
        with pytest.raises(SkytriggerError, match=r"ended \(SIGKILL"):
            worker.ask("slot", calls=3, offline=False, lead_in=1, limit_s=5)
    with pytest.raises(SkytriggerError, match="did not answer"):
        WorkerProcess(job, timeout_s=0.001)
    with pytest.raises(InputError, match="cannot read"):
        WorkerProcess({**job, "model": "none.onnx"})


@pytest.mark.parametrize(
    "options",
    [
        {"scenario": "x"},
        {"seconds": 0},
        {"seconds": math.nan},
        {"min_blocks": 5, "max_blocks": 4},
        {"frame_rate_hz": 0},
    ],
)
def test_options_are_checked(options: dict[str, Any], model: Path) -> None:
    with pytest.raises(InputError):
        bench([EngineSpec(str(model))], Options(**options))
    with pytest.raises(InputError, match="threads"):
        bench([EngineSpec(str(model), threads=4096)])


def test_command_line(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    base = ["bench", str(model), "--out", str(out), "--threads", "1", "--no-roofline"]
    assert main([*base, "--batch-size", "1,2", "--seconds", "0.1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["batch_size"] for row in found["rows"]] == [1, 2]
    assert (out / "bench.md").read_text().count("| tiny |") == 2
    assert len(read(out)) == 4  # two cells, each group with its control
    assert main(["compare", f"{out}::batch1", f"{out}::batch1"]) == 0
    for wrong in (["--batch-size", "x"], ["--batch-size", "0"], ["--runtime", "none"], ["--precision", "fp16"]):
        assert main([*base, *wrong]) == 2
    tiles = tmp_path / "tiles.npy"
    np.save(tiles, np.ones((5, 2, 16, 16), np.uint16))  # a channel is missing
    assert main([*base, "--batch-size", "4", "--seconds", "0.1", "--tiles", str(tiles)]) == 2


def test_real_tiles_from_a_file(tmp_path: Path, model: Path) -> None:
    tiles = tmp_path / "tiles.npy"
    np.save(tiles, np.ones((5, 3, 16, 16), np.uint16))
    options = Options(seconds=0.05, min_blocks=2, max_blocks=2, control=False, tiles=str(tiles), data_hash="d")
    assert bench([EngineSpec(str(model), batch_size=4)], options).records[0].what["data_hash"] == "d"


def test_tiles_as_they_are_stored(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["bench", str(model), "--out", str(tmp_path), "--threads", "1", "--no-roofline", "--seconds", "0.1"]
    assert main([*base, "--input-type", "float32,uint16", "--stored", "uint16", "--batch-size", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["input_type"] for row in found["rows"]] == ["float32", "uint16"]
    assert {r.what["stored"] for r in read(tmp_path) if r.kind == "throughput"} == {"uint16"}
    tiles = tmp_path / "tiles.npy"
    np.save(tiles, np.full((4, 3, 16, 16), 300, np.uint16))
    wrong = (["--input-type", "int3"], ["--input-type", "uint8", "--stored", "uint16"],
             ["--input-type", "uint8", "--tiles", str(tiles), "--batch-size", "4"],
             ["--stored", "uint16", "--scenario", "stages"])  # fmt: skip
    for options in wrong:
        assert main([*base, *options]) == 2
        assert capsys.readouterr().err.count("error") <= 1
    single = ["--input-type", "uint16", "--threads", "1"]
    for scenario in ("stages", "streams"):
        assert main([*base, *single, "--scenario", scenario]) == 0


def test_device_events_are_recorded_beside_wall_time() -> None:
    """The worker's visit with a device clock in place of CUDA's: one event pair around each timed call."""
    from types import SimpleNamespace

    from skytrigger.bench.worker import Worker

    log: list[str] = []
    worker = Worker.__new__(Worker)
    worker.call = lambda: log.append("call")
    worker.session = SimpleNamespace(synchronize=lambda: log.append("sync"))
    worker.flush = None
    worker.device_clock = SimpleNamespace(
        start=lambda: log.append("start"), stop=lambda: log.append("stop"), seconds=lambda: 0.25
    )
    got = worker.slot(calls=2, offline=False, lead_in=1, limit_s=5.0)
    assert got["device"] == (0.25, 0.25)
    assert len(got["seconds"]) == 2
    assert log == ["call", "sync", *["start", "call", "stop", "sync"] * 2]
