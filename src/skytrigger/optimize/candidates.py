"""The networks a search may try: enumerated, counted, and thinned out evenly over their cost."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.files import sha256_json
from skytrigger.model.native_student import OPTION, stem_channels
from skytrigger.optimize.students import MIXED, STEMS

# Multiples of eight: the vector units' blocks of channels; between them a width costs as much as the next.
WIDTHS = (
    (8, 16, 32, 48), (8, 16, 32, 64), (16, 24, 48, 64), (16, 32, 64, 96), (24, 48, 96, 144),
    (24, 48, 72), (32, 64, 96), (32, 64, 128),
)  # fmt: skip
DEPTHS = (0, 1)  # residual blocks of every stage but the first
TRIED_STEMS = ("k4", "p4", "s2", "mix", "p2", "q4", "r4", "native")
BLOCKS = ("plain", "dw")


@dataclass(frozen=True)
class Candidate:
    """A student: builder options, the channels it sees, multiply-adds and parameters."""

    options: dict[str, Any]
    channels: tuple[str, ...]
    multiply_adds: int = 0
    parameters: int = 0
    origin: str = "family"
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        digest = sha256_json({"options": self.options, "channels": list(self.channels)})[:8]
        object.__setattr__(self, "digest", digest)

    @property
    def name(self) -> str:
        """Short and telling, unique by its digest."""
        options = self.options
        widths = "-".join(map(str, options["widths"]))
        depths = "".join(map(str, options["depths"]))
        return f"{options['stem']}_{widths}_d{depths}_{options['block']}_{len(self.channels)}ch_{self.digest}"

    def key(self) -> dict[str, Any]:
        """What training it depends on besides the recipe."""
        return {"options": self.options, "channels": list(self.channels)}


def counted(
    options: dict[str, Any], channels: Sequence[str], size: tuple[int, int], outputs: int | tuple[int, ...]
) -> Candidate | None:
    """A candidate with its cost; None where the images are too small for it.

    By formula: building and running each of a hundred networks takes seconds. Tests hold it against both.
    """
    widths, depths, depthwise = options["widths"], options["depths"], options["block"] == "dw"
    inner = options.get("inner") or [w * (2 if depthwise else 1) for w in widths]
    kernel, stride, padding = STEMS[options["stem"]]
    if min(size) < stride << (len(widths) - 1):
        return None
    (height, width), operations, parameters = size, 0, 0

    def convolution(
        source: int, count: int, kernel: int | tuple[int, int], stride: int = 1, padding: int = 0, groups: int = 1
    ) -> None:
        nonlocal height, width, operations, parameters
        rows, columns = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        height, width = ((side + 2 * padding - k) // stride + 1 for side, k in ((height, rows), (width, columns)))
        weights = source // groups * count * rows * columns
        operations += weights * height * width
        parameters += weights + 2 * count  # with scale and shift

    source = len(channels)
    if options["stem"] == "mix":
        convolution(source, MIXED, 1)
        source = MIXED
    if options["stem"] == "native":
        height, width, stride, source = height // stride, width // stride, 1, stem_channels(options[OPTION])
    for stage, (count, depth, within) in enumerate(zip(widths, depths, inner, strict=True)):
        convolution(source, count, *((3, 2, 1) if stage else (kernel, stride, padding)))
        for _ in range(depth):
            if depthwise:
                convolution(count, count, 5, 1, 2, count)
                convolution(count, within, 1)
                convolution(within, count, 1)
            else:
                convolution(count, within, 3, 1, 1)
                convolution(within, count, 3, 1, 1)
        source = count
    answers = outputs if isinstance(outputs, int) else sum(outputs)
    return Candidate(options, tuple(channels), operations + source * answers, parameters + (source + 1) * answers)


def with_factors(options: dict[str, Any], channels: Sequence[str], factors: Mapping[str, int]) -> dict[str, Any]:
    """Options of a student for these channels, whose own pixels the native stem must know."""
    return {**options, OPTION: [factors[c] for c in channels]} if options["stem"] == "native" else options


def family(
    channels: Sequence[str],
    size: tuple[int, int],
    outputs: int | tuple[int, ...],
    factors: Mapping[str, int] | None = None,
) -> list[Candidate]:
    """All students for these channels, by multiply-adds.

    `factors`: tile pixels on a side of each channel's own pixel; with several the native stem is among them.
    """
    found = []
    native = {factors.get(c) for c in channels} if factors and size[0] == size[1] and size[0] % 8 == 0 else {None}
    for stem, block, widths, depth in itertools.product(TRIED_STEMS, BLOCKS, WIDTHS, DEPTHS):
        if depth == 0 and block != BLOCKS[0]:
            continue  # without blocks their kind means nothing
        if stem == "native" and (None in native or len(native) < 2):
            continue
        options = {"stem": stem, "widths": list(widths), "depths": [0] + [depth] * (len(widths) - 1), "block": block}
        one = counted(with_factors(options, channels, factors or {}), channels, size, outputs)
        if one is not None:
            found.append(one)
    if not found:
        raise InputError(f"no student fits images of {size[0]}x{size[1]} pixels", expected="at least 8x8")
    return sorted(found, key=lambda c: (c.multiply_adds, c.name))


def spread(pool: Sequence[Candidate], count: int, most: float) -> list[Candidate]:
    """`count` of `pool`, evenly over the logarithm of their multiply-adds up to `most`, stems and blocks in turn."""
    affordable = [c for c in pool if c.multiply_adds <= most] or list(pool[:count])
    if len(affordable) <= count:
        return affordable
    low, high = (math.log(affordable[i].multiply_adds) for i in (0, -1))
    left, chosen = list(affordable), []
    used: Counter[str] = Counter()
    for i in range(count):
        goal = low + (high - low) * (i + 0.5) / count
        best = min(
            left,
            key=lambda c: (
                abs(math.log(c.multiply_adds) - goal) + 0.3 * (used[c.options["stem"]] + used[c.options["block"]] / 2),
                c.name,
            ),
        )
        left.remove(best)
        chosen.append(best)
        used.update([best.options["stem"], best.options["block"]])
    return chosen
