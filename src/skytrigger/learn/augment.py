"""Random changes of training images that do not change what they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skytrigger.core.extras import require
from skytrigger.learn.batches import augment_d4
from skytrigger.learn.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

CROP_STEP = 4  # pixels between the crop sizes that are drawn
STYLE_SHARE = 0.7


def augment(images: Tensor, ratio: Tensor, recipe: Recipe, random: np.random.Generator) -> Tensor:
    """Standardised images (n, c, h, w) changed as `recipe` says.

    Symmetry, crop and channel dropout as in `Recipe`. Jitter stands for what differs from place to place and day to
    day in one class: a gain of the whole image (illumination) and of each channel (calibration, atmosphere, surface),
    in the data's units; contrast about the image's own mean; an offset common to all channels (haze)
    and one of each. Their standard deviations at ``jitter = 1`` are 15 %, 6 %, 15 %, 0.2 and 0.08
    channel standard deviations.

    Parameters
    ----------
    ratio
        mean / std of each channel, (1, c, 1, 1): a gain acts on DN, not on the standardised value.
    """
    torch = require("torch", why="augmentation")
    count, channels, height, width = images.shape
    if recipe.augment:
        images = augment_d4(images, random.integers(0, 8, count))
    if recipe.crop:
        side = int(random.choice(np.arange(recipe.crop, min(height, width) + 1, CROP_STEP)))
        row, column = (int(random.integers(0, full - side + 1)) for full in (height, width))
        images = images[:, :, row : row + side, column : column + side]
    if recipe.jitter:

        def normal(scale: float, *shape: int) -> Tensor:
            drawn: Tensor = torch.from_numpy(
                random.normal(0.0, recipe.jitter * scale, (*shape, 1, 1)).astype(np.float32)
            )
            return drawn.to(images.device)

        gain = torch.exp(normal(0.15, count, 1) + normal(0.06, count, channels))
        contrast = torch.exp(normal(0.15, count, 1))
        mean = images.mean((2, 3), keepdim=True)
        offset = normal(0.2, count, 1) + normal(0.08, count, channels)
        # (DN * gain - mean) / std = z * gain + (gain - 1) * mean / std; one pass over the pixels
        shift = mean * (1 - contrast) * gain + (gain - 1) * ratio + offset
        images = torch.addcmul(shift, images, contrast * gain)
    if recipe.style:
        images = mix_style(images, recipe.style, random)
    if recipe.channel_dropout:
        share = recipe.channel_dropout * random.random((count, 1))
        kept = torch.from_numpy((random.random((count, channels)) >= share).astype(np.float32))
        images = images * kept.to(images.device)[:, :, None, None]  # the channel's mean, after standardisation
    return images


def mix_style(images: Tensor, probability: float, random: np.random.Generator) -> Tensor:
    """Part of the images with channel means and deviations part of the way to those of another image of the batch.

    What a place, a season or an atmosphere does to a tile is for the most part a change of these; a network that has
    seen a class under many of them holds on to texture and shape (Zhou et al. 2021, "Domain generalization with
    MixStyle", there between layers). Up to `STYLE_SHARE` of the way, the deviations geometrically.
    """
    torch = require("torch", why="augmentation")
    count = len(images)
    other = torch.from_numpy(random.permutation(count)).to(images.device)
    share = random.uniform(0.0, STYLE_SHARE, (count, 1, 1, 1)) * (random.random((count, 1, 1, 1)) < probability)
    way = torch.from_numpy(share.astype(np.float32)).to(images.device)
    std, mean = torch.std_mean(images, (2, 3), keepdim=True)
    std = std + 1e-4
    scale = (std[other] / std) ** way
    return torch.addcmul(torch.lerp(mean, mean[other], way) - mean * scale, images, scale)  # type: ignore[no-any-return]


def cutmix(images: Tensor, targets: list[Tensor], random: np.random.Generator) -> tuple[Tensor, list[Tensor]]:
    """A square of each image replaced by another image's, targets mixed by area (Yun et al. 2019).

    At most half of the image is replaced. `targets` are each head's probabilities (n, classes).
    """
    torch = require("torch", why="augmentation")
    other = torch.from_numpy(random.permutation(len(images))).to(images.device)
    height, width = images.shape[2:]
    share = float(random.uniform(0.0, 0.5)) ** 0.5
    rows, columns = int(height * share), int(width * share)
    top, left = int(random.integers(0, height - rows + 1)), int(random.integers(0, width - columns + 1))
    mixed = images.clone()
    mixed[:, :, top : top + rows, left : left + columns] = images[other, :, top : top + rows, left : left + columns]
    area = rows * columns / (height * width)
    return mixed, [(1 - area) * goal + area * goal[other] for goal in targets]
