"""Times and joules on an NVIDIA H200."""

from __future__ import annotations

from functools import cache

import numpy as np

from figures import figure
from figures.text import RESULTS, digits, loaded, table
from skytrigger.measure.records import Record, read
from skytrigger.measure.roofline import Ceilings


@cache
def _records() -> tuple[Record, ...]:
    return tuple(read(RESULTS / "gpu/networks.jsonl"))


def one(
    network: str, runtime: str, precision: str, kind: str = "float32", streams: int = 1,
    scenario: str = "device-resident",
    memory: str | None = None,
) -> Record:  # fmt: skip
    """The record of a cell."""
    wanted = {"network": network, "runtime": runtime, "precision": precision, "input_type": kind, "streams": streams,
              "scenario": scenario}  # fmt: skip
    found = [r for r in _records() if all(r.what.get(k) == v for k, v in wanted.items())]
    found = [r for r in found if memory is None or r.extra.get("memory") == memory]
    if len(found) != 1:
        raise ValueError(f"{len(found)} records with {wanted}, {memory}")
    return found[0]


def us(record: Record) -> np.ndarray:
    """Microseconds an image, a value a round."""
    call = record.samples["call"]
    return np.array(call.values) / call.items * 1e6


def spread(values: np.ndarray) -> str:
    """Median with the extremes of the rounds."""
    return f"{digits(float(np.median(values)))} ({digits(float(values.min()))} to {digits(float(values.max()))})"


@figure("gpu.us")
def burst(network: str, runtime: str, precision: str, kind: str = "float32", streams: str = "1") -> str:
    """Tiles on the GPU, bursts."""
    return f"{spread(us(one(network, runtime, precision, kind, int(streams))))} us"


@figure("gpu.median")
def burst_median(network: str, runtime: str, precision: str, kind: str = "float32", streams: str = "1") -> str:
    """The same without the extremes."""
    return f"{digits(float(np.median(us(one(network, runtime, precision, kind, int(streams))))))} us"


@figure("gpu.times")
def times(runtime: str, precision: str, other: str, other_precision: str) -> str:
    """Of `basic`, round by round: how many times as long the other takes."""
    ratio = us(one("basic", other, other_precision)) / us(one("basic", runtime, precision))
    return f"{spread(ratio)} times"


def _window(runtime: str, precision: str, kind: str = "float32", network: str = "basic") -> dict[str, float]:
    found: dict[str, float] = one(network, runtime, precision, kind, scenario="device-resident energy").extra["energy"]
    return found


@figure("gpu.window")
def window(runtime: str, precision: str, network: str = "basic") -> str:
    """Over the window whose energy was read, without a pause."""
    found = _window(runtime, precision, network=network)
    return f"{digits(1e6 * found['seconds'] / found['images'])} us"


@figure("gpu.seconds")
def window_seconds() -> str:
    """Length of those windows."""
    lengths = [r.extra["energy"]["seconds"] for r in _records() if r.what.get("scenario") == "device-resident energy"]
    return f"{min(lengths):.1f} s"


@figure("gpu.mj")
def joules(runtime: str, precision: str, kind: str = "float32") -> str:
    """Millijoules an image by the board's counter, idle power inside."""
    found = _window(runtime, precision, kind)
    return f"{1e3 * found['joules'] / found['images']:.2g} mJ"


@figure("gpu.watts")
def watts(runtime: str, precision: str) -> str:
    """Of the board in that window."""
    return f"{_window(runtime, precision)['watts']:.0f} W"


@figure("gpu.doubts")
def doubts() -> str:
    """How many windows have a counter and an integrated power that disagree."""
    windows = [r.extra["energy"] for r in _records() if r.what.get("scenario") == "device-resident energy"]
    return f"{sum(bool(w['flags']) for w in windows)} of the {len(windows)} windows"


@figure("gpu.longer")
def longer(runtime: str, precision: str) -> str:
    """The window's time over the bursts'."""
    found = _window(runtime, precision)
    ratio = 1e6 * found["seconds"] / found["images"] / float(np.median(us(one("basic", runtime, precision))))
    return f"{100 * (ratio - 1):.0f} %"


@figure("gpu.transfer")
def transfer(runtime: str, precision: str, kind: str, memory: str, streams: str = "2") -> str:
    """From the host's memory and back."""
    return f"{spread(us(one('basic', runtime, precision, kind, int(streams), 'transfers', memory)))} us"


@figure("gpu.streams_gain")
def streams_gain(runtime: str, precision: str, kind: str, memory: str = "") -> str:
    """One stream's time over two streams'."""
    scenario = "transfers" if memory else "device-resident"
    alone, two = (us(one("basic", runtime, precision, kind, s, scenario, memory or None)) for s in (1, 2))
    return f"{digits(float(np.median(alone) / np.median(two)))} times"


