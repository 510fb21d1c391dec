"""Training a doublet filter, and the trees it is judged beside on the same doublets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.hep.doublets.augmentation import enlarge
from skytrigger.hep.doublets.networks import NETWORKS, build
from skytrigger.hep.doublets.split import split_doublets
from skytrigger.hep.doublets.trees import Trees
from skytrigger.learn.batches import channel_statistics
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.run_folder import RunFolder
from skytrigger.learn.train import train

TREES_FILE = "trees.onnx"
# epochs over all copies; chosen on validation doublets
DEFAULTS: dict[str, dict[str, Any]] = {
    "doublets_small": {"epochs": 10, "batch_size": 64, "learning_rate": 1e-3},
    "doublets_cnn": {"epochs": 3, "batch_size": 64, "learning_rate": 5e-4},
}
COPIES = 4


def default_recipe(model: str, seed: int = 0, **changes: Any) -> Recipe:
    """The recipe of a network, with those `changes` that are not None."""
    if model not in DEFAULTS:
        raise InputError(f"no network called {model!r}", expected=", ".join(NETWORKS))
    values = DEFAULTS[model] | {name: value for name, value in changes.items() if value is not None}
    return Recipe(model=model, seed=seed, schedule="cosine", precision="fp32", channels_last=False, **values)


def train_filter(
    dataset: Dataset,
    recipe: Recipe,
    out: str | Path,
    *,
    copies: int = COPIES,
    split: Split | None = None,
    with_validation: bool = False,
    device: str = "cpu",
    threads: int | None = None,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> RunFolder:
    """Train into the run folder `out` (going on with an interrupted run), with the trees in ``trees.onnx``.

    `split` defaults to `split_doublets` by the recipe's seed. Two-pad training parts are enlarged to `copies`
    (`augmentation.enlarge`); data of 20 channels are taken as they are and get no trees. For a recipe that
    is settled, `with_validation` trains on the validation part too: its loss then says nothing new.
    """
    split = split or split_doublets(dataset, recipe.seed)
    if with_validation:
        both = np.sort(np.concatenate([split.train, split.val]))
        split = Split(both, split.val, split.test, {**split.facts, "validation_trains": True})
    bigger, bigger_split = dataset, split
    two_pads = len(dataset.channels) == 2
    if two_pads and copies > 1:
        bigger, bigger_split = enlarge(dataset, split, recipe.seed, copies)
    if recipe.model == "doublets_small":
        mean, std = channel_statistics(bigger, bigger_split.train)
        recipe = replace(recipe, options={**recipe.options, "mean": list(mean), "std": list(std)})
    folder = train(build, bigger, bigger_split, recipe, out, device=device, threads=threads, on_epoch=on_epoch)
    trees = Path(out) / TREES_FILE
    if two_pads and not trees.is_file():
        Trees.fit(dataset.x[split.train], dataset.y[split.train], recipe.seed).write(trees)
    return folder
