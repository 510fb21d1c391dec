"""The rest of the house as scenes use it: model files and sessions. The only such place."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.heads import CLASSES
from skytrigger.eo.packaged import PACKAGED, packaged
from skytrigger.model.file import ModelFile, read_model
from skytrigger.model.input_codes import InputCodes, from_codes, input_codes
from skytrigger.model.native_inputs import Group, NativeTiles, block_means, native_of
from skytrigger.model.unquantise import float_model
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.registry import DEFAULT, FRAMEWORK, RUNTIMES, runtime_of

__all__ = [
    "BATCH", "Group", "InputCodes", "Lanes", "ModelFile", "NativeTiles", "ResidentNetwork", "block_means",
    "default_runtime", "model_for", "native_of", "resident_runtime",
]  # fmt: skip
Logits = NDArray[np.float32]
# Tiles of 13 bands in codes are 1.5 MB then: they stay in a core's cache between making and use. A granule has 172, 344
# or 687 columns of cells: 6, 12 or 24 batches, nearly full. Twice as many where half of the rows are read.
BATCH = 29


def model_for(name: str | Path) -> ModelFile:
    """A model file of DN tiles, by path or packaged name.

    Raises
    ------
    InputError
        Not a model file, not for Sentinel-2's DN, or tiles that are not square.
    """
    known = str(name).removesuffix(".onnx")
    model = read_model(packaged(known) if known in PACKAGED and not Path(name).exists() else name)
    card = model.card
    if card.units != "DN":
        raise InputError(f"{name} takes {card.units}, not DN", expected="a model of Sentinel-2 bands, as eurosat_ms")
    if len(card.heads) != 1 or card.heads[0].kind != CLASSES:
        raise InputError(f"{name} has the heads {', '.join(h.name for h in card.heads)}", expected="one, of classes")
    if card.size[0] != card.size[1]:
        raise InputError(f"{name} takes tiles of {card.size}", expected="square tiles")
    return model


def default_runtime() -> str:
    """The first runtime for CPUs that is installed besides the one that comes with the package, else that."""
    tried = [r for r in RUNTIMES.values() if r.searched and r.on_cpu and r.extra]
    extra = [r for r in tried if importlib.util.find_spec(r.package)]
    return extra[0].name if extra else DEFAULT


def resident_runtime(runtime: str | None, device: str) -> str | None:
    """The runtime that works on tiles made on `device`, a GPU; None: tiles are made on the CPU."""
    if not device.startswith("cuda"):
        return None
    wanted = runtime_of(runtime or FRAMEWORK)
    return wanted.name if wanted.resident else None


class ResidentNetwork:
    """A session whose tiles are made on its own device.

    INT8 files run as float ones, see `model.unquantise`: in float16 on a GPU, in float32 on a CPU.

    Attributes
    ----------
    device, stream
        torch's; the stream is None on a CPU.
    """

    def __init__(self, model: ModelFile, runtime: str, device: str, batch: int, threads: int = 1) -> None:
        import torch

        int8 = model.card.precision == "int8"
        given = float_model(model, "fp16" if device.startswith("cuda") else "fp32") if int8 else model
        self._session = open_session(given, runtime, given.card.precision, batch, threads, device=device)
        self._batch = batch
        self.device = torch.device(device)
        self.stream: Any = getattr(self._session, "stream", None)
        self.facts: dict[str, Any] = {**self._session.facts, "model_hash": model.sha256, "tiles_made_on": device}
        if int8:
            self.facts["int8_file"] = "weights as they are, activations not rounded"

    def __len__(self) -> int:
        return 1

    def forward(self, tiles: Any) -> Any:
        """(n, c, t, t) float32 DN on the device -> (n, classes) float32 there."""
        import torch

        parts = [self._part(part).clone() for part in tiles.split(self._batch)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _part(self, tiles: Any) -> Any:
        import torch

        missing = self._batch - len(tiles)
        if not (missing and self._session.fixed_batch):
            return self._session.resident(tiles)[0]
        padded = torch.cat([tiles, tiles.new_zeros((missing, *tiles.shape[1:]))])
        return self._session.resident(padded)[0][: len(tiles)]

    def close(self) -> None:
        """Free the engine."""
        self._session.close()


class Lanes:
    """A session's streams side by side, one core each: a lane is used by one thread at a time.

    Attributes
    ----------
    codes
        An INT8 network on a CPU is given its own codes: they are made where its tiles are; None: it takes DN, as it
        does where the tiles are there already (``codes=False``).
    input_type
        Of the tiles: ``uint8`` codes, else ``float32``, which every engine takes without a cast of its own.
    batch
        Tiles that are made and inferred together.
    native
        What the network's inputs hold where it takes native pixels.
    """

    def __init__(self, model: ModelFile, runtime: str, lanes: int, device: str = "cpu", *, codes: bool = True) -> None:
        self.native = model.native
        self.codes = input_codes(model) if codes and model.card.precision == "int8" and device == "cpu" else None
        self.input_type = "uint8" if self.codes else "float32"
        given = from_codes(model) if self.codes else model
        kept, step = self.codes.rows if self.codes else (1, 1)
        self.batch = BATCH * step // kept
        self._session = open_session(
            given, runtime, model.card.precision, self.batch, threads=1, streams=lanes, device=device,
            input_type=self.input_type,
        )  # fmt: skip
        self._lanes = self._session.lanes()
        self._head = self._session.heads[0].name
        self.facts: dict[str, Any] = {**self._session.facts, "model_hash": model.sha256}

    def __len__(self) -> int:
        return len(self._lanes)

    def logits(self, lane: int) -> Callable[[NDArray[Any] | NativeTiles], Logits]:
        """(n, c, t, t) tiles of `input_type` -> (n, classes)."""
        run, head = self._lanes[lane], self._head
        return lambda tiles: run(tiles)[head]

    def close(self) -> None:
        """Free the engine."""
        self._session.close()
