"""Random changes of whole batches on the device, of fixed shapes and without the CPU: a graph can replay them.

The same kinds as `skytrigger.learn.augment`, drawn for each image on the device, and some more that stand for what an
atmosphere, a season or another place does to a tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

GREY_DEVIATION = 0.6  # of a tile's channel, in deviations over all tiles: what a normalised tile gets


@dataclass(frozen=True)
class Looks:
    """How strongly images are changed.

    Attributes
    ----------
    jitter
        Gains, offsets and contrast as in `learn.augment.augment`.
    style
        Probability that an image takes on another one's channel means and deviations, some of the way.
    world
        Probability that each channel of an image gets mean 0 and one common deviation (gray world).
    colour
        Deviation of the logarithm of the factor on the channels' differences from their mean (saturation).
    grey
        Probability that the channels' differences vanish.
    sharp
        Probability that an image is blurred or sharpened.
    """

    jitter: float = 1.0
    style: float = 0.0
    world: float = 0.0
    colour: float = 0.0
    grey: float = 0.0
    sharp: float = 0.0

    def __call__(self, z: Any, ratio: Any) -> Any:
        """Standardised images (n, c, h, w), changed; `ratio` is mean / deviation of each channel (1, c, 1, 1)."""
        count, channels = z.shape[:2]

        def normal(scale: float, *shape: int) -> Any:
            return torch.randn((*shape, 1, 1), device=z.device) * scale

        def some(share: float) -> Any:
            return (torch.rand((count, 1, 1, 1), device=z.device) < share).float()

        if self.sharp:
            smooth = torch.nn.functional.avg_pool2d(z, 3, 1, 1, count_include_pad=False)
            z = torch.addcmul(z, z - smooth, some(self.sharp) * (torch.rand_like(z[:, :1, :1, :1]) * 1.7 - 0.9))
        if self.colour or self.grey:
            common = z.mean(1, keepdim=True)
            factor = torch.exp(normal(self.colour, count, 1)) * (1 - some(self.grey))
            z = torch.addcmul(common, z - common, factor)
        if self.style:
            z = _towards(z, z.roll(2, 0), 1.0, some(self.style) * torch.rand((count, 1, 1, 1), device=z.device))
        if self.world:
            z = _towards(z, None, GREY_DEVIATION, some(self.world))
        if self.jitter:
            s = self.jitter
            gain = torch.exp(normal(0.15 * s, count, 1) + normal(0.06 * s, count, channels))
            contrast = torch.exp(normal(0.15 * s, count, 1))
            offset = normal(0.2 * s, count, 1) + normal(0.08 * s, count, channels)
            mean = z.mean((2, 3), keepdim=True)
            z = torch.addcmul(mean * (1 - contrast) * gain + (gain - 1) * ratio + offset, z, contrast * gain)
        return z


def _towards(z: Any, other: Any, deviation: float, way: Any) -> Any:
    """Channel means and deviations moved by `way` towards those of `other` (None: mean 0 and `deviation`)."""
    std, mean = torch.std_mean(z, (2, 3), keepdim=True)
    std = std + 1e-2
    if other is None:
        goal_std, goal_mean = torch.full_like(std, deviation), torch.zeros_like(mean)
    else:
        goal_std, goal_mean = torch.std_mean(other, (2, 3), keepdim=True)
        goal_std = goal_std + 1e-2
    scale = (goal_std / std) ** way
    return torch.addcmul(torch.lerp(mean, goal_mean, way) - mean * scale, z, scale)


def crops(stored: Any, side: int) -> Any:
    """(n, c, side, side): of each stored image a random square, turned and mirrored at random; one gather."""
    count, channels, height, width = stored.shape
    device = stored.device

    def drawn(below: int) -> Any:
        return (torch.rand((count, 1, 1), device=device) * below).long().clamp_(max=below - 1)

    down = torch.arange(side, device=device).view(1, side, 1)
    across = down.view(1, 1, side)
    turned, flipped, mirrored = drawn(2), drawn(2), drawn(2)
    row = torch.where(turned.bool(), across, down)
    column = torch.where(turned.bool(), down, across)
    row = row + flipped * (side - 1 - 2 * row) + drawn(height - side + 1)
    column = column + mirrored * (side - 1 - 2 * column) + drawn(width - side + 1)
    index = (row * width + column).view(count, 1, side * side).expand(-1, channels, -1)
    return stored.reshape(count, channels, -1).gather(2, index).view(count, channels, side, side)


def cutmix(z: Any, goals: Any, share: float) -> tuple[Any, Any]:
    """Of `share` of the images a rectangle (at most half) replaced by the next image's, targets mixed by area."""
    count, _, height, width = z.shape
    uniform = torch.rand((4, count, 1, 1, 1), device=z.device)
    side = (uniform[0] * 0.5).sqrt() * (uniform[1] < share)
    rows, columns = (height * side).floor(), (width * side).floor()
    top, left = (uniform[2] * (height - rows + 1)).floor(), (uniform[3] * (width - columns + 1)).floor()
    down = torch.arange(height, device=z.device).view(1, 1, -1, 1)
    across = torch.arange(width, device=z.device).view(1, 1, 1, -1)
    inside = (down >= top) & (down < top + rows) & (across >= left) & (across < left + columns)
    area = (rows * columns / (height * width)).view(count, 1)
    return torch.where(inside, z.roll(1, 0), z), (1 - area) * goals + area * goals.roll(1, 0)
