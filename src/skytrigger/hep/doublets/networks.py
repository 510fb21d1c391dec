"""The origin's convolutional doublet filter and our small one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.learn.output_layer import Outputs, output_layer

if TYPE_CHECKING:
    from torch import Tensor, nn

E10 = 1e4  # electrons in the unit the small network counts in: float16 holds its sums
SMALL = 1e-4  # keeps empty pads from 0 / 0; float16 has it


def build(name: str, channels: int, size: tuple[int, int], outputs: Outputs, **options: Any) -> nn.Module:
    """Untrained network: float32 standardised (n, channels, h, w) -> logits (n, outputs), or a tuple of them.

    Raises
    ------
    InputError
        Unknown name or options, or pads that the network cannot take.
    """
    if name not in NETWORKS:
        raise InputError(f"no network called {name!r}", expected=", ".join(NETWORKS))
    if size[0] % 4 or size[1] % 4:
        raise InputError(f"pads of {size[0]}x{size[1]} pixels do not fit {name}", expected="multiples of 4")
    try:
        network: nn.Module = NETWORKS[name](channels, size, outputs, **options)
    except TypeError as error:
        raise InputError(f"network {name!r} does not take the options {sorted(options)}: {error}") from error
    return network


def doublets_cnn(channels: int, size: tuple[int, int], outputs: Outputs, first_pooling: str = "origin") -> nn.Module:
    """Layers of the origin's doublet filter: two 3x3 'same' convolutions of 64, 2x2 pooling, two of 128, 2x2 pooling,
    Dense 128, 64 and the logits, ReLU between. Initial weights: He et al. 2015.

    Parameters
    ----------
    first_pooling
        ``origin``: over filters and rows, as the published network does (a channels-last pooling on
        channels-first data): 765,890 parameters and 36.5 M multiply-adds at (20, 16, 16).
        ``image``: over rows and columns, as it was meant: 540,610 parameters, 26.8 M multiply-adds.
    """
    torch = require("torch", why="networks")
    if first_pooling not in ("origin", "image"):
        raise InputError(f"first_pooling = {first_pooling!r}", expected="origin or image")

    class FilterAndRowPool(torch.nn.Module):  # type: ignore[misc,name-defined]
        """(n, f, h, w) -> (n, f / 2, h / 2, w)."""

        def forward(self, x: Tensor) -> Tensor:
            pooled: Tensor = torch.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), 2)
            return pooled.permute(0, 2, 3, 1)

    def convolutions(source: int, filters: int) -> list[Any]:
        first, second = torch.nn.Conv2d(source, filters, 3, padding=1), torch.nn.Conv2d(filters, filters, 3, padding=1)
        return [first, torch.nn.ReLU(), second, torch.nn.ReLU()]

    area = (size[0] // 4) * (size[1] // 4)
    if first_pooling == "origin":
        layers: list[Any] = [*convolutions(channels, 64), FilterAndRowPool(), *convolutions(32, 128)]
        area *= 2
    else:
        layers = [*convolutions(channels, 64), torch.nn.MaxPool2d(2), *convolutions(64, 128)]
    layers += [torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(128 * area, 128), torch.nn.ReLU()]
    layers += [torch.nn.Linear(128, 64), torch.nn.ReLU(), output_layer(64, outputs)]
    network: nn.Module = torch.nn.Sequential(*layers)
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            torch.nn.init.zeros_(module.bias)
    return network


def _geometric(low: float, high: float, count: int) -> tuple[float, ...]:
    return tuple(low * (high / low) ** (i / (count - 1)) for i in range(count))


# Edges of each feature's bins, in the order in which `ShapeFeatures` computes them; charges in 10,000 e-,
# lengths in pixels, moments in pixels squared. Narrower bins below 0.25, the largest variance of two
# pixels, gained nothing and let float32's rounding show.
EDGES: dict[str, tuple[float, ...]] = {
    "pixels": (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 40),
    "rows": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16),
    "columns": (1, 2, 3, 4, 5, 6, 8, 12, 16),
    "charge": _geometric(1.2, 20, 13),
    "largest": (0.4, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.1, 2.5, 3.0, 3.4, 3.6, 3.8),
    "row_variance": (0, 0.1, 0.16, 0.21, 0.25, 0.45, 0.7, 1, 1.5, 2.2, 3, 4.5, 8, 20),
    "column_variance": (0, 0.1, 0.16, 0.21, 0.25, 0.4, 0.6, 1, 2, 4, 20),
    "covariance": (-4, -1, -0.4, -0.15, -0.05, 0, 0.05, 0.15, 0.4, 1, 4),
    "charge_per_row": _geometric(0.5, 10, 10),
    "charge_per_pixel": _geometric(0.5, 3, 8),
}


def doublets_small(
    channels: int,
    size: tuple[int, int],
    outputs: Outputs,
    mean: list[float] | None = None,
    std: list[float] | None = None,
    hidden: int = 64,
    dropout: float = 0.3,
) -> nn.Module:
    """Cluster shape inside the network, then two dense layers: 17,666 parameters at two pads.

    Of each pad ten shape features are computed (`EDGES`), each spread over its bins by
    ``clip((feature - low) / (high - low), 0, 1)``: piecewise linear encoding (Gorishniy et al. 2022,
    "On Embeddings for Numerical Features in Tabular Deep Learning", eq. 1). On the CMS file, AUC of
    cross-validation within training and validation parts: a 3x3 CNN 0.705, dense layers on row and column
    profiles 0.731, on standardised logarithms of the features 0.715, boosted trees on 61
    features 0.742, this 0.748.

    Parameters
    ----------
    mean, std
        The standardisation that the input underwent, which is undone: the bins are in electrons.
        Default: the input is in electrons.
    """
    torch = require("torch", why="networks")
    bins = sum(len(edges) - 1 for edges in EDGES.values())
    layers: list[Any] = [
        _shape_features(channels, size, mean, std),
        torch.nn.Dropout(0.1),
        torch.nn.Linear(channels * bins, hidden),
        torch.nn.ReLU(),
        torch.nn.Dropout(dropout),
    ]
    layers += [
        torch.nn.Linear(hidden, hidden),
        torch.nn.ReLU(),
        torch.nn.Dropout(dropout),
        output_layer(hidden, outputs),
    ]
    network: nn.Module = torch.nn.Sequential(*layers)
    return network


def _shape_features(
    channels: int, size: tuple[int, int], mean: list[float] | None, std: list[float] | None
) -> nn.Module:
    """(n, c, h, w) -> (n, c * bins), each within -0.5..0.5. Operators that every runtime has."""
    torch = require("torch", why="networks")

    class ShapeFeatures(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            row = (torch.arange(size[0]) - size[0] / 2).view(-1, 1).expand(size).reshape(-1)
            column = (torch.arange(size[1]) - size[1] / 2).view(1, -1).expand(size).reshape(-1)
            # normalised moments about the barycentre's pixel: row, column, row^2, column^2, row x column
            powers = torch.stack([row, column, row * row, column * column, row * column], 1)
            # (co)variance = second moment - product of two means; picked by products with 0 and 1,
            # since slices are not among every runtime's operators
            second = torch.eye(5)[:, 2:]
            left, right = torch.eye(5)[:, [0, 1, 0]], torch.eye(5)[:, [0, 1, 1]]
            encode, shift = _encoding(torch)
            for name, value in {
                "scale": torch.tensor(std or [1.0] * channels).view(1, -1, 1, 1) / E10,
                "offset": torch.tensor(mean or [0.0] * channels).view(1, -1, 1, 1) / E10,
                "powers": powers,
                "second": second,
                "left": left,
                "right": right,
                "encode": encode,
                "shift": shift,
            }.items():
                self.register_buffer(name, value, persistent=False)

        def forward(self, standardised: Tensor) -> Tensor:
            # float32 also inside a float16 network: the bins are steep, the dense layers behind them are not
            scale, offset, powers, second, left, right, encode, shift = (b.float() for b in self.buffers())
            x = standardised.float() * scale + offset
            flat = x.flatten(2)
            charge = flat.mean(dim=2, keepdim=True) * (size[0] * size[1])
            moments = (flat @ powers) / (charge + SMALL)
            variances = moments @ second - (moments @ left) * (moments @ right)
            highest_row, highest_column = pool(x, (1, size[1])), pool(x, (size[0], 1))
            largest = pool(highest_row, (size[0], 1)).flatten(2)
            pixels, rows, columns = _count(x), _count(highest_row), _count(highest_column)
            per_row, per_pixel = charge / (rows + SMALL), charge / (pixels + SMALL)
            ordered = torch.cat([pixels, rows, columns, charge, largest, variances, per_row, per_pixel], dim=2)
            encoded: Tensor = (ordered @ encode + shift).clamp(0, 1) - 0.5
            return encoded.flatten(1).to(standardised.dtype)

    pool = torch.nn.functional.max_pool2d
    features: nn.Module = ShapeFeatures()
    return features


def _count(x: Tensor) -> Tensor:
    """Pixels with charge (any above 50 e-) of (n, c, h, w), as (n, c, 1)."""
    charged: Tensor = (x * (E10 / 50)).clamp(0, 1)
    area = charged.shape[2] * charged.shape[3]
    mean: Tensor = charged.flatten(2).mean(dim=2, keepdim=True)
    return mean * area


def _encoding(torch: Any) -> tuple[Tensor, Tensor]:
    """Matrix (features, bins) and vector (bins) with ``features @ matrix + vector`` = (feature - low) / width."""
    bins = [(i, *pair) for i, e in enumerate(EDGES.values()) for pair in itertools.pairwise(e)]
    matrix, vector = torch.zeros(len(EDGES), len(bins)), torch.zeros(len(bins))
    for place, (feature, low, high) in enumerate(bins):
        matrix[feature, place] = 1 / (high - low)
        vector[place] = -low / (high - low)
    return matrix, vector


NETWORKS: dict[str, Callable[..., Any]] = {"doublets_cnn": doublets_cnn, "doublets_small": doublets_small}
