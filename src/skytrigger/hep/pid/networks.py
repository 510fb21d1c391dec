"""Networks of two heads, particle class and energy: the origin's, and a small one that knows the detector."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.hep.pid.geometry import LAYER_Z, N_LAYERS
from skytrigger.hep.pid.images import LAYOUTS
from skytrigger.learn.output_layer import Outputs, output_layer

if TYPE_CHECKING:
    from torch import Tensor, nn

LAYOUT_OF = {"pid_origin": "origin", "pid_small": "ticl"}
"""Image layout that each network takes."""
NAMES = tuple(LAYOUT_OF)
SMALLEST = 1e-6  # GeV: keeps logarithms and quotients finite where there is nothing


def build(name: str, channels: int, size: tuple[int, int], outputs: Outputs, **options: Any) -> nn.Module:
    """Untrained network: float32 standardised images (n, channels, 50, clusters) -> a tensor for each head.

    Raises
    ------
    InputError
        Unknown name or options, or images that the network cannot take.
    """
    makers: dict[str, Callable[..., nn.Module]] = {"pid_origin": pid_origin, "pid_small": pid_small}
    if name not in makers:
        raise InputError(f"no network called {name!r}", expected=", ".join(makers))
    if size[0] != N_LAYERS or channels != 3:
        raise InputError(f"images of {channels} x {size[0]} x {size[1]}", expected=f"3 x {N_LAYERS} x clusters")
    if isinstance(outputs, int) or len(outputs) != 2:
        raise InputError(f"{name} with {outputs} outputs", expected="two heads: identity and energy")
    try:
        network: nn.Module = makers[name](size, outputs, **options)
    except TypeError as error:
        raise InputError(f"network {name!r} does not take the options {sorted(options)}: {error}") from error
    return network


def pid_origin(size: tuple[int, int], outputs: tuple[int, ...], dense: tuple[int, int] = (1024, 256)) -> nn.Module:
    """The origin's design: batch norm, 16 filters of 5x1 (along the layers), two times 16 of 3x3, Dense 1024 and 256.

    24.8 M parameters at 50 x 30, nearly all in the first dense layer. The energy head counts in 100 GeV from 200.
    """
    torch = require("torch", why="networks")
    width = 16 * size[0] * size[1]

    class Origin(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Sequential(
                torch.nn.BatchNorm2d(3),
                torch.nn.Conv2d(3, 16, (5, 1), padding=(2, 0)),
                torch.nn.ReLU(),
                torch.nn.Conv2d(16, 16, 3, padding=1),
                torch.nn.ReLU(),
                torch.nn.Conv2d(16, 16, 3, padding=1),
                torch.nn.ReLU(),
                torch.nn.Flatten(),
                torch.nn.Linear(width, dense[0]),
                torch.nn.ReLU(),
                torch.nn.Linear(dense[0], dense[1]),
                torch.nn.ReLU(),
            )
            self.last = output_layer(dense[1], outputs)

        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            identity, energy = self.last(self.body(images))
            return identity, energy * 100.0 + 200.0

    network: nn.Module = Origin()
    return network


def pid_small(
    size: tuple[int, int],
    outputs: tuple[int, ...],
    mean: list[float] | None = None,
    std: list[float] | None = None,
    features: int = 16,
    filters: int = 24,
    hidden: int = 64,
    dropout: float = 0.1,
) -> nn.Module:
    """A set of clusters in each layer, then convolutions along the layers: some 52,000 parameters.

    From an image of layout ``ticl`` each cluster gets its logarithmic energy, its share of the shower and its distance
    from the shower's axis (energy-weighted eta and phi) in cm at its layer. Two dense layers shared by all clusters
    follow, summed over each layer's clusters, plainly and by energy: neither order nor number of clusters matters.
    The energy head is linear: ``E = S (1 + w h)``, S being the sum of all clusters, beside the logarithm of its
    variance, ``ln(0.22^2 S + 0.02^2 S^2) + v h``.

    Parameters
    ----------
    mean, std
        The standardisation that the input underwent, which is undone. Default: none.
    """
    torch = require("torch", why="networks")

    class Small(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("z", torch.tensor(LAYER_Z, dtype=torch.float32).view(1, -1, 1), persistent=False)
            shape = (1, 3, 1, 1)
            self.register_buffer("mean", torch.tensor(mean or [0.0] * 3).view(shape), persistent=False)
            self.register_buffer("std", torch.tensor(std or [1.0] * 3).view(shape), persistent=False)
            self.each, self.along, self.dense = _small_parts(torch, size[0], features, filters, hidden, dropout)
            self.last = output_layer(hidden, outputs)
            with torch.no_grad():  # the first guess of the energy is the sum
                energy_head: Any = self.last.get_submodule("heads.1")
                energy_head.weight.mul_(0.1)
                energy_head.bias.zero_()

        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            raw = images * self.std + self.mean
            energy = raw[:, 0].clamp(min=0)
            clusters, layers, whole = _features(torch, self.z, energy, raw[:, 1], raw[:, 2])
            single = self.each(clusters) * (energy > 0).unsqueeze(1).to(clusters.dtype)
            share = clusters[:, 1:2] * 0.1
            summed = torch.cat([single.sum(3) * 0.2, (single * share).sum(3) * 10.0, layers], 1)
            identity, values = self.last(self.dense(torch.cat([self.along(summed), whole], 1)))
            total = energy.sum((1, 2)).clamp(min=0.05).unsqueeze(1)
            mean_energy = total * (1 + values[:, :1])
            if outputs[1] == 1:
                return identity, mean_energy
            spread = torch.log(0.0484 * total + 0.0004 * total * total) + values[:, 1:]
            return identity, torch.cat([mean_energy, spread], 1)

    network: nn.Module = Small()
    return network


def _small_parts(
    torch: Any, layers: int, features: int, filters: int, hidden: int, dropout: float
) -> tuple[nn.Module, nn.Module, nn.Module]:
    """What sees each cluster, what goes along the layers, and what sees the whole shower."""
    n = torch.nn
    each = n.Sequential(n.Conv2d(4, features, 1), n.ReLU(), n.Conv2d(features, features, 1), n.ReLU())
    along = n.Sequential(
        n.Conv1d(2 * features + 3, filters, 5, padding=2),
        n.ReLU(),
        n.Conv1d(filters, filters, 5, padding=2, stride=2),
        n.ReLU(),
        n.Conv1d(filters, filters, 3, padding=1),
        n.ReLU(),
        n.Flatten(),
    )
    dense = n.Sequential(
        n.Linear(filters * ((layers + 1) // 2) + 3, hidden),
        n.ReLU(),
        n.Dropout(dropout),
        n.Linear(hidden, hidden),
        n.ReLU(),
    )
    return each, along, dense


def _features(torch: Any, z: Tensor, energy: Tensor, eta: Tensor, phi: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(n, 4, layers, clusters) of each cluster, (n, 3, layers) of each layer, (n, 3) of the shower."""
    total = energy.sum((1, 2), keepdim=True).clamp(min=SMALLEST)
    axis_eta = (energy * eta).sum((1, 2), keepdim=True) / total
    cosine, sine = torch.cos(phi), torch.sin(phi)
    across = (energy * cosine).sum((1, 2), keepdim=True)
    up = (energy * sine).sum((1, 2), keepdim=True)
    turn = torch.rsqrt(across * across + up * up + SMALLEST)
    radius = z / torch.sinh(eta.clamp(min=1.0))
    side = radius * (sine * across - cosine * up) * turn
    out = radius - z / torch.sinh(axis_eta.clamp(min=1.0))
    there = (energy > 0).to(energy.dtype)
    distance = torch.sqrt(side * side + out * out + SMALLEST)
    log_energy = torch.log(energy + 1e-3) + 6.9078
    clusters = torch.stack([log_energy * 0.2, energy / total * 10, torch.log1p(distance), distance * 0.1], 1)
    clusters = clusters * there.unsqueeze(1)
    in_layer = energy.sum(2)
    count = there.sum(2)
    layers = torch.stack([torch.log(in_layer + 1e-2) * 0.2 + 0.921, in_layer / total[:, :, 0] * 10, count * 0.1], 1)
    full = (count >= energy.shape[2]).to(energy.dtype).sum(1, keepdim=True) * 0.05
    whole = torch.cat([torch.log(total[:, :, 0]) * 0.2, axis_eta[:, :, 0] - 2.2, full], 1)
    return clusters, layers, whole


def layout_of(size: tuple[int, int]) -> str:
    """Image layout of a network that takes images of this size."""
    for name, layout in LAYOUTS.items():
        if size == (N_LAYERS, layout.clusters):
            return name
    raise InputError(f"images of {size}", expected=", ".join(f"50 x {v.clusters} ({k})" for k, v in LAYOUTS.items()))
