"""Tiles of land cover: the application record of EuroSAT and of any folders of tiles by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skytrigger.core.application import Application
from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.core.split import make_split, split_again
from skytrigger.eo import networks
from skytrigger.eo.load import load
from skytrigger.eo.packaged import PACKAGED, packaged
from skytrigger.learn.recipe import Recipe
from skytrigger.optimize import students


def load_tiles(
    sources: Sequence[str], *, bands: str = "all", skip_bad: bool = False, channels: int = 0, seed: int = 0
) -> Dataset:
    """`eo.load.load`; synthetic tiles have 13 bands, and the seed of their own that the word names."""
    if channels not in (0, 13):
        raise InputError(f"{channels} channels", expected="13, or --bands")
    return load(sources, bands=bands, skip_bad=skip_bad)


def _again(dataset: Dataset, card: ModelCard, lists: Sequence[str] | None = None) -> Split:
    return split_again(dataset, card.split, lists)


def _recipe(network: str, **changes: Any) -> Recipe:
    return Recipe(model=network, **changes)


EUROSAT = Application(
    name="eurosat",
    title="land-cover tiles",
    units=("DN", "rgb8"),
    networks={**dict.fromkeys(networks.NAMES, networks.build), "student": students.build},
    load=load_tiles,
    splits=("random", "spatial", "all"),
    split=make_split,
    split_again=_again,
    recipe=_recipe,
    packaged={name: packaged(name) for name in PACKAGED},
)
