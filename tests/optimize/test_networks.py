"""Smaller networks with the same answers: pruning, channel ranking, the family."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from skytrigger.core.dataset import Dataset, Split
from skytrigger.optimize.bands import ranked, subsets
from skytrigger.optimize.candidates import counted, family, spread
from skytrigger.optimize.prune import narrowed, prune
from skytrigger.optimize.students import build, multiply_adds


def settled(**options: object) -> torch.nn.Module:
    """A student with statistics and scales of a trained one."""
    torch.manual_seed(0)
    network = build("student", 3, (32, 32), 4, **options)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    return network.eval()


def norms_of(network: torch.nn.Module, places: list[str]) -> list[torch.nn.BatchNorm2d]:
    named = dict(network.named_modules())
    return [named[p] for p in places]


@pytest.mark.parametrize("block", ["plain", "dw"])
@pytest.mark.parametrize("stem", ["k4", "mix", "p2"])
def test_pruning_silent_channels_keeps_the_function(block: str, stem: str) -> None:
    options = {"widths": [16, 16], "depths": [1, 2], "stem": stem, "block": block}
    network = settled(**options)
    silent = np.random.default_rng(0)
    first = 3 if stem == "mix" else 0
    inner, last = ("branch.4", "branch.7") if block == "dw" else ("branch.1", "branch.4")
    # layers: [mix], stem, block, down, block, block
    for trunk, blocks in ((first + 1, [first + 3]), (first + 5, [first + 7, first + 8])):
        quiet = silent.permutation(16)[:8]
        within = [f"{b}.branch.1" for b in blocks] if block == "dw" else []  # depthwise: the same channels
        for norm in norms_of(network, [str(trunk), *(f"{b}.{last}" for b in blocks), *within]):
            norm.weight.data[quiet] = norm.bias.data[quiet] = 0
        for b in blocks:
            norm = norms_of(network, [f"{b}.{inner}"])[0]
            inside = silent.permutation(len(norm.weight))[: len(norm.weight) // 2]
            norm.weight.data[inside] = norm.bias.data[inside] = 0
    smaller_options, weights = prune(network, options, 0.5)
    assert smaller_options["widths"] == [8, 8]
    smaller = build("student", 3, (32, 32), 4, **smaller_options)
    smaller.load_state_dict(weights)
    x = torch.randn(5, 3, 32, 32)
    with torch.inference_mode():
        np.testing.assert_allclose(smaller.eval()(x), network(x), atol=2e-5)
    assert multiply_adds(smaller, 3, (32, 32)) < 0.6 * multiply_adds(network, 3, (32, 32))


def test_pruning_loud_channels_does_not() -> None:
    options = {"widths": [16, 16], "depths": [0, 1]}
    network = settled(**options)
    smaller_options, weights = prune(network, options, 0.5)
    smaller = build("student", 3, (32, 32), 4, **smaller_options)
    smaller.load_state_dict(weights)
    x = torch.randn(5, 3, 32, 32)
    with torch.inference_mode():
        assert float((smaller.eval()(x) - network(x)).abs().max()) > 1e-2


@pytest.mark.parametrize(
    ("width", "share", "left"), [(32, 0.5, 16), (24, 0.5, 16), (8, 0.5, 4), (48, 0.75, 40), (2, 0.1, 1)]
)
def test_narrowed(width: int, share: float, left: int) -> None:
    assert narrowed(width, share) == left


def test_the_channel_that_tells_the_classes_ranks_first(data: Dataset, split: Split) -> None:
    order = ranked(data, split.train)
    assert order[0] == "B01"  # tiny.dataset puts the class into the first channel
    assert sorted(order) == sorted(data.channels)
    swapped = replace(data, x=np.ascontiguousarray(data.x[:, ::-1]))
    assert ranked(swapped, split.train)[0] == data.channels[-1]
    for subset in subsets(data, split.train):
        assert "B01" in subset
        assert len(subset) < len(data.channels)


def test_the_ranking_does_not_look_past_the_training_part(data: Dataset, split: Split) -> None:
    x = data.x.copy()
    x[np.concatenate([split.val, split.test])] = 0
    assert ranked(replace(data, x=x), split.train) == ranked(data, split.train)


def test_the_family_fits_small_and_large_images() -> None:
    large, small = family([f"c{i}" for i in range(13)], (64, 64), 10), family(["a", "b"], (16, 16), 2)
    assert len(large) > len(small) > 20
    several = [(c, 64, 10) for c in large[::7]] + [(small[0], 16, 2)]
    for candidate, side, classes in several:
        network = build("student", len(candidate.channels), (side, side), classes, **candidate.options)
        assert candidate.multiply_adds == multiply_adds(network, len(candidate.channels), (side, side))
        assert candidate.parameters == sum(p.numel() for p in network.parameters())
    assert len({c.name for c in large}) == len(large)


def test_spread_covers_the_range_and_obeys_the_limit() -> None:
    pool = family(["a", "b", "c"], (64, 64), 10)
    most = pool[-1].multiply_adds / 4
    chosen = spread(pool, 6, most)
    costs = sorted(c.multiply_adds for c in chosen)
    assert len(chosen) == 6
    assert costs[-1] <= most
    assert costs[-1] / costs[0] > 8
    assert len({c.options["stem"] for c in chosen}) >= 3


def test_too_small_for_a_student_is_no_candidate() -> None:
    assert (
        counted({"stem": "p4", "widths": [8, 16, 32], "depths": [0, 0, 0], "block": "plain"}, ["a"], (8, 8), 2) is None
    )
