"""Preset `batch-size`: what the batch does to training, and to inference."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.bench.run import Job, Options, bench
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.core.files import sha256_json, write_text
from skytrigger.core.host import cores_in_mask, host_facts, host_id
from skytrigger.eo.application import EUROSAT
from skytrigger.learn.exporting import export_run
from skytrigger.learn.recipe import Recipe
from skytrigger.measure.meters.found import open_meters
from skytrigger.measure.records import Record, read
from skytrigger.study.training_records import data_facts, trained

BASE_SIZE = 32  # the 2019 study's own batch, for which the learning rate is meant
Say = Callable[[float, str], object]


@dataclass(frozen=True)
class BatchSizeOptions:
    """The study's grid.

    Attributes
    ----------
    training_sizes
        Each is trained with the learning rate kept, and (other than 32) with it scaled; the two are shown apart.
    scaling
        ``sqrt``: rate times sqrt(size / 32), which keeps Adam's noise scale (Malladi et al. 2022); ``linear``: times
        size / 32, the rule for SGD (Goyal et al. 2017).
    inference_sizes, engines, seconds
        Measured on the network trained with batch 32 (or the first size); engines as ``runtime:precision``.
    """

    model: str = "basic"
    training_sizes: tuple[int, ...] = (16, 32, 64, 128, 256)
    scaling: str = "sqrt"
    epochs: int = 25
    learning_rate: float = 1e-3
    seeds: tuple[int, ...] = (0,)
    inference_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    engines: tuple[str, ...] = ("torch:fp32", "onnxruntime:fp32")
    seconds: float = 2.0
    device: str = "cpu"
    threads: int | None = None
    part: str = "test"

    def check(self) -> None:
        """Raise InputError for a grid that cannot be run."""
        if self.scaling not in ("sqrt", "linear"):
            raise InputError(f"scaling {self.scaling!r}", expected="sqrt or linear")
        for name in ("training_sizes", "inference_sizes", "engines", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise InputError(f"{name} are empty or repeat: {values}")

    def recipes(self) -> list[tuple[str, Recipe]]:
        """(``kept`` or ``scaled``, recipe) of every training."""
        grid = []
        for seed in self.seeds:
            for size in self.training_sizes:
                factor = size / BASE_SIZE
                factor = math.sqrt(factor) if self.scaling == "sqrt" else factor
                for rule, rate in (("kept", self.learning_rate), ("scaled", self.learning_rate * factor)):
                    if rule == "kept" or size != BASE_SIZE:
                        recipe = Recipe(
                            self.model, epochs=self.epochs, batch_size=size, learning_rate=rate, seed=seed,
                            precision="fp32",
                        )  # fmt: skip
                        grid.append((rule, recipe))
        return grid


def run(
    dataset: Dataset,
    split: Split,
    out: str | Path,
    options: BatchSizeOptions | None = None,
    advance: Say = lambda share, note: None,
) -> list[Record]:
    """Run or finish the study in `out`; ``records.jsonl`` there holds what is returned.

    What is done is kept: trainings by their run folders, timings of a batch size by their own records file (same
    model, host and options). `advance(share, note)` is called with shares of 1.
    """
    options = options or BatchSizeOptions()
    options.check()
    out = Path(out)
    recipes = options.recipes()
    records = []
    meters = open_meters(options.device)
    try:
        for rule, recipe in recipes:
            folder = out / "training" / f"{rule}-{recipe.batch_size}-seed{recipe.seed}"
            extra = {"rule": rule, "scaling": options.scaling, "study": "batch-size"}
            records.append(
                trained(dataset, split, recipe, folder, part=options.part, device=options.device,
                        threads=options.threads, meters=meters, extra=extra)
            )  # fmt: skip
            advance(0.7 / len(recipes), f"trained batch {recipe.batch_size}, learning rate {rule}")
    finally:
        for meter in meters:
            meter.close()
    size = BASE_SIZE if BASE_SIZE in options.training_sizes else options.training_sizes[0]
    model = out / "model.onnx"
    export_run(out / "training" / f"kept-{size}-seed{options.seeds[0]}", EUROSAT, model, "fp32", (dataset, split))
    for batch in options.inference_sizes:
        records += _inference(dataset, split, out, model, batch, options)
        advance(0.3 / len(options.inference_sizes), f"measured batch {batch}")
    write_text(out / "records.jsonl", "".join(record.to_json() + "\n" for record in records))
    return records


def _inference(
    dataset: Dataset, split: Split, out: Path, model: Path, batch: int, options: BatchSizeOptions
) -> list[Record]:
    """Records of one batch size on every engine, measured side by side; those on disk where they are of this host."""
    from skytrigger.model.file import read_model

    key = sha256_json(
        [read_model(model).sha256, host_id(host_facts()), options.engines, options.seconds, options.threads]
    )
    file = out / "inference" / f"batch-{batch}-{key[:12]}.jsonl"
    if file.is_file():
        return read(file)
    found = timed(dataset, split, model, batch, options.engines, options, {"study": "batch-size"})
    write_text(file, "".join(record.to_json() + "\n" for record in found))
    return found


def timed(
    dataset: Dataset, split: Split, model: Path, batch: int, engines: tuple[str, ...], options: Any,
    extra: dict[str, Any], energy_seconds: float = 0.0,
) -> list[Record]:  # fmt: skip
    """Bench of one model file on validation tiles; engines this machine lacks are left out."""
    threads = options.threads or cores_in_mask()
    jobs = []
    for engine in engines:
        runtime, _, precision = engine.partition(":")
        jobs.append(Job(str(model), runtime, precision, batch, threads, device=options.device))
    index = np.resize(split.val, max(batch, 64))
    with tempfile.TemporaryDirectory() as folder:
        tiles = Path(folder) / "tiles.npy"
        np.save(tiles, dataset.x[index].astype(np.float32))
        how = Options(
            scenario="single-stream" if batch == 1 else "offline", seconds=options.seconds, tiles=str(tiles),
            data_hash=dataset.content_hash, energy_seconds=energy_seconds, ceilings=True,
            extra={**extra, "data": data_facts(dataset, split)},
        )  # fmt: skip
        return bench(jobs, how).records
