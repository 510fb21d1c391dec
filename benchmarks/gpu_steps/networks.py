"""Step: `basic` whole at batch 1,024 on every engine and 1 to 8 streams, then all seven networks; bursts and windows.

A burst is a visit of 30 ms, engines visited in a new random order each round, so that ratios are of one run. A window
is two seconds or more of the same work without a pause, with joules: the card is then as hot and as slow as it gets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpu_steps.engines import Bench, Engine, meter_of, repeats_for, seconds_a_call, window
from skytrigger.core.progress import say
from skytrigger.eo.networks import NAMES
from skytrigger.measure.records import Samples
from skytrigger.measure.roofline import measure_ceilings

ENGINES = ("torch:fp32", "torch:default", "torch:tf32", "torch:bf16", "torch:fp16", "torch-compiled:fp32",
           "torch-compiled:tf32", "torch-compiled:fp16", "hopper:fp16")  # fmt: skip
OTHERS = ("torch:fp32", "torch:default", "torch:fp16", "hopper:fp16")


def run(out: Path, simulate: bool, data: Path | None = None) -> None:
    """Records of the step into `out`."""
    bench = Bench(out, simulate)
    if not simulate:
        found = measure_ceilings(1, "cuda")
        bench.keep("ceilings", {"device": "cuda"}, found.samples, **found.how)
    batch, rounds = bench.size(1024, 1), bench.size(7, 2)
    engines = [e for name in ENGINES if (e := bench.open("basic", name, batch, 8 if name == "hopper:fp16" else 1))]
    stored = bench.open("basic", "hopper:fp16", batch, 8, "uint16")
    engines += [stored] if stored else []
    bursts(bench, engines, rounds)
    with meter_of(bench) as meter:
        for engine in engines:
            if engine.name in ("torch:fp32", "torch:default", "torch-compiled:fp16", "hopper:fp16") and meter:
                sustained(bench, engine, meter, bench.size(3, 0) or 0.05)
    for engine in engines:
        engine.close()
    for network in NAMES:
        if network == "basic":
            continue
        names = [*OTHERS[:-1], "torch-compiled:fp16"] if network == "regularized" else OTHERS
        opened = [e for name in names if (e := bench.open(network, name, batch))]
        bursts(bench, opened, bench.size(5, 2))
        for engine in opened:
            engine.close()


def bursts(bench: Bench, engines: list[Engine], rounds: int) -> None:
    """Every engine and number of streams once a round, in a new order each round."""
    cells: list[tuple[Engine, int]] = [(e, s) for e in engines for s in (1, 2, 4, 8) if s <= e.streams]
    visit_s = 0.002 if bench.simulate else 0.03
    calls = {i: e.call(s) for i, (e, s) in enumerate(cells)}
    repeats = {i: repeats_for(bench, call, visit_s) for i, call in calls.items()}
    taken: dict[int, list[float]] = {i: [] for i in calls}
    for _ in range(rounds):
        for i in bench.rng.permutation(len(cells)):
            taken[int(i)].append(seconds_a_call(bench, calls[int(i)], repeats[int(i)]))
    for i, (engine, streams) in enumerate(cells):
        samples = {"call": Samples("s", tuple(taken[i]), engine.batch * streams)}
        what = engine.what(streams, scenario="burst")
        bench.keep("throughput", what, samples, visit_s=visit_s, calls=repeats[i], **engine.extra())
        each = 1e6 * sorted(taken[i])[len(taken[i]) // 2] / engine.batch / streams
        say(f"{engine.network} {engine.name} {engine.kind} x {streams}: {each:.3f} us/image")


def sustained(bench: Bench, engine: Engine, meter: Any, seconds: float) -> None:
    """A window of work without a pause."""
    energy = window(bench, meter, engine.call(), seconds, engine.batch)
    each = energy["seconds"] / max(1, energy["items"])
    samples = {"call": Samples("s", (each * engine.batch,), engine.batch)}
    bench.keep("throughput", engine.what(scenario="window"), samples, energy=energy, **engine.extra())
    say(f"{engine.network} {engine.name} {engine.kind} for {energy['seconds']:.1f} s: {1e6 * each:.3f} us/image, "
        f"{energy['watts_mean']} W")  # fmt: skip
