"""The throughput study with sessions that stand in for a GPU's."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.hep.doublets import throughput as study
from skytrigger.hep.doublets import throughput_visit as visit
from skytrigger.hep.doublets.evaluation import packaged
from skytrigger.hep.doublets.figures import throughput_png
from skytrigger.hep.doublets.throughput_plan import Plan
from skytrigger.hep.doublets.throughput_table import markdown, table
from skytrigger.measure.records import Record, Samples, read

LOCKED: list[np.ndarray] = []


@dataclass
class Fake:
    """A session on a GPU, as far as the study sees one; it notes what it was asked for."""

    model: Any
    runtime: str
    precision: str
    batch_size: int
    device: str
    input_type: str
    fixed_batch: ClassVar[bool] = False
    log: list[tuple[str, Any]] = field(default_factory=list)
    closed: bool = False

    @property
    def spec(self):
        return SimpleNamespace(device=self.device)

    @property
    def facts(self):
        return {"version": "1", "provider": "cuda", "engine_hash": "e"}

    def run(self, tiles):
        assert tiles.dtype == self.input_type
        assert not self.closed
        self.log.append(("run", tiles))
        score = tiles.reshape(len(tiles), -1).sum(axis=1, dtype=np.float32)
        return np.stack([-score, score], axis=1)

    def enqueue(self, count, stream=0):
        self.log.append(("enqueue", count))

    def synchronize(self):
        self.log.append(("synchronize", None))

    def close(self):
        self.closed = True


@pytest.fixture
def opened(monkeypatch) -> list[Fake]:
    """Sessions that the study opens, in order; page-locked copies are noted in LOCKED."""
    sessions: list[Fake] = []

    def open_session(model, spec):
        if spec.runtime == "fussy" and spec.input_type != "float32":
            raise UnavailableError(f"runtime fussy takes no {spec.input_type} tiles")
        if spec.runtime == "absent":
            raise UnavailableError("no such package")
        assert spec.streams == 1
        sessions.append(Fake(model, spec.runtime, spec.precision, spec.batch_size, spec.device, spec.input_type))
        return sessions[-1]

    def page_locked(tiles):
        LOCKED.append(tiles.copy())
        return LOCKED[-1]

    LOCKED.clear()
    monkeypatch.setattr(study, "open_session", open_session)
    monkeypatch.setattr(visit, "open_session", open_session)
    monkeypatch.setattr(visit, "page_locked", page_locked)
    return sessions


def _measure(doublets, tmp_path, **changes):
    plan = Plan(**({"runtimes": ("torch",), "batches": (50,), "streams": (1, 2), "images": 220, "rounds": 2} | changes))
    return study.throughput({"fp32": packaged()}, doublets, plan, tmp_path)


def test_ways_to_the_device():
    assert Plan().ways() == [("with", "pageable")]
    on_gpu = Plan(device="cuda")
    assert on_gpu.ways() == [("with", "pageable"), ("with", "page-locked"), ("without", "device")]
    assert Plan(device="cuda:1", transfers=("without",), memory=("pageable",)).ways() == [("without", "device")]
    assert Plan(device="cuda", transfers=("with",), memory=("page-locked",)).ways() == [("with", "page-locked")]
    cells = Plan(device="cuda", batches=(6000,)).cells("fp16", 4)
    assert {(c.spec.streams, c.spec.threads) for c in cells} == {(n, 1) for n in (1, 2, 4, 5)}
    assert len(cells) == 12
    assert {c.spec.threads for c in Plan(batches=(1,)).cells("fp32", 4)} == {4, 2, 1}
    assert Plan(seconds=2.0, device="cuda").limit_s == 2
    assert Plan(device="cuda").limit_s > Plan().limit_s == 3


def test_types_the_images_are_given_in():
    assert Plan().input_types("float16") == ("float32",)
    assert Plan(device="cuda").input_types("float16") == ("float16", "float32")
    assert Plan(device="cuda").input_types("float64") == ("float32",)
    assert Plan(input_type="float16").input_types("float16") == ("float16",)
    with pytest.raises(InputError, match="'uint8' for data in float16"):
        Plan(input_type="uint8").input_types("float16")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transfers": ("without",)}, "transfers 'without' on device 'cpu'"),
        ({"memory": ("pageable", "page-locked")}, "memory 'page-locked' on device 'cpu'"),
        ({"device": "cuda", "transfers": ("never",)}, "transfers 'never'"),
        ({"device": "cuda", "memory": ()}, "memory ''"),
        ({"input_type": "int4"}, "input type 'int4'"),
        ({"seconds": 0.0}, "seconds = 0"),
    ],
)
def test_impossible_plans(changes, message):
    with pytest.raises(InputError, match=message):
        Plan(**changes)


def test_sessions_are_opened_once_a_group_and_closed_with_it(doublets, tmp_path, opened):
    records, refused = _measure(doublets, tmp_path, batches=(50, 100), streams=(1, 2), rounds=3, device="cuda")
    assert not refused
    assert len(records) == 2 * 2 * 3 * 3  # batches, streams, ways, rounds
    assert [s.batch_size for s in opened[1:]] in ([50, 50, 100, 100], [100, 100, 50, 50])  # the first is the AUC's
    assert all(s.closed for s in opened)
    assert len(LOCKED) == 1  # copied once for all


def test_without_transfers_nothing_is_run_inside_the_clock(doublets, tmp_path, opened):
    records, _ = _measure(doublets, tmp_path, streams=(1,), rounds=1, device="cuda", transfers=("without",))
    [record], session = records, opened[-1]
    work = [(name, what if name == "enqueue" else len(what)) for name, what in session.log if name != "synchronize"]
    # opening: a whole batch and the last one; warm-up; then the clock
    assert work == [("run", 50), ("run", 20), ("run", 50), *[("enqueue", 50)] * 4, ("enqueue", 20)]
    assert [name for name, _ in session.log[4:]] == ["enqueue", "synchronize"] * 5
    assert record.samples["whole"].items == 220
    assert (record.what["transfers"], record.what["memory"]) == ("without", "device")


def test_a_fixed_batch_is_filled_up_without_transfers(doublets, tmp_path, opened, monkeypatch):
    monkeypatch.setattr(Fake, "fixed_batch", True)
    records, _ = _measure(doublets, tmp_path, streams=(1,), rounds=1, device="cuda", transfers=("without",))
    assert [what for name, what in opened[-1].log if name == "enqueue"] == [50] * 5
    assert records[0].samples["whole"].items == 220


def test_page_locked_images_are_what_runs(doublets, tmp_path, opened):
    records, _ = _measure(
        doublets, tmp_path, rounds=1, device="cuda", transfers=("with",), memory=("page-locked",), streams=(2,)
    )
    [locked] = LOCKED
    assert locked.dtype == np.float16
    timed = [what for s in opened[1:] for name, what in s.log if name == "run"]
    assert len(timed) >= 5 + 2 * 3
    assert all(np.shares_memory(tiles, locked) for tiles in timed)
    assert not any(name == "enqueue" for s in opened for name, _ in s.log)
    assert records[0].what["memory"] == "page-locked"
    assert sum(r.samples["whole"].items for r in records) == 220


def test_float32_where_the_runtime_wants_it_and_refusals(doublets, tmp_path, opened):
    records, refused = _measure(doublets, tmp_path, runtimes=("fussy", "absent", "torch"), rounds=1, device="cuda")
    assert refused == {"absent fp32": "no such package"}
    assert {(r.what["runtime"], r.what["input_type"]) for r in records} == {("fussy", "float32"), ("torch", "float16")}
    _, refused = _measure(doublets, tmp_path / "asked", runtimes=("fussy",), device="cuda", input_type="float16")
    assert refused == {"fussy fp32": "runtime fussy takes no float16 tiles"}


def test_a_runtime_without_resident_work_is_measured_with_transfers(doublets, tmp_path, opened, monkeypatch):
    monkeypatch.delattr(Fake, "enqueue")
    records, refused = _measure(doublets, tmp_path, rounds=1, device="cuda")
    assert {r.what["transfers"] for r in records} == {"with"}
    assert refused == {"torch fp32 without transfers": "the runtime always transfers what it is given"}


def test_the_study_goes_on_where_it_was(doublets, tmp_path, opened):
    _measure(doublets, tmp_path, device="cuda", memory=("pageable",))
    lines = (tmp_path / "records.jsonl").read_text().splitlines()
    (tmp_path / "records.jsonl").write_text("\n".join(lines[:5]) + "\n")
    opened.clear()
    again, _ = _measure(doublets, tmp_path, device="cuda")
    assert (tmp_path / "records.jsonl").read_text().splitlines()[:5] == lines[:5]
    keys = [(study._key(r.what), r.extra["round"]) for r in again]
    assert len(keys) == len(set(keys)) == 2 * 3 * 2
    opened.clear()
    _measure(doublets, tmp_path, device="cuda")
    assert len(opened) == 1  # the AUC's alone: no visit, no session


def test_on_a_cpu_groups_alternate_and_other_thread_counts_are_other_sessions(doublets, tmp_path, opened, monkeypatch):
    monkeypatch.setattr(study, "cores_in_mask", lambda: 2)
    records, _ = _measure(doublets, tmp_path, batches=(50, 100), rounds=2)
    assert len(opened) == 1 + 2 * 2 * 3  # rounds x batches x (one of two threads, two of one)
    assert [r.extra["round"] for r in records] == [0] * 4 + [1] * 4
    assert {r.what["input_type"] for r in records} == {"float32"}


def test_a_failing_stream_ends_the_study_with_its_error(doublets, tmp_path, opened, monkeypatch):
    def enqueue(self, count, stream=0):
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("launch failed")

    monkeypatch.setattr(Fake, "enqueue", enqueue)
    with pytest.raises(RuntimeError, match="launch failed"):
        _measure(doublets, tmp_path, device="cuda", transfers=("without",))
    assert all(s.closed for s in opened)


def test_float16_change_of_auc_is_against_earlier_float32_records(doublets, tmp_path, opened):
    _measure(doublets, tmp_path, rounds=1, device="cuda", transfers=("without",), streams=(1,))
    plan = Plan(("torch",), (50,), (1,), 220, rounds=1, device="cuda", transfers=("without",))
    records, _ = study.throughput({"fp16": packaged()}, doublets, plan, tmp_path)
    assert [r.what["precision"] for r in records] == ["fp32", "fp16"]
    assert records[-1].extra["auc_change"] == 0


def test_thinned_times_keep_their_percentiles():
    times = np.random.default_rng(0).lognormal(-8, 0.5, 30_000)
    kept = visit.thinned(times)
    assert len(kept) == 101
    assert kept[0] == pytest.approx(times.min(), rel=1e-3)
    assert kept[-1] == pytest.approx(times.max(), rel=1e-3)
    assert all(len(f"{t:.10g}".replace("0.", "").lstrip("0").split("e")[0]) <= 5 for t in kept)
    back = visit.restored(kept, len(times))
    assert len(back) == 30_000
    for percent in (50, 95, 99):
        assert np.percentile(back, percent) == pytest.approx(np.percentile(times, percent), rel=2e-3)
    assert visit.thinned(np.array([3.00004, 1.0])) == (3.0, 1.0)


def _made(number, *, streams=1, memory="pageable", seconds=0.01, done=30_000, precision="fp16", **what) -> Record:
    way = {"transfers": "without" if memory == "device" else "with", "memory": memory, "input_type": "float16"}
    named = {"network": "doublets_cnn", "runtime": "torch", "precision": precision, "device": "cuda", "images": 30_000}
    named |= {"batch_size": 1000, "streams": streams, "threads": 1, **way, **what}
    times = np.full(30, seconds / 30)
    samples = {"call": Samples("s", visit.thinned(times), 1000), "whole": Samples("s", (seconds,), done)}
    extra = {"round": number, "auc": 0.7, "auc_change": -0.001, "calls": 30, "kept": "all"}
    return Record("streams", named, {"gpus": [{"name": "Some GPU"}]}, samples, extra=extra)


def test_table_of_a_gpu(tmp_path):
    records = [
        _made(number, streams=streams, memory=memory, seconds=s / streams * (1 + number / 10))
        for number in range(3)
        for streams in (1, 2)
        for memory, s in (("pageable", 0.04), ("page-locked", 0.02), ("device", 0.01))
    ]
    cut = _made(0, batch_size=1, done=100, seconds=3.0)
    rows = table([*records, cut])
    assert [(r.memory, r.batch_size, r.streams) for r in rows] == [
        ("page-locked", 1000, 1),
        ("page-locked", 1000, 2),
        ("pageable", 1, 1),
        ("pageable", 1000, 1),
        ("pageable", 1000, 2),
        ("device", 1000, 1),
        ("device", 1000, 2),
    ]
    locked = rows[1].to_json()
    assert locked["whole_ms"] == pytest.approx((10, 11, 12))
    assert locked["gain"] == pytest.approx((2, 2, 2))
    assert (locked["transfers"], locked["input_type"], locked["images"]) == ("with", "float16", 30_000)
    assert rows[2].whole_ms is None
    text = markdown(rows)
    assert "| ms for 30,000 |" in text
    assert "| page-locked, float16 | 1000 | 2 x 1 |" in text
    assert "| device, float16 | 1000 | 2 x 1 |" in text
    assert len({line.count("|") for line in text.splitlines()}) == 1
    throughput_png([*records, cut], tmp_path / "many.png")
    throughput_png(records[:1], tmp_path / "one.png")
    assert (tmp_path / "many.png").read_bytes().startswith(b"\x89PNG")


def test_records_of_before_are_read(doublets, tmp_path):
    old = _made(0)
    for name in ("input_type", "transfers", "memory"):
        del old.what[name]
    del old.extra["kept"]
    [row] = table([old])
    assert (row.input_type, row.transfers, row.memory) == ("float32", "with", "pageable")


def test_percentiles_are_of_all_calls(tmp_path, opened, doublets):
    records, _ = _measure(doublets, tmp_path, batches=(1,), streams=(1,), images=600, rounds=2)
    assert all(len(r.samples["call"].values) == 101 and r.extra["calls"] == 600 for r in records)
    [row] = table(read(tmp_path / "records.jsonl"))
    assert set(row.latency_s) == {"p50", "p95", "p99"}  # 1,200 calls, though 202 times are kept
    assert len(records[0].to_json()) < 5000
