"""Ceilings, conditions and clocks, against recorded or invented machines."""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from skytrigger.core.errors import SkytriggerError
from skytrigger.core.work import Work
from skytrigger.measure import clocks, conditions, roofline
from skytrigger.measure.conditions import Watch, counters
from skytrigger.measure.meters.nvml import NvmlMeter
from skytrigger.measure.records import Record, Samples
from skytrigger.measure.roofline import Ceilings, in_own_process, measure_ceilings, roofline_point


def files(root: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_counters_are_the_kernels_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(ru_utime=2.0, ru_stime=0.5, ru_nvcsw=3, ru_nivcsw=4, ru_majflt=5, ru_minflt=6)
    asked = []
    monkeypatch.setattr(resource, "getrusage", lambda who: asked.append(who) or usage)
    monkeypatch.setattr(conditions.time, "monotonic", lambda: 7.0)
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_CLK_TCK": 250}[name])
    monkeypatch.setattr(conditions, "throttled_s", lambda root: 0.25 if root == tmp_path else None)
    files(tmp_path, proc__stat="cpu 1 2 3 4 5 6 7 500 9 10\n", proc__pressure__cpu="some total=2500000\nfull total=4\n",
          proc__pressure__io="full avg10=1.0 total=7000000\n",
          sys__devices__system__cpu__cpu0__thermal_throttle__core_throttle_count="3\n",
          sys__devices__system__cpu__cpu11__thermal_throttle__core_throttle_count="4\n",
          sys__devices__system__cpu__cpu2__thermal_throttle__core_throttle_count="x\n")  # fmt: skip
    assert counters(tmp_path) == {
        "wall_s": 7.0, "cpu_s": 2.5, "voluntary_switches": 3, "involuntary_switches": 4, "major_faults": 5,
        "minor_faults": 6, "steal_s": 2.0, "quota_throttled_s": 0.25, "thermal_throttles": 7.0,
        "stall_cpu_some_s": 2.5, "stall_cpu_full_s": 4e-6, "stall_memory_some_s": None, "stall_memory_full_s": None,
        "stall_io_some_s": None, "stall_io_full_s": 7.0,
    }  # fmt: skip
    assert asked == [resource.RUSAGE_SELF]


@pytest.mark.parametrize("text", ["", "cpu 1 2 3 4 5 6 7\n", "intr 1 2 3 4 5 6 7 8 9\n", "cpu\n1 2 3 4 5 6 7 8 9 10"])
def test_steal_that_the_kernel_does_not_tell(tmp_path: Path, text: str) -> None:
    assert counters(files(tmp_path, proc__stat=text))["steal_s"] is None


def test_increases_are_of_the_same_machine_and_never_negative(tmp_path: Path) -> None:
    files(tmp_path, proc__stat="cpu 1 2 3 4 5 6 7\n", proc__pressure__cpu="some total=10\n")
    watch = Watch.begin(tmp_path)
    files(tmp_path, proc__stat="cpu 1 2 3 4 5 6 7 8 9", proc__pressure__cpu="some total=1000013\n")
    taken = watch.taken()
    assert taken["stall_cpu_some_s"] == 1.000003
    assert taken["stall_cpu_full_s"] is None
    assert taken["steal_s"] is None  # told at the end alone
    assert taken["wall_s"] is not None
    assert 0 <= taken["wall_s"] < 60
    assert Watch({"minor_faults": 1e12}, tmp_path).taken()["minor_faults"] is None
    still = Watch(dict(counters(tmp_path)), tmp_path).taken()
    assert still["stall_cpu_some_s"] == 0.0
    assert Watch({}).taken()["wall_s"] is None
    assert Watch({}).root == Path("/")


def ceilings(**samples: tuple[float, ...]) -> Ceilings:
    return Ceilings({k: Samples("s", v) for k, v in samples.items()}, {"matrix": 100, "copy_bytes": 500})


def test_a_ceiling_is_the_best_sample_of_its_precision() -> None:
    top = ceilings(product=(2.0, 1.0), product_fp16=(0.25, 0.5), copy=(0.5, 1.0))
    assert top.product("fp32") == (2e6, "fp32")
    assert top.product("fp16") == (8e6, "fp16")
    assert top.product("int8") == (2e6, "fp32")
    assert top.operations_per_s == 2e6
    record = Record("ceilings", {}, {}, top.samples, extra=top.how)
    assert Ceilings.of(record) == top


def test_where_both_ceilings_are_equally_near_it_is_called_compute() -> None:
    point = roofline_point(Work(1, 2_000_000, 0, 1000, 1000, 0), 4.0, ceilings(product=(1.0,), copy=(0.5,)))
    assert (point.bound, point.fraction, point.product) == ("compute", 0.25, "fp32")
    assert (point.operations_per_s, point.bytes_per_s, point.intensity) == (5e5, 500.0, 1000.0)


def test_calls_are_timed_after_a_warm_one_and_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now, done = [0.0], []
    monkeypatch.setattr(roofline.time, "perf_counter", lambda: now[0])

    def call() -> None:
        done.append("call")
        now[0] += 1.0 if len(done) > 2 else 50.0

    def synchronize() -> None:
        done.append("synchronize")
        now[0] += 0.5

    assert roofline._best(call, synchronize, 3) == [1.5, 1.5, 1.5]
    assert done == ["call", "synchronize"] * 4


def test_ceilings_with_and_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    seen = []
    mm = torch.mm
    monkeypatch.setattr(
        torch, "mm", lambda a, b, out: seen.append((a.shape, torch.get_num_threads())) or mm(a, b, out=out)
    )
    found = measure_ceilings(3, matrix=32, copy_bytes=4096, rounds=2)
    assert found.how == {
        "matrix": 32,
        "copy_bytes": 4096,
        "threads": 3,
        "device": "cpu",
        "library": f"torch {torch.__version__}",
    }
    assert seen == [((32, 32), 3)] * 3
    assert torch.get_num_threads() == threads
    assert {k: (s.unit, len(s.values)) for k, s in found.samples.items()} == {"product": ("s", 2), "copy": ("s", 2)}
    monkeypatch.setattr(roofline, "find", lambda name: None)
    plain = measure_ceilings(1, matrix=32, copy_bytes=4096, rounds=2)
    assert plain.how["library"] == f"numpy {np.__version__}"
    assert {k: (s.unit, len(s.values)) for k, s in plain.samples.items()} == {"product": ("s", 2), "copy": ("s", 2)}


@pytest.mark.parametrize(
    ("device", "caches", "matrix", "size"),
    [("cpu", {"L1d": 10, "L3": 1000}, 1024, 4000), ("cpu", {}, 1024, 256 << 20), ("cuda:1", {"L3": 9}, 8192, 1 << 30)],
)
def test_the_copy_is_four_times_the_last_cache(
    device: str, caches: dict[str, int], matrix: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def taken(*arguments: Any) -> dict[str, list[float]]:
        asked.append(arguments[1:])
        return {"product": [1.0], "copy": [1.0]}

    monkeypatch.setattr("skytrigger.core.host.host_facts", lambda: {"cpu": {"cache_bytes": caches}})
    monkeypatch.setattr(roofline, "_with_torch", taken)
    monkeypatch.setattr(roofline, "find", lambda name: SimpleNamespace(__version__="9"))
    found = measure_ceilings(2, device)
    assert asked == [(2, device, matrix, size, 10)]
    assert (found.how["matrix"], found.how["copy_bytes"], found.how["device"]) == (matrix, size, device)


def test_a_gpu_multiplies_in_every_precision_and_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    matmul, seen = torch.backends.cuda.matmul, []
    before = matmul.allow_tf32
    randn, ones, mm = torch.randn, torch.ones, torch.mm
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: seen.append("synchronize"))
    monkeypatch.setattr(torch, "randn", lambda *shape, device, dtype: randn(*shape, dtype=dtype))
    monkeypatch.setattr(torch, "ones", lambda n, device: ones(n))
    monkeypatch.setattr(torch, "mm", lambda a, b, out: seen.append((a.dtype, matmul.allow_tf32)) or mm(a, b, out=out))
    taken = roofline._with_torch(torch, 1, "cuda:0", 8, 64, 1)
    assert list(taken) == ["product", "product_tf32", "product_fp16", "product_bf16", "copy"]
    assert [s for s in seen if s != "synchronize"][::2] == [
        (torch.float32, False), (torch.float32, True), (torch.float16, False), (torch.bfloat16, False),
    ]  # fmt: skip
    assert seen.count("synchronize") == 10
    assert matmul.allow_tf32 == before


def test_ceilings_in_a_process_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = '{"samples": {"copy": {"unit": "s", "values": [0.5], "items": 1}}, "how": {"copy_bytes": 8}}'
    calls = []

    def child(command: list[str], **options: Any) -> Any:
        calls.append((command, options))
        return SimpleNamespace(returncode=0, stdout=f"a warning\n{answer}\n", stderr="")

    monkeypatch.setattr(subprocess, "run", child)
    assert in_own_process(2, "cuda:1") == Ceilings({"copy": Samples("s", (0.5,))}, {"copy_bytes": 8})
    in_own_process(1)
    assert [c[0] for c in calls] == [
        [sys.executable, "-m", "skytrigger.measure.roofline", "2", "cuda:1"],
        [sys.executable, "-m", "skytrigger.measure.roofline", "1", "cpu"],
    ]
    options = calls[0][1]
    assert (options["stdin"], options["text"], options["capture_output"]) == (subprocess.DEVNULL, True, True)
    assert options["timeout"] >= 60
    failed = SimpleNamespace(returncode=1, stdout="", stderr="x" * 400 + "no memory\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(SkytriggerError, match=r"measured: x{291}no memory$"):
        in_own_process(1)


class Event:
    """CUDA's event, with a clock that moves by a quarter of a second a mark."""

    now_ms = 0.0

    def __init__(self, enable_timing: bool = False) -> None:
        assert enable_timing
        self.at_ms = math.nan
        self.waited = False

    def record(self, stream: str) -> None:
        Event.now_ms += 250.0
        self.at_ms, self.stream = Event.now_ms, stream

    def synchronize(self) -> None:
        self.waited = True

    def elapsed_time(self, end: Event) -> float:
        assert end.waited
        assert self.stream == end.stream
        return end.at_ms - self.at_ms


@pytest.mark.parametrize(("given", "used"), [(None, "the current one"), ("another", "another")])
def test_a_devices_clock_marks_both_ends_on_one_stream(
    given: str | None, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = SimpleNamespace(Event=Event, current_stream=lambda: "the current one")
    monkeypatch.setattr(clocks, "require", lambda name, why: {"torch": SimpleNamespace(cuda=cuda)}[name])
    clock = clocks.CudaClock(given)
    clock.start()
    clock.stop()
    assert clock.seconds() == 0.25
    assert clock._begin.stream == used


class Nvml:
    """A GPU that answers everything, and says for which."""

    class NVMLError(Exception):
        pass

    NVML_TEMPERATURE_GPU, NVML_CLOCK_SM = "core", "multiprocessors"
    nvmlInit = nvmlShutdown = staticmethod(lambda: None)
    nvmlDeviceGetHandleByIndex = staticmethod(lambda index: f"GPU {index}")
    nvmlDeviceGetName = staticmethod(lambda handle: f"{handle} by name")
    nvmlDeviceGetTotalEnergyConsumption = staticmethod(lambda handle: 7000)
    nvmlDeviceGetPowerUsage = staticmethod(lambda handle: 3000)
    nvmlDeviceGetUtilizationRates = staticmethod(lambda handle: SimpleNamespace(gpu=25))
    nvmlDeviceGetTemperature = staticmethod(lambda handle, kind: {"core": 40, 0: 41}[kind])
    nvmlDeviceGetClockInfo = staticmethod(lambda handle, kind: {"multiprocessors": 1500, 1: 1400}[kind])


def test_readings_of_a_gpu() -> None:
    meter = NvmlMeter(2, nvml=Nvml)
    assert (meter.facts.source, meter.facts.scope) == ("nvml", "GPU board (GPU 2 by name)")
    assert meter.interval_s == 0.1
    found = meter.read()
    assert (found.joules, found.watts, found.utilisation) == (7.0, 3.0, 0.25)
    assert (found.temperature_c, found.clock_mhz) == (40, 1500)
    older = {n: v for n, v in vars(Nvml).items() if n not in ("nvmlDeviceGetPowerUsage", "NVML_TEMPERATURE_GPU",
             "nvmlDeviceGetUtilizationRates", "NVML_CLOCK_SM")}  # fmt: skip
    quiet = NvmlMeter(nvml=type("Older", (), older)).read()
    assert (quiet.joules, quiet.watts, quiet.utilisation) == (7.0, None, None)
    assert (quiet.temperature_c, quiet.clock_mhz) == (41, 1400)
