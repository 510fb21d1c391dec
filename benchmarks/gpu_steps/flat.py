"""All weights and statistics of several networks as views into one vector: optimiser and average are a few kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

BETAS, EPSILON = (0.9, 0.999), 1e-8
ALIGNED = 64  # values that each tensor's place is a multiple of: libraries' kernels may ask for as much of an address


class Flat:
    """AdamW (decay of weights of two dimensions and more) and a moving average over one vector.

    Attributes
    ----------
    knobs
        On the device: learning rate, 1 - beta1^t, 1 - beta2^t, share of the new weights in the average.
    """

    def __init__(self, networks: list[nn.Module], decay: float, device: torch.device) -> None:
        parameters = [p for net in networks for p in net.parameters()]
        buffers = [(m, name, b) for net in networks for m in net.modules()
                   for name, b in m.named_buffers(recurse=False) if b.is_floating_point()]  # fmt: skip
        learned = sum(_room(p) for p in parameters)
        self.all = torch.zeros(learned + sum(_room(b) for *_, b in buffers), device=device)
        self.gradient = torch.zeros(learned, device=device)
        self.decay = torch.zeros(learned, device=device)
        place = 0
        for p in parameters:
            self.decay[place : place + p.numel()].fill_(decay * (p.ndim > 1))
            gradient = _view(self.gradient, place, p)
            p.data = _view(self.all, place, p).copy_(p.data)
            p.grad = gradient
            place += _room(p)
        for module, name, b in buffers:
            module._buffers[name] = _view(self.all, place, b).copy_(b)
            place += _room(b)
        self.learned = self.all[:learned]
        self.average = self.all.clone()
        self.first, self.second = torch.zeros(learned, device=device), torch.zeros(learned, device=device)
        self.knobs = torch.zeros(4, device=device)

    @torch.no_grad()
    def update(self) -> None:
        """One step of AdamW with the gradients, and the average after it."""
        rate, bias1, bias2, share = self.knobs
        self.first.lerp_(self.gradient, 1 - BETAS[0])
        self.second.mul_(BETAS[1]).addcmul_(self.gradient, self.gradient, value=1 - BETAS[1])
        step = (self.first / bias1) / ((self.second / bias2).sqrt_().add_(EPSILON))
        self.learned.mul_(1 - rate * self.decay).sub_(step.mul_(rate))
        self.average.add_((self.all - self.average) * share)

    def reset(self, start: Any) -> None:
        """Back to the weights `start`, with no memory of gradients."""
        self.all.copy_(start)
        self.average.copy_(start)
        for tensor in (self.first, self.second, self.gradient):
            tensor.zero_()

    def swap(self) -> None:
        """The networks' weights and their average change places."""
        kept = self.all.clone()
        self.all.copy_(self.average)
        self.average.copy_(kept)


def _room(like: Any) -> int:
    return -(-like.numel() // ALIGNED) * ALIGNED


def _view(flat: Any, place: int, like: Any) -> Any:
    """`like`'s elements of `flat`; of four dimensions in the memory format channels_last."""
    part = flat[place : place + like.numel()]
    if like.ndim == 4:
        out, channels, height, width = like.shape
        return part.view(out, height, width, channels).permute(0, 3, 1, 2)
    return part.view(like.shape)
