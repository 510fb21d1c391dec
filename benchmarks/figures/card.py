"""One H100: the steps of `gpu_plan.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from figures import figure
from figures.text import digits, loaded, records, table
from skytrigger.measure.records import Record

FOLDER = "gpu/nvidia-h100-80gb-hbm3"


def _one(step: str, **what: Any) -> Record:
    found = [r for r in records(f"{FOLDER}/{step}") if what.items() <= {"kind": r.kind, **r.what}.items()]
    if len(found) != 1:
        raise ValueError(f"{len(found)} records of {step} with {what}")
    return found[0]


def _spread(values: np.ndarray) -> str:
    return f"{digits(float(np.median(values)))} ({digits(float(values.min()))} to {digits(float(values.max()))})"


@figure("card.clue")
def clue() -> str:
    """Wall clock of the whole call, and the kernels replayed, by event and version."""
    rows = []
    for size in (100_000, 300_000, 1_000_000):
        event = f"clue pu200 {size}"
        cells = [
            _spread(1e3 * np.array(_one("clue", network=event, kind="latency", **how).samples["call"].values))
            for how in (
                *({"runtime": "cpu", "threads": t} for t in (1, 16)),
                *({"runtime": "cuda", "strategy": s} for s in (1, 2, 3)),
            )
        ]
        graph = _one("clue", network=event, kind="latency", strategy=3).samples["graph"]
        rows.append([f"PU200-like, {size:,} hits (synthetic)", *cells, _spread(1e3 * np.array(graph.values))])
    head = "| event | CPU, 1 thread | CPU, 16 | GPU version 1 | version 2 | version 3 | its kernels alone |"
    return table(f"{head}\n|---|--:|--:|--:|--:|--:|--:|", rows)


@figure("card.power")
def power() -> str:
    """Windows of five seconds at each batch size: time, watts, millijoules."""
    engines = {("basic", "torch", "fp32"): "`basic`, PyTorch eager, float32, TF32 off",
               ("basic", "torch", "default"): "`basic`, PyTorch as it comes",
               ("basic", "hopper", "fp16"): "`basic`, `hopper`, float16",
               ("winner", "torch-compiled", "bf16"): "the search's winner, compiled, bfloat16"}  # fmt: skip
    rows = []
    for (network, runtime, precision), title in engines.items():
        cells = []
        for batch in (1, 64, 1024):
            r = _one("power", network=network, runtime=runtime, precision=precision, batch_size=batch)
            us = 1e6 * float(np.median(r.samples["call"].values)) / r.samples["call"].items
            cells.append(
                f"{digits(us)} us, {r.energy['watts_mean']:.0f} W, "
                f"{digits(1e3 * r.energy['joules_gross'] / r.energy['items'])} mJ"
            )
        rows.append([title, *cells])
    return table("| engine | batch 1 | 64 | 1,024 |\n|---|---|---|---|", rows)


@figure("card.doubts")
def doubts() -> str:
    """Of how many windows of the table the counter and the integrated power disagree by more than 5 %."""
    engines = (("basic", "torch", "fp32"), ("basic", "torch", "default"), ("basic", "hopper", "fp16"),
               ("winner", "torch-compiled", "bf16"))  # fmt: skip
    shown = [
        _one("power", network=n, runtime=r, precision=p, batch_size=b) for n, r, p in engines for b in (1, 64, 1024)
    ]
    return f"{sum(any('disagree' in f for f in r.energy['flags']) for r in shown)} of {len(shown)}"


@figure("card.idle")
def idle() -> str:
    """Of the board before."""
    return f"{_one('power', scenario='idle before').energy['watts_mean']:.0f} W"


@figure("card.rate")
def rate(phase: str, size: str) -> str:
    """Events a second of `size` hits if nothing else took time than this phase of version 3."""
    seconds = _one("clue", network=f"clue pu200 {size}", kind="latency", strategy=3).samples[phase.replace("_", " ")]
    return f"{float(f'{1 / np.median(seconds.values):.2g}'):,.0f}"


@figure("card.many")
def many(strategy: str, size: str) -> str:
    """Events a second in one call, as the step `clue` had them."""
    record = _one("clue", kind="throughput", strategy=int(strategy), hits=int(size))
    call = record.samples["call"]
    return f"{call.items / float(np.median(call.values)):,.0f}"


@figure("card.seconds")
def seconds(step: str) -> str:
    """What the plan's step took."""
    return f"{loaded(f'{FOLDER}/summary.json')[step]['seconds']:.0f}"


@figure("card.basic")
def basic(what: str) -> str:
    """`basic` in float16 at batch 1,024, in bursts: us an image, or the time of PyTorch's float32 over its own."""
    cell = {"network": "basic", "scenario": "burst", "streams": 1, "input_type": "float32"}
    own, eager = (
        np.array(_one("networks", runtime=r, precision=p, **cell).samples["call"].values)
        for r, p in (("hopper", "fp16"), ("torch", "fp32"))
    )
    return f"{_spread(1e6 * own / 1024)} us" if what == "us" else f"{_spread(eager / own)} times"
