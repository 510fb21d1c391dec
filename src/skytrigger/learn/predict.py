"""Answers and losses of a network over a dataset, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.extras import require
from skytrigger.core.heads import Head
from skytrigger.learn.batches import Batches
from skytrigger.learn.heads import line_of, rules_of
from skytrigger.learn.output_layer import tensors_of

if TYPE_CHECKING:
    from torch import nn

EVALUATION_BATCH = 256


def answers(
    network: nn.Module, batches: Batches, index: NDArray[np.int64], precision: str = "fp32"
) -> tuple[NDArray[np.float32], ...]:
    """Of each head (n, outputs) float32 for the images `index`, in order."""
    torch = require("torch", why="prediction")
    network.eval()
    parts = []
    with torch.inference_mode(), torch.autocast(batches.device.type, torch.bfloat16, enabled=precision == "bf16"):
        for start in range(0, len(index), EVALUATION_BATCH):
            outputs = tensors_of(network(batches.images(index[start : start + EVALUATION_BATCH])))
            parts.append([tensor.float().cpu() for tensor in outputs])
    return tuple(torch.cat(head).numpy() for head in zip(*parts, strict=True))


def predict(
    network: nn.Module, batches: Batches, index: NDArray[np.int64], precision: str = "fp32"
) -> NDArray[np.float32]:
    """Logits (n, classes) float32 of a network with one head."""
    (logits,) = answers(network, batches, index, precision)
    return logits


def judge(
    network: nn.Module, heads: Sequence[Head], batches: Batches, index: NDArray[np.int64], precision: str
) -> dict[str, float]:
    """``val_loss`` and each head's figure on the images `index`, as in a line of history."""
    rules = rules_of(heads)
    found = answers(network, batches, index, precision)
    true = [batches.dataset.targets[head.name][index] for head in heads]
    return line_of("val", rules, [rule.judge(a, t) for rule, a, t in zip(rules, found, true, strict=True)])
