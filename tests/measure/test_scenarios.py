"""Scenarios, clocks, warm-up, stages and streams on programs whose times are known."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from skytrigger.measure.clocks import CudaClock
from skytrigger.measure.cuda_graph import WARM_CALLS, GraphReplay
from skytrigger.measure.inputs import CacheFlush, rotating
from skytrigger.measure.paced import frame_rate
from skytrigger.measure.scenarios import offline, single_stream
from skytrigger.measure.stages import Stages
from skytrigger.measure.stats import (
    TooFewSamples,
    bootstrap_interval,
    median_interval,
    newcombe,
    percentile,
    percentiles,
    wilson,
)
from skytrigger.measure.streams import concurrent
from skytrigger.measure.warmup import NO_WARMUP, WarmUp


def test_single_stream_samples_every_synchronised_call() -> None:
    log: list[str] = []
    found = single_stream(
        lambda: log.append("call"),
        lambda: log.append("sync"),
        items=4,
        duration_s=0.0,
        min_samples=25,
        warmup=NO_WARMUP,
    )
    assert len(found.samples["call"].values) == 25
    assert found.samples["call"].items == 4
    assert log.count("call") == 25 + found.warmup["calls"]
    assert all(b == "sync" for a, b in itertools.pairwise(log) if a == "call")
    assert found.conditions["wall_s"] is not None
    assert gc.isenabled()


def test_single_stream_is_bounded() -> None:
    found = single_stream(lambda: time.sleep(0.002), duration_s=0.01, min_samples=10**9, max_s=0.05, warmup=NO_WARMUP)
    assert 3 <= len(found.samples["call"].values) <= 50
    assert min(found.samples["call"].values) >= 0.002
    capped = single_stream(lambda: None, duration_s=9.0, max_samples=7, warmup=NO_WARMUP)
    assert len(capped.samples["call"].values) == 7


def test_what_runs_between_calls_is_not_timed() -> None:
    found = single_stream(
        lambda: None, duration_s=0.0, min_samples=5, warmup=NO_WARMUP, between=lambda: time.sleep(0.01)
    )
    assert np.median(found.samples["call"].values) < 0.005
    assert found.extra["flushed"]


def test_offline_divides_windows_by_calls() -> None:
    pending = []

    def synchronize() -> None:
        time.sleep(0.001 * len(pending))  # a device that works 1 ms for each call issued
        pending.clear()

    rule = WarmUp(window_s=0.002, max_s=0.05)
    found = offline(lambda: pending.append(1), synchronize, items=8, duration_s=0.5, windows=5, warmup=rule)
    assert len(found.samples["call"].values) == 5
    assert found.extra["calls_per_window"] > 1
    assert np.median(found.samples["call"].values) >= 0.001
    assert found.samples["call"].items == 8


def test_collector_is_on_again_after_an_error() -> None:
    def fail() -> None:
        if not gc.isenabled():
            raise RuntimeError("in the timed part")

    with pytest.raises(RuntimeError):
        single_stream(fail, warmup=NO_WARMUP)
    assert gc.isenabled()


def test_warm_up_ends_when_windows_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("skytrigger.measure.warmup.time.perf_counter", lambda: now[0])
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
    monkeypatch.setattr("skytrigger.measure.warmup.time.perf_counter", lambda: now[0])
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
    """Streams, events and graphs of torch.cuda on a counted clock in milliseconds."""

    def __init__(self) -> None:
        self.now_ms = 0.0
        self.events: list[str] = []
        self.captured: list[Any] = []
        self.capturing = False
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

        class Stream:
            def wait_stream(self, other: Any) -> None:
                outer.events.append("wait")

        class CUDAGraph:
            def replay(self) -> None:
                for work in outer.captured:
                    work()

        self.Event, self.Stream, self.CUDAGraph = Event, Stream, CUDAGraph
        self._current = Stream()

    def current_stream(self) -> Any:
        return self._current

    @contextmanager
    def stream(self, stream: Any):
        yield

    @contextmanager
    def graph(self, graph: Any):
        self.capturing = True
        yield
        self.capturing = False

    def synchronize(self) -> None:
        self.events.append("device synchronised")


def test_cuda_clock_measures_on_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda()
    monkeypatch.setattr("skytrigger.measure.clocks.require", lambda *a, **k: type("torch", (), {"cuda": cuda}))
    clock = CudaClock()

    def call() -> None:
        cuda.now_ms += 3.0

    found = single_stream(call, duration_s=0.0, min_samples=4, warmup=NO_WARMUP, device_clock=clock)
    assert found.samples["device"].values == pytest.approx([0.003] * 4)
    assert len(found.samples["call"].values) == 4
    assert cuda.events.count("synchronised") == 4  # an event is read only when the stream has passed it


def test_graph_replay_refreshes_its_input() -> None:
    cuda = FakeCuda()

    class Tensor:
        def __init__(self, value: float) -> None:
            self.value = value

        def clone(self) -> Tensor:
            return Tensor(self.value)

        def copy_(self, other: Tensor, non_blocking: bool) -> None:
            self.value = other.value

    out = Tensor(0.0)
    runs = []

    def forward(x: Tensor) -> Tensor:
        def work() -> None:
            out.value = 2 * x.value

        runs.append(cuda.capturing)
        if cuda.capturing:
            cuda.captured.append(work)
        else:
            work()
        return out

    replay = GraphReplay(forward, Tensor(1.0), cuda)
    assert runs == [False] * WARM_CALLS + [True]  # warmed on a side stream, captured once
    assert [replay(Tensor(v)).value for v in (3.0, 5.0)] == [6.0, 10.0]
    assert len(runs) == WARM_CALLS + 1  # nothing launched again
    replay.synchronize()
    assert cuda.events[-1] == "device synchronised"


def test_percentiles_are_refused_below_their_sample_size() -> None:
    values = np.arange(999.0)
    with pytest.raises(TooFewSamples, match="p99 of 999"):
        percentile(values, 99)
    assert percentile(np.arange(1000.0), 99) == pytest.approx(np.percentile(np.arange(1000.0), 99))
    assert set(percentiles(values)) == {"p50", "p90", "p95"}
    assert set(percentiles(np.arange(10_000.0))) == {"p50", "p90", "p95", "p99", "p99.9"}
    with pytest.raises(TooFewSamples, match="p1 of"):
        percentile(values, 1)
    assert percentiles(np.arange(5.0)) == {}


def test_median_interval_covers_under_autocorrelation() -> None:
    rng = np.random.default_rng(0)
    runs, n, phi = 400, 2000, 0.9
    steps = rng.standard_normal((runs, n))
    series = np.empty_like(steps)
    series[:, 0] = steps[:, 0] / np.sqrt(1 - phi**2)
    for i in range(1, n):
        series[:, i] = phi * series[:, i - 1] + steps[:, i]
    ours = np.mean([(iv := median_interval(row)).low <= 0 <= iv.high for row in series])
    ordered = np.sort(series, axis=1)
    half = int(1.96 * np.sqrt(n) / 2)
    naive = np.mean((ordered[:, n // 2 - half] <= 0) & (ordered[:, n // 2 + half] >= 0))
    assert 0.91 <= ours <= 0.98
    assert naive < 0.65


@pytest.mark.parametrize("n", [6, 8, 12, 20, 39])
def test_median_interval_of_few_samples_covers(n: int) -> None:
    rows = np.random.default_rng(n).exponential(size=(2000, n))
    hit = [(iv := median_interval(row)).low <= np.log(2) <= iv.high for row in rows]
    assert np.mean(hit) >= 0.94


def test_median_interval_of_too_few_samples_is_unknown() -> None:
    found = median_interval([1.0, 2.0, 3.0])
    assert found.estimate == 2.0
    assert not found.known
    assert found.to_json()["low"] is None
    with pytest.raises(TooFewSamples):
        median_interval([])


def test_bootstrap_interval_covers_the_mean() -> None:
    rng = np.random.default_rng(1)
    hit = [(iv := bootstrap_interval(rng.exponential(size=60), resamples=400)).low <= 1 <= iv.high for _ in range(300)]
    assert 0.89 <= np.mean(hit) <= 0.98
    rows = np.column_stack([np.arange(1.0, 41.0), np.arange(2.0, 82.0, 2)])
    ratio = bootstrap_interval(rows, lambda a: a[..., 1].sum(axis=1) / a[..., 0].sum(axis=1))
    assert (ratio.low, ratio.high) == pytest.approx((2.0, 2.0))  # rows stay together
    with pytest.raises(TooFewSamples):
        bootstrap_interval([1.0])


def test_interval_of_times_stays_above_zero_and_covers() -> None:
    rng = np.random.default_rng(5)
    wild = rng.lognormal(0.0, 3.0, 40)  # a plain t interval of its stretches' medians goes below zero
    assert median_interval(wild).low < 0 < median_interval(wild, positive=True).low
    steps = [0.0, 0.0, 0.0, 90.0] * 3  # stretches of five with medians of 0, which have no logarithm
    assert median_interval(np.repeat(steps, 5), positive=True).low == 0.0
    rows = rng.lognormal(0.0, 0.5, (1000, 200))
    hit = [(iv := median_interval(row, positive=True)).low <= 1.0 <= iv.high for row in rows]
    assert 0.93 <= np.mean(hit) <= 0.975


def test_newcombe_matches_the_published_example() -> None:
    # Newcombe (1998), table II, example (a): 56/70 against 48/80, method 10
    found = newcombe(wilson(56, 70), wilson(48, 80))
    assert (found.estimate, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
