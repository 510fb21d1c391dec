"""What an application gives to training, export, bench, search, study and report: one record of one shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.core.split import KINDS, make_split, split_again


def as_divided(dataset: Dataset, card: ModelCard, lists: Sequence[str] | None = None) -> Split:
    """The split that the card describes."""
    return split_again(dataset, card.split, lists)


def as_given(dataset: Dataset, split: Split, recipe: Any) -> tuple[Dataset, Split, Any]:
    """Nothing to prepare."""
    return dataset, split, recipe


def as_trained(network: Any, card: ModelCard) -> tuple[Any, ModelCard]:
    """Nothing to change for a model file."""
    return network, card


@dataclass(frozen=True)
class Application:
    """One kind of work: EuroSAT tiles, pixel doublets, particle identity, a user's own.

    Attributes
    ----------
    name, title
        ``eurosat``; in words, for help and pages.
    units
        Units of its data. A network that several applications can train (``student``) is told apart by them.
    networks
        Network name -> ``build(name, channels, size, outputs, **options)``: the untrained network. `outputs` is the
        number of outputs of the one head, or a tuple of numbers: a module of several heads returns as many tensors.
    load
        ``load(sources, *, bands, skip_bad, channels, seed) -> Dataset``: `sources` as on the command line,
        ``synthetic[:COUNT[:SEED]]`` among them; `bands` are channels by name or ``all``, `channels` the number that a
        simulator makes (0: its own choice), `seed` the simulator's.
    splits, split
        Kinds of split, the default first; ``split(dataset, kind, seed) -> Split``. Default: `core.split`'s.
    split_again
        ``split_again(dataset, card, lists) -> Split``: the split a model was trained with.
    recipe
        ``recipe(network, **changes) -> Recipe``: the default recipe of a network with changes; None: `Recipe`'s own.
    prepare
        ``prepare(dataset, split, recipe) -> (dataset, split, recipe)`` before training: more copies, statistics.
    finish
        ``finish(run, dataset, split, recipe)`` after training, with what `prepare` was given: a baseline.
    for_export
        ``for_export(network, card) -> (network, card)`` as they go into a model file.
    float_nodes
        ``float_nodes(model_file) -> names``: nodes that INT8 leaves alone.
    evaluation
        ``evaluation(predictions, dataset, rows, model) -> dict``: figures beyond those of the heads' kinds; `rows` are
        the images' places in `dataset`, `model` the path.
    describe, pictures
        ``describe(metrics) -> str`` and ``pictures(metrics, folder)`` of what `evaluate` finds; None: by the heads.
    floor
        Head -> name of the figure that `optimize` holds there; ``accuracy`` for heads that are not named.
    figures
        Name -> ``figure(dataset) -> optimize.metric.Metric``: figures of its own.
    augment
        Whether flips, gains and mixed images are fit to learn from in `optimize`.
    packaged
        Name -> model file that ships with the package.
    reading
        Names of more options that `load` takes: what a user states about files.
    factors
        Channel -> pixels of a tile on a side of the channel's own pixel, where tiles hold channels that were upsampled.
    """

    name: str
    title: str
    units: tuple[str, ...]
    networks: Mapping[str, Callable[..., Any]]
    load: Callable[..., Dataset]
    splits: tuple[str, ...] = KINDS
    split: Callable[[Dataset, str, int], Split] = make_split
    split_again: Callable[[Dataset, ModelCard, Sequence[str] | None], Split] = as_divided
    recipe: Callable[..., Any] | None = None
    prepare: Callable[[Dataset, Split, Any], tuple[Dataset, Split, Any]] = as_given
    finish: Callable[[Path, Dataset, Split, Any], None] | None = None
    for_export: Callable[[Any, ModelCard], tuple[Any, ModelCard]] = as_trained
    float_nodes: Callable[[Any], tuple[str, ...]] | None = None
    evaluation: Callable[..., dict[str, Any]] | None = None
    describe: Callable[[Mapping[str, Any]], str] | None = None
    pictures: Callable[[Mapping[str, Any], Path], None] | None = None
    floor: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, Callable[[Dataset], Any]] = field(default_factory=dict)
    augment: bool = True
    packaged: Mapping[str, Path] = field(default_factory=dict)
    reading: tuple[str, ...] = ()
    factors: Mapping[str, int] = field(default_factory=dict)

    def default_split(self, dataset: Dataset) -> str:
        """The kind of split where none was asked for: as the data come divided, else the first."""
        return "folders" if dataset.parts and "folders" in self.splits else self.splits[0]

    def build(self, name: str, channels: int, size: tuple[int, int], outputs: Any, **options: Any) -> Any:
        """The untrained network called `name`, by its builder in `networks`."""
        if name not in self.networks:
            raise InputError(f"no network called {name!r}", expected=", ".join(self.networks))
        return self.networks[name](name, channels, size, outputs, **options)
