"""What one step of training consists of besides the network: optimiser, learning rate, averaged weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from skytrigger.core.extras import require
from skytrigger.learn.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

WARM_UP = 0.05  # share of all steps


def make_optimiser(network: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser; ``adamw`` decays weights of two dimensions and more.

    A network whose parameters learn at different rates has ``parameter_groups() -> [(parameters, factor), ...]``.
    """
    torch = require("torch", why="training")
    own: Any = getattr(network, "parameter_groups", None)
    if own is not None:
        parts = [{"params": group, "factor": factor} for group, factor in own()]
        grouped: Optimizer = torch.optim.Adam(parts, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        return grouped
    if recipe.optimiser == "adam":
        adam: Optimizer = torch.optim.Adam(
            network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, foreach=True
        )
        return adam
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    adamw: Optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, foreach=True)
    return adamw


def learning_rate(recipe: Recipe, epoch: int, step: int, steps: int) -> float:
    """Rate of batch `step` (from 0) of the `steps` in epoch `epoch` (from 1)."""
    if recipe.schedule == "cosine":
        return float(recipe.learning_rate * 0.5 * (1 + np.cos(np.pi * (epoch - 1) / recipe.epochs)))
    if recipe.schedule == "warm":
        done = ((epoch - 1) + step / steps) / recipe.epochs
        rising = min(1.0, (done + 1 / (steps * recipe.epochs)) / WARM_UP)
        falling = max(0.0, done - WARM_UP) / (1 - WARM_UP)
        return float(recipe.learning_rate * rising * 0.5 * (1 + np.cos(np.pi * falling)))
    return recipe.learning_rate


class Average:
    """Exponential moving average of a network's weights and statistics; young averages decay faster."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.steps = 0

    def update(self, network: nn.Module) -> None:
        """Take in the network after one more step."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 9))
        mine, theirs = self.network.state_dict(), network.state_dict()
        for name, value in mine.items():
            if value.dtype.is_floating_point:
                value.lerp_(theirs[name], 1 - decay)
            else:
                value.copy_(theirs[name])


def selected(network: nn.Module, index: list[int], channels: int) -> nn.Module:
    """The network on images of all `channels`, of which it sees those of `index`."""
    if index == list(range(channels)):
        return network
    torch = require("torch", why="training")

    class Selected(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Any) -> Any:
            return self.network(images[:, index])

    module: nn.Module = Selected()
    return module
