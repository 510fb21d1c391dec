"""Times of engines on CPUs: the packaged classifiers, `basic` at its fastest, tiles as they are stored."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

from figures import figure
from figures.text import digits, inverse, loaded, plain_slots, records, span, table, times_of
from figures.tiles import NAMES, STUDIES, judged, packaged_hash
from figures.trainings import basic_on
from skytrigger.bench.compare_times import compare_times
from skytrigger.core.files import sha256_file
from skytrigger.core.host import host_label
from skytrigger.eo.packaged import packaged
from skytrigger.measure.paired import compare_blocks
from skytrigger.measure.records import Record
from skytrigger.measure.stats import Interval, median_interval, wilson
from skytrigger.measure.summary import time_summary

EAGER = "optimize/eager/eager.json"
TITLES = {"torch": "PyTorch eager", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


def one(folder: str, **wanted: Any) -> Record:
    """The one record of a folder with these entries."""
    found = [r for r in records(folder) if r.kind in ("latency", "throughput")]
    found = [r for r in found if all(r.what.get(k) == v for k, v in wanted.items())]
    if len(found) != 1:
        raise ValueError(f"{len(found)} records of {folder} with {wanted}")
    return found[0]


def ratio_of(fast: Record, slow: Record) -> Interval:
    """How many times as long `slow` takes, paired."""
    (cell,) = compare_times([fast], [slow])["cells"]
    if not cell["paired"]:
        raise ValueError("not of one run")
    raw = cell["ratio"]
    return Interval(raw["estimate"], raw["low"], raw["high"], raw["level"], raw["n"])


def ms_of(record: Record) -> Interval:
    """Milliseconds an image."""
    summary = time_summary(record)
    if summary is None:
        raise ValueError("no time")
    return summary.ms_per_item


@figure("fast.table")
def fast_table() -> str:
    """Both classifiers with eight-bit weights on every engine, batch 64 and 1, two threads."""
    rows = []
    for name, folder in (("eurosat_ms", "fast/ms-2-threads"), ("eurosat_rgb", "fast/rgb-2-threads")):
        first = name
        for batch, runtime in ((64, "openvino"), (64, "onnxruntime"), (1, "openvino")):
            mine = one(folder, network="student", runtime=runtime, batch_size=batch)
            rivals = [one(folder, network="basic", runtime=r, batch_size=batch) for r in TITLES]
            file = f"`{first}`, `{mine.what['model_hash'][:12]}`" if first else ""
            rows.append([file, str(batch), TITLES[runtime], digits(ms_of(mine).estimate),
                         *(span(ratio_of(mine, r)) for r in rivals)])  # fmt: skip
            first = ""
    head = (
        "| model, file | batch | engine | ms/image | of PyTorch eager | of ONNX Runtime | of OpenVINO |\n"
        "|---|---:|---|---:|---:|---:|---:|"
    )
    return table(head, rows)


@figure("fast.streams")
def two_streams(name: str) -> str:
    """Two streams of one thread at batch 32, OpenVINO."""
    return f"{digits(ms_of(_streams(name)).estimate)} ms"


@figure("fast.streams_times")
def two_streams_times(name: str) -> str:
    """Against ONNX Runtime on `basic` with two streams as well."""
    return f"{span(ratio_of(_streams(name), _streams(name, 'basic', 'onnxruntime')))} times"


def _streams(name: str, network: str = "student", runtime: str = "openvino") -> Record:
    return one(f"fast/{name}-2-streams", network=network, runtime=runtime)


@cache
def packaged_timed(name: str) -> dict[str, Any]:
    """The run of the shipped file, ``two/NAME`` that of two threads; refuses one of another file."""
    found: dict[str, Any] = loaded(f"fast/{name}.json")
    if found["model"]["sha256"] != sha256_file(packaged(name.rpartition("/")[2])):
        raise ValueError(f"results/fast/{name}.json timed another file than the shipped one")
    return found


def packaged_times(name: str, arm: str, engine: str) -> Interval:
    """How many times as long an arm of `basic` takes as the shipped file on an engine."""
    arms = packaged_timed(name)["arms"]
    return times_of(plain_slots(arms[arm]), plain_slots(arms[f"model {engine}"]))


def fastest_engine(name: str) -> str:
    """The stock runtime, with its streams, on which the shipped file is fastest."""
    arms = packaged_timed(name)["arms"]
    return min(engines(arms), key=lambda e: float(np.median(arms[f"model {e}"]["slots"])))


def engines(arms: Iterable[str]) -> list[str]:
    """Those that ran the shipped file, and `basic`."""
    return [a.removeprefix("model ") for a in arms if a.startswith("model ")]


def title(engine: str) -> str:
    """Its name on pages."""
    runtime, comma, streams = engine.partition(",")
    return TITLES[runtime] + comma + streams


def arm_ms(arm: dict[str, Any]) -> Interval:
    """Milliseconds of CPU an image, over the visits."""
    return median_interval(1e3 * np.array(arm["slots"]), positive=True)


def best_eager(name: str) -> str:
    """The batch size at which eager `basic` is fastest, of those in the run."""
    arms = packaged_timed(name)["arms"]
    return min((a for a in arms if a.startswith("eager")), key=lambda a: float(np.median(arms[a]["slots"])))


def best_stored(name: str) -> str | None:
    """The fastest way from stored tiles; None where none was timed."""
    arms = packaged_timed(name)["arms"]
    kept = [a for a in arms if a.startswith("stored")]
    return min(kept, key=lambda a: float(np.median(arms[a]["slots"])), default=None)


@figure("packaged.eager")
def packaged_eager(name: str) -> str:
    """How many times as long eager `basic` takes at its best batch size."""
    return f"{span(packaged_times(name, best_eager(name), fastest_engine(name)))} times"


@figure("packaged.stored")
def packaged_stored(name: str) -> str:
    """CPU time from stored tiles, the fastest way."""
    arm = best_stored(name)
    if arm is None:
        raise ValueError(f"{name} was not timed from stored tiles")
    return f"{span(arm_ms(packaged_timed(name)['arms'][arm]))} ms"


def _cells(name: str) -> list[str]:
    """Time an image, times eager and stock `basic`, time from stored tiles."""
    engine, arms, eager, stored = (
        fastest_engine(name),
        packaged_timed(name)["arms"],
        best_eager(name),
        best_stored(name),
    )
    stock = min(engines(arms), key=lambda e: packaged_times(name, f"basic {e}", engine).estimate)
    return [
        f"{title(engine)}, {span(arm_ms(arms[f'model {engine}']))}",
        f"{span(packaged_times(name, eager, engine))}, {eager.split()[1]} images",
        f"{span(packaged_times(name, f'basic {stock}', engine))}, {title(stock)}",
        span(arm_ms(arms[stored])) if stored else "not timed",
    ]


@figure("packaged.headline")
def packaged_headline() -> str:
    """Accuracy and time of the shipped files, in one row by hash."""
    rows = []
    for name in NAMES:
        found, study = judged(name), STUDIES.get(name)
        basic = basic_on(study, short=True) if study else "not trained"
        right = wilson(found["correct"], found["images"])
        accuracy = (
            f"{100 * right.estimate:.1f} % ({100 * right.low:.1f} to {100 * right.high:.1f}; {found['images']:,})"
        )
        rows.append([f"`{name}`", packaged_hash(name), accuracy, basic, *_cells(name)])
    head = (
        "| model | file | accuracy | `basic` | CPU ms/image | times eager `basic`, its best batch "
        "| times stock `basic` | CPU ms/image from stored tiles |\n"
        "|---|---|---:|---:|---:|---:|---:|---:|"
    )
    return table(head, rows)


@figure("packaged.two")
def packaged_two() -> str:
    """The same by the clock, two threads each."""
    rows = [[f"`{name}`", packaged_hash(name), *_cells(f"two/{name}")] for name in NAMES]
    head = (
        "| model | file | ms/image | times eager `basic`, its best batch | times stock `basic` "
        "| ms/image from stored tiles |\n|---|---|---:|---:|---:|---:|"
    )
    return table(head, rows)


@figure("packaged.host")
def packaged_host() -> str:
    """Where those times were taken."""
    return host_label(packaged_timed("eurosat_ms")["host"])


def eager_times(slow: str, fast: str) -> Interval:
    """Of two arms of the run over batch sizes, 64 images of the winner a call."""
    arms = loaded(EAGER)["arms"]
    return times_of(plain_slots(arms[slow]), plain_slots(arms[fast]))


@figure("eager.times")
def eager_times_text(batch: str, *fast: str) -> str:
    """``eager.times 16 winner Gather``: how many times as long eager `basic` takes."""
    return f"{span(eager_times(f'eager {batch}', ', '.join(fast)))} times"


@figure("eager.table")
def eager_table() -> str:
    """Every batch size of eager `basic`, and the winner three ways."""
    arms = loaded(EAGER)["arms"]
    rows = []
    for name, arm in arms.items():
        if name.startswith("control"):
            continue
        against = [
            span(eager_times(name, fast)) if name.startswith("eager") else "" for fast in ("winner, Gather", "winner")
        ]
        rows.append([arm["what"], str(arm["images"]), span(arm_ms(arm)), *against])
    head = (
        "| what | images a call | CPU ms/image | times the winner with its picking "
        "| times the winner on its own bands |\n"
        "|---|---:|---:|---:|---:|"
    )
    return table(head, rows)


@figure("eager.picking")
def picking() -> str:
    """What bringing the bands together adds to the winner's time, the better way."""
    arms = loaded(EAGER)["arms"]
    found = inverse(times_of(plain_slots(arms["winner"]), plain_slots(arms["winner, Gather"])))
    return f"{span(found)} times"


@figure("eager.noise")
def eager_noise() -> str:
    """The two equal sessions of that run."""
    arms = loaded(EAGER)["arms"]
    control = compare_blocks(plain_slots(arms["eager 16"]), plain_slots(arms["control 16"]), None).ratio
    return span(control)


@figure("eager.host")
def eager_host() -> str:
    """Where it was taken."""
    return host_label(loaded(EAGER)["host"])


@figure("stored.times")
def stored_times(kind: str, against: str) -> str:
    """The 13-band winner on OpenVINO from stored tiles against `basic` on a runtime with the better of its casts.

    `kind` is ``uint16`` where the winner takes such tiles itself, ``float32`` where NumPy casts them first.
    """
    mine = one("optimize/stored", network="student", runtime="openvino", input_type=kind)
    rivals = [one("optimize/stored", network="basic", runtime=against, input_type=k) for k in ("float32", "uint16")]
    return f"{span(ratio_of(mine, min(rivals, key=lambda r: ms_of(r).estimate)))} times"
