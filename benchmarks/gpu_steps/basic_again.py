"""Step: `basic` on `hopper` at batch 1,024 again: smaller parts, several under way at once, and each layer by itself.

Bursts of 30 ms as in the step `networks`, every variant and PyTorch's two float32 once a round. Layers are timed alone
on as many images as the variant's parts have; the clock and watts are of a window of the usual way.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gpu_steps.engines import Bench, Engine, meter_of, repeats_for, seconds_a_call, window
from skytrigger.core.progress import say
from skytrigger.measure.records import Samples
from skytrigger.runtimes.hopper import session as hopper

VARIANTS = {"usual": (2048, 1), "parts of 512": (512, 1), "parts of 128": (128, 1), "2 x 512": (512, 2),
            "2 x 256": (256, 2), "2 x 128": (128, 2), "4 x 256": (256, 4), "2 x 99": (99, 2)}  # fmt: skip
"""Name -> images a part, parts under way at once."""
LAYERS = (1024, 128)


def run(out: Path, simulate: bool, data: Path | None = None) -> None:
    """Records of the step into `out`."""
    bench = Bench(out, simulate)
    batch = bench.size(1024, 1)
    rivals = [e for name in ("torch:fp32", "torch:default") if (e := bench.open("basic", name, batch))]
    opened = [(name, engine) for name, how in VARIANTS.items() if (engine := opened_as(bench, batch, *how))]
    stored = opened_as(bench, batch, 512, 2, "uint16")
    opened += [("2 x 512", stored)] if stored else []
    bursts(bench, [("", e) for e in rivals] + opened)
    with meter_of(bench) as meter:
        for name, engine in opened:
            if name in ("usual", "2 x 512") and meter:
                energy = window(bench, meter, engine.call(), bench.size(3, 0) or 0.05, batch)
                each = energy["seconds"] / max(1, energy["items"])
                what = engine.what(scenario="window", variant=name)
                bench.keep("throughput", what, {"call": Samples("s", (each * batch,), batch)}, energy=energy,
                           **engine.extra())  # fmt: skip
                say(f"{name} {engine.kind}: {1e6 * each:.3f} us/image, {energy['watts_mean']} W, "
                    f"{energy['clock_mhz']} MHz")  # fmt: skip
    if not bench.simulate:
        for count in LAYERS:
            layers(bench, opened[0][1], count)
    for engine in [*rivals, *(e for _, e in opened)]:
        engine.close()


def opened_as(bench: Bench, batch: int, part: int, ways: int, kind: str = "float32") -> Engine | None:
    """`hopper` with parts of that size, so many under way."""
    usual = hopper.PART, hopper.WAYS
    hopper.PART, hopper.WAYS = part, ways
    try:
        return bench.open("basic", "hopper:fp16", batch, 1, kind)
    finally:
        hopper.PART, hopper.WAYS = usual


def bursts(bench: Bench, arms: list[tuple[str, Engine]]) -> None:
    """Every arm once a round, in a new order each round."""
    visit_s = 0.002 if bench.simulate else 0.03
    calls = [engine.call() for _, engine in arms]
    repeats = [repeats_for(bench, call, visit_s) for call in calls]
    taken: list[list[float]] = [[] for _ in arms]
    for _ in range(bench.size(9, 2)):
        for i in bench.rng.permutation(len(arms)):
            taken[i].append(seconds_a_call(bench, calls[i], repeats[i]))
    for (name, engine), seconds in zip(arms, taken, strict=True):
        what = engine.what(scenario="burst", variant=name)
        bench.keep("throughput", what, {"call": Samples("s", tuple(seconds), engine.batch)}, visit_s=visit_s,
                   **engine.extra())  # fmt: skip
        say(f"basic {engine.name} {engine.kind} {name}: {1e6 * np.median(seconds) / engine.batch:.4f} us/image")


def layers(bench: Bench, engine: Engine, count: int) -> None:
    """Each kernel alone on `count` random images, ten calls in a row, seven times."""
    import torch

    session: Any = engine.session
    stream = torch.cuda.current_stream().cuda_stream
    kernels = session._kernels
    first = kernels[0].shape
    sizes = [first.padded_in * first.height * first.width, *(int(np.prod(k.shape.output)) for k in kernels)]
    values = [torch.randn((count, size), device="cuda").half() for size in sizes]
    tiles = torch.randn((count, first.channels_in, first.height, first.width), device="cuda")
    norm = session._mean.data_ptr(), session._scale.data_ptr()
    steps: dict[str, tuple[Callable[[], None], int, int]] = {}
    steps["pack float32 tiles"] = (
        lambda: kernels[0].pack(tiles.data_ptr(), *norm, values[0].data_ptr(), count, stream),
        0, 4 * first.channels_in * first.height * first.width + 2 * sizes[0],
    )  # fmt: skip
    for number, (kernel, (weight, bias)) in enumerate(zip(kernels, session._weights, strict=True)):
        s = kernel.shape
        pointers = values[number].data_ptr(), weight.data_ptr(), bias.data_ptr(), values[number + 1].data_ptr()
        name = f"{s.channels_in} -> {s.channels_out} at {s.height} x {s.width}" + (", pooled" if s.pool else "")
        steps[name] = (
            lambda k=kernel, p=pointers: k.convolve(*p, count, stream),
            18 * s.channels_in * s.channels_out * s.height * s.width, 2 * (sizes[number] + sizes[number + 1]),
        )  # fmt: skip
    features = torch.randn((count, sizes[-1]), device="cuda").half()
    steps["dense layers"] = (lambda: session._products(features), 0, 0)
    for name, (call, operations, moved) in steps.items():
        seconds = [seconds_a_call(bench, call, 10) for _ in range(7)]
        what = engine.what(scenario="layer", layer=name, images=count)
        bench.keep("layer", what, {"call": Samples("s", tuple(seconds), count)}, operations=operations, bytes=moved)
        each = np.median(seconds) / count
        say(f"{count} images, {name}: {1e6 * each:.4f} us/image, {operations / each / 1e12:.0f} TFLOP/s, "
            f"{moved / each / 1e12:.2f} TB/s")  # fmt: skip
