"""Pixel doublets: the application record of the track-seed filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.application import Application
from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.core.synthetic import synthetic
from skytrigger.hep.doublets.augmentation import enlarge
from skytrigger.hep.doublets.evaluation import TREES_FILE, describe, figures_of_merit, packaged
from skytrigger.hep.doublets.figures import roc_png
from skytrigger.hep.doublets.metrics import auc_difference, scores
from skytrigger.hep.doublets.networks import NETWORKS, build
from skytrigger.hep.doublets.reader import UNITS, read_doublets
from skytrigger.hep.doublets.simulator import DEFAULT_COUNT, simulate
from skytrigger.hep.doublets.split import families, split_doublets
from skytrigger.learn.batches import channel_statistics
from skytrigger.learn.recipe import Recipe
from skytrigger.measure.stats import Interval
from skytrigger.optimize import students
from skytrigger.optimize.metric import Metric, bootstrapped

if TYPE_CHECKING:
    from torch import nn

    from skytrigger.model.file import ModelFile

LIMIT = 10_000_000
COPIES = 4
RESAMPLES = 1000
# epochs over all copies; chosen on validation doublets
DEFAULTS: dict[str, dict[str, Any]] = {
    "doublets_small": {"epochs": 10, "batch_size": 64, "learning_rate": 1e-3},
    "doublets_cnn": {"epochs": 3, "batch_size": 64, "learning_rate": 5e-4},
    "student": {"epochs": 10, "batch_size": 64, "learning_rate": 1e-3},
}


def load_doublets(
    sources: Sequence[str], *, bands: str = "all", skip_bad: bool = False, channels: int = 0, seed: int = 0
) -> Dataset:
    """The doublets of a file, or ``synthetic``, ``synthetic:COUNT[:SEED]`` of 2 or 20 `channels` (default 2)."""
    if len(sources) != 1:
        raise InputError(f"--data names {len(sources)} sources", expected="one file of doublets, or synthetic[:COUNT]")
    if skip_bad:
        raise InputError("--skip-bad with doublets", expected="a file whose doublets are all good")
    made = synthetic(sources[0], 2, LIMIT)
    if made:
        seed = seed if made.seed is None else made.seed
        data = simulate(DEFAULT_COUNT if made.count is None else made.count, seed, channels or 2)
    else:
        data = read_doublets(sources[0])
    return data if bands == "all" else data.select(bands.split(","))


def _split(dataset: Dataset, kind: str = "cluster-disjoint", seed: int = 0) -> Split:
    if kind != "cluster-disjoint":
        raise InputError(f"--split {kind}", expected="cluster-disjoint, the one split without shared clusters")
    return split_doublets(dataset, seed)


def _again(dataset: Dataset, card: ModelCard, lists: Sequence[str] | None = None) -> Split:
    if lists:
        raise InputError("--split-lists with doublets", expected="the split by clusters")
    return split_doublets(dataset, int(card.split.get("seed", card.seed)))


def default_recipe(network: str, seed: int = 0, **changes: Any) -> Recipe:
    """The recipe of a network, with those `changes` that are not None."""
    if network not in DEFAULTS:
        raise InputError(f"no network called {network!r}", expected=", ".join(DEFAULTS))
    fixed = {"schedule": "cosine", "precision": "fp32", "channels_last": False}
    said = {name: value for name, value in changes.items() if value is not None}
    return Recipe(model=network, seed=seed, **{**fixed, **DEFAULTS[network], **said})


def with_validation(split: Split) -> Split:
    """Validation trains too, for a recipe that is settled: its loss then says nothing new."""
    both = np.sort(np.concatenate([split.train, split.val]))
    return Split(both, split.val, split.test, {**split.facts, "validation_trains": True})


def prepare(dataset: Dataset, split: Split, recipe: Recipe, copies: int = COPIES) -> tuple[Dataset, Split, Recipe]:
    """Two-pad training parts enlarged to `copies`; `doublets_small` is told the standardisation that it undoes."""
    if len(dataset.channels) == 2 and copies > 1:
        dataset, split = enlarge(dataset, split, recipe.seed, copies)
    if recipe.model == "doublets_small":
        mean, std = channel_statistics(dataset, split.train)
        recipe = replace(recipe, options={**recipe.options, "mean": list(mean), "std": list(std)})
    return dataset, split, recipe


def fit_trees(run: Path, dataset: Dataset, split: Split, recipe: Recipe) -> None:
    """The boosted trees that the filter is judged beside, on the same doublets of two pads."""
    from skytrigger.hep.doublets.trees import Trees

    trees = run / TREES_FILE
    if len(dataset.channels) == 2 and not trees.is_file():
        Trees.fit(dataset.x[split.train], dataset.y[split.train], recipe.seed).write(trees)


def without_standardisation(network: nn.Module, card: ModelCard) -> tuple[nn.Module, ModelCard]:
    """The same `doublets_small` for charges as they are; other networks unchanged."""
    if card.name != "doublets_small":
        return network, card
    options = {name: value for name, value in card.options.items() if name not in ("mean", "std")}
    direct = build(card.name, len(card.channels), card.size, len(card.classes), **options)
    direct.load_state_dict(network.state_dict())
    pads = len(card.channels)
    return direct.eval(), replace(card, mean=(0.0,) * pads, std=(1.0,) * pads, options=options)


def shape_features(model: ModelFile) -> tuple[str, ...]:
    """Nodes of `doublets_small` in front of its dense layers: they need float32's range."""
    if model.card.name != "doublets_small":
        return ()
    return tuple(n.name for n in model.graph().graph.node if n.op_type not in ("Gemm", "Relu"))


def auc_metric(dataset: Dataset) -> Metric:
    """AUC; its intervals draw whole families of doublets that share hits."""

    def value(logits: NDArray[np.float32], true: NDArray[np.int64], rows: NDArray[np.int64]) -> Interval:
        score, group = scores(logits), families(dataset.x[rows])
        fixed = np.zeros_like(score)  # a constant score's AUC is 1/2 in every draw
        estimate, low, high = auc_difference(score, fixed, true, group, resamples=RESAMPLES)
        return Interval(estimate + 0.5, low + 0.5, high + 0.5, 0.95, len(true))

    def difference(
        given: NDArray[np.float32], candidate: NDArray[np.float32], true: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> Interval:
        group = families(dataset.x[rows])
        found = auc_difference(scores(candidate), scores(given), true, group, resamples=RESAMPLES)
        return Interval(*found, 0.95, len(true))

    return bootstrapped("auc", value, difference)


def _pictures(metrics: Mapping[str, Any], folder: Path) -> None:
    roc_png(metrics, folder / "roc.png")


DOUBLETS = Application(
    name="doublets",
    title="pixel doublets",
    units=(UNITS,),
    networks={**dict.fromkeys(NETWORKS, build), "student": students.build},
    load=load_doublets,
    splits=("cluster-disjoint",),
    split=_split,
    split_again=_again,
    recipe=default_recipe,
    prepare=prepare,
    finish=fit_trees,
    for_export=without_standardisation,
    float_nodes=shape_features,
    evaluation=figures_of_merit,
    describe=describe,
    pictures=_pictures,
    floor={"logits": "auc"},
    figures={"auc": auc_metric},
    augment=False,
    packaged={"doublets": packaged()},
)
