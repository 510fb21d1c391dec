"""What one convolution's kernel is compiled for, and how its tiles fit a Hopper multiprocessor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import UnavailableError

SOURCE = Path(__file__).with_name("convolution.cu")
THREADS = 256
SHARED_BYTES = 232_448 - 256  # that one block may have, but for the biases; each block costs 1,024 more
TILES = ((16, 16, 1), (8, 16, 2), (16, 8, 2), (8, 8, 4))  # rows, columns, images: 256 pixels each
LEAST_STAGES = 4  # buffers of pixels: one is read, one may still be, two are on their way
POOLS = {None: 0, "image": 1, "channels": 2}
KINDS = {"float32": 0, "float16": 1, "uint16": 2, "uint8": 3}


@dataclass(frozen=True)
class Shape:
    """A 3x3 'same' convolution with ReLU on (channels_in, height, width).

    `pool` is None, ``image`` (2x2 over rows and columns) or ``channels`` (2x2 over channels and rows).
    """

    channels_in: int
    channels_out: int
    height: int
    width: int
    pool: str | None = None

    def __post_init__(self) -> None:
        if self.height % 8 or self.width % 8:
            raise UnavailableError(f"images of {self.height} x {self.width}", expected="sides that 8 divides")
        if self.channels_out % 16:
            raise UnavailableError(f"{self.channels_out} filters", expected="a multiple of 16")
        if self.columns == 0:
            raise UnavailableError(f"{self.channels_in} input channels", expected="weights that fit shared memory")

    @property
    def padded_in(self) -> int:
        """Input channels with zeros up to a multiple of 16."""
        return -(-self.channels_in // 16) * 16

    @property
    def tile(self) -> tuple[int, int, int]:
        """Rows, columns and images of a block's tile."""
        return next(t for t in TILES if self.height % t[0] == 0 and self.width % t[1] == 0)

    @property
    def columns(self) -> int:
        """Output channels of a block: as many as leave room for four buffers of pixels; 0 where none do."""
        for columns in (64, 32, 16):
            fits = self.weight_bytes(columns) + LEAST_STAGES * self.stage_bytes <= SHARED_BYTES
            if self.channels_out % columns == 0 and fits:
                return columns
        return 0

    def weight_bytes(self, columns: int) -> int:
        """Weights of `columns` output channels, float16."""
        return 9 * self.padded_in * columns * 2

    @property
    def stage_bytes(self) -> int:
        """Sixteen channels of a tile with its border, float16."""
        rows, columns, images = self.tile
        return images * (rows + 2) * (columns + 2) * 32

    @property
    def blocks(self) -> int:
        """Blocks that a multiprocessor holds at once: as many as memory allows, and three at most."""
        least = self.weight_bytes(self.columns) + LEAST_STAGES * self.stage_bytes + 1024
        return max(1, min(3 if self.columns <= 32 else 2, (SHARED_BYTES + 1024) // least))

    @property
    def stages(self) -> int:
        """Buffers of pixels."""
        room = (SHARED_BYTES + 1024) // self.blocks - 1024 - self.weight_bytes(self.columns)
        return min(5, room // self.stage_bytes)

    @property
    def shared_bytes(self) -> int:
        """Of one block."""
        return self.weight_bytes(self.columns) + self.stages * self.stage_bytes

    def source(self) -> bytes:
        """What is compiled."""
        return SOURCE.read_bytes()

    def defines(self, kind: str = "float32") -> list[str]:
        """The compiler's ``-D`` options; `kind` is the dtype that ``pack`` reads."""
        rows, columns, images = self.tile
        values = {
            "CIN": self.padded_in, "COUT": self.channels_out, "N": self.columns,
            "HEIGHT": self.height, "WIDTH": self.width, "TILE_H": rows, "TILE_W": columns, "IMAGES": images,
            "STAGES": self.stages, "BLOCKS": self.blocks, "POOL": POOLS[self.pool], "KIND": KINDS[kind],
        }  # fmt: skip
        return [f"-D{name}={value}" for name, value in values.items()]

    def grid(self, count: int, multiprocessors: int) -> tuple[int, int]:
        """Blocks that share the tiles of `count` images, and groups of output channels."""
        rows, columns, images = self.tile
        tiles = -(-count // images) * (self.height // rows) * (self.width // columns)
        groups = self.channels_out // self.columns
        return max(1, min(tiles, multiprocessors * self.blocks // groups)), groups

    def arranged(self, weight: NDArray[np.floating]) -> NDArray[np.float16]:
        """Weights (out, in, 3, 3) as the kernel reads them: [group][tap][in / 8][out of the group][8]."""
        padded = np.zeros((self.channels_out, self.padded_in, 9), np.float16)
        padded[:, : self.channels_in] = weight.reshape(self.channels_out, self.channels_in, 9)
        groups, eighths = self.channels_out // self.columns, self.padded_in // 8
        split = padded.reshape(groups, self.columns, eighths, 8, 9)
        return np.ascontiguousarray(split.transpose(0, 4, 2, 1, 3))

    @property
    def output(self) -> tuple[int, int, int]:
        """Channels, rows and columns of what comes out."""
        halved = 2 if self.pool else 1
        if self.pool == "channels":
            return self.channels_out // 2, self.height // 2, self.width
        return self.channels_out, self.height // halved, self.width // halved