@figure("gpu.link")
def link(kind: str) -> str:
    """Bytes of tiles a second over the link, `hopper`, page-locked, two streams."""
    size = 13 * 64 * 64 * np.dtype(kind).itemsize
    record = one("basic", "hopper", "fp16", kind, 2, "transfers", "page-locked")
    return f"{size / float(np.median(us(record))) / 1e3:.0f} GB/s"


@cache
def _ceilings() -> Ceilings:
    return Ceilings.of(next(r for r in _records() if r.kind == "ceilings"))


@figure("gpu.ceiling")
def ceiling(precision: str) -> str:
    """Of a large product, or of a ``copy``, in the same run."""
    if precision == "copy":
        return f"{_ceilings().bytes_per_s / 1e12:.2f} TB/s"
    return f"{_ceilings().product(precision)[0] / 1e12:.0f} TFLOP/s"


OPERATIONS = 2 * 170_591_488  # of `basic`, 13 bands: `optimize.students.multiply_adds`; a test counts them


@figure("gpu.operations")
def operations() -> str:
    """Of an image of `basic`."""
    return f"{OPERATIONS / 1e9:.2f} GFLOP"


@figure("gpu.floor")
def floor() -> str:
    """Those operations at the measured ceiling."""
    return f"{1e6 * OPERATIONS / _ceilings().product('fp16')[0]:.2f} us"


@figure("gpu.of_floor")
def of_floor() -> str:
    """`hopper`'s time over the floor."""
    best = float(np.median(us(one("basic", "hopper", "fp16"))))
    return f"{best / (1e6 * OPERATIONS / _ceilings().product('fp16')[0]):.1f} times"


@figure("gpu.rate")
def rate(runtime: str, precision: str) -> str:
    """Operations a second of an engine."""
    return f"{OPERATIONS / float(np.median(us(one('basic', runtime, precision)))) / 1e6:.0f} TFLOP/s"


@figure("gpu.tile_us")
def tile_us() -> str:
    """A float32 tile at the rate of a copy's bytes."""
    return f"{1e6 * 13 * 64 * 64 * 4 / _ceilings().bytes_per_s:.2f} us"


@figure("gpu.layers")
def layers(*words: str) -> str:
    """The layers' sum of a variant in ``layers.txt``, by how its line begins."""
    return f"{_layers(' '.join(words)):.2f} us"


@figure("gpu.saved")
def saved(*words: str) -> str:
    """What a variant takes from the sum of the kernel as it was measured."""
    return f"{_layers('0.1289') - _layers(' '.join(words)):.2f} us"


def _layers(begin: str) -> float:
    lines = [line for line in (RESULTS / "gpu/layers.txt").read_text().splitlines() if line.strip().startswith(begin)]
    (line,) = lines
    values = [float(word) for word in line.split() if word.replace(".", "").isdigit() and "." in word]
    return sum(values)


@figure("origin.us")
def origin_us(runtime: str, precision: str = "") -> str:
    """The 2019 study's own time an image on a P100."""
    rows = [r for r in loaded("origin.toml")["time"] if r["device"] == "NVIDIA P100" and r["runtime"] == runtime]
    (row,) = (r for r in rows if r.get("precision", "") == precision)
    return f"{1e3 * row['ms_per_image']:.0f} us"


@figure("gpu.headline")
def headline() -> str:
    """`hopper` beside both baselines and the compiled network: bursts, windows, joules."""
    names = {("torch", "fp32"): "PyTorch eager, float32, TF32 off", ("torch", "tf32"): "PyTorch eager, TF32",
             ("torch", "fp16"): "PyTorch eager, float16", ("torch-compiled", "fp16"): "PyTorch compiled, float16",
             ("hopper", "fp16"): "`hopper`, float16: convolutions of our own"}  # fmt: skip
    windows = {(r.what["runtime"], r.what["precision"]) for r in _records()
               if r.what.get("scenario") == "device-resident energy" and r.what["network"] == "basic"}  # fmt: skip
    rows = []
    for key, title in names.items():
        known = key in windows
        rows.append([title, spread(us(one("basic", *key))),
                     window(*key).removesuffix(" us") if known else "not measured",
                     joules(*key).removesuffix(" mJ") if known else "not measured",
                     "" if key[0] == "hopper" else times("hopper", "fp16", *key).removesuffix(" times")])  # fmt: skip
    head = "| | us/image, bursts | us/image, window | mJ/image | times `hopper`, bursts |\n|---|---:|---:|---:|---:|"
    return table(head, rows)
