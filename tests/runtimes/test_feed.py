"""The pipeline: order, back-pressure, bounds, errors anywhere, Ctrl-C; no thread outlives a run."""

from __future__ import annotations

import _thread
import itertools
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrigger.core.errors import InputError
from skytrigger.runtimes.feed import Feed, held_bytes
from skytrigger.runtimes.open import open_session


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and t.name == "feed"]
    assert not left


def feed(source: Any, work: Any = lambda x: x, lanes: int = 1, **options: Any) -> tuple[list[Any], Any]:
    out: list[Any] = []
    fed = Feed(source, [work] * lanes, lambda item, result: out.append((item, result)), **options).run()
    return out, fed


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(0, 40),
    lanes=st.integers(1, 4),
    preparers=st.integers(1, 3),
    items=st.integers(1, 6),
    size=st.integers(0, 3000),
    seed=st.integers(0, 99),
)
def test_results_in_order_within_bounds(
    count: int, lanes: int, preparers: int, items: int, size: int, seed: int
) -> None:
    draw = random.Random(seed)
    delays = [draw.choice((0, 0, 1e-4, 1e-3)) for _ in range(3 * count + 3)]
    arrays = [np.full(draw.randint(0, size) // 8 + 1, i, np.int64) for i in range(count)]
    flying: set[int] = set()
    most = 0

    def source() -> Iterator[np.ndarray]:
        nonlocal most
        for array in arrays:
            flying.add(int(array[0]))
            most = max(most, len(flying))
            yield array

    def prepare(array: np.ndarray) -> np.ndarray:
        time.sleep(delays[int(array[0])])
        return array * 2

    def work(array: np.ndarray) -> np.ndarray:
        time.sleep(delays[count + int(array[0]) // 2])
        return array + 1

    out: list[int] = []

    def sink(item: np.ndarray, result: np.ndarray) -> None:
        time.sleep(delays[2 * count + int(item[0])])
        np.testing.assert_array_equal(result, 2 * item + 1)
        out.append(int(item[0]))
        flying.discard(int(item[0]))

    fed = Feed(
        source(), [work] * lanes, sink, prepare=prepare, preparers=preparers, ahead_items=items, ahead_bytes=8192
    ).run()
    assert out == list(range(count))
    assert fed.items == count
    assert most <= items + 1  # the sink's last thread of work ends after it has let go of its item
    assert fed.peak_items <= items
    assert fed.peak_bytes <= 8192 + items * 3 * (size + 8)  # sizes not seen before


def test_a_slow_sink_holds_the_source_back() -> None:
    drawn: list[int] = []

    def source() -> Iterator[int]:
        for i in range(30):
            drawn.append(i)
            yield i

    ahead: list[int] = []

    def sink(item: int, result: int) -> None:
        time.sleep(0.003)
        ahead.append(len(drawn) - item)

    fed = Feed(source(), [lambda x: x] * 2, sink, ahead_items=4).run()
    assert max(ahead) <= 4
    assert fed.busy_s["room"] > 0.02  # the source waited
    assert fed.busy_s["sink"] > 0.08


def test_equal_items_never_hold_more_than_the_bytes() -> None:
    def work(array: np.ndarray) -> np.ndarray:
        return array[:100].copy()

    def prepare(number: int) -> np.ndarray:
        return np.zeros(1000, np.uint8)

    _, fed = feed(range(50), work, 3, prepare=prepare, ahead_items=50, ahead_bytes=4096, preparers=3)
    assert 1000 < fed.peak_bytes <= 4096
    out, fed = feed((np.zeros(1 << 20, np.uint8) for _ in range(3)), len, 2, ahead_bytes=10)
    assert [r for _, r in out] == [1 << 20] * 3  # beyond all bounds: one at a time
    assert fed.peak_items == 1


def test_lanes_work_side_by_side_and_a_late_one_holds_only_the_order() -> None:
    late = threading.Event()
    others = threading.Semaphore(0)

    def work(i: int) -> int:
        if i == 0:
            assert late.wait(10)
        else:
            others.release()
        return i

    def watch() -> None:
        for _ in range(4):
            others.acquire(timeout=10)
        late.set()

    thread = threading.Thread(target=watch)
    thread.start()
    out, fed = feed(range(20), work, 2, ahead_items=6)
    thread.join()
    assert [i for i, _ in out] == list(range(20))
    assert fed.peak_items >= 5


def test_stage_times_add_up() -> None:
    def source() -> Iterator[int]:
        for i in range(5):
            time.sleep(0.004)
            yield i

    for preparers in (0, 1):
        _, fed = feed(source(), lambda x: time.sleep(0.003), prepare=lambda x: time.sleep(0.002), preparers=preparers)
        assert fed.busy_s["source"] >= 0.02
        assert fed.busy_s["prepare"] >= 0.01
        assert fed.busy_s["lanes"] >= 0.015
        assert fed.wall_s >= 0.02


class BrokenError(Exception):
    pass


@pytest.mark.parametrize("kind", [BrokenError, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize(("lanes", "preparers"), [(1, 0), (1, 1), (3, 2)])
@pytest.mark.parametrize("where", ["source", "prepare", "lane", "sink"])
def test_an_error_anywhere_stops_everything(where: str, lanes: int, preparers: int, kind: type[BaseException]) -> None:
    closed = []

    def fail(stage: str, i: int) -> None:
        if stage == where and i == 7:
            raise kind("broken")

    def source() -> Iterator[int]:
        try:
            for i in itertools.count():
                fail("source", i)
                yield i
        finally:
            closed.append(threading.current_thread())

    def stage(name: str) -> Any:
        def go(i: int) -> int:
            fail(name, i)
            return i

        return go

    out: list[int] = []

    def sink(item: int, result: int) -> None:
        fail("sink", item)
        out.append(item)

    with pytest.raises(kind, match="broken"):
        Feed(source(), [stage("lane")] * lanes, sink, prepare=stage("prepare"), preparers=preparers).run()
    assert out == list(range(len(out)))
    assert len(out) <= 7
    assert len(closed) == 1  # the source's own clean-up ran, once


@pytest.mark.parametrize("where", ["prepare", "lane"])
def test_an_error_while_all_others_wait(where: str) -> None:
    """The sink waits for item 0, whose thread fails; preparers wait for room."""

    def slow(name: str) -> Any:
        def go(i: int) -> int:
            if name == where and i == 0:
                time.sleep(0.03)
                raise BrokenError(name)
            return i

        return go

    with pytest.raises(BrokenError, match=where):
        feed(itertools.count(), slow("lane"), 2, prepare=slow("prepare"), preparers=2, ahead_items=4)


def test_ctrl_c_while_the_caller_waits() -> None:
    def work(i: int) -> int:
        if i == 3:
            _thread.interrupt_main()
        time.sleep(0.005)
        return i

    with pytest.raises(KeyboardInterrupt):
        feed(itertools.count(), work, 2)


@pytest.mark.parametrize("preparers", [0, 1])
def test_a_program_ends_on_ctrl_c(preparers: int) -> None:
    code = (
        "import itertools, sys, time\nfrom skytrigger.runtimes.feed import Feed\n"
        "def work(i):\n    if i == 2: print('going', flush=True)\n    time.sleep(0.01)\n"
        f"try:\n    Feed(itertools.count(), [work] * 2, preparers={preparers}).run()\n"
        "except KeyboardInterrupt:\n    import threading; print('threads', threading.active_count())\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "going\n"
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=20)
    assert (out, child.returncode) == ("threads 1\n", 0)


def test_lanes_that_draw_for_themselves_start_together_and_share_the_source() -> None:
    seen: list[list[int]] = [[], [], []]
    arrived = threading.Barrier(3)

    def lane(number: int) -> Any:
        def work(i: int) -> None:
            if not seen[number]:
                arrived.wait(10)  # every lane has an item of the first three
            seen[number].append(i)

        return work

    fed = Feed(range(100), [lane(n) for n in range(3)], preparers=0).run()
    assert sorted(itertools.chain(*seen)) == list(range(100))
    assert fed.items == 100
    with pytest.raises(BrokenError):
        Feed(range(100), [lane(0), _broken, _broken], preparers=0).run()


def _broken(item: Any) -> None:
    raise BrokenError("lane")


def test_a_single_lane_without_threads_works_where_it_is_called() -> None:
    where: set[int] = set()
    out, _ = feed(range(5), lambda i: where.add(threading.get_ident()), preparers=0)
    assert where == {threading.get_ident()}
    assert [i for i, _ in out] == list(range(5))


@pytest.mark.parametrize(
    "options", [{"lanes": 0}, {"ahead_items": 0}, {"ahead_bytes": 0}, {"lanes": 2, "preparers": 0}, {"preparers": -1}]
)
def test_what_is_no_feed(options: dict[str, int]) -> None:
    with pytest.raises(InputError, match="a feed"):
        feed([], **options)


def test_an_empty_source_and_bytes() -> None:
    assert feed([])[1].items == 0
    array = np.zeros(10, np.uint8)
    assert held_bytes({"a": array, "b": [array, (array, 3)]}) == 30
    assert held_bytes("words") == 0


@pytest.mark.parametrize("streams", [1, 3])
def test_a_session_on_lanes(made: Any, streams: int) -> None:
    model = made()
    session = open_session(model.path, batch_size=3, threads=1, streams=streams)
    tiles = [np.roll(model.tiles, i, 0)[: 1 + i % 11] for i in range(30)]
    out: list[np.ndarray] = []
    Feed(range(30), session.lanes(), lambda i, r: out.append(r["logits"]), prepare=lambda i: tiles[i]).run()
    for given_tiles, logits in zip(tiles, out, strict=True):
        np.testing.assert_allclose(logits, session.run(given_tiles), rtol=1e-5, atol=1e-5)
    session.close()
