"""What training and evaluation do for a head, by its kind: targets, loss, the figure of an epoch, metrics.

A truth that is NaN (a muon's energy) is masked: it adds nothing to the loss and counts in no metric. Losses are means
over all images of a batch or part, so that a head whose truth is often missing weighs as much less.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.heads import CLASSES, ONLY, VALUES, Head
from skytrigger.learn.metrics import cross_entropy, metrics, value_metrics

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_LOG_VARIANCE = 15.0


class Rules(ABC):
    """The rules of one kind of head."""

    figure: str  # name of the epoch's figure in history
    mixes = True  # whether targets of two images can be mixed

    def __init__(self, head: Head) -> None:
        self.head = head

    @abstractmethod
    def targets(self, true: Tensor, smoothing: float) -> Tensor:
        """What the loss is taken against."""

    @abstractmethod
    def taught(self, outputs: Tensor, temperature: float) -> Tensor:
        """A teacher's outputs as targets."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """(n,) loss of each image, float32."""

    @abstractmethod
    def counted(self, outputs: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) each image's share of the epoch's figure, and its weight in it."""

    @abstractmethod
    def judge(self, outputs: NDArray[np.float32], true: NDArray[Any]) -> tuple[float, float]:
        """Mean loss and figure in float64."""

    @abstractmethod
    def metrics(self, outputs: NDArray[np.float32], true: NDArray[Any]) -> dict[str, Any]:
        """For metrics.json."""

    @abstractmethod
    def told(self, figure: float) -> str:
        """The figure with its unit."""


class ClassRules(Rules):
    """Cross-entropy and accuracy."""

    figure = "accuracy"

    def targets(self, true: Tensor, smoothing: float) -> Tensor:
        torch = require("torch", why="training")
        classes = len(self.head.names)
        exact: Tensor = torch.nn.functional.one_hot(true, classes).float()
        return (1 - smoothing) * exact + smoothing / classes

    def taught(self, outputs: Tensor, temperature: float) -> Tensor:
        return require("torch").softmax(outputs / temperature, 1)  # type: ignore[no-any-return]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        torch = require("torch", why="training")
        loss: Tensor = torch.nn.functional.cross_entropy(outputs, targets, reduction="none")
        return loss

    def counted(self, outputs: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        hits = outputs.argmax(1) == true
        return hits, hits.new_ones(len(hits))

    def judge(self, outputs: NDArray[np.float32], true: NDArray[Any]) -> tuple[float, float]:
        return float(cross_entropy(outputs, true).mean()), float((outputs.argmax(1) == true).mean())

    def metrics(self, outputs: NDArray[np.float32], true: NDArray[Any]) -> dict[str, Any]:
        return metrics(outputs, true, self.head.names)

    def told(self, figure: float) -> str:
        return f"{100 * figure:.1f} %"


class ValueRules(Rules):
    """Squared error, Huber's loss, or the Gaussian likelihood of mean and log variance; mean absolute error.

    Of several values of a head the mean is taken over those that are known.
    """

    figure = "mae"
    mixes = False

    def targets(self, true: Tensor, smoothing: float) -> Tensor:
        return true

    def taught(self, outputs: Tensor, temperature: float) -> Tensor:
        return outputs[:, : len(self.head.names)]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        torch = require("torch", why="training")
        known = ~targets.isnan()
        count = len(self.head.names)
        error = torch.where(known, outputs[:, :count] - targets.nan_to_num(), 0.0)
        if self.head.loss == "huber":
            each = torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none")
        elif self.head.loss == "gaussian":  # Nix and Weigend 1994, without the constant
            spread = outputs[:, count:].clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)
            each = torch.where(known, 0.5 * (spread + error**2 * torch.exp(-spread)), 0.0)
        else:
            each = error**2
        return each.sum(1) / known.sum(1).clamp(min=1)  # type: ignore[no-any-return]

    def counted(self, outputs: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        known = ~true.isnan()
        error = (outputs[:, : len(self.head.names)] - true.nan_to_num()).abs() * known
        return error.sum(1), known.sum(1)

    def judge(self, outputs: NDArray[np.float32], true: NDArray[Any]) -> tuple[float, float]:
        torch = require("torch", why="evaluation")
        wide, goal = (torch.from_numpy(np.asarray(a, np.float64)) for a in (outputs, true))
        error, known = self.counted(wide, goal)
        return float(self.loss(wide, goal).mean()), float(error.sum() / known.sum().clamp(min=1))

    def metrics(self, outputs: NDArray[np.float32], true: NDArray[Any]) -> dict[str, Any]:
        return value_metrics(outputs[:, : len(self.head.names)], true, self.head)

    def told(self, figure: float) -> str:
        return f"{figure:.3g} {self.head.unit}".strip()


KINDS: dict[str, type[Rules]] = {CLASSES: ClassRules, VALUES: ValueRules}


def rules_of(heads: Sequence[Head]) -> tuple[Rules, ...]:
    """The rules of each head."""
    return tuple(KINDS[head.kind](head) for head in heads)


def changed(heads: Sequence[Head], changes: Mapping[str, Mapping[str, Any]]) -> tuple[Head, ...]:
    """Heads with the losses and weights that a recipe gives them by name."""
    if unknown := sorted(set(changes) - {head.name for head in heads}):
        raise InputError(f"the recipe names heads {unknown}", expected=", ".join(head.name for head in heads))
    if wrong := sorted({key for change in changes.values() for key in change} - {"loss", "weight"}):
        raise InputError(f"the recipe's heads have entries {wrong}", expected="loss, weight")
    return tuple(replace(head, **changes.get(head.name, {})) for head in heads)


def key_of(part: str, head: Head, figure: str) -> str:
    """Name in history: ``val_accuracy`` of the one head ``logits``, ``val_energy_mae`` of others."""
    return f"{part}_{figure}" if head.name == ONLY else f"{part}_{head.name}_{figure}"


def line_of(part: str, rules: Sequence[Rules], found: Sequence[tuple[float, float]]) -> dict[str, float]:
    """A history line's entries from each head's mean loss and figure: weighted loss first, then the heads' own."""
    total = sum(rule.head.weight * loss for rule, (loss, _) in zip(rules, found, strict=True))
    line = {f"{part}_loss": float(total)}
    for rule, (loss, figure) in zip(rules, found, strict=True):
        if len(rules) > 1:
            line[key_of(part, rule.head, "loss")] = loss
        line[key_of(part, rule.head, rule.figure)] = figure
    return line


def describe_line(line: Mapping[str, Any], heads: Sequence[Head]) -> str:
    """What a history line says about validation: ``loss 0.312, accuracy 90.3 %``."""
    words = [f"loss {line['val_loss']:.3f}"]
    for rule in rules_of(heads):
        name = "" if rule.head.name == ONLY else f"{rule.head.name} "
        words.append(f"{name}{rule.figure} {rule.told(line[key_of('val', rule.head, rule.figure)])}")
    return ", ".join(words)
