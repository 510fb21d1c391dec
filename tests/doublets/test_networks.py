from __future__ import annotations

import numpy as np
import pytest
import torch

from skytrigger.core.errors import InputError
from skytrigger.hep.doublets.networks import E10, EDGES, build
from skytrigger.hep.doublets.shape_features import feature_names, shape_features
from skytrigger.optimize.students import multiply_adds

# layer by layer: 3x3 weights and biases, then dense ones
ORIGIN_20 = (180 * 64 + 64) + (576 * 64 + 64) + (288 * 128 + 128) + (1152 * 128 + 128) + (4096 * 128 + 128)
ORIGIN_20 += (128 * 64 + 64) + (64 * 2 + 2)


def _parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_the_origins_network_has_its_size():
    network = build("doublets_cnn", 20, (16, 16), 2)
    assert _parameters(network) == ORIGIN_20 == 765_890
    assert multiply_adds(network, 20, (16, 16)) == 36_511_872
    meant = build("doublets_cnn", 20, (16, 16), 2, first_pooling="image")
    assert _parameters(meant) == 540_610
    assert multiply_adds(meant, 20, (16, 16)) == 26_812_544


def test_the_origins_first_pooling_is_over_filters_and_rows():
    network = build("doublets_cnn", 2, (16, 16), 2)
    pool = network[4]
    x = torch.arange(2 * 4 * 6 * 5, dtype=torch.float32).reshape(2, 4, 6, 5)
    expected = x.reshape(2, 2, 2, 3, 2, 5).amax(dim=(2, 4))
    assert torch.equal(pool(x), expected)


@pytest.mark.parametrize("channels", [2, 20])
@pytest.mark.parametrize("name", ["doublets_cnn", "doublets_small"])
def test_logits_have_the_right_shape_and_every_weight_learns(name, channels):
    network = build(name, channels, (16, 16), 2)
    x = torch.rand(8, channels, 16, 16) * (torch.rand(8, channels, 16, 16) > 0.9) * 3e4
    logits = network(x if name == "doublets_small" else x / 1e4)
    assert logits.shape == (8, 2)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def _encoded_by_hand(x):
    """Piecewise linear bins of NumPy's shape features, in the network's order."""
    features, names = shape_features(x), feature_names()
    out = []
    for pad in ("inner", "outer"):
        got = {n: features[:, names.index(f"{pad}.{n}")].astype(np.float64) for n in EDGES if n != "charge_per_row"}
        got["charge_per_row"] = got["charge"] / got["rows"]
        for name, edges in EDGES.items():
            value = got[name] / (E10 if name in ("charge", "largest", "charge_per_row", "charge_per_pixel") else 1)
            low, high = np.array(edges[:-1]), np.array(edges[1:])
            out.append(np.clip((value[:, None] - low) / (high - low), 0, 1) - 0.5)
    return np.concatenate(out, axis=1)


def test_the_features_inside_the_small_network_are_the_baselines(doublets):
    # every simulated cluster is connected, so its extent is its number of charged rows
    x = doublets.x[:400]
    inside = build("doublets_small", 2, (16, 16), 2)[0](torch.from_numpy(x.astype(np.float32))).numpy()
    assert np.abs(inside - _encoded_by_hand(x)).max() < 0.01


def test_standardisation_is_undone(doublets):
    x = torch.from_numpy(doublets.x[:200].astype(np.float32))
    mean, std = [250.0, 120.0], [2100.0, 1500.0]
    standardised = (x - torch.tensor(mean).view(1, 2, 1, 1)) / torch.tensor(std).view(1, 2, 1, 1)
    plain = build("doublets_small", 2, (16, 16), 2)[0](x)
    undone = build("doublets_small", 2, (16, 16), 2, mean=mean, std=std)[0](standardised)
    assert (plain - undone).abs().max() < 0.01


def test_empty_pads_are_finite_also_in_float16():
    network = build("doublets_small", 20, (16, 16), 2).eval()
    x = torch.zeros(2, 20, 16, 16)
    x[0, 3, 8, 8] = 4e4
    assert torch.isfinite(network(x)).all()
    assert torch.isfinite(network.half()(x.half())).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("doublets_big", 2, (16, 16), 2), "no network called 'doublets_big'"),
        (("doublets_cnn", 2, (18, 16), 2), "multiples of 4"),
    ],
)
def test_wrong_requests(call, message):
    with pytest.raises(InputError, match=message):
        build(*call)
    with pytest.raises(InputError, match="does not take the options"):
        build("doublets_small", 2, (16, 16), 2, depth=3)
    with pytest.raises(InputError, match="first_pooling = 'both'"):
        build("doublets_cnn", 2, (16, 16), 2, first_pooling="both")
