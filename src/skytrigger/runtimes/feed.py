"""One bounded pipeline: source -> prepare -> lanes -> sink, results in order.

Items are drawn when there is room for them, prepared on threads of their own, worked on by the lanes side by side, and
handed to the sink in the caller's own thread, in the source's order. What is in flight is bounded in items and bytes:
a slow sink holds the lanes back, slow lanes hold the source back. An error anywhere, Ctrl-C included, stops all of it;
no thread is alive when `run` returns or raises.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, Generic, TypeVar

from skytrigger.core.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD_BYTES = 256 << 20
STAGES = ("source", "prepare", "lanes", "sink")


def held_bytes(value: Any) -> int:
    """Bytes of an array, or of the arrays in a tuple, list or dict; other things count as nothing."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return sum(map(held_bytes, value))
    return int(getattr(value, "nbytes", 0))


@dataclass(frozen=True)
class Fed:
    """What a run did.

    Attributes
    ----------
    items
        Results that came out.
    begin_s, wall_s
        When all lanes were ready, on the feed's clock, and the seconds from then to the end.
    busy_s
        Stage -> seconds of work, added over its threads; ``room``: how long the source was held back.
    peak_items, peak_bytes
        Most that was in flight.
    """

    items: int
    begin_s: float
    wall_s: float
    busy_s: dict[str, float] = field(default_factory=dict)
    peak_items: int = 0
    peak_bytes: int = 0


