"""Images at other levels than a network was trained on are told of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import tiny
from skytrigger.applications.registry import model_path
from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset
from skytrigger.learn.batches import channel_statistics
from skytrigger.learn.evaluate import card_of
from skytrigger.learn.levels import levels_sentence, unlike_channels

DATA = tiny.dataset()
ROWS = np.arange(len(DATA))


def card(data: Dataset = DATA, **changes: object) -> ModelCard:
    mean, std = channel_statistics(data, ROWS)
    made = ModelCard("student", data.channels, data.classes, (16, 16), mean, std, data.units, "")
    return replace(made, **changes)


def told(x: np.ndarray, rows: np.ndarray = ROWS, **changes: object) -> str:
    data = replace(DATA, x=x)
    return levels_sentence(unlike_channels(data, rows, card(**changes)), card(**changes))


def test_its_own_images_and_each_class_alone_are_like_them() -> None:
    assert told(DATA.x) == ""
    for k in range(len(DATA.classes)):
        assert told(DATA.x, np.flatnonzero(DATA.y == k)) == ""
    assert told(DATA.x, ROWS[:1]) == ""


def test_an_offset_is_named() -> None:
    assert "about 1,000 higher: the offset of Sentinel-2 products" in told(DATA.x + 1000)
    assert "about 1,000" not in told(DATA.x + 3000)


@pytest.mark.parametrize("change", [lambda x: x // 100, lambda x: x * 4, lambda x: x * 0])
def test_another_scale_is_told(change: object) -> None:
    sentence = told(change(DATA.x))  # type: ignore[operator]
    assert "by 3 of 3 channels" in sentence
    assert "another scale" in sentence


def test_another_order_of_bands_is_told() -> None:
    data = replace(DATA, x=DATA.x * np.array([1, 5, 9], np.uint16)[:, None, None])
    own = card(data)
    turned = replace(data, x=data.x[:, [2, 0, 1]])
    assert unlike_channels(data, ROWS, own) == []
    assert {one["channel"] for one in unlike_channels(turned, ROWS, own)} == {"B01", "B02", "B03"}


def test_a_constant_band_is_told_with_its_spread() -> None:
    x = DATA.x.copy()
    x[:, 1] = 1000  # at its mean
    (found,) = unlike_channels(replace(DATA, x=x), ROWS, card())
    assert (found["channel"], found["std"]) == ("B02", 0.0)


def test_a_card_that_does_not_normalise_says_nothing() -> None:
    assert told(DATA.x + 9000, mean=(0.0,) * 3, std=(1.0,) * 3) == ""


def test_other_units_have_words_of_their_own() -> None:
    assert "another kind of image" in told(DATA.x + 9000, units="rgb8")


def test_level_1c_is_unlike_what_a_network_for_level_2a_knows() -> None:
    """By the means that EuroSAT's 13-band tiles have: B01 alone tells, since the air is brightest there."""
    l1c, l2a = (card_of(model_path(name)) for name in ("eurosat_ms", "eurosat_l2a"))
    index = [l1c.channels.index(c) for c in l2a.channels]
    random = np.random.default_rng(0)
    means, stds = (np.array(v)[index][:, None, None] for v in (l1c.mean, l1c.std))
    x = np.clip(means + stds * random.standard_normal((40, len(index), 8, 8)), 0, None).astype(np.uint16)
    data = Dataset(x, np.zeros(40, np.int64), tuple(map(str, range(40))), l2a.channels, ("a", "b"), "")
    found = unlike_channels(data, np.arange(40), l2a)
    assert "B01" in [one["channel"] for one in found]
    assert "Level-2A" in levels_sentence(found, l2a)
