"""Step: `basic` on `hopper` at batch 1,024 again: smaller parts, several under way at once, the first two layers in one
kernel, and each layer by itself.

Bursts of 30 ms as in the step `networks`, every variant and PyTorch's two float32 once a round. Layers are timed alone
on as many images as the variant's parts have; the clock and watts are of a window of the usual way.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gpu_steps.engines import Bench, Engine, meter_of, repeats_for, seconds_a_call, window
from skytrigger.core.errors import SkytriggerError
from skytrigger.core.progress import say
from skytrigger.measure.records import Samples
from skytrigger.runtimes.hopper import session as hopper

Variant = tuple[int, int, tuple[int, int] | None]
VARIANTS: dict[str, Variant] = {
    "usual": (2048, 1, None), "parts of 128": (128, 1, None), "2 x 512": (512, 2, None), "2 x 256": (256, 2, None),
    "2 x 128": (128, 2, None), "4 x 256": (256, 4, None),
}  # fmt: skip
"""Images a part, parts under way at once, and the first two layers as one kernel (blocks, squares) or not."""
STEMS: dict[str, Variant] = {
    "stem 2/3": (2048, 1, (2, 3)), "stem 3/1": (2048, 1, (3, 1)), "stem 3/3": (2048, 1, (3, 3)),
    "stem 2/1": (2048, 1, (2, 1)), "stem 3/1, 2 x 512": (512, 2, (3, 1)), "stem 2/3, 2 x 512": (512, 2, (2, 3)),
}  # fmt: skip
LAYERS = (1024, 128)


def run(out: Path, simulate: bool, data: Path | None = None) -> None:
    """Records of the step into `out`; what has never run on a card comes last."""
    bench = Bench(out, simulate)
    batch = bench.size(1024, 1)
    rivals = [e for name in ("torch:fp32", "torch:default") if (e := bench.open("basic", name, batch))]
    usual = opened_as(bench, batch, VARIANTS["usual"])
    tiles = bench.tiles(bench.file("basic"), batch)
    expected = rivals[0].session.run(tiles)
    for variants in (VARIANTS, STEMS):
        opened = [] if usual is None else [("usual", usual)]
        opened += [(n, e) for n, how in variants.items() if n != "usual" and (e := opened_as(bench, batch, how))]
        if variants is STEMS and (stored := opened_as(bench, batch, STEMS["stem 3/1"], "uint16")):
            opened.append(("stem 3/1", stored))
        for name, engine in opened:
            agrees(bench, name, engine, tiles.astype(engine.kind if not simulate else "float32"), expected)
        bursts(bench, [("", e) for e in rivals] + opened)
        if usual and not bench.simulate and variants is VARIANTS:
            for count in LAYERS:
                layers(bench, usual, count)
        windows(bench, batch, opened)
        for _, engine in opened[1:]:
            if not bench.simulate and variants is STEMS:
                stem_alone(bench, engine)
            engine.close()
    for own in [*rivals, *([usual] if usual else [])]:
        own.close()


def opened_as(bench: Bench, batch: int, how: Variant, kind: str = "float32") -> Engine | None:
    """`hopper` in a variant."""
    usual = hopper.PART, hopper.WAYS, hopper.STEM
    hopper.PART, hopper.WAYS, hopper.STEM = how
    try:
        return bench.open("basic", "hopper:fp16", batch, 1, kind)
    except SkytriggerError as error:  # this variant alone: does not compile, or is refused by the driver
        say(f"{how} {kind}: {error}")
        return None
    finally:
        hopper.PART, hopper.WAYS, hopper.STEM = usual


def agrees(bench: Bench, name: str, engine: Engine, tiles: np.ndarray, expected: Any) -> None:
    """Logits against PyTorch's float32 on the same tiles, twice."""
    wanted = np.asarray(expected[0] if isinstance(expected, tuple) else expected)
    found = [engine.session.run(tiles) for _ in range(2)]
    worst = [float(np.abs(np.asarray(f[0] if isinstance(f, tuple) else f) - wanted).max()) for f in found]
    largest = float(np.abs(wanted).max())
    bench.keep("control", engine.what(scenario="logits", variant=name), {}, largest_difference=worst,
               largest_logit=largest)  # fmt: skip
    say(f"{name}: logits differ by at most {worst} of {largest:.4g}")


def windows(bench: Bench, batch: int, opened: list[tuple[str, Engine]]) -> None:
    """A window of the usual way, or of every stem, under the meter."""
    with meter_of(bench) as meter:
        for name, engine in opened:
            if meter and (name == "usual" or name in ("stem 2/3", "stem 3/1")):
                energy = window(bench, meter, engine.call(), bench.size(2, 0) or 0.05, batch)
                each = energy["seconds"] / max(1, energy["items"])
                what = engine.what(scenario="window", variant=name)
                bench.keep("throughput", what, {"call": Samples("s", (each * batch,), batch)}, energy=energy,
                           **engine.extra())  # fmt: skip
                say(f"{name}: {1e6 * each:.3f} us/image, {energy['watts_mean']} W, {energy['clock_mhz']} MHz")


def stem_alone(bench: Bench, engine: Engine, count: int = 1024) -> None:
    """The first two layers' kernel by itself."""
    import torch

    session: Any = engine.session
    if not session._stems or session.spec.batch_size != count:
        return
    stem, first = session._stems[0], session._kernels[0].shape
    tiles = torch.randn((count, first.channels_in, first.height, first.width), device="cuda") * 900 + 1200
    out = torch.empty((count, int(np.prod(session._kernels[1].shape.output))), device="cuda", dtype=torch.float16)
    weights = [array.data_ptr() for pair in session._weights[:2] for array in pair]
    pointers = (tiles.data_ptr(), session._mean.data_ptr(), session._scale.data_ptr(), *weights, out.data_ptr())
    stream = torch.cuda.current_stream().cuda_stream
    seconds = [seconds_a_call(bench, lambda: stem.run(pointers, count, stream), 10) for _ in range(7)]
    layer = f"stem {stem.stem.blocks}/{stem.stem.squares}"
    what = engine.what(scenario="layer", layer=layer, images=count)
    bench.keep("layer", what, {"call": Samples("s", tuple(seconds), count)}, operations=0, bytes=0)
    say(f"{count} images, {layer}: {1e6 * np.median(seconds) / count:.4f} us/image")


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
