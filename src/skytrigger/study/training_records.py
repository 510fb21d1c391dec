"""A training run as a record: seconds, losses and, where there is a sensor, joules of every epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.host import host_facts
from skytrigger.learn.energy import EpochMeter
from skytrigger.learn.run_folder import RunFolder
from skytrigger.measure.meters.protocol import BESIDES, WindowEnergy, energy_entry
from skytrigger.measure.records import NO_ENERGY, Record, Samples
from skytrigger.runtimes.registry import FRAMEWORK

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


def training_record(
    run: RunFolder, dataset: Dataset, split: Split, metrics: Mapping[str, Any], energy: Mapping[str, Any],
    extra: Mapping[str, Any],
) -> Record:  # fmt: skip
    """The record of a finished run.

    Parameters
    ----------
    metrics
        Of its evaluation.
    energy
        `energy_of` the epochs that were trained while a sensor was read.
    extra
        ``part`` that `metrics` are of, and what else the record is to say.
    """
    card, history, recipe = run.card(), run.history(), run.recipe()
    images = round(history[-1]["images_per_s"] * history[-1]["seconds"])
    samples = {"epoch": Samples("s", tuple(h["seconds"] for h in history), images)}
    samples |= {name: Samples("1", tuple(h[name] for h in history)) for name in SERIES}
    if all("joules" in h for h in history):
        samples["epoch_joules"] = Samples("J", tuple(h["joules"] for h in history), images)
    what = {
        "network": recipe.model, "scenario": "training", "runtime": FRAMEWORK, "batch_size": recipe.batch_size,
        "precision": card.notes["training_precision"], "device": card.notes["device"],
        "threads": card.notes["threads"], "streams": 1, "seed": recipe.seed, "data_hash": dataset.content_hash,
        "model_hash": None, "engine_hash": None,
    }  # fmt: skip
    more = {
        "learning_rate": recipe.learning_rate,
        "epochs": len(history),
        "correct": metrics["correct"],
        "images": metrics["images"],
        "test_loss": metrics["loss"],
        "data": data_facts(dataset, split),
    }
    return Record("training", what, host_facts(), samples, energy=dict(energy), extra={**more, **extra})


def energy_of(meter: EpochMeter, images: int) -> dict[str, Any]:
    """All epochs' windows together, without an idle figure: `items` counts images trained on."""
    if meter.meter is None:
        return {**NO_ENERGY, "why_not": "no power sensor that this machine lets us read"}
    whole = [w for w in meter.windows if w.joules is not None]
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
    return energy_entry(meter.meter.facts, work, (), images * len(whole), seconds)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
