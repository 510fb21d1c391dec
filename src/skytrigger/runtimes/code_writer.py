"""Where an INT8 network begins with codes, its session writes them itself and the engine begins behind them.

Needs Numba; without it the engine does all, with the same answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.extras import find
from skytrigger.model.code_blocks import CodeBlocks, code_blocks
from skytrigger.model.file import ModelFile
from skytrigger.model.input_codes import InputCodes, from_codes, input_codes
from skytrigger.runtimes.spec import EngineSpec

WRITTEN = ("float32", "uint16", "uint8")
WIDTHS = (1, 2, 4, 8)  # bytes of a word


class CodeWriter:
    """Tiles of a session's input type to what its engine is given; each stream has its own memory, which is reused.

    Attributes
    ----------
    content
        The model from these codes on, input ``tiles`` of uint8 (n, *`shape`).
    """

    def __init__(self, model: ModelFile, codes: InputCodes, blocks: CodeBlocks | None, spec: EngineSpec) -> None:
        channels, (height, width) = len(model.card.channels), model.card.size
        self._gains = codes.gains
        self._backs = np.float32(12_582_912.0) - codes.zeros
        kept, step = codes.rows
        if blocks:
            self.content, self._window = blocks.content, blocks.window
            self.shape: tuple[int, ...] = (blocks.rows, blocks.columns, blocks.depth)
            kept, step = (kept, step) if step > 1 else (blocks.window[0], blocks.window[0])
        else:
            short = from_codes(model)
            self.content, self.shape = short.content, (channels, *short.card.size)
            kept, step = (kept, step) if step > 1 else (height, height)
        self._blocks, self._kept = bool(blocks), kept * width
        self._given = (channels, height // step, step * width)
        size = (spec.batch_size, *self.shape)
        self.buffers = [np.zeros(size, np.uint8) for _ in range(spec.streams)]
        self._rows = [np.zeros(self._kept, np.uint8) for _ in range(spec.streams)]
        self.write(np.zeros((1, channels, height, width), spec.input_type), 0)  # compiles, or loads what was compiled

    def write(self, tiles: NDArray[Any], stream: int) -> NDArray[np.uint8]:
        """At most a batch of tiles (n, c, h, w) -> (n, *shape) in the stream's memory."""
        from skytrigger.runtimes.code_kernel import write_blocks, write_planes

        given = np.ascontiguousarray(tiles).reshape(len(tiles), *self._given)
        given.flags.writeable = False  # one compilation for arrays and memory-mapped files
        made = self.buffers[stream][: len(tiles)]
        if not self._blocks:
            out = made.reshape(len(tiles), *self._given[:2], -1)
            write_planes(given, self._gains, self._backs, out)
            return made
        high, wide = self._window
        row, word = self._rows[stream], f"u{wide}"
        write_blocks(given, self._gains, self._backs, row, row.view(word).reshape(high, -1), made.view(word))
        return made


def code_writer(model: ModelFile, spec: EngineSpec) -> CodeWriter | None:
    """For an INT8 file on a CPU that begins with codes, where Numba is installed; else None."""
    fits = model.card.precision == "int8" and not model.native and spec.device == "cpu"
    codes = input_codes(model) if fits and spec.input_type in WRITTEN else None
    if codes is None or find("numba") is None:
        return None
    blocks = code_blocks(model)
    # each group of rows that is read must be one row of blocks
    if blocks and (blocks.window[1] not in WIDTHS or codes.rows not in ((1, 1), (blocks.window[0], codes.rows[1]))):
        blocks = None
    return CodeWriter(model, codes, blocks, spec)
