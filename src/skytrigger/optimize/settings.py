"""What a search is asked for, and how much it may cost."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError
from skytrigger.runtimes.registry import DEFAULT

PRECISIONS = ("fp32", "fp16", "bf16", "int8")


@dataclass(frozen=True)
class Effort:
    """Cost of a search. Epochs are over the training part.

    The last training has `least_steps` batches at the least, but no more than `most_images` images; shorter trainings
    have their share of both.

    Attributes
    ----------
    pool, candidates
        Untrained networks timed, and how many of them are trained at first.
    rungs
        (epochs, candidates kept) of successive halving, before the last training.
    epochs, finalists
        Last training; networks that come out of it.
    tune_epochs
        Fine-tuning after pruning, and quantisation-aware training.
    prunings
        Shares of channels that pruning keeps, each tried on the most accurate and on the fastest accepted finalist.
    seconds
        Timed for each cell of the last comparison; a third of it before that.
    """

    pool: int
    candidates: int
    rungs: tuple[tuple[int, int], ...]
    epochs: int
    finalists: int
    tune_epochs: int
    prunings: tuple[float, ...]
    least_steps: int
    most_images: int
    seconds: float
    calibration_images: int = 200
    sensitive_layers: int = 2


# Cost on two cores with 812 tiles of 13 bands: about 3 minutes, 30 minutes, 3 hours.
EFFORTS = {
    "quick": Effort(4, 3, ((3, 1),), 8, 1, 2, (0.5,), 60, 20_000, 0.9, 64),
    "normal": Effort(18, 10, ((6, 5), (15, 3)), 50, 2, 10, (0.75, 0.5), 4000, 200_000, 3.0),
    "thorough": Effort(24, 16, ((8, 8), (25, 4)), 150, 3, 25, (0.75, 0.5), 12_000, 1_500_000, 6.0, 400, 4),
}


@dataclass(frozen=True)
class Settings:
    """Everything but data and network that decides a search's result.

    Attributes
    ----------
    max_drop, max_drops
        Points (percent) that the metric of every head may lose; of single heads, where they differ.
    strict
        Accept only what is established; else an estimate above the floor is accepted too, and said to be open.
    batch_sizes, threads, streams, runtimes, device
        What is timed: images in flight, `threads` and `streams` in all combinations that the cores allow. The first
        batch size is that of the coarse comparisons between networks.
    bands
        Band subsets to try beside all channels; None: ranked automatically; (): none.
    stored
        Time from tiles as the data stores them: engines may take them so, and for the others the cast is on the clock.
    augment
        Flips, quarter turns, gains and offsets of channels, and mixed images are fit to learn from.
    """

    max_drop: float
    effort: str = "normal"
    strict: bool = False
    batch_sizes: tuple[int, ...] = (64,)
    threads: tuple[int, ...] = (1,)
    streams: tuple[int, ...] = (1,)
    runtimes: tuple[str, ...] = (DEFAULT,)
    precisions: tuple[str, ...] = ("fp32", "int8")
    device: str = "cpu"
    bands: tuple[tuple[str, ...], ...] | None = None
    stored: bool = False
    augment: bool = True
    seed: int = 0
    energy_seconds: float = 0.0
    max_drops: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for drop in (self.max_drop, *self.max_drops.values()):
            if not 0 <= drop < 100:
                raise InputError(f"--max-drop {drop}", expected="points from 0 to under 100, e.g. 0.2")
        if self.effort not in EFFORTS:
            raise InputError(f"no effort called {self.effort!r}", expected=", ".join(EFFORTS))
        if not self.precisions or not set(self.precisions) <= set(PRECISIONS):
            raise InputError(f"precisions {', '.join(self.precisions)!r}", expected=", ".join(PRECISIONS))
        for name, values in (("threads", self.threads), ("streams", self.streams), ("batch size", self.batch_sizes)):
            if not values or min(values) < 1:
                raise InputError(f"{name} {values}", expected="whole numbers over 0")

    @property
    def cost(self) -> Effort:
        """What the effort's name stands for."""
        return EFFORTS[self.effort]

    def margin(self, head: str) -> float:
        """What the metric of `head` may lose, as a fraction."""
        return self.max_drops.get(head, self.max_drop) / 100

    def to_json(self) -> dict[str, Any]:
        """For JSON; without what is as it was before there was a choice, so that older folders go on."""
        raw = asdict(self)
        return {k: v for k, v in raw.items() if k != "max_drops" or v}

    def stored_as(self, dataset: Dataset) -> str | None:
        """The type in which tiles lie in memory when engines are timed; None: as each takes them."""
        return dataset.x.dtype.name if self.stored else None

    def input_types(self, dataset: Dataset) -> list[str]:
        """Types of tiles that engines may take."""
        return list(dict.fromkeys(["float32", self.stored_as(dataset) or "float32"]))

    def layouts(self) -> list[tuple[int, int, int]]:
        """(batch size, threads, streams) to try: no more threads in all than the largest `threads` asked for.

        Streams share the images in flight between them: the batch size is that of one stream.
        """
        most = max(self.threads)
        found = []
        for images in self.batch_sizes:
            pairs = itertools.product(self.threads, self.streams)
            fit = [(t, s) for t, s in pairs if t * s <= most and images % s == 0] or [(most, 1)]
            found += [(images // s, t, s) for t, s in fit]
        return found
