"""A training run as a record: seconds, losses and, where there is a sensor, joules of every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.applications.registry import build
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.host import host_facts
from skytrigger.learn.evaluate import predictions_of_run, write_evaluation
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.train import train
from skytrigger.measure.meters.protocol import BESIDES, Meter, WindowEnergy, energy_entry, window_energy
from skytrigger.measure.records import NO_ENERGY, Record, Samples

SERIES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")


def data_facts(dataset: Dataset, split: Split) -> dict[str, Any]:
    """What a record says about its data, so that generated images are never taken for real ones; no paths."""
    return {
        "kind": dataset.source.get("kind"),
        "images": len(dataset),
        "channels": len(dataset.channels),
        "classes": len(dataset.classes),
        "train": len(split.train),
        "val": len(split.val),
        "test": len(split.test),
    }


class EpochMeter:
    """One meter window for each epoch; windows of the first meter are kept."""

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._meters = meters
        self.windows: list[WindowEnergy] = []

    def begin(self) -> None:
        """Start the first epoch's window."""
        for meter in self._meters[:1]:
            meter.start()

    def epoch(self, line: dict[str, Any]) -> None:
        """`on_epoch` of `learn.train.train`: end this epoch's window, start the next."""
        for meter in self._meters[:1]:
            self.windows.append(window_energy(meter.stop(), meter.facts))
            meter.start()

    def end(self) -> None:
        """Stop for good."""
        for meter in self._meters[:1]:
            meter.stop()


def trained(
    dataset: Dataset,
    split: Split,
    recipe: Recipe,
    folder: Path,
    *,
    part: str = "test",
    device: str = "cpu",
    threads: int | None = None,
    meters: Sequence[Meter] = (),
    extra: dict[str, Any] | None = None,
) -> Record:
    """Train (or go on, or take what is done), evaluate on `part`, and give the record.

    An epoch's energy covers its training, its validation and its checkpoint. What was trained before an interruption
    has no energy; the record then says for how many epochs there is one.
    """
    meter = EpochMeter(meters)
    meter.begin()
    try:
        run = train(build, dataset, split, recipe, folder, device=device, threads=threads, on_epoch=meter.epoch)
    finally:
        meter.end()
    card, history = run.card(), run.history()
    index = split.part(part)
    metrics = _metrics(folder, dataset, index, part, device, threads)
    images = len(split.train)
    samples = {"epoch": Samples("s", tuple(h["seconds"] for h in history), images)}
    samples |= {name: Samples("1", tuple(h[name] for h in history)) for name in SERIES}
    joules = [w.joules for w in meter.windows if w.joules is not None]
    if joules and len(joules) == len(meter.windows):
        samples["epoch_joules"] = Samples("J", tuple(joules), images)
    what = {
        "network": recipe.model, "scenario": "training", "runtime": "torch", "batch_size": recipe.batch_size,
        "precision": card.notes["training_precision"], "device": card.notes["device"],
        "threads": card.notes["threads"], "streams": 1, "seed": recipe.seed, "data_hash": dataset.content_hash,
        "model_hash": None, "engine_hash": None,
    }  # fmt: skip
    more = {
        "learning_rate": recipe.learning_rate,
        "epochs": len(history),
        "part": part,
        "correct": metrics["correct"],
        "images": metrics["images"],
        "test_loss": metrics["loss"],
        "metered_epochs": len(meter.windows),
        "data": data_facts(dataset, split),
    }
    energy = _energy(meters, meter.windows, images)
    return Record("training", what, host_facts(), samples, energy=energy, extra={**more, **(extra or {})})


def _metrics(
    folder: Path, dataset: Dataset, index: NDArray[np.int64], part: str, device: str, threads: int | None
) -> dict[str, Any]:
    found = predictions_of_run(folder, build, dataset, index, device=device, threads=threads)
    return write_evaluation(found, folder / "evaluation", {"part": part, "data_hash": dataset.content_hash})


def _energy(meters: Sequence[Meter], windows: Sequence[WindowEnergy], images: int) -> dict[str, Any]:
    """All epochs' windows together, without an idle figure: `items` counts images trained on."""
    if not meters:
        return {**NO_ENERGY, "why_not": "no power sensor that this machine lets us read"}
    whole = [w for w in windows if w.joules is not None]
    if not whole:
        return {**NO_ENERGY, "why_not": "no epoch was trained while the sensor could be read"}
    seconds = sum(w.seconds for w in whole)
    joules = sum(w.joules or 0.0 for w in whole)
    low, high = (pick(v for v in values if v is not None) for pick, values in (
        (min, [w.watts_min for w in whole]), (max, [w.watts_max for w in whole])))  # fmt: skip
    flags = tuple(dict.fromkeys(f for w in whole for f in w.flags))
    mean = {n: _mean([getattr(w, n) for w in whole]) for n in BESIDES}
    ends = {n: [w.ranges[n] for w in whole if n in w.ranges] for n in BESIDES}
    ranges = {n: (min(a for a, _ in found), max(b for _, b in found)) for n, found in ends.items() if found}
    stretches = tuple(v for w in whole for v in w.stretches)
    work = WindowEnergy(joules, seconds, flags, joules / seconds, low, high, **mean, stretches=stretches, ranges=ranges)
    return energy_entry(meters[0].facts, work, (), images * len(whole), seconds)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
