"""A small study folder, written through the classes that a study writes with; nothing is trained or timed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.bench.power_window import energy_windows
from skytrigger.core.files import append_line
from skytrigger.learn.evaluate import write_evaluation
from skytrigger.learn.predictions import Predictions
from skytrigger.measure.meters.protocol import Reading
from skytrigger.measure.meters.replay import ReplayMeter
from skytrigger.measure.records import NO_ENERGY, Record, Samples, append
from skytrigger.study.study_file import Cell, StudyFile
from skytrigger.study.toml import load_spec

CLASSES = ("Forest", "River", "SeaLake")
HOST = {
    "cpu": {"model": "Test CPU", "architecture": "x86_64", "isa": ["avx2"], "logical_cores": 4, "cores_in_mask": 2,
            "usable_cores": 2.0},
    "memory_bytes": 8_000_000_000, "os": "Test OS", "kernel": "Linux 1", "python": "CPython 3.11.7",
    "packages": {"skytrigger": "0.1.0", "torch": "2.9.0"}, "gpus": [], "hypervisor": None, "environment": {},
}  # fmt: skip


def predictions(right: float, seed: int, images: int = 90) -> Predictions:
    """Answers of which about a share `right` is correct."""
    rng = np.random.default_rng(seed)
    true = np.arange(images) % len(CLASSES)
    wrong = rng.random(images) > right
    answer = np.where(wrong, (true + 1 + rng.integers(0, 2, images)) % len(CLASSES), true)
    logits = rng.normal(0, 0.1, (images, len(CLASSES)))
    logits[np.arange(images), answer] += 2.0
    return Predictions(
        tuple(f"t{i:03d}" for i in range(images)), true.astype(np.int64), logits.astype(np.float32), CLASSES
    )


def timing_records(
    network: str,
    engines: dict[str, float],
    batch_size: int = 4,
    blocks: int = 12,
    host: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
    energy: dict[str, dict[str, Any]] | None = None,
    device: str = "cpu",
) -> list[Record]:
    """One run: seconds per call of each ``runtime:precision``, 2 % noise, an A/A control of the first engine."""
    rng = np.random.default_rng(7)

    def slots(seconds: float) -> list[float]:
        return [float(s) for s in seconds * np.exp(rng.normal(0, 0.02, 2 * blocks))]

    control = {"a": slots(next(iter(engines.values()))), "c": slots(next(iter(engines.values())))}
    found = []
    for engine, seconds in engines.items():
        runtime, precision = engine.split(":")
        values = control["a"] if not found else slots(seconds)
        what = {"network": network, "runtime": runtime, "precision": precision, "batch_size": batch_size, "threads": 2,
                "streams": 1, "device": device, "scenario": "offline", "data_hash": "ab" * 32}  # fmt: skip
        samples = {name: Samples("s", tuple(values), batch_size) for name in ("call", "slot")}
        extra = {"run": f"run-{network}-{batch_size}", "control": control, "blocks": blocks, "warmup": {"agreed": True}}
        held = (energy or {}).get(engine, {**NO_ENERGY, "why_not": "no power sensor that this machine lets us read"})
        found.append(Record("throughput", what, host or HOST, samples, energy=held, extra={**extra, **(more or {})},
                            when="2026-01-01T00:00:00+00:00"))  # fmt: skip
    return found


DATA = {"kind": "synthetic", "images": 1000, "channels": 13, "classes": 10, "train": 800, "val": 100, "test": 100}


def replayed(watts: float, items: int, seconds: float = 10.0, idle: float = 20.0) -> dict[str, Any]:
    """The energy of a record as the replay meter gives it: `watts` for ten seconds between two idle windows."""

    def trace(mean: float) -> list[Reading]:
        return [
            Reading(0.25 * i, watts=mean + (i % 2 - 0.5), utilisation=0.9 - 0.1 * (i % 2), temperature_c=50.0 + i % 5)
            for i in range(round(4 * seconds) + 1)
        ]

    meter = ReplayMeter([trace(idle), trace(watts), trace(idle)])
    return energy_windows([meter], lambda: (items, seconds), 30.0, wait=lambda _: None)


def training_record(
    batch_size: int,
    rule: str = "kept",
    *,
    study: str = "batch-size",
    correct: int = 80,
    epoch_s: float = 4.0,
    joules: tuple[float, ...] = (),
    host: dict[str, Any] | None = None,
    device: str = "cpu",
) -> Record:
    """A training of seven epochs on 800 images, judged on 100."""
    what = {"network": "basic", "runtime": "torch", "precision": "fp32", "batch_size": batch_size, "threads": 2,
            "streams": 1, "device": device, "scenario": "training", "seed": 0, "data_hash": "ab" * 32}  # fmt: skip
    shown = {"train_loss": 0.2, "val_loss": 0.7, "train_accuracy": 0.95, "val_accuracy": 0.85}
    samples = {"epoch": Samples("s", tuple(epoch_s + 0.1 * (i % 3) for i in range(7)), 800)}
    samples |= {name: Samples("1", (1.0,) * 6 + (value,)) for name, value in shown.items()}
    samples |= {"epoch_joules": Samples("J", joules, 800)} if joules else {}
    extra = {"study": study, "rule": rule, "scaling": "sqrt", "learning_rate": 1e-3, "epochs": 7, "part": "val",
             "correct": correct, "images": 100, "data": DATA}  # fmt: skip
    energy = {**NO_ENERGY, "why_not": "no power sensor that this machine lets us read"}
    return Record("training", what, host or HOST, samples, energy=energy, extra=extra)


def make_study(
    out: Path,
    *,
    networks: dict[str, float] | None = None,
    seeds: tuple[int, ...] = (0, 1),
    kind: str = "synthetic",
    title: str | None = None,
    energy: dict[str, dict[str, Any]] | None = None,
) -> StudyFile:
    """Networks of given true accuracy, one export and one bench cell each; the last network's bench cell failed."""
    networks = networks or {"basic": 0.6, "regularized": 0.9}
    store = StudyFile(out)
    spec = load_spec("quick", models=("basic", "regularized"), seeds=seeds, epochs=3)
    cells: list[Cell] = []
    for place, (name, accuracy) in enumerate(networks.items()):
        for seed in seeds:
            fit = Cell("train", f"n{place}-{seed}", {"recipe": {"model": name, "seed": seed}})
            store.folder(fit).mkdir(parents=True)
            for epoch in (1, 2, 3):
                line = {"epoch": epoch, "train_loss": 1 / epoch, "train_accuracy": 0.5 + 0.1 * epoch,
                        "val_loss": 1.2 / epoch, "val_accuracy": 0.4 + 0.1 * epoch, "seconds": 2.0,
                        "images_per_s": 100.0 + epoch}  # fmt: skip
                append_line(store.folder(fit) / "history.jsonl", json.dumps(line))
            store.finish(fit, {"epochs": 3, "parameters": 1234, "precision": "fp32", "device": "cpu", "threads": 2})
            judge = Cell("evaluate", f"n{place}-{seed}", {"part": "test"}, (fit,))
            found = write_evaluation(predictions(accuracy, 10 * place + seed), store.folder(judge), {"part": "test"})
            store.finish(judge, {k: found[k] for k in ("images", "accuracy")})
            cells += [fit, judge]
        export = Cell("export", f"n{place}", {"precision": "fp32"}, (cells[-2 * len(seeds)],))
        store.finish(export, {"precision": "fp32", "bytes": 18_213_458, "runtime": "onnxruntime", "images": 60,
                              "tiles": "validation images", "relative_error_max": 3e-7, "relative_error_median": 1e-7,
                              "changed_decisions": 0})  # fmt: skip
        bench = Cell("bench", f"n{place}-batch4", {"batch_size": 4}, (export,))
        if place < len(networks) - 1:
            engines = {"torch:fp32": 0.040, "onnxruntime:fp32": 0.016, "openvino:fp32": 0.0401}
            for record in timing_records(name, engines, energy=energy):
                append(store.folder(bench) / "records.jsonl", record)
            gone = {"unavailable": {"openvino bf16": "this CPU has no bf16"}, "failed": {}}
            store.finish(bench, {"measured": 3, **gone})
        else:
            bench.status, bench.error = "failed", "the engine broke"
        cells += [export, bench]
    spec_json = {**spec.to_json(), **({"title": title} if title else {})}
    source = {"kind": kind, "store": "/home/someone/cache"}
    data = {"hash": "ab" * 32, "source": source, "images": 900, "channels": ["B02", "B03"], "classes": list(CLASSES),
            "units": "DN", "split": {"train": 720, "val": 90, "test": 90, "kind": "random", "seed": 0}}  # fmt: skip
    store.spec, store.host, store.data, store.cells = spec_json, HOST, data, cells
    store.write()
    return store
