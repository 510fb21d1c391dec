"""A run of an application's network: prepared, trained, finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skytrigger.core.application import Application
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.core.heads import CLASSES
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.run_folder import RunFolder
from skytrigger.learn.train import train


def recipe_of(application: Application, network: str, **changes: Any) -> Recipe:
    """The application's recipe of a network, with changes."""
    recipe: Recipe = (application.recipe or Recipe)(network, **changes)
    return recipe


def train_run(
    application: Application, dataset: Dataset, split: Split, recipe: Recipe, out: str | Path, **options: Any
) -> RunFolder:
    """Train as the application does: what it makes of data and recipe first, what it adds to the folder last.

    `options` are those of `train`.
    """
    for head in dataset.heads:
        if head.kind == CLASSES and len(head.names) < 2:
            raise InputError(
                f"the data have one class only, {head.names[0]!r}: there is nothing to tell apart",
                expected="a folder for each of two or more classes",
            )
    prepared, its_split, its_recipe = application.prepare(dataset, split, recipe)
    run = train(application.build, prepared, its_split, its_recipe, out, **options)
    if application.finish:
        application.finish(run.path, dataset, split, recipe)
    return run
