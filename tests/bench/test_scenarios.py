"""The loop that measures, warm-up, frames, stages and streams on programs whose times are known."""

from __future__ import annotations

import gc
import threading
import time
from typing import Any

import numpy as np
import pytest

from skytrigger.bench.frames import frame_rate
from skytrigger.bench.inputs import CacheFlush, rotating
from skytrigger.bench.loop import visit
from skytrigger.bench.stages import Stages
from skytrigger.bench.streams import concurrent
from skytrigger.bench.warmup import WarmUp
from skytrigger.measure.clocks import CudaClock


def test_single_calls_are_each_synchronised() -> None:
    log: list[str] = []
    slot = visit(lambda: log.append("call"), lambda: log.append("sync"), calls=25, lead_in=2)
    assert len(slot.seconds) == 25
    assert log[:3] == ["call", "call", "sync"]  # the lead-in is not timed
    assert log[3:] == ["call", "sync"] * 25
    assert slot.conditions["wall_s"] is not None
    assert gc.isenabled()


def test_single_calls_are_bounded() -> None:
    slot = visit(lambda: time.sleep(0.002), calls=10**9, limit_s=0.05)
    assert 3 <= len(slot.seconds) <= 50
    assert min(slot.seconds) >= 0.002
    assert len(visit(lambda: time.sleep(0.002), calls=9, limit_s=0.0).seconds) == 1  # one is always made


def test_what_runs_between_calls_is_not_timed() -> None:
    slot = visit(lambda: None, calls=5, between=lambda: time.sleep(0.01))
    assert np.median(slot.seconds) < 0.005


def test_offline_calls_are_synchronised_once() -> None:
    pending: list[int] = []
    waits: list[int] = []

    def synchronize() -> None:
        time.sleep(0.001 * len(pending))  # a device that works 1 ms for each call issued
        waits.append(len(pending))
        pending.clear()

    slot = visit(lambda: pending.append(1), synchronize, calls=20, offline=True)
    assert waits == [0, 20]
    assert len(slot.seconds) == 1
    assert 0.001 <= slot.seconds[0] < 0.01


def test_collector_is_off_inside_and_on_again_after_an_error() -> None:
    def fail() -> None:
        if not gc.isenabled():
            raise RuntimeError("in the timed part")

    with pytest.raises(RuntimeError):
        visit(fail, calls=1, lead_in=3)
    assert gc.isenabled()


def test_warm_up_ends_when_windows_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("skytrigger.bench.warmup.time.perf_counter", lambda: now[0])
    durations = iter([0.5, 0.3, 0.2, 0.15, *[0.1] * 1000])

    def step() -> None:
        now[0] += next(durations)

    report = WarmUp(window_s=0.25, window_calls=1, tolerance=0.05, max_s=100.0).run(step)
    assert report["agreed"]
    assert report["window_medians_s"][-3:] == pytest.approx([0.1] * 3)
    assert report["first_s"] == 0.5
    assert report["calls"] == len(report["window_medians_s"]) + sum(
        [0, 0, 1, 2, 2, 2][: len(report["window_medians_s"])]
    )


def test_warm_up_that_never_agrees_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("skytrigger.bench.warmup.time.perf_counter", lambda: now[0])
    durations = iter(0.1 * 1.2**i for i in range(1000))

    def step() -> None:
        now[0] += next(durations)

    report = WarmUp(window_s=0.0, window_calls=1, max_s=3.0).run(step)
    assert not report["agreed"]
    assert 3.0 <= now[0] < 5.0


