"""One epoch of training: every image once, in an order of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.heads import Head
from skytrigger.core.seeds import derive, generator
from skytrigger.learn.augment import augment, cutmix
from skytrigger.learn.batches import Batches
from skytrigger.learn.checkpoint import State
from skytrigger.learn.distributed import Ranks
from skytrigger.learn.heads import Rules, line_of, rules_of
from skytrigger.learn.output_layer import tensors_of
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.steps import learning_rate
from skytrigger.learn.teacher import Teacher

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class Epochs:
    """What the epochs of a training share.

    Attributes
    ----------
    taught
        Places of the teacher's channels among the data's.
    """

    recipe: Recipe
    heads: tuple[Head, ...]
    ranks: Ranks
    batches: Batches
    precision: str
    teacher: Teacher | None = None
    taught: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rules: tuple[Rules, ...] = rules_of(self.heads)
        fixed = [rule.head.name for rule in self.rules if not rule.mixes]
        if self.recipe.cutmix and fixed:
            raise InputError(f"cutmix mixes classes, not values such as {fixed[0]}", remedy="cutmix = 0")

    def train(self, epoch: int, wrapped: nn.Module, state: State, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Train on the images `rows` once; the line of history."""
        torch = require("torch", why="training")
        recipe, ranks, batches = self.recipe, self.ranks, self.batches
        device = batches.device
        # every epoch draws from its own streams, so a resumed run needs no generator state
        order = generator(recipe.seed, "epoch", epoch).permutation(rows)
        changes = generator(recipe.seed, "augment", epoch, ranks.rank)
        torch.manual_seed(derive(recipe.seed, "dropout", epoch, ranks.rank))
        start = time.perf_counter()
        wrapped.train()
        totals = torch.zeros((len(self.rules), 3), dtype=torch.float64, device=device)
        firsts = range(0, len(order), recipe.batch_size)
        for step, first in enumerate(firsts):
            for group in state.optimiser.param_groups:
                group["lr"] = group.get("factor", 1.0) * learning_rate(recipe, epoch, step, len(firsts))
            whole = np.arange(first, min(first + recipe.batch_size, len(order)))
            mine, weight = ranks.share(whole)
            images, true = batches.images(order[mine]), batches.truth(order[mine])
            images = augment(images, batches.ratio, recipe, changes)
            images, targets = self._targets(images, true, changes)
            state.optimiser.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                outputs = [t.float() for t in tensors_of(wrapped(batches.laid_out(images)))]
            losses = [rule.loss(o, t) * weight for rule, o, t in zip(self.rules, outputs, targets, strict=True)]
            combined = _weighted(self.rules, losses)
            # DDP averages over ranks: scaled so that the mean is over the whole batch
            (combined.sum() * (ranks.size / len(whole))).backward()  # type: ignore[no-untyped-call]
            state.optimiser.step()
            if state.average:
                state.average.update(state.network)
            totals += self._counts(losses, outputs, true, weight)
        loss_sum, figure_sum, counted = ranks.sum(totals).cpu().numpy().T
        seconds = time.perf_counter() - start
        found = list(zip((loss_sum / len(order)).tolist(), (figure_sum / np.maximum(counted, 1)).tolist(), strict=True))
        line = line_of("train", self.rules, found)
        return {"epoch": epoch, **line, "seconds": seconds, "images_per_s": len(order) / seconds}

    def _targets(
        self, images: Tensor, true: tuple[Tensor, ...], changes: np.random.Generator
    ) -> tuple[Tensor, list[Tensor]]:
        """Images and what they are trained towards: smoothed, mixed, taught."""
        recipe = self.recipe
        targets = [rule.targets(t, recipe.label_smoothing) for rule, t in zip(self.rules, true, strict=True)]
        if recipe.cutmix and changes.random() < recipe.cutmix:
            images, targets = cutmix(images, targets, changes)
        if self.teacher and recipe.distil:
            taught = self.teacher.taught(images[:, self.taught], recipe.temperature)
            targets = [
                (1 - recipe.distil) * mine + recipe.distil * theirs
                for mine, theirs in zip(targets, taught, strict=True)
            ]
        return images, targets

    def _counts(self, losses: list[Tensor], outputs: list[Tensor], true: tuple[Tensor, ...], weight: float) -> Tensor:
        """(heads, 3) float64: sums of loss, figure and the figure's weight."""
        torch = require("torch", why="training")
        rows = []
        for rule, loss, out, goal in zip(self.rules, losses, outputs, true, strict=True):
            figure, count = rule.counted(out.detach(), goal)
            rows += [loss.detach().sum().double(), (figure * weight).sum().double(), (count * weight).sum().double()]
        counts: Tensor = torch.stack(rows).view(len(self.rules), 3)
        return counts


def _weighted(rules: tuple[Rules, ...], losses: list[Tensor]) -> Tensor:
    parts = [
        loss if rule.head.weight == 1 else rule.head.weight * loss for rule, loss in zip(rules, losses, strict=True)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
