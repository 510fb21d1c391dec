"""The Session every engine offers, and the checks that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.model.file import INPUT, ModelFile
from skytrigger.model.native_inputs import NativeTiles, native_of
from skytrigger.runtimes.code_writer import CodeWriter
from skytrigger.runtimes.spec import EngineSpec

Tiles = NDArray[Any] | NativeTiles
Answers = tuple[NDArray[np.float32], ...]  # one (n, outputs) for each head, in the card's order


@dataclass(frozen=True)
class EngineFacts:
    """What the engine really is, read back from it.

    Attributes
    ----------
    provider
        Execution provider or device that the engine reports.
    precision_run
        Precision of its convolutions and matrix products, as the engine reports it.
    engine_hash, engine_bytes
        Of the optimised graph, where the engine gives it out, else of the model file.
    build_s
        Seconds to load, optimise and compile.
    """

    version: str
    provider: str
    precision_run: str
    engine_hash: str
    engine_bytes: int
    build_s: float


class Session(ABC):
    """A model on an engine: `run` takes (n, c, h, w) in the data's units and the type asked for, any n >= 1.

    Engines compiled for a fixed batch get the last, partial batch padded and cropped, never dropped.
    With several streams the batches of one call run side by side. A network on native pixels takes `NativeTiles`; tiles
    are brought to native pixels first (`given`).
    """

    fixed_batch = False
    _writer: CodeWriter | None = None  # of engines that begin behind the codes which it writes

    def __init__(self, model: ModelFile, spec: EngineSpec) -> None:
        self.card: ModelCard = model.card
        self.heads = model.card.heads
        self.model, self.spec = model, spec
        self.engine: EngineFacts
        self._shape = (len(model.card.channels), *model.card.size)
        self._pool = ThreadPoolExecutor(spec.streams) if spec.streams > 1 else None
        self._busy = [Lock() for _ in range(spec.streams)]  # of the memory that a stream's codes are written to

    @property
    def facts(self) -> dict[str, Any]:
        """Spec, engine and model, as records keep them; of an INT8 network, who writes the codes it begins with."""
        found = {**asdict(self.spec), **asdict(self.engine), "model": self.card.name, "model_hash": self.model.sha256}
        codes = {"codes_by": "numba" if self._writer else "engine"} if self.card.precision == "int8" else {}
        return found | codes

    def given(self, tiles: Tiles) -> Tiles:
        """What the network takes of `tiles`: windows of native pixels where it wants these, else the tiles themselves.

        Raises
        ------
        InputError
            Tiles that do not fit the model.
        """
        if self.model.native and isinstance(tiles, np.ndarray):
            self._check_tiles(tiles)
            return native_of(tiles, self.model.native)
        self.check(tiles)
        return tiles

    def check(self, tiles: Tiles) -> None:
        """Raise InputError unless `tiles` fit the model."""
        if isinstance(tiles, np.ndarray):
            self._check_tiles(tiles)
            return
        expected = {g.input: (len(g.channels), g.side, g.side) for g in self.model.native}
        found = {k: v.shape[1:] for k, v in tiles.windows.items()}
        phased = any(g.phases > 1 for g in self.model.native)
        if found != expected or len(tiles) == 0 or phased != (tiles.phase is not None):
            raise InputError(f"windows {found}, phase {tiles.phase}", expected=f"{expected}, n at least 1")

    def _check_tiles(self, tiles: NDArray[Any]) -> None:
        if tiles.ndim != 4 or tiles.shape[1:] != self._shape or len(tiles) == 0:
            raise InputError(
                f"tiles of shape {tiles.shape}", expected=f"(n, {', '.join(map(str, self._shape))}), n at least 1"
            )
        if tiles.dtype != self.spec.input_type:
            raise InputError(
                f"tiles of dtype {tiles.dtype}", expected=f"{self.spec.input_type}, in the data's own units"
            )

    def run(self, tiles: Tiles) -> NDArray[np.float32]:
        """What the only head answers, (n, outputs) float32: logits of a classifier.

        Raises
        ------
        InputError
            Tiles that do not fit; a network of several heads.
        """
        if len(self.heads) != 1:
            names = ", ".join(head.name for head in self.heads)
            raise InputError(
                f"{self.card.name} has the heads {names}", expected="one head", remedy="Session.answers gives all"
            )
        return self._all(tiles)[0]

    def answers(self, tiles: Tiles) -> dict[str, NDArray[np.float32]]:
        """Head -> (n, outputs) float32, for any network."""
        return {head.name: values for head, values in zip(self.heads, self._all(tiles), strict=True)}

    def lanes(self) -> list[Callable[[Tiles], dict[str, NDArray[np.float32]]]]:
        """`answers` on each stream by itself, for a `Feed`: one thread a lane."""

        def lane(stream: int, tiles: Tiles) -> dict[str, NDArray[np.float32]]:
            tiles = self.given(tiles)
            size = self.spec.batch_size
            parts = [self._part(tiles[i : i + size], stream) for i in range(0, len(tiles), size)]
            return {head.name: values for head, values in zip(self.heads, _joined(parts), strict=True)}

        return [partial(lane, stream) for stream in range(self.spec.streams)]

    def _all(self, tiles: Tiles) -> Answers:
        tiles = self.given(tiles)
        size = self.spec.batch_size
        if len(tiles) == size:
            return self._infer(tiles, 0)
        parts = [tiles[i : i + size] for i in range(0, len(tiles), size)]
        if self._pool is None:
            return _joined([self._part(part, 0) for part in parts])
        # batch i on stream i mod streams: one engine context is never shared by two threads
        streams = self.spec.streams

        def lane(stream: int) -> list[Answers]:
            return [self._part(part, stream) for part in parts[stream::streams]]

        lanes = [self._pool.submit(lane, s) for s in range(min(streams, len(parts)))]
        done = [future.result() for future in lanes]
        return _joined([done[i % streams][i // streams] for i in range(len(parts))])

    def _part(self, part: Tiles, stream: int) -> Answers:
        missing = self.spec.batch_size - len(part)
        if not (missing and self.fixed_batch):
            return self._infer(part, stream)
        if isinstance(part, NativeTiles):
            padded: Tiles = part.padded(missing)
        else:
            padded = np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)])
        return tuple(values[: len(part)] for values in self._infer(padded, stream))

    def _feeds(self, tiles: Tiles, stream: int) -> dict[str, NDArray[Any]]:
        """Input -> array, for an engine that takes them by name: tiles, or the codes that are written of them."""
        if self._writer is not None and isinstance(tiles, np.ndarray):
            return {INPUT: self._writer.write(tiles, stream)}
        return feeds(tiles)

    @abstractmethod
    def _infer(self, tiles: Any, stream: int) -> Answers:
        """One batch on one stream."""

    def resident(self, tiles: Any) -> tuple[Any, ...]:
        """Answers to at most `batch_size` tiles that lie on the session's device already, left there.

        Parameters
        ----------
        tiles
            torch tensor of (n, c, h, w) in the session's input type.

        Returns
        -------
        tuple of tensor
            (n, outputs) float32 for each head; the next call may overwrite them.

        Raises
        ------
        UnavailableError
            The engine takes no tensors.
        """
        raise UnavailableError(
            f"runtime {self.spec.runtime} takes no tiles that lie on its device", remedy="--runtime torch"
        )

    def synchronize(self) -> None:  # noqa: B027 - most engines return when the result is there
        """Wait until all that was asked is done."""

    def close(self) -> None:
        """Free threads and the engine."""
        if self._pool is not None:
            self._pool.shutdown()
        if self._writer is not None:
            self._writer.close()


def feeds(tiles: Tiles) -> dict[str, NDArray[Any]]:
    """Input -> array, for an engine that takes them by name."""
    return tiles.feeds() if isinstance(tiles, NativeTiles) else {INPUT: tiles}


def _joined(parts: list[Answers]) -> Answers:
    return parts[0] if len(parts) == 1 else tuple(np.concatenate(values) for values in zip(*parts, strict=True))
