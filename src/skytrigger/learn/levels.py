"""Images whose channels have other levels than those that a network was trained on: said, never put right.

Channels are matched by name, and names say nothing of levels: an offset that was not taken off, another level of
processing, another scale, or files whose bands lie in another order than was taken for granted all run, and give
answers that mean little. A card holds each channel's mean and spread over the training images: enough to see that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset
from skytrigger.learn.batches import channel_statistics

IMAGES = 512  # looked at, evenly over those that are judged
FEW = 10  # images: fewer may lie twice as far off
# Mean of a channel, in spreads of the training images. Of the ten classes of EuroSAT each alone lies between -2.3
# (SeaLake in infrared) and +1.7; an offset of 1,000 at +3.3 (B01) and more, Level-1C for Level-2A at +2.2 (B01).
ABOVE, BELOW = 2.0, 2.5
FLAT, WIDE = 0.05, 5.0  # spread, as a share of that of the training images
OFFSET_DN = 1000  # RADIO_ADD_OFFSET and BOA_ADD_OFFSET of Sentinel-2 since processing baseline 04.00, sign turned
SHOWN = 4


def unlike_channels(dataset: Dataset, rows: NDArray[np.int64], card: ModelCard) -> list[dict[str, Any]]:
    """Channels of the images `rows` whose mean or spread the network cannot know; worst first.

    `dataset` has the card's channels, in its order. A channel that the card does not normalise (mean 0) is left out.
    """
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), IMAGES)).round().astype(int)]
    means, stds = channel_statistics(dataset, rows)
    slack = 1.0 if len(rows) >= FEW else 2.0
    found = []
    same = [bool(np.ptp(dataset.x[rows, c]) == 0) for c in range(len(card.channels))]
    stds = tuple(0.0 if one else std for one, std in zip(same, stds, strict=True))
    for channel, mean, std, own, spread in zip(card.channels, means, stds, card.mean, card.std, strict=True):
        shift, share = (mean - own) / spread, std / spread
        off = max(shift / ABOVE, -shift / BELOW) / slack
        flat = len(rows) >= FEW and not FLAT <= share <= WIDE
        if own and (off > 1 or flat):
            found.append({"channel": channel, "mean": mean, "std": std, "trained_mean": own, "trained_std": spread,
                          "shift": shift})  # fmt: skip
    return sorted(found, key=lambda one: -abs(one["shift"]))


def levels_sentence(found: list[dict[str, Any]], card: ModelCard) -> str:
    """`unlike_channels` in words; empty where there are none."""
    if not found:
        return ""
    parts = [
        f"{one['channel']} {one['mean']:,.4g} +- {one['std']:,.3g} "
        f"(trained on {one['trained_mean']:,.4g} +- {one['trained_std']:,.3g})"
        for one in found[:SHOWN]
    ]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return (
        f"these images are unlike those the network was trained on, by {len(found)} of {len(card.channels)} channels: "
        f"{', '.join(parts)}{more}. {_guess(found, card)}"
    )


def _guess(found: list[dict[str, Any]], card: ModelCard) -> str:
    if card.units != "DN":
        return "Another scale, another order of channels, or another kind of image looks like this"
    higher = np.array([one["mean"] - one["trained_mean"] for one in found])
    if len(found) > 1 and abs(np.median(higher) - OFFSET_DN) < OFFSET_DN / 4:
        return (
            f"They are about {OFFSET_DN:,} higher: the offset of Sentinel-2 products since processing baseline 04.00 "
            f"is still in; take {OFFSET_DN:,} off"
        )
    return (
        "Another level (Level-1C, Level-2A), an offset still in (1,000 since processing baseline 04.00), another scale "
        "or another order of bands looks like this"
    )
