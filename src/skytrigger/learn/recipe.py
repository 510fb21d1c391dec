"""What a training run is made of: everything that decides its result."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError

PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class Recipe:
    """Defaults are the 2019 study's: Adam, L2 1e-4, 25 epochs, batch 32.

    Attributes
    ----------
    batch_size
        Images per step over all processes together.
    optimiser, weight_decay
        ``adam``: L2 coefficient added to the gradient, the 2019 study's; ``adamw``: decoupled, on
        convolution and dense weights only.
    precision
        ``fp32``, ``bf16`` (autocast; weights stay float32) or ``auto``: bf16 where the device has it.
    augment
        Random D4 symmetry (flips and quarter turns) of each training tile.
    patience
        Stop when validation loss has not improved for this many epochs and keep the best epoch's
        weights; 0 trains all epochs and keeps the last.
    schedule
        ``constant``, ``cosine`` (to zero over all epochs, a step each epoch) or ``warm``: up over the
        first twentieth, then a cosine, a step each batch.
    crop
        Train on random squares of this side at the least, in pixels; 0: whole images.
    jitter, channel_dropout
        Strength of the random gains and offsets, largest share of channels set to their mean; see
        `learn.augment`.
    style
        Probability that an image takes on part of another's channel means and deviations; see `learn.augment`.
    cutmix
        Probability of mixing a batch (Yun et al. 2019).
    label_smoothing
        Probability that is spread over all classes.
    ema
        Decay of the moving average of weights that is judged and kept; 0: the weights themselves.
    distil, temperature
        Share of the teacher's probabilities in the targets, and its softmax's temperature.
    options
        Builder options of the network.
    heads
        Head -> ``loss`` and ``weight`` other than the data's own.
    """

    model: str
    epochs: int = 25
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    seed: int = 0
    precision: str = "auto"
    channels_last: bool = True
    augment: bool = False
    patience: int = 0
    schedule: str = "constant"
    optimiser: str = "adam"
    crop: int = 0
    jitter: float = 0.0
    channel_dropout: float = 0.0
    style: float = 0.0
    cutmix: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.0
    distil: float = 0.0
    temperature: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)
    heads: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rules = {
            "epochs": self.epochs >= 1,
            "batch_size": self.batch_size >= 1,
            "learning_rate": 0 < self.learning_rate < float("inf"),
            "weight_decay": 0 <= self.weight_decay < float("inf"),
            "seed": self.seed >= 0,
            "patience": self.patience >= 0,
            "precision": self.precision in PRECISIONS,
            "schedule": self.schedule in ("constant", "cosine", "warm"),
            "optimiser": self.optimiser in ("adam", "adamw"),
            "crop": self.crop >= 0,
            "jitter": 0 <= self.jitter <= 10,
            "channel_dropout": 0 <= self.channel_dropout <= 1,
            "style": 0 <= self.style <= 1,
            "cutmix": 0 <= self.cutmix <= 1,
            "label_smoothing": 0 <= self.label_smoothing < 1,
            "ema": 0 <= self.ema < 1,
            "distil": 0 <= self.distil <= 1,
            "temperature": 0 < self.temperature < float("inf"),
        }
        for name, good in rules.items():
            if not good:
                raise InputError(f"{name} = {getattr(self, name)!r} is out of range", remedy="see train --help")

    def to_json(self) -> dict[str, Any]:
        """For hashes; `heads` is left out where it says nothing, as in recipes from before there were any."""
        values = asdict(self)
        return values if self.heads else {k: v for k, v in values.items() if k != "heads"}

    def to_toml(self) -> str:
        """TOML text (JSON's scalars and strings are TOML's too)."""
        values = self.to_json()
        tables = {"options": values.pop("options")}
        tables |= {f"heads.{name}": changes for name, changes in values.pop("heads", {}).items()}
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        for name, table in tables.items():
            if table:
                lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        return "\n".join(lines) + "\n"

    @staticmethod
    def read(path: str | Path) -> Recipe:
        """Parse recipe.toml, naming the file in every error."""
        try:
            values = tomllib.loads(Path(path).read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read the recipe {path}: {error}") from error
        known = {f.name for f in fields(Recipe)}
        if unknown := sorted(set(values) - known):
            raise InputError(f"{path}: unknown entries {unknown}", expected=", ".join(sorted(known)))
        try:
            return Recipe(**values)
        except TypeError as error:
            raise InputError(f"{path}: {error}") from error
