"""Where an INT8 network begins with codes, its session writes them itself and the engine begins behind them.

Needs Numba; without it the engine does all, with the same answers.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
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
SHARE = 1 << 19  # codes, the least that another thread is woken for: that alone takes about as long


class CodeWriter:
    """Tiles of a session's input type to what its engine is given; each stream has its own memory, which is reused.

    Attributes
    ----------
    content
        The model from these codes on, input ``tiles`` of uint8 (n, *`shape`).
    """

    def __init__(self, model: ModelFile, codes: InputCodes, blocks: CodeBlocks | None, spec: EngineSpec) -> None:
        channels, (height, width) = len(model.card.channels), model.card.size
        self._window, self._gains = blocks.window if blocks else None, codes.gains
        self._backs = np.float32(12_582_912.0) - codes.zeros
        kept, step = codes.rows
        if blocks:
            self.content = blocks.content
            self.shape: tuple[int, ...] = blocks.rows, blocks.columns, blocks.depth
            kept, step = (kept, step) if step > 1 else (blocks.window[0], blocks.window[0])
        else:
            short = from_codes(model)
            self.content, self.shape = short.content, (channels, *short.card.size)
            kept, step = (kept, step) if step > 1 else (height, height)
        self._kept = kept * width
        self._given = (channels, height // step, step * width)
        size = (spec.batch_size, *self.shape)
        self.buffers = [np.zeros(size, np.uint8) for _ in range(spec.streams)]
        self._threads = min(spec.threads, self.buffers[0].size // SHARE)
        self._pool = ThreadPoolExecutor(spec.streams * (self._threads - 1)) if self._threads > 1 else None
        self.write(np.zeros((1, channels, height, width), spec.input_type), 0)  # compiles, or loads what was compiled

    def write(self, tiles: NDArray[Any], stream: int) -> NDArray[np.uint8]:
        """At most a batch of tiles (n, c, h, w) -> (n, *shape) in the stream's memory."""
        given = np.ascontiguousarray(tiles).reshape(len(tiles), *self._given)
        given.flags.writeable = False  # one compilation for arrays and memory-mapped files
        made = self.buffers[stream][: len(tiles)]
        if self._pool is None:
            self._write(given, made)
            return made
        cuts = [len(tiles) * i // self._threads for i in range(self._threads + 1)]
        parts = [(given[i:j], made[i:j]) for i, j in pairwise(cuts) if j > i]
        others = [self._pool.submit(self._write, *part) for part in parts[1:]]
        self._write(*parts[0])
        for other in others:
            other.result()
        return made

    def _write(self, given: NDArray[Any], made: NDArray[np.uint8]) -> None:
        from skytrigger.runtimes.code_kernel import write_blocks, write_planes

        if self._window is None:
            write_planes(given, self._gains, self._backs, made.reshape(*given.shape[:3], -1))
            return
        row, word = np.empty(self._kept, np.uint8), f"u{self._window[1]}"
        write_blocks(given, self._gains, self._backs, row, row.view(word), made.view(word))

    def close(self) -> None:
        """End its threads."""
        if self._pool:
            self._pool.shutdown()


def code_writer(model: ModelFile, spec: EngineSpec, planes: bool = True) -> CodeWriter | None:
    """For an INT8 file on a CPU that begins with codes, where Numba is installed; else None.

    Without `planes` only for files whose first convolution takes blocks.
    """
    fits = model.card.precision == "int8" and not model.native and spec.device == "cpu"
    codes = input_codes(model) if fits and spec.input_type in WRITTEN else None
    if codes is None or not _compiles():
        return None
    blocks = code_blocks(model)
    # each group of rows that is read must be one row of blocks
    if blocks and (blocks.window[1] not in WIDTHS or codes.rows not in ((1, 1), (blocks.window[0], codes.rows[1]))):
        blocks = None
    return CodeWriter(model, codes, blocks, spec) if blocks or planes else None


def _compiles() -> bool:
    """Whether Numba is there, and has a place for what it compiles."""
    if find("numba") is None:
        return False
    try:
        find("skytrigger.runtimes.code_kernel")
    except RuntimeError:  # neither the package's folder nor the user's cache can be written to
        return False
    return True
