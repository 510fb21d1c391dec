"""Logits and loss of a network over a dataset, in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.extras import require
from skytrigger.learn.batches import Batches
from skytrigger.learn.metrics import cross_entropy

if TYPE_CHECKING:
    from torch import nn

EVALUATION_BATCH = 256


def predict(
    network: nn.Module, batches: Batches, index: NDArray[np.int64], precision: str = "fp32"
) -> NDArray[np.float32]:
    """Logits (n, classes) float32 of the images `index`, in order."""
    torch = require("torch", why="prediction")
    network.eval()
    parts = []
    with torch.inference_mode(), torch.autocast(batches.device.type, torch.bfloat16, enabled=precision == "bf16"):
        parts = [network(images).float().cpu() for images, _ in batches.over(index, EVALUATION_BATCH)]
    logits: NDArray[np.float32] = torch.cat(parts).numpy()
    return logits


def evaluate_loss(
    network: nn.Module, batches: Batches, index: NDArray[np.int64], precision: str
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy on the images `index`."""
    logits = predict(network, batches, index, precision)
    labels = batches.dataset.y[index]
    return float(cross_entropy(logits, labels).mean()), float((logits.argmax(1) == labels).mean())
