"""Particle identity: the application record of calorimeter showers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skytrigger.core.application import Application
from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.core.split import make_split, split_lists
from skytrigger.hep.pid.data import ENERGY, IDENTITY, UNITS, load_showers
from skytrigger.hep.pid.networks import NAMES, build
from skytrigger.hep.pid.packaged import PACKAGED
from skytrigger.learn.batches import channel_statistics
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.run_folder import RunFolder
from skytrigger.optimize import students

if TYPE_CHECKING:
    from torch import nn

# one training each; no other recipe was tried
STUDENT: dict[str, Any] = {"epochs": 15, "batch_size": 256, "learning_rate": 1e-3, "schedule": "warm"}
DEFAULTS: dict[str, dict[str, Any]] = {
    "pid_small": {"epochs": 15, "batch_size": 256, "learning_rate": 2e-3, "schedule": "warm", "weight_decay": 1e-5,
                  "optimiser": "adamw", "precision": "fp32", "ema": 0.998, "heads": {ENERGY: {"weight": 0.3}}},
    "student": {**STUDENT, "heads": {ENERGY: {"weight": 0.3}}},
    "pid_origin": {"epochs": 8, "patience": 2, "batch_size": 512, "learning_rate": 1e-3, "weight_decay": 0.0,
                   "heads": {ENERGY: {"loss": "mean_squared", "weight": 1e-4}}},
}  # fmt: skip


def default_recipe(network: str, seed: int = 0, **changes: Any) -> Recipe:
    """The recipe of a network, with those `changes` that are not None."""
    if network not in DEFAULTS:
        raise InputError(f"no network called {network!r}", expected=", ".join(DEFAULTS))
    said = {name: value for name, value in changes.items() if value is not None}
    return Recipe(model=network, seed=seed, **{"channels_last": False, **DEFAULTS[network], **said})


def _split(dataset: Dataset, kind: str = "random", seed: int = 0) -> Split:
    if kind not in ("random", "all"):
        raise InputError(f"--split {kind} with showers", expected="random or all")
    return make_split(dataset, kind, seed)


def _again(dataset: Dataset, card: ModelCard, lists: Sequence[str] | None = None) -> Split:
    if lists:
        return split_lists(dataset, *lists)
    return make_split(dataset, "random", int(card.split.get("seed", card.seed)))


def prepare(dataset: Dataset, split: Split, recipe: Recipe) -> tuple[Dataset, Split, Recipe]:
    """`pid_small` is told the standardisation that it undoes."""
    if recipe.model != "pid_small":
        return dataset, split, recipe
    mean, std = channel_statistics(dataset, split.train)
    recipe = replace(recipe, options={**recipe.options, "mean": list(mean), "std": list(std)})
    return dataset, split, recipe


def without_standardisation(network: nn.Module, card: ModelCard) -> tuple[nn.Module, ModelCard]:
    """The same `pid_small` for clusters as they are; other networks unchanged."""
    if card.name != "pid_small":
        return network, card
    options = {name: value for name, value in card.options.items() if name not in ("mean", "std")}
    outputs = tuple(head.outputs for head in card.heads)
    direct = build(card.name, len(card.channels), card.size, outputs, **options)
    direct.load_state_dict(network.state_dict())
    return direct.eval(), replace(card, mean=(0.0,) * 3, std=(1.0,) * 3, options=options)


def finish(run: Path, dataset: Dataset, split: Split, recipe: Recipe) -> None:
    """Into the run's card: calibration by validation showers, and the weighted sum's lines from training showers."""
    from skytrigger.hep.pid.baselines import weighted_sum
    from skytrigger.hep.pid.evaluation import BASELINE, CALIBRATION, calibration_of
    from skytrigger.learn.evaluate import predictions_of_run

    folder = RunFolder(run)
    card = folder.card()
    if CALIBRATION in card.notes:
        return
    found = calibration_of(predictions_of_run(run, build, dataset, split.val))
    notes = {CALIBRATION: found, BASELINE: weighted_sum(dataset, split.train).to_json()}
    folder.write_card(replace(card, notes={**card.notes, **notes}))


def _evaluation(predictions: Any, dataset: Dataset, rows: Any, model: Path) -> dict[str, Any]:
    from skytrigger.hep.pid.evaluation import figures_of_merit

    return figures_of_merit(predictions, dataset, rows, model)


def _describe(metrics: Mapping[str, Any]) -> str:
    from skytrigger.hep.pid.evaluation import describe

    return describe(metrics)


def _pictures(metrics: Mapping[str, Any], folder: Path) -> None:
    from skytrigger.hep.pid.figures import pictures

    pictures(metrics, folder)


PID = Application(
    name="pid",
    title="particle identity and energy",
    units=(UNITS,),
    networks={**dict.fromkeys(NAMES, build), "student": students.build},
    load=load_showers,
    splits=("random", "all"),
    split=_split,
    split_again=_again,
    recipe=default_recipe,
    prepare=prepare,
    finish=finish,
    for_export=without_standardisation,
    evaluation=_evaluation,
    describe=_describe,
    pictures=_pictures,
    floor={IDENTITY: "accuracy", ENERGY: "resolution"},
    augment=False,
    packaged=PACKAGED,
)
