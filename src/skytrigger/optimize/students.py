"""The family of small networks that the search draws from: one builder, width, depth and stem as options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.learn.output_layer import Outputs, output_layer
from skytrigger.model.native_inputs import from_tile
from skytrigger.model.native_student import STRIDE, stem_channels, student_groups

if TYPE_CHECKING:
    from torch import Tensor, nn

# name -> kernel (of rows and columns, where they differ), stride and padding of the first convolution
STEMS: dict[str, tuple[int | tuple[int, int], int, int]] = {
    "s2": (3, 2, 1), "k4": (4, 2, 1), "p2": (2, 2, 0), "p4": (4, 4, 0), "q4": (2, 4, 0), "r4": ((2, 4), 4, 0),
    "mix": (4, 2, 1), "native": (1, STRIDE, 0),
}  # fmt: skip
BLOCKS = ("plain", "dw")
# of options that a card may leave out, as the builder has them
DEFAULTS: dict[str, Any] = {"widths": [16, 32, 64, 96], "depths": [0, 1, 1, 1], "stem": "k4", "block": "plain"}
MIXED = 8  # channels that the 1x1 band mix of stem `mix` leaves


def build(name: str, channels: int, size: tuple[int, int], outputs: Outputs, **options: Any) -> nn.Module:
    """Untrained student: float32 standardised (n, channels, h, w) -> logits (n, outputs), or a tuple of them.

    A stem that samples down, then for each further width a 3x3 convolution of stride 2; after each of
    them `depths` residual blocks; global average pooling; one dense layer. All convolutions have batch
    normalisation and ReLU. The global pooling takes any tile size and needs no dense layer over pixels,
    where the 2019 networks keep nine tenths of their weights.

    Parameters
    ----------
    options
        ``widths`` (16, 32, 64, 96), ``depths`` (0, 1, 1, 1): as many as widths;
        ``stem`` "k4" (4x4, stride 2), "s2" (3x3, stride 2), "p2", "p4" (patches), "q4" (2x2 patches,
        four apart: a quarter of the pixels), "r4" (two rows of every four: whole rows need not be read, see
        `model.skip_rows`), "mix" (1x1 to 8 channels at full resolution, then k4), "native" (each band's own pixels, in
        windows of 40 m: see `model.native_student`; ``factors``: tile pixels on a side of each channel's own);
        ``block`` "plain" (two 3x3) or "dw" (5x5 depthwise, 1x1 to twice the width, 1x1 back);
        ``inner``: channels inside the blocks of each stage (default: as the block says; pruning
        sets them); ``dropout`` 0.0 before the dense layer.

    Raises
    ------
    InputError
        Unknown name or option, impossible numbers, tiles smaller than the network samples down.
    """
    if name != "student":
        raise InputError(f"no network called {name!r}", expected="student")
    try:
        network: nn.Module = _student(channels, size, outputs, **options)
    except TypeError as error:
        raise InputError(f"a student does not take the options {sorted(options)}: {error}") from error
    return network


def _check(
    size: tuple[int, int], widths: Sequence[int], depths: Sequence[int], inner: Sequence[int], stem: str, block: str
) -> None:
    """Raise InputError for options of no student, or of one that such tiles are too small for."""
    if stem not in STEMS or block not in BLOCKS:
        raise InputError(f"stem {stem!r}, block {block!r}", expected=f"{', '.join(STEMS)}; {', '.join(BLOCKS)}")
    if not (len(widths) == len(depths) == len(inner) > 0) or min(*widths, *inner) < 1 or min(depths) < 0:
        raise InputError(
            f"widths {list(widths)}, depths {list(depths)}, inner {list(inner)}", expected="equally many, positive"
        )
    down = STEMS[stem][1] << (len(widths) - 1)
    if min(size) < down:
        raise InputError(f"tiles of {size[0]}x{size[1]} pixels", expected=f"at least {down}x{down} for these widths")


def _student(
    channels: int,
    size: tuple[int, int],
    outputs: Outputs,
    *,
    widths: Sequence[int] = (16, 32, 64, 96),
    depths: Sequence[int] = (0, 1, 1, 1),
    stem: str = "k4",
    block: str = "plain",
    inner: Sequence[int] | None = None,
    dropout: float = 0.0,
    factors: Sequence[int] = (),
) -> nn.Module:
    torch = require("torch", why="networks")
    layer = torch.nn
    if inner is None:
        inner = [w * (2 if block == "dw" else 1) for w in widths]
    _check(size, widths, depths, inner, stem, block)
    kernel, stride, padding = STEMS[stem]
    if (stem == "native") != bool(factors) or (factors and (len(factors) != channels or size[0] != size[1])):
        raise InputError(f"stem {stem!r}, factors {list(factors)}", expected="native with one for each channel, square")

    def convolution(
        source: int, count: int, kernel: int | tuple[int, int], stride: int, padding: int, groups: int = 1
    ) -> list[Any]:
        return [
            layer.Conv2d(source, count, kernel, stride, padding, groups=groups, bias=False),
            layer.BatchNorm2d(count),
        ]

    class Residual(layer.Module):  # type: ignore[misc,name-defined]
        def __init__(self, width: int, within: int) -> None:
            super().__init__()
            if block == "plain":
                layers = [*convolution(width, within, 3, 1, 1), layer.ReLU(), *convolution(within, width, 3, 1, 1)]
            else:
                layers = [*convolution(width, width, 5, 1, 2, width), layer.ReLU()]
                layers += [*convolution(width, within, 1, 1, 0), layer.ReLU(), *convolution(within, width, 1, 1, 0)]
            layer.init.zeros_(layers[-1].weight)  # starts as the identity
            self.branch = layer.Sequential(*layers)

        def forward(self, x: Tensor) -> Tensor:
            activated: Tensor = layer.functional.relu(x + self.branch(x))
            return activated

    layers: list[Any] = []
    if stem == "mix":
        layers += [*convolution(channels, MIXED, 1, 1, 0), layer.ReLU()]
        channels = MIXED
    if stem == "native":
        layers.append(native_pixels(factors, size[0]))
        channels, stride = stem_channels(factors), 1
    layers += [*convolution(channels, widths[0], kernel, stride, padding), layer.ReLU()]
    for stage, width in enumerate(widths):
        if stage:
            layers += [*convolution(widths[stage - 1], width, 3, 2, 1), layer.ReLU()]
        layers += [Residual(width, inner[stage]) for _ in range(depths[stage])]
    layers += [layer.AdaptiveAvgPool2d(1), layer.Flatten(), layer.Dropout(dropout), output_layer(widths[-1], outputs)]
    network: nn.Module = layer.Sequential(*layers)
    return network


def native_pixels(factors: Sequence[int], size: int) -> nn.Module:
    """Tiles (n, c, size, size) to blocks of native pixels as channels (n, `stem_channels`, s, s); no weights."""
    torch = require("torch", why="networks")
    groups, windows = student_groups(factors, size), size // STRIDE

    class NativePixels(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            for g in groups:
                self.register_buffer(g.input, torch.tensor(g.channels), persistent=False)
                way = from_tile(g.factor, size, g.side, g.margin, g.grid).astype("float32")
                self.register_buffer(f"{g.input}_down", torch.from_numpy(way), persistent=False)
                self.register_buffer(f"{g.input}_across", torch.from_numpy(way.T.copy()), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            parts = []
            for g in groups:
                own = x.index_select(1, getattr(self, g.input))
                if g.factor > 1:
                    down, across = getattr(self, f"{g.input}_down"), getattr(self, f"{g.input}_across")
                    own = torch.matmul(torch.matmul(down.to(x.dtype), own), across.to(x.dtype))
                k = g.side // windows
                if k > 1:
                    own = own.reshape(-1, len(g.channels), windows, k, windows, k).permute(0, 1, 3, 5, 2, 4)
                    own = own.reshape(-1, len(g.channels) * k * k, windows, windows)
                parts.append(own)
            joined: Tensor = torch.cat(parts, 1)
            return joined

    module: nn.Module = NativePixels()
    return module


def multiply_adds(network: nn.Module, channels: int, size: tuple[int, int]) -> int:
    """Multiply-adds of convolutions and dense layers for one image (counted by running one)."""
    torch = require("torch", why="counting operations")
    total = 0

    def count(module: Any, inputs: Any, output: Any) -> None:
        nonlocal total
        per_value = module.weight[0].numel()
        total += per_value * output.numel()

    hooks = [
        m.register_forward_hook(count) for m in network.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    training = network.training
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, channels, *size))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return total
