"""What an application gives to training, export, bench, search, study and report: one record of one shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset, Split


@dataclass(frozen=True)
class Application:
    """One kind of work: EuroSAT tiles, pixel doublets, particle identity, a user's own.

    Attributes
    ----------
    name
        ``eurosat``, ``doublets``.
    networks
        Network name -> ``build(name, channels, size, heads, **options)``: the untrained network.
    load
        ``load(sources, **options) -> Dataset``: sources as on the command line, ``synthetic[:COUNT]`` among them.
    split
        ``split(dataset, kind, seed) -> Split``.
    recipe
        ``recipe(network, **overrides)``: the default recipe of a network.
    prepare
        ``prepare(dataset, split, recipe) -> (dataset, split, recipe)`` before training: augmented copies, statistics.
    for_export
        ``for_export(network, card) -> (network, card)`` as they go into a model file.
    float_nodes
        ``float_nodes(graph) -> names``: nodes that INT8 leaves alone.
    metrics
        ``metrics(answers, targets, card, rows) -> dict``: figures beyond those of the heads' kinds.
    floor
        Head -> the metric that `optimize` holds there: ``accuracy``, ``auc``, ``resolution``.
    packaged
        Name -> file of model files that ship with the package.
    """

    name: str
    title: str
    networks: Mapping[str, Callable[..., Any]]
    load: Callable[..., Dataset]
    split: Callable[..., Split]
    recipe: Callable[..., Any]
    prepare: Callable[..., Any] | None = None
    for_export: Callable[[Any, ModelCard], tuple[Any, ModelCard]] | None = None
    float_nodes: Callable[[Any], tuple[str, ...]] | None = None
    metrics: Callable[..., dict[str, Any]] | None = None
    floor: Mapping[str, str] = field(default_factory=dict)
    packaged: Mapping[str, Path] = field(default_factory=dict)