class Feed(Generic[Item, Result]):
    """The pipeline, for one `run`.

    Parameters
    ----------
    source
        Items, drawn one at a time, never by two threads at once. A generator is closed at the end.
    lanes
        Functions of a prepared item, each called by one thread only: ``session.run`` of several sessions, or
        ``session.lanes()``.
    sink
        ``sink(item, result)``, in the source's order, in the thread that called `run`; None: results are let go.
    prepare
        Function of an item, for any thread; None: items are given to the lanes as they are.
    preparers
        Threads that draw and prepare ahead of the lanes. 0: nothing is drawn ahead. A single lane then works in the
        caller's own thread; several draw for themselves as soon as they are done, and give nothing on.
    ahead_items
        Most items in flight, from the source to the end of the sink; default: three for each lane and each preparer.
    ahead_bytes
        What items in flight may hold (`held_bytes` of item, prepared item and result), each counted as the largest so
        far: a size not seen before may exceed it once. An item beyond all bounds goes alone.
    """

    def __init__(
        self,
        source: Iterable[Item],
        lanes: Sequence[Callable[[Any], Result]],
        sink: Callable[[Item, Result], object] | None = None,
        *,
        prepare: Callable[[Item], Any] | None = None,
        preparers: int = 1,
        ahead_items: int | None = None,
        ahead_bytes: int = AHEAD_BYTES,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        most = 3 * (len(lanes) + preparers) if ahead_items is None else ahead_items
        given = {"lanes": len(lanes), "items ahead": most, "bytes ahead": ahead_bytes, "preparers": preparers}
        for name, value in given.items():
            least = 0 if name == "preparers" and (len(lanes) < 2 or sink is None) else 1  # one keeps the order
            if value < least:
                raise InputError(f"a feed with {name} = {value}", expected=f"{least} or more")
        self._lanes, self._sink, self._prepare, self._preparers = tuple(lanes), sink, prepare, preparers
        self._most_items, self._most_bytes, self._clock = most, ahead_bytes, clock
        self._iterator: Iterator[Item] = iter(source)
        self._drawing = threading.Lock()  # one thread at the source
        self._gate = threading.Barrier(len(lanes), action=self._go)
        self._state = threading.Condition()  # for all below
        self._ready: list[tuple[int, Item, Any]] = []  # prepared, a heap
        self._done: dict[int, tuple[Item, Result]] = {}
        self._held: dict[int, int] = {}  # number of an item in flight -> bytes, once they are known
        self._drawn = self._preparing = self._out = self._largest = self._ended = 0
        self._exhausted = self._stopped = False
        self._errors: list[BaseException] = []
        self._busy = dict.fromkeys((*STAGES, "room"), 0.0)
        self._peak_items = self._peak_bytes = 0
        self._begin = 0.0

    def run(self) -> Fed:
        """Run until the source ends.

        Raises
        ------
        BaseException
            The first error of source, prepare, a lane or the sink, after all threads have ended.
        """
        try:
            if self._preparers:
                self._go()
                jobs = [self._ahead] * self._preparers + [partial(self._lane, work) for work in self._lanes]
                self._with_threads(jobs, self._sink_all)
            elif self._sink is not None:
                self._go()
                self._alone(self._lanes[0], self._sink)
            elif len(self._lanes) == 1:
                self._gated(self._lanes[0])
            else:
                self._with_threads([partial(self._gated, work) for work in self._lanes], lambda: None)
        except BaseException as error:
            self._stop(error)
        wall_s = self._clock() - self._begin
        getattr(self._iterator, "close", lambda: None)()
        if self._errors:
            raise self._errors[0]
        return Fed(self._out, self._begin, wall_s, dict(self._busy), self._peak_items, self._peak_bytes)

    def _go(self) -> None:
        self._begin = self._clock()

    def _with_threads(self, jobs: Sequence[Callable[[], None]], meanwhile: Callable[[], None]) -> None:
        started: list[threading.Thread] = []
        try:
            for job in jobs:
                started.append(threading.Thread(target=self._guard, args=(job,), name="feed"))
                started[-1].start()
            meanwhile()
        except BaseException as error:
            self._stop(error)
        while True:
            try:  # a join that Ctrl-C interrupts would take its thread for ended (Python 3.11)
                with self._state:
                    self._state.wait_for(lambda: self._ended >= sum(t.ident is not None for t in started))
                break
            except BaseException as error:
                self._stop(error)
        for thread in filter(lambda t: t.ident, started):
            thread.join()

    def _guard(self, job: Callable[[], None]) -> None:
        """A thread's own work; its error stops the others."""
        try:
            job()
        except BaseException as error:  # raised again by `run`
            if not isinstance(error, threading.BrokenBarrierError):
                self._stop(error)
        finally:
            with self._state:
                self._ended += 1
                self._state.notify_all()

    def _stop(self, error: BaseException) -> None:
        with self._state:
            self._errors.append(error)
            self._stopped = True
            self._state.notify_all()
        self._gate.abort()

    def _alone(self, work: Callable[[Any], Result], sink: Callable[[Item, Result], object]) -> None:
        clock, last = self._clock, self._clock()
        for item in self._iterator:
            marks = [last, clock()]
            prepared = item if self._prepare is None else self._prepare(item)
            marks.append(clock())
            result = work(prepared)
            marks.append(clock())
            sink(item, result)
            marks.append(last := clock())
            for stage, (begin, end) in zip(STAGES, pairwise(marks), strict=True):
                self._busy[stage] += end - begin
            self._out += 1

    def _gated(self, work: Callable[[Any], Result]) -> None:
        """As little as can be between a lane's items: what comes first counts as the lanes' own time."""
        prepare, drawing, out, end = self._prepare, self._drawing, 0, object()
        self._gate.wait()
        begin = self._clock()
        while not self._stopped:
            with drawing:
                item: Any = next(self._iterator, end)
            if item is end:
                break
            work(item if prepare is None else prepare(item))
            out += 1
        with self._state:
            self._out += out
            self._busy["lanes"] += self._clock() - begin

    def _has_room(self) -> bool:
        flying = len(self._held) + self._preparing
        if flying == 0 or self._stopped:
            return True
        if flying >= self._most_items or (self._preparing and not self._largest):
            return False  # of the very first, wait to see how large it is
        return (flying + 1) * self._largest <= self._most_bytes

    def _ahead(self) -> None:
        """A preparer's work."""
        clock = self._clock
        while True:
            with self._drawing:
                marks = [clock()]
                with self._state:
                    self._state.wait_for(self._has_room)
                    if self._stopped or self._exhausted:
                        return
                    self._preparing += 1
                marks.append(clock())
                try:
                    item = next(self._iterator)
                except StopIteration:
                    with self._state:
                        self._exhausted, self._preparing = True, self._preparing - 1
                        self._state.notify_all()
                    return
                number, self._drawn = self._drawn, self._drawn + 1
                marks.append(clock())
            prepared = item if self._prepare is None else self._prepare(item)
            marks.append(clock())
            with self._state:
                for stage, (begin, end) in zip(("room", "source", "prepare"), pairwise(marks), strict=True):
                    self._busy[stage] += end - begin
                self._preparing -= 1
                self._hold(number, held_bytes(item) + (0 if self._prepare is None else held_bytes(prepared)))
                heapq.heappush(self._ready, (number, item, prepared))
                self._state.notify_all()
            del item, prepared

    def _hold(self, number: int, size: int) -> None:
        """What an item holds by now; called with the state locked."""
        self._held[number] = max(size, 1)
        self._largest = max(self._largest, size, 1)
        self._peak_bytes = max(self._peak_bytes, sum(self._held.values()))
        self._peak_items = max(self._peak_items, len(self._held) + self._preparing)

    def _lane(self, work: Callable[[Any], Result]) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._ready or self._stopped or (self._exhausted and not self._preparing))
                if self._stopped or not self._ready:
                    return
                number, item, prepared = heapq.heappop(self._ready)
            begin = self._clock()
            result = work(prepared)
            del prepared
            with self._state:
                self._busy["lanes"] += self._clock() - begin
                self._hold(number, held_bytes(item) + held_bytes(result))
                self._done[number] = (item, result)
                self._state.notify_all()
            del item, result

    def _sink_all(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._stopped or self._out in self._done or self._finished())
                if self._stopped or self._finished():
                    return
                item, result = self._done.pop(self._out)
            begin = self._clock()
            if self._sink is not None:
                self._sink(item, result)
            del item, result
            with self._state:
                self._busy["sink"] += self._clock() - begin
                del self._held[self._out]
                self._out += 1
                self._state.notify_all()

    def _finished(self) -> bool:
        return self._exhausted and not self._held and not self._preparing
