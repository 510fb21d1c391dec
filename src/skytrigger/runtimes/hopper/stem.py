"""The first two layers in one kernel: what it is compiled for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from skytrigger.runtimes.hopper.shapes import SHARED_BYTES, Shape
from skytrigger.runtimes.hopper.shapes import SOURCE as CONVOLUTION

SOURCE = Path(__file__).with_name("stem.cu")
FIRST = 16  # input channels with zeros


@dataclass(frozen=True)
class Stem:
    """Two convolutions, `first` and `second`, that follow each other."""

    first: Shape
    second: Shape
    blocks: int = 2
    """Of a multiprocessor."""
    squares: int = 3
    """Of 64 pixels of the first layer, each warpgroup, summed at once: 1 or 3."""

    @property
    def fits(self) -> bool:
        """Whether the kernel is for these."""
        a, b = self.first, self.second
        return (
            a.padded_in == FIRST
            and a.columns == a.channels_out
            and a.pool is None
            and b.tile == (16, 16, 1)
            and b.channels_in == b.channels_out == b.columns == 32
            and b.pool in (None, "image")
            and self.blocks * (self.shared_bytes + 1024) <= SHARED_BYTES + 1024
        )

    @property
    def shared_bytes(self) -> int:
        """Of one block: weights of both layers, pixels of the first, and what lies between them."""
        rows, columns, _ = self.second.tile
        given = (rows + 4) * (columns + 4) * FIRST * 2
        between = (rows + 2) * (columns + 2) * self.second.padded_in * 2
        weights = self.second.weight_bytes(self.second.columns) + self.first.weight_bytes(self.second.channels_in)
        return weights + given + between

    def source(self) -> bytes:
        """What is compiled."""
        return CONVOLUTION.read_bytes() + SOURCE.read_bytes()

    def defines(self, kind: str = "float32") -> list[str]:
        """The compiler's options: the second layer's, and the blocks of a multiprocessor."""
        return [*self.second.defines(kind), f"-DSTEM_BLOCKS={self.blocks}", f"-DSTEM_SQUARES={self.squares}"]

    def grid(self, count: int, multiprocessors: int) -> tuple[int, int]:
        """Blocks that share the tiles of `count` images."""
        rows, columns, _ = self.second.tile
        tiles = count * (self.second.height // rows) * (self.second.width // columns)
        return max(1, min(tiles, multiprocessors * self.blocks)), 1
