"""What the steps measure: networks as model files, engines opened on them, windows of work with a meter.

Weights are random where no trained file is named (times and watts do not depend on them; the records say so). In
simulation everything runs on the CPU with tiny batches, and the meter plays back a made-up trace.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import UnavailableError
from skytrigger.core.host import host_facts
from skytrigger.core.progress import say
from skytrigger.eo import networks
from skytrigger.hep.doublets import networks as doublets
from skytrigger.measure.meters.found import open_meters
from skytrigger.measure.meters.protocol import Reading, window_energy
from skytrigger.measure.meters.replay import ReplayMeter
from skytrigger.measure.records import Record, Samples, append
from skytrigger.model.export import export_onnx
from skytrigger.model.file import ModelFile, read_model
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.torch.graph import module_of

MEAN, DEVIATION = 1200.0, 900.0
WINNER = Path(__file__).parents[2] / "results/optimize/best.onnx"


@dataclass
class Bench:
    """Where one step runs and where its records go."""

    out: Path
    simulate: bool = False
    where: dict[str, Any] = field(default_factory=lambda: _short(host_facts()))

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self.device = "cpu" if self.simulate else "cuda"
        self.models = Path(os.environ.get("GPU_PLAN_MODELS") or tempfile.mkdtemp(prefix="models-"))
        self.rng = np.random.default_rng(0)
        torch.manual_seed(0)
        if not self.simulate:
            torch.backends.cudnn.benchmark = True  # the rival's convolutions at their fastest

    def size(self, real: int, tiny: int) -> int:
        """A number of the real run, or the simulation's."""
        return tiny if self.simulate else real

    def keep(self, kind: str, what: dict[str, Any], samples: dict[str, Samples], **extra: Any) -> None:
        """One record, appended whole."""
        if self.simulate:
            extra["simulated"] = True
        energy = extra.pop("energy", None)
        record = Record(kind, what, self.where, samples, extra=extra)
        append(self.out / "records.jsonl", record if energy is None else Record(
            kind, what, self.where, samples, energy=energy, extra=extra))  # fmt: skip

    def synchronize(self) -> None:
        """Wait for the device."""
        if not self.simulate:
            torch.cuda.synchronize()

    def file(self, network: str, precision: str = "fp32", channels: int = 13) -> ModelFile:
        """Model file of a network with random weights, made once; ``winner`` is the optimised network's own."""
        if network == "winner":
            return read_model(WINNER)
        path = self.models / f"{network}-{channels}-{precision}.onnx"
        if not path.is_file():
            torch.manual_seed(0)
            hep = network.startswith("doublets")
            size, classes = ((16, 16), 2) if hep else ((64, 64), 10)
            made = (doublets if hep else networks).build(network, channels, size, classes).eval()
            card = ModelCard(
                network, tuple(f"c{i}" for i in range(channels)), tuple(f"class {i}" for i in range(classes)), size,
                (MEAN,) * channels, (DEVIATION,) * channels, "DN", "",
            )  # fmt: skip
            export_onnx(made, card, path, precision)
        return read_model(path)

    def tiles(self, model: ModelFile, count: int, kind: str = "float32") -> np.ndarray:
        """Random tiles with a plausible mean and deviation."""
        shape = (min(count, 64), len(model.card.channels), *model.card.size)
        few = np.clip(np.rint(MEAN + DEVIATION * self.rng.standard_normal(shape, np.float32)), 0, 60_000)
        return np.ascontiguousarray(np.resize(few, (count, *shape[1:])).astype(kind))

    def open(self, network: str, engine: str, batch: int, streams: int = 1, kind: str = "float32",
             channels: int = 13) -> Engine | None:  # fmt: skip
        """Engine ``runtime:precision``, its tiles on the device; None (and the reason said) where there is none."""
        runtime, _, precision = engine.partition(":")
        if self.simulate:
            runtime, precision, kind = "torch", "default" if precision == "default" else "fp32", "float32"
        model = self.file(network, "fp16" if precision == "fp16" else "fp32", channels)
        start = time.perf_counter()
        try:
            session: Any
            if precision == "default":
                session = DefaultTorch(model, self.device)
            else:
                session = open_session(model, runtime, precision, batch, 1, streams, self.device, kind)
            session.run(self.tiles(model, batch * streams, kind))
        except UnavailableError as error:
            say(f"{network} {engine}: {error.problem}")
            return None
        say(f"{network} {engine} batch {batch} x {streams}: opened in {time.perf_counter() - start:.1f} s")
        return Engine(self, network, engine, batch, streams, kind, session)