class FakeTime:
    """A clock that only work and sleep move."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def _paced(services: list[float], rate_hz: float, deadline_s: float | None = None) -> Any:
    fake = FakeTime()
    work = iter(services)
    return frame_rate(
        lambda: fake.sleep(next(work)), rate_hz=rate_hz, duration_s=len(services) / rate_hz, deadline_s=deadline_s,
        clock=fake.clock, sleep=fake.sleep,
    )  # fmt: skip


def test_frames_in_time() -> None:
    found = _paced([0.02] * 50, 10.0)
    assert found.samples["response"].values == pytest.approx([0.02] * 50)
    assert (found.extra["frames"], found.extra["missed"], found.extra["dropped"]) == (50, 0, 0)


def test_a_stall_makes_the_frames_behind_it_late() -> None:
    """One call of 0.35 s at 10 Hz with a deadline of 0.3 s: what waited counts from its arrival."""
    found = _paced([0.35, *[0.04] * 19], 10.0, deadline_s=0.3)
    response = found.samples["response"].values
    assert response[0] == pytest.approx(0.35)
    assert response[1] == pytest.approx(0.29)  # arrived at 0.1, started at 0.35
    assert response[2] == pytest.approx(0.23)
    assert found.samples["call"].values[1] == pytest.approx(0.04)
    assert found.extra["missed"] == 1
    late = _paced([1.0, *[0.01] * 19], 10.0)
    assert late.extra["dropped"] == 9  # frames 1 to 9 were past their deadline of 0.1 s before they could start
    assert late.extra["missed"] == 10
    assert len(late.samples["call"].values) == 11


def test_too_slow_for_the_rate() -> None:
    found = _paced([0.15] * 40, 10.0)
    assert found.extra["missed"] == found.extra["frames"] == 40
    assert 0 < found.extra["dropped"] < 40


def test_streams_run_side_by_side() -> None:
    threads = set()

    def call() -> None:
        threads.add(threading.get_ident())
        time.sleep(0.002)

    found = concurrent([call] * 3, items=2, duration_s=0.06)
    assert len(threads) == 3
    assert sum(found.extra["calls_per_stream"]) == len(found.samples["call"].values)
    assert all(found.extra["calls_per_stream"])
    assert found.extra["items_per_s"] <= 3 * 2 / 0.002


def test_a_failing_stream_stops_all() -> None:
    def fail() -> None:
        raise ValueError("broken stream")

    with pytest.raises(ValueError, match="broken stream"):
        concurrent([lambda: None, fail], duration_s=0.05)


def test_stages_in_the_order_of_the_way() -> None:
    now = [0.0]
    pending = [0.0]

    def synchronize() -> None:
        now[0] += pending[0]
        pending[0] = 0.0

    stages = Stages(synchronize, clock=lambda: now[0])
    for _ in range(2):
        with stages("compute"):
            pending[0] += 0.5  # left on the device: counted where it was issued
        with stages("decode"):
            now[0] += 0.25
        with stages("own"):
            pass
    found = stages.samples(items=3)
    assert list(found) == ["decode", "compute", "own"]
    assert found["compute"].values == (0.5, 0.5)
    assert found["decode"].values == (0.25, 0.25)
    assert found["compute"].items == 3


def test_inputs_rotate_and_caches_are_flushed() -> None:
    seen: list[int] = []
    call = rotating(seen.append, [1, 2, 3])
    for _ in range(5):
        call()
    assert seen == [1, 2, 3, 1, 2]
    CacheFlush(1 << 16)()


class FakeCuda:
    """Events of torch.cuda on a counted clock in milliseconds."""

    def __init__(self) -> None:
        self.now_ms = 0.0
        self.events: list[str] = []
        outer = self

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing
                self.at = -1.0

            def record(self, stream: str) -> None:
                self.at, self.stream = outer.now_ms, stream

            def synchronize(self) -> None:
                outer.events.append("synchronised")

            def elapsed_time(self, other: Any) -> float:
                assert self.stream == other.stream
                return float(other.at - self.at)

        self.Event = Event

    def current_stream(self) -> Any:
        return "the current one"


def test_cuda_clock_measures_on_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda()
    monkeypatch.setattr("skytrigger.measure.clocks.require", lambda *a, **k: type("torch", (), {"cuda": cuda}))
    clock = CudaClock()

    def call() -> None:
        cuda.now_ms += 3.0

    slot = visit(call, calls=4, device_clock=clock)
    assert slot.device_seconds == pytest.approx([0.003] * 4)
    assert len(slot.seconds) == 4
    assert cuda.events.count("synchronised") == 4  # an event is read only when the stream has passed it
