"""How work reaches a GPU, on a driver that only writes down what it is told."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numba import cuda

from skytrigger.core.errors import SkytriggerError
from skytrigger.hep.clue import cuda_queue
from skytrigger.hep.clue.cuda_queue import GraphQueue, Leases


class Driver:
    """Answers like `cuda.bindings.driver`; ``said`` are the calls in order."""

    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_RELAXED=2)

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []
        self.fails: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> tuple[Any, ...]:
            self.said.append((name, *args))
            if name == "cuGetErrorName":
                return 0, b"CUDA_ERROR_MADE_UP"
            if name in self.fails:
                return (700, None)
            return 0, {"cuStreamCreate": 7, "cuStreamEndCapture": "graph", "cuGraphInstantiate": "executable"}.get(name)

        return call

    def names(self) -> list[str]:
        """Calls since the last look."""
        found = [call[0] for call in self.said]
        self.said.clear()
        return found


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver()
    monkeypatch.setattr(cuda_queue, "require", lambda name, why: made)
    monkeypatch.setattr(cuda, "current_context", lambda: None)
    monkeypatch.setattr(cuda, "external_stream", lambda pointer: f"stream {pointer}", raising=False)
    return made


def test_the_second_launch_of_a_kind_is_captured_and_the_third_replayed(driver: Driver) -> None:
    queue, launched = GraphQueue(), []
    driver.names()
    queue.launch("a", lambda: launched.append("a"))
    assert (launched, driver.names()) == (["a"], [])
    queue.launch("a", lambda: launched.append("a"))
    captured = ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate", "cuGraphDestroy", "cuGraphLaunch"]
    assert (launched, driver.names()) == (["a", "a"], captured)
    queue.launch("a", lambda: launched.append("a"))
    assert (launched, driver.names()) == (["a", "a"], ["cuGraphLaunch"])
    queue.launch("b", lambda: launched.append("b"))  # another kind: the graph goes, after what it still does
    assert (launched[2:], driver.names()) == (["b"], ["cuStreamSynchronize", "cuGraphExecDestroy"])


def test_nothing_captured_outlives_the_memory_it_points_to(driver: Driver) -> None:
    queue, launched = GraphQueue(), []
    for _ in range(2):
        queue.launch("a", lambda: launched.append("a"))
    queue.forget()
    driver.names()
    queue.launch("a", lambda: launched.append("anew"))
    assert launched == ["a", "a", "anew"]
    assert driver.names() == ["cuStreamSynchronize", "cuGraphExecDestroy"]


def test_a_capture_ends_where_a_launch_fails(driver: Driver) -> None:
    queue = GraphQueue()
    queue.launch("a", lambda: None)
    driver.names()

    def fails() -> None:
        raise ValueError("a launch")

    with pytest.raises(ValueError, match="a launch"):
        queue.launch("a", fails)
    assert driver.names() == ["cuStreamBeginCapture", "cuStreamEndCapture"]


def test_copies_go_to_the_device_s_address(driver: Driver) -> None:
    queue = GraphQueue()
    array = SimpleNamespace(__cuda_array_interface__={"data": (4096, False)})
    values = np.arange(5, dtype=np.float32)
    driver.said.clear()
    queue.to_device(array, values)
    queue.to_host(array, values)
    into = ("cuMemcpyHtoDAsync", 4096, values.ctypes.data, 20, 7)
    assert driver.said == [into, ("cuMemcpyDtoHAsync", values.ctypes.data, 4096, 20, 7)]


def test_an_error_of_the_driver_has_its_name(driver: Driver) -> None:
    queue = GraphQueue()
    driver.fails.add("cuStreamSynchronize")
    with pytest.raises(SkytriggerError, match="CUDA_ERROR_MADE_UP"):
        queue.wait()


def test_leased_memory_is_not_given_twice_while_anything_refers_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "pinned_array", lambda size, kind: np.empty(size, kind))
    leases = Leases()
    first = leases.take(100)
    part = first[10:20].view(np.int16)
    where = first.ctypes.data
    del first
    gc.collect()
    second = leases.take(100)
    assert second.ctypes.data != where  # `part` still looks into it
    part[:] = 7
    second[:] = 0
    assert (part == 7).all()
    del part
    gc.collect()
    assert leases.take(90).ctypes.data == where
    assert len(leases.take(10_000)) == 10_000
