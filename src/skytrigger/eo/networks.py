"""The seven networks of the 2019 study, for any number of channels and any even tile size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.learn.output_layer import Outputs, output_layer

if TYPE_CHECKING:
    from torch.nn import Module

# name -> filters of each stack; every other difference is in `build`
STACKS: dict[str, tuple[int, ...]] = {
    "basic": (32, 64, 128),
    "1moreconv": (32, 64, 128, 256),
    "1lessconv": (32, 64),
    "from64": (64, 128, 256),
    "from64_1moreconv": (64, 128, 256, 512),
    "from64_1lessconv": (64, 128),
    "regularized": (32, 64, 128),
}
NAMES = tuple(STACKS)


def build(name: str, channels: int, size: tuple[int, int], outputs: Outputs, **options: Any) -> Module:
    """Untrained network: float32 standardised (n, channels, h, w) -> logits (n, outputs), or a tuple of them.

    Each stack is two 3x3 'same' convolutions with ReLU and a 2x2 max pooling; then Dense 512 and
    128 with ReLU, and the logits. ``regularized`` adds batch normalisation after each stack, before
    its pooling, and dropout 0.5 after each dense layer. Initial weights: He et al. 2015 (the
    ReLU-preserving variance), biases zero.

    Raises
    ------
    InputError
        Unknown name, or a tile that the poolings do not divide.
    """
    if name not in STACKS:
        raise InputError(f"no network called {name!r}", expected=", ".join(NAMES))
    if options:
        raise InputError(f"network {name!r} has no options {sorted(options)}")
    filters = STACKS[name]
    step = 2 ** len(filters)
    if size[0] % step or size[1] % step:
        raise InputError(f"tiles of {size[0]}x{size[1]} pixels do not fit {name}", expected=f"a multiple of {step}")
    return _stacked(channels, size, outputs, filters, regularized=name == "regularized")


def _stacked(
    channels: int, size: tuple[int, int], outputs: Outputs, filters: Sequence[int], *, regularized: bool
) -> Module:
    torch = require("torch", why="networks")
    nn = torch.nn
    layers: list[Module] = []
    width = channels
    for count in filters:
        for source in (width, count):
            layers += [nn.Conv2d(source, count, 3, padding=1), nn.ReLU()]
        if regularized:
            layers.append(nn.BatchNorm2d(count))
        layers.append(nn.MaxPool2d(2))
        width = count
    area = (size[0] >> len(filters)) * (size[1] >> len(filters))
    layers.append(nn.Flatten())
    width *= area
    for units in (512, 128):
        layers += [nn.Linear(width, units), nn.ReLU()]
        if regularized:
            layers.append(nn.Dropout(0.5))
        width = units
    layers.append(output_layer(width, outputs))
    network: Module = nn.Sequential(*layers)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    for module in layers[-1].modules():
        if isinstance(module, nn.Linear):  # a first loss near ln(classes), not ten times it
            nn.init.xavier_normal_(module.weight)
    return network