class DefaultTorch:
    """PyTorch as it comes: no setting touched, so float32 convolutions run in TF32 and dense layers in float32."""

    def __init__(self, model: ModelFile, device: str) -> None:
        self.model, self.device = model, device
        self.module = module_of(model.graph()).eval().to(device).to(memory_format=torch.channels_last)
        backends = torch.backends
        settings = f"convolutions {backends.cudnn.conv.fp32_precision}, products {backends.cuda.matmul.fp32_precision}"
        self.facts = {"version": torch.__version__, "provider": f"{device} eager, default settings ({settings})",
                      "engine_hash": model.sha256}  # fmt: skip

    def run(self, tiles: np.ndarray) -> np.ndarray:
        """Logits; the tiles stay on the device."""
        self._tiles = torch.from_numpy(tiles).to(self.device)
        for _ in range(2):
            with torch.inference_mode():
                (logits,) = self.module(self._tiles)
        return logits.cpu().numpy()

    def enqueue(self, count: int, stream: int = 0) -> None:
        """Start the work on the tiles of the last `run`."""
        with torch.inference_mode():
            self.module(self._tiles[:count])

    def close(self) -> None:
        """Nothing that the collector would not find."""


@dataclass
class Engine:
    """An open engine with tiles on its device."""

    bench: Bench
    network: str
    name: str
    batch: int
    streams: int
    kind: str
    session: Any

    def call(self, streams: int = 1) -> Callable[[], None]:
        """Queues a batch on each of that many streams."""
        if hasattr(self.session, "enqueue"):
            return lambda: [self.session.enqueue(self.batch, s) for s in range(streams)][-1]
        tiles = self.bench.tiles(self.session.model, self.batch)
        return lambda: [self.session.run(tiles) for _ in range(streams)] and None

    def what(self, streams: int = 1, **more: Any) -> dict[str, Any]:
        """The record's."""
        runtime, _, precision = self.name.partition(":")
        facts = {"network": self.network, "runtime": runtime, "precision": precision, "batch_size": self.batch,
                 "threads": 1, "streams": streams, "device": self.bench.device, "input_type": self.kind,
                 "data_hash": None, "model_hash": self.session.model.sha256}  # fmt: skip
        return facts | {"engine_hash": self.session.facts.get("engine_hash")} | more

    def extra(self) -> dict[str, Any]:
        """Where the engine comes from."""
        weights = "trained" if self.network == "winner" else "random"
        return {"provider": self.session.facts["provider"], "version": self.session.facts["version"],
                "weights": weights}  # fmt: skip

    def close(self) -> None:
        """Free it."""
        self.session.close()


def seconds_a_call(bench: Bench, call: Callable[[], None], repeats: int) -> float:
    """Of `repeats` queued one behind the other, after one that is not timed."""
    call()
    bench.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    bench.synchronize()
    return (time.perf_counter() - start) / repeats


def repeats_for(bench: Bench, call: Callable[[], None], visit_s: float) -> int:
    """How many calls fill a visit."""
    each = min(seconds_a_call(bench, call, 3) for _ in range(2))
    return max(3, min(20_000, int(visit_s / max(1e-7, each))))


@contextlib.contextmanager
def meter_of(bench: Bench) -> Iterator[Any]:
    """The board's meter; None where there is none."""
    if bench.simulate:
        trace = [Reading(0.1 * t, 30.0 * t, 290.0 + t % 3, 0.9, 50.0, 1700.0) for t in range(60)]
        yield ReplayMeter([trace])
        return
    meters = open_meters("cuda")
    yield meters[0] if meters else None
    for meter in meters:
        meter.close()


def window(bench: Bench, meter: Any, call: Callable[[], None] | None, seconds: float, items: int) -> dict[str, Any]:
    """Work (or wait, where `call` is None) for `seconds` under the meter: images, time of each, joules, W, clocks.

    Joules are the counter's between the first and the last reading, scaled to the images done; the integral of the
    power readings stands beside it.
    """
    repeats = repeats_for(bench, call, 0.05) if call else 0
    meter.start()
    start, calls = time.perf_counter(), 0
    while (now := time.perf_counter()) - start < seconds:
        if call is None:
            time.sleep(min(0.1, seconds))
            continue
        for _ in range(repeats):
            call()
        bench.synchronize()
        calls += repeats
    taken_s = now - start
    readings = meter.stop()
    energy = window_energy(readings, meter.facts)
    integrated = window_energy([Reading(r.time_s, None, r.watts) for r in readings], meter.facts)
    found = {"label": "measured" if energy.joules is not None else "unavailable", "source": meter.facts.source,
             "scope": meter.facts.scope, "resolution": meter.facts.resolution, "flags": list(energy.flags),
             "window_s": energy.seconds, "seconds": taken_s, "items": calls * items, "watts_mean": energy.watts_mean,
             "watts_min": energy.watts_min, "watts_max": energy.watts_max, "utilisation": energy.utilisation,
             "temperature_c": energy.temperature_c, "clock_mhz": energy.clock_mhz,
             "integrated_watts": integrated.watts_mean}  # fmt: skip
    found |= {f"{name}_range": list(pair) for name, pair in energy.ranges.items()}
    if energy.watts_mean is not None:
        found["joules_gross"] = energy.watts_mean * taken_s
    return found


def _short(facts: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in facts.items() if k in ("gpus", "cpu", "os", "python", "packages")}
