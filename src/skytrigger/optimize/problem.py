"""The given network, what it is judged on, and what everything in a search shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skytrigger.bench.run import bench as run_bench
from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.learn.evaluate import card_of
from skytrigger.learn.leakage import Source, require_unseen
from skytrigger.learn.levels import levels_sentence, unlike_channels
from skytrigger.learn.run_folder import Build, RunFolder
from skytrigger.learn.teacher import weights_hash
from skytrigger.measure.accuracy import tango
from skytrigger.optimize.metric import Answers, Metric
from skytrigger.optimize.settings import Settings
from skytrigger.optimize.store import Store

if TYPE_CHECKING:
    from torch import nn

    from skytrigger.bench.options import Bench

Advance = Callable[[float, str], None]
FAMILY = "student"  # the network that candidates are of


@dataclass(frozen=True)
class Problem:
    """The given network and what it is judged on.

    Attributes
    ----------
    given
        Its run folder, or its model file.
    build
        The builder of every network (the given one and students).
    dataset, split
        Aligned to the given network's card; the split it was trained with.
    floors
        Head -> the metric that must not drop there.
    teachers
        Run folders or model files that students learn from; by default the given network.
    allow_seen
        Go on where one of these networks has learned from validation or test images.
    factors
        Channel -> pixels of the tiles on a side of its own pixel, where these are known.
    """

    given: Path
    build: Build
    dataset: Dataset
    split: Split
    floors: Mapping[str, Metric]
    teachers: tuple[Path, ...] = ()
    allow_seen: bool = False
    factors: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in ("train", "val"):
            if not len(self.split.part(part)):
                raise InputError(f"the split has no {part} images", remedy="another split: both are needed")
        if not self.floors:
            raise InputError("no head has a metric that must not drop")

    @property
    def card(self) -> ModelCard:
        """Of the given network."""
        return card_of(self.given)

    def leakage(self) -> tuple[str, ...]:
        """What must be said of the images that the given network and the teachers have seen; see `require_unseen`."""
        sources = [Source(run.name, card_of(run)) for run in (self.given, *self.teachers)]
        return require_unseen(sources, self.dataset, self.split, self.allow_seen)

    def levels(self) -> str:
        """Where these images are unlike those that a given model file was trained on, in words; else empty."""
        return levels_sentence(unlike_channels(self.dataset, self.split.part("all"), self.card), self.card)

    def least_drop(self) -> float:
        """Points of accuracy that the validation images could exclude at best, had no answer differed."""
        return -100 * tango(0, 0, len(self.split.val)).low

    @property
    def weights(self) -> str:
        """SHA-256 of the given network's weights or file."""
        return weights_hash(self.given)

    @property
    def metric(self) -> Metric:
        """Of the first head: what is shown where there is room for one figure."""
        return next(iter(self.floors.values()))

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of an image."""
        return int(self.dataset.x.shape[2]), int(self.dataset.x.shape[3])

    @property
    def outputs(self) -> int | tuple[int, ...]:
        """What `build` takes: the classes of the one head, or the outputs of each of several."""
        counts = tuple(head.outputs for head in self.card.heads)
        return counts[0] if len(counts) == 1 else counts

    def truth(self, head: str, rows: Any) -> Any:
        """Targets of a head for the images `rows`."""
        return self.dataset.targets[head][rows]


@dataclass
class Search:
    """What every step of a search shares. `bench` is `bench.run.bench`; tests give one that makes its times up."""

    problem: Problem
    settings: Settings
    store: Store
    advance: Advance = lambda cost, note: None
    threads: int | None = None
    bench: Callable[..., Bench] = field(default=run_bench)

    @property
    def folder(self) -> Path:
        """Where everything is left."""
        return self.store.folder

    def network(self, run: Path) -> tuple[nn.Module, ModelCard]:
        """A trained network and its card."""
        return RunFolder(run).load(self.problem.build)


__all__ = ["Advance", "Answers", "Problem", "Search"]
