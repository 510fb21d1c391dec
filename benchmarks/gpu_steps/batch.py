"""Step: what the batch does. Inference of `basic` from 1 to 8,192 images; training from 16 to 1,024 images a step.

Training is this toolkit's own loop on random tiles of 13 bands, one epoch to warm up and one that counts: time
and joules only, random tiles teach nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gpu_steps.engines import Bench, meter_of
from gpu_steps.networks import bursts
from skytrigger.core.dataset import Dataset, Split, content_hash
from skytrigger.core.progress import say
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.networks import build
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.train import train
from skytrigger.measure.records import Samples

INFERENCE = (1, 4, 16, 64, 256, 1024, 4096, 8192)
ENGINES = ("torch:fp32", "torch:default", "torch:fp16", "hopper:fp16")
TRAINING = (16, 32, 64, 128, 256, 512, 1024)
TILES = 6_400  # 16,200 took over two minutes on an H100, most of it at the smallest batches


def run(out: Path, simulate: bool, data: Path | None = None) -> None:
    """Records of the step into `out`."""
    bench = Bench(out, simulate)
    for batch in INFERENCE if not simulate else (1, 2):
        engines = [e for name in ENGINES if (e := bench.open("basic", name, batch))]
        bursts(bench, engines, bench.size(5, 2))
        for engine in engines:
            engine.close()
    for precision in ("fp32", "bf16") if not simulate else ("fp32",):
        training(bench, precision, TRAINING if not simulate else (16,))


def training(bench: Bench, precision: str, sizes: Iterable[int]) -> None:
    """An epoch to warm up and one that counts, at each batch size."""
    dataset, split = random_tiles(bench.size(TILES, 40), bench.size(64, 8))
    with meter_of(bench) as meter, tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            recipe = Recipe("basic", epochs=2, batch_size=size, precision=precision)
            done = train(build, dataset, split, recipe, Path(folder) / f"{precision}-{size}",
                         device=bench.device, meter=meter, keep_checkpoint=False)  # fmt: skip
            line = done.history()[-1]
            what = {"network": "basic", "runtime": "torch", "precision": precision, "batch_size": size,
                    "device": bench.device, "scenario": "training", "input_type": "uint16"}  # fmt: skip
            bench.keep("training", what, {"epoch": Samples("s", (line["seconds"],), len(split.train))},
                       joules=line.get("joules"), images=len(split.train), data="random tiles")  # fmt: skip
            say(f"training {precision} batch {size}: {line['images_per_s']:.0f} images/s")


def random_tiles(count: int, side: int) -> tuple[Dataset, Split]:
    """Tiles of noise, and a split that trains on all but a few."""
    rng = np.random.default_rng(0)
    channels = EUROSAT_ORDER
    x = rng.integers(0, 4000, (count, len(channels), side, side), dtype=np.uint16)
    y = rng.integers(0, 10, count).astype(np.int64)
    ids, classes = tuple(f"t{i}" for i in range(count)), tuple(f"class {i}" for i in range(10))
    dataset = Dataset(
        x=x, y=y, ids=ids, channels=channels, classes=classes, units="DN",
        content_hash=content_hash(x[:2], y, ids, channels, classes), source={"kind": "random"},
    )  # fmt: skip
    order = np.arange(count)
    few = max(2, min(256, count // 10))
    return dataset, Split(train=order[few:], val=order[:few], test=order[:0], facts={"kind": "random"})
