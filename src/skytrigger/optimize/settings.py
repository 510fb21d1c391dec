"""What a search is asked for, and how much it may cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.learn.run_folder import Build
from skytrigger.optimize.metric import Metric

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
    max_drop
        Points (percent) that the metric may lose.
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
    runtimes: tuple[str, ...] = ("onnxruntime",)
    precisions: tuple[str, ...] = ("fp32", "int8")
    device: str = "cpu"
    bands: tuple[tuple[str, ...], ...] | None = None
    stored: bool = False
    augment: bool = True
    seed: int = 0
    energy_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop < 100:
            raise InputError(f"--max-drop {self.max_drop}", expected="points from 0 to under 100, e.g. 0.2")
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

    @property
    def margin(self) -> float:
        """`max_drop` as a fraction."""
        return self.max_drop / 100

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Problem:
    """The given network and what it is judged on.

    Attributes
    ----------
    run, build
        Its run folder, and the builder of every network (the given one and students).
    dataset, split
        Aligned to the given network's card; the split it was trained with.
    teachers
        Run folders or model files that students learn from; by default the given network.
    """

    run: Path
    build: Build
    dataset: Dataset
    split: Split
    metric: Metric
    teachers: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        for part in ("train", "val"):
            if not len(self.split.part(part)):
                raise InputError(f"the split has no {part} images", remedy="another split: both are needed")
