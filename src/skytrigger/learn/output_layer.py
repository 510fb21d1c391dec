"""The last layer of a network: one head, or several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skytrigger.core.extras import require

if TYPE_CHECKING:
    from torch import Tensor, nn

Outputs = int | tuple[int, ...]


def output_layer(width: int, outputs: Outputs) -> nn.Module:
    """A dense layer (n, width) -> (n, outputs), or one for each head: a tuple of tensors."""
    torch = require("torch", why="networks")
    if isinstance(outputs, int):
        layer: nn.Module = torch.nn.Linear(width, outputs)
        return layer

    counts: tuple[int, ...] = outputs

    class Heads(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.heads = torch.nn.ModuleList(torch.nn.Linear(width, count) for count in counts)

        def forward(self, features: Tensor) -> tuple[Tensor, ...]:
            return tuple(head(features) for head in self.heads)

    heads: nn.Module = Heads()
    return heads


def tensors_of(answer: Any) -> tuple[Tensor, ...]:
    """What a network returned, as a tuple: one tensor a head."""
    return answer if isinstance(answer, tuple) else (answer,)
