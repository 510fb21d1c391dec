"""What the visits of the throughput study share: images in each type and memory, sessions, and times kept short."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.model.file import ModelFile
from skytrigger.runtimes.cuda_lanes import page_locked
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.spec import EngineSpec

DIGITS = 4
QUANTILES = 101  # minimum, 1 %, ..., maximum


class Images:
    """The images of a visit, in each type and memory made once: the dataset's, repeated or cut to `count`."""

    def __init__(self, dataset: Dataset, count: int) -> None:
        self._dataset, self._count = dataset, count
        self._made: dict[tuple[str, str], NDArray[Any]] = {}

    def of(self, input_type: str, memory: str) -> NDArray[Any]:
        """(count, c, h, w). Images for the device's memory are copied there from pageable memory."""
        memory = memory if memory == "page-locked" else "pageable"
        if (input_type, memory) not in self._made:
            if memory == "page-locked":
                made = page_locked(self.of(input_type, "pageable"))
            else:
                index = np.arange(self._count) % len(self._dataset)
                made = np.ascontiguousarray(self._dataset.x[index], dtype=input_type)
            self._made[input_type, memory] = made
        return self._made[input_type, memory]


class Sessions:
    """Sessions of one runtime, precision, batch size and input type, opened when first needed and kept until the end.

    A stream has a session of its own; sessions with other CPU threads are others.
    """

    def __init__(self, model: ModelFile) -> None:
        self._model = model
        self._opened: dict[int, list[Any]] = {}

    def __enter__(self) -> Sessions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them all, and give torch's spare memory on a GPU back, so that the next ones find room."""
        opened = [session for sessions in self._opened.values() for session in sessions]
        on_gpu = any(session.spec.device.startswith("cuda") for session in opened)
        self._opened = {}
        while opened:
            opened.pop().close()
        torch = sys.modules.get("torch")
        if on_gpu and torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def take(self, spec: EngineSpec, tiles: NDArray[Any]) -> list[Any]:
        """`spec.streams` sessions that have seen a whole batch and, where there is one, the last, smaller batch."""
        opened = self._opened.setdefault(spec.threads, [])
        while len(opened) < spec.streams:
            opened.append(open_session(self._model, replace(spec, streams=1)))
            opened[-1].run(tiles[: spec.batch_size])
            if rest := len(tiles) % spec.batch_size:
                opened[-1].run(tiles[-rest:])
        return opened[: spec.streams]


def thinned(times: NDArray[np.float64]) -> tuple[float, ...]:
    """At most 101 of `times`, to 4 digits: of more, the order statistics at every whole percent, extremes included.

    So the median, p95 and p99 are those of all times; `restored` undoes it for the table.
    """
    if len(times) > QUANTILES:
        places = np.rint(np.linspace(0, len(times) - 1, QUANTILES)).astype(int)
        times = np.sort(times)[places]
    return tuple(float(f"{t:.{DIGITS}g}") for t in times)


def restored(kept: tuple[float, ...], calls: int) -> NDArray[np.float64]:
    """`calls` times with the quantiles that `thinned` kept, so that visits can be pooled by their numbers of calls."""
    if len(kept) >= calls:
        return np.array(kept)
    return np.interp(np.linspace(0, 1, calls), np.linspace(0, 1, len(kept)), kept)
