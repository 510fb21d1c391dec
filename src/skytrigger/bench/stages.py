"""Where the time from a tile's file to its answer goes: named stages, each timed apart."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skytrigger.bench.loop import nothing
from skytrigger.measure.records import Samples
from skytrigger.runtimes.session import Session

STAGES = ("decode", "prepare", "h2d", "compute", "d2h", "post")
LEAD_IN = 3


class Codec(Protocol):
    """How tiles of a kind lie in files: given by who knows the data."""

    channels: Any  # which of a decoded file's channels the model wants, in its order: an index of axis 0
    dtype: Any  # of the pixels in files

    def encode(self, tile: NDArray[Any]) -> bytes:
        """A file's bytes with these channels (c, h, w)."""

    def decode(self, content: bytes) -> NDArray[Any]:
        """Pixels (c, h, w) of a file's bytes."""


class Stages:
    """Recorder: ``with stages("decode"): ...`` adds one sample to that stage.

    `synchronize` is called at both ends of a stage, so that work left on a device is counted where it was issued.
    """

    def __init__(
        self, synchronize: Callable[[], object] = nothing, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._synchronize, self._clock = synchronize, clock
        self.seconds: dict[str, list[float]] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self._synchronize()
        begin = self._clock()
        yield
        self._synchronize()
        self.seconds.setdefault(name, []).append(self._clock() - begin)

    def samples(self, items: int = 1) -> dict[str, Samples]:
        """Series of each stage, in the order of the data's way."""
        known = [s for s in STAGES if s in self.seconds] + [s for s in self.seconds if s not in STAGES]
        return {name: Samples("s", tuple(round(v, 9) for v in self.seconds[name]), items) for name in known}


def stage_split(
    session: Session, inputs: Sequence[NDArray[Any]], calls: int, codec: Codec | None = None
) -> dict[str, Samples]:
    """Seconds per batch of decode, prepare, compute and post.

    Decode reads files from memory by `codec`; without one there is no such stage. Prepare picks the channels, stacks
    and converts to what the engine takes; post takes the most likely class of each head of classes. The copies to and
    from a GPU lie inside a session's compute stage.
    """
    stages = Stages(session.synchronize)
    for i in range(calls + LEAD_IN):
        if i == LEAD_IN:
            stages.seconds.clear()
        raw: list[NDArray[Any]] = list(inputs[i % len(inputs)])
        channels: Any = slice(None)
        if codec is not None:
            files, channels = [codec.encode(tile.astype(codec.dtype)) for tile in raw], codec.channels
            with stages("decode"):
                raw = [codec.decode(file) for file in files]
        with stages("prepare"):
            batch = np.stack([tile[channels] for tile in raw]).astype(session.spec.input_type)
        with stages("compute"):
            answers = session.answers(batch)
        with stages("post"):
            for head in session.heads:
                if head.kind == "classes":
                    answers[head.name].argmax(axis=1)
    return stages.samples(len(inputs[0]))
