"""The rest of the house as scenes use it: model files and sessions. The only such place."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.eo.packaged import model_path
from skytrigger.runtimes.model_file import ModelFile, read_model
from skytrigger.runtimes.open import open_session

__all__ = ["BATCH", "Lanes", "ModelFile", "default_runtime", "model_for"]
Logits = NDArray[np.float32]
BATCH = 32  # tiles of 13 bands in float32 are 6.8 MB then: they stay in a core's cache between making and use


def model_for(name: str | Path) -> ModelFile:
    """A model file of DN tiles, by path or packaged name.

    Raises
    ------
    InputError
        Not a model file, not for Sentinel-2's DN, or tiles that are not square.
    """
    model = read_model(model_path(name))
    card = model.card
    if card.units != "DN":
        raise InputError(f"{name} takes {card.units}, not DN", expected="a model of Sentinel-2 bands, as eurosat_ms")
    if card.size[0] != card.size[1]:
        raise InputError(f"{name} takes tiles of {card.size}", expected="square tiles")
    return model


def default_runtime() -> str:
    """OpenVINO where it is installed, else ONNX Runtime; the summary says which."""
    return "openvino" if importlib.util.find_spec("openvino") else "onnxruntime"


class Lanes:
    """Sessions side by side, one core each: a lane is used by one thread at a time."""

    def __init__(self, model: ModelFile, runtime: str, lanes: int, device: str = "cpu") -> None:
        self.input_type = "float32" if runtime.startswith("openvino") else "uint16"

        def one(_: int) -> Any:
            return open_session(
                model, runtime, model.card.precision, BATCH, threads=1, device=device, input_type=self.input_type
            )

        with ThreadPoolExecutor(lanes) as pool:
            self._sessions = list(pool.map(one, range(lanes)))
        self.facts: dict[str, Any] = self._sessions[0].facts

    def __len__(self) -> int:
        return len(self._sessions)

    def logits(self, lane: int) -> Callable[[NDArray[Any]], Logits]:
        """(n, c, t, t) tiles of `input_type` -> (n, classes)."""
        run: Callable[[NDArray[Any]], Logits] = self._sessions[lane].run
        return run

    def close(self) -> None:
        """Free the engines."""
        for session in self._sessions:
            session.close()
