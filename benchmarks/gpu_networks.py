r"""Networks on one GPU: batch 1 to 8,192, 1 to 8 streams, every precision, device-resident and with transfers.

    python benchmarks/gpu_networks.py --out results/gpu \
        --basic basic.onnx basic_fp16.onnx --winner best.onnx best_fp16.onnx

`basic` and the winner of `skytrigger optimize` on PyTorch (eager, and compiled with CUDA graphs) and, in float16, on
`hopper`. All engines of one batch size are open at once and visited in a new random order in each round, so that
ratios are of one run; cuDNN picks its algorithms by timing them. Device-resident: the tiles lie on the GPU, the clock
runs from the first launch to the last logits. With transfers: 8,192 images from ordinary or page-locked memory and
their logits back. Images are random numbers with the training tiles' mean and deviation: times do not depend on them.
Records go to ``networks.jsonl``.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skytrigger.core.errors import UnavailableError
from skytrigger.core.host import host_facts
from skytrigger.core.progress import say
from skytrigger.measure.meters.found import open_meters
from skytrigger.measure.meters.protocol import window_energy
from skytrigger.measure.records import Record, Samples, append
from skytrigger.measure.roofline import measure_ceilings
from skytrigger.model.file import ModelFile, read_model
from skytrigger.runtimes.cuda_lanes import page_locked
from skytrigger.runtimes.open import open_session

BATCHES = (1024, 8192, 64, 1, 256, 8)
COMPILED = {
    "basic": {"fp32": (1, 64, 1024), "tf32": (1024,), "bf16": (1024,), "fp16": (1, 64, 1024, 8192)},
    "winner": {"fp32": (1024,), "fp16": (1, 64, 1024, 8192)},
}  # compiling takes far longer than measuring
IMAGES = 8192  # of a visit with transfers
VISIT_S = 0.03


@dataclass(frozen=True)
class Engine:
    """What is opened once."""

    network: str
    runtime: str
    precision: str
    batch_size: int
    input_type: str = "float32"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--basic", nargs=2, type=Path, required=True, help="float32 and float16 model file")
    parser.add_argument("--winner", nargs=2, type=Path, required=True, help="the same of the optimised network")
    parser.add_argument("--out", type=Path, default=Path("results/gpu"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=lambda s: tuple(map(int, s.split(","))), default=BATCHES)
    parser.add_argument("--no-compiled", action="store_true")
    parser.add_argument("--energy-seconds", type=float, default=2.0)
    args = parser.parse_args()
    files = {("basic", "fp32"): args.basic[0], ("basic", "fp16"): args.basic[1]}
    files |= {("winner", "fp32"): args.winner[0], ("winner", "fp16"): args.winner[1]}
    models = {key: read_model(file) for key, file in files.items()}
    torch.backends.cudnn.benchmark = True  # this thread alone queues the device-resident work
    study = Study(models, args.out / "networks.jsonl")
    study.ceilings()
    study.transfers((1024,), args.rounds)
    for batch in args.batches:
        study.resident(batch, args.rounds, not args.no_compiled, args.energy_seconds if batch == 1024 else 0.0)


class Study:
    """Sessions and records of one run."""

    def __init__(self, models: dict[tuple[str, str], ModelFile], out: Path) -> None:
        self.models, self.out, self.where = models, out, host_facts()
        self.rng = np.random.default_rng(0)

    def ceilings(self) -> None:
        """The GPU's matrix products and copy."""
        found = measure_ceilings(1, "cuda")
        append(self.out, Record("ceilings", {"device": "cuda"}, self.where, found.samples, extra=found.how))
        rates = {p: f"{found.product(p)[0] / 1e12:.0f}" for p in ("fp32", "tf32", "fp16", "bf16")}
        say(f"TFLOP/s {rates}, copy {found.bytes_per_s / 1e12:.2f} TB/s")

    def tiles(self, model: ModelFile, count: int, kind: str) -> np.ndarray:
        """Images with the card's mean and deviation."""
        card = model.card
        mean, std = (np.asarray(v, np.float32)[:, None, None] for v in (card.mean, card.std))
        few = mean + std * self.rng.standard_normal((min(count, 64), len(card.channels), *card.size), np.float32)
        return np.ascontiguousarray(np.resize(np.clip(np.rint(few), 0, 60000), (count, *few.shape[1:])).astype(kind))

    def opened(self, engine: Engine, streams: int) -> Any:
        """A session, or None with the reason said."""
        source = "fp16" if engine.precision == "fp16" else "fp32"
        start = time.perf_counter()
        try:
            session = open_session(
                self.models[engine.network, source], engine.runtime, engine.precision, engine.batch_size, 1, streams,
                "cuda", engine.input_type,
            )  # fmt: skip
        except UnavailableError as error:
            say(f"{engine}: {error.problem}")
            return None
        say(f"{engine.network} {engine.runtime} {engine.precision} batch {engine.batch_size} x {streams}: "
            f"opened in {time.perf_counter() - start:.1f} s")  # fmt: skip
        return session

    def resident(self, batch: int, rounds: int, compiled: bool, energy_s: float) -> None:
        """All engines at one batch size, tiles on the GPU."""
        lanes = 8 if batch <= 256 else 2 if batch <= 1024 else 1
        engines = [Engine(n, "torch", p, batch) for n in ("basic", "winner") for p in ("fp32", "tf32", "bf16", "fp16")]
        engines += [
            Engine(n, "torch-compiled", p, batch)
            for n, precisions in COMPILED.items()
            for p, sizes in precisions.items()
            if compiled and batch in sizes
        ]  # fmt: skip
        engines += [Engine("basic", "hopper", "fp16", batch, kind) for kind in ("float32", "uint16")]
        sessions = {e: s for e in engines if (s := self.opened(e, lanes)) is not None}
        calls: dict[tuple[Engine, int], tuple[Callable[[], None], int]] = {}
        for engine, session in sessions.items():
            tiles = self.tiles(session.model, batch * lanes, engine.input_type)
            session.run(tiles)
            for streams in (s for s in (1, 2, 4, 8) if s <= lanes):
                call = _resident(session, batch, streams)
                calls[engine, streams] = call, _repeats(call)
        taken: dict[tuple[Engine, int], list[float]] = {}
        for engine, streams in self.visits(rounds, list(calls)):
            call, repeats = calls[engine, streams]
            seconds = timed(call, repeats)
            taken.setdefault((engine, streams), []).append(seconds)
            if batch >= 4096:
                torch.cuda.empty_cache()
        for (engine, streams), seconds_of in taken.items():
            self.keep(engine, streams, "device-resident", seconds_of, batch * streams, sessions[engine])
        for engine, session in sessions.items():
            if energy_s and (engine.runtime == "hopper" or engine.precision in ("fp32", "fp16")):
                self.energy(engine, session, batch, energy_s)
            session.close()
        sessions.clear()
        torch.cuda.empty_cache()

    def visits(self, rounds: int, cells: list[Any]) -> list[Any]:
        """Every cell once a round, in a new order each round."""
        return [cells[i] for _ in range(rounds) for i in self.rng.permutation(len(cells))]

    def keep(self, engine: Engine, streams: int, scenario: str, seconds: list[float], items: int, session: Any,
             **extra: Any) -> None:  # fmt: skip
        """One cell as a record, a value a round: those of one place in the rounds are compared."""
        what = {**vars(engine), "threads": 1, "streams": streams, "device": "cuda", "scenario": scenario}
        what |= {"data_hash": None, "model_hash": session.model.sha256, "engine_hash": session.engine.engine_hash}
        extra |= {"provider": session.engine.provider, "version": session.engine.version}
        where = {k: v for k, v in self.where.items() if k in ("gpus", "cpu", "os", "python", "packages")}
        append(self.out, Record("throughput", what, where, {"call": Samples("s", tuple(seconds), items)}, extra=extra))

    def energy(self, engine: Engine, session: Any, batch: int, seconds: float) -> None:
        """The board's joules over a stretch of device-resident work, idle power included."""
        for meter in open_meters("cuda")[:1]:
            call = _resident(session, batch, 1)
            call()
            meter.start()
            start, calls = time.perf_counter(), 0
            while time.perf_counter() - start < seconds:
                timed(call, 9)
                calls += 10  # and the one before the clock
            taken = window_energy(meter.stop(), meter.facts)
            meter.close()
            entry = {"joules": taken.joules, "seconds": taken.seconds, "images": calls * batch, "flags": taken.flags,
                     "watts": taken.watts_mean, "utilisation": taken.utilisation, "celsius": taken.temperature_c,
                     "scope": meter.facts.scope, "source": meter.facts.source}  # fmt: skip
            each = taken.seconds / max(1, calls)
            self.keep(engine, 1, "device-resident energy", [each], batch, session, energy=entry)
            say(f"{engine.network} {engine.runtime} {engine.precision}: {taken.watts_mean} W")

    def transfers(self, batches: tuple[int, ...], rounds: int) -> None:
        """From memory of the host and back: page-locked or not, in two types, over 1 to 8 streams."""
        for batch in batches:
            engines = [Engine("basic", "torch", "fp32", batch), Engine("basic", "hopper", "fp16", batch)]
            engines += [replace(e, input_type="uint16") for e in engines[1:]]
            for engine in engines:
                sessions = {s: x for s in (1, 2, 4, 8) if (x := self.opened(engine, s)) is not None}
                if not sessions:
                    continue
                pageable = self.tiles(sessions[1].model, IMAGES, engine.input_type)
                images = {"pageable": pageable, "page-locked": page_locked(pageable)}
                cells = list(itertools.product(images, sessions))
                for memory, streams in cells:
                    sessions[streams].run(images[memory])
                taken: dict[tuple[str, int], list[float]] = {}
                for memory, streams in self.visits(rounds, cells):
                    start = time.perf_counter()
                    sessions[streams].run(images[memory])
                    taken.setdefault((memory, streams), []).append(time.perf_counter() - start)
                for (memory, streams), seconds in taken.items():
                    self.keep(engine, streams, "transfers", seconds, IMAGES, sessions[streams], memory=memory)
                for session in sessions.values():
                    session.close()


def _resident(session: Any, batch: int, streams: int) -> Callable[[], None]:
    def call() -> None:
        for stream in range(streams):
            session.enqueue(batch, stream)

    return call


def timed(call: Callable[[], None], repeats: int) -> float:
    """Seconds of one call, of `repeats` queued one behind the other."""
    call()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def _repeats(call: Callable[[], None]) -> int:
    return max(3, min(1000, int(VISIT_S / max(1e-6, min(timed(call, 3) for _ in range(2))))))


if __name__ == "__main__":
    main()
