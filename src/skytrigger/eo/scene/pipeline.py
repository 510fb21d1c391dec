"""Work on a stream in several lanes, results in order, a bounded number under way."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_lanes(
    source: Iterable[Item], work: Callable[[Item, int], Result], sink: Callable[[Result], None], lanes: int, ahead: int
) -> None:
    """`work(item, lane)` for every item of `source`, at most `lanes` at once; `sink` gets the results in order.

    The source is asked for its next item only while fewer than `ahead` results are outstanding. An error anywhere, or
    Ctrl-C, stops everything: what has not begun is dropped, what runs is waited for, the error is raised.
    """
    free: queue.SimpleQueue[int] = queue.SimpleQueue()
    for lane in range(lanes):
        free.put(lane)

    def one(item: Item) -> Result:
        lane = free.get()
        try:
            return work(item, lane)
        finally:
            free.put(lane)

    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(lanes, "lane")
    try:
        for item in source:
            while len(waiting) >= ahead or (waiting and waiting[0].done()):
                sink(waiting.popleft().result())
            waiting.append(pool.submit(one, item))
            del item  # it holds megabytes, and the source may take long over the next
        while waiting:
            sink(waiting.popleft().result())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
