"""Single-event upsets: bits flipped by radiation in stored data and in the model's weights, and what mends them.

Each flip is one bit, all bits equally likely, no bit twice: what a rate of upsets a bit leaves where it is not mended.
A model is guarded by a CRC-32 of every tensor and a golden copy in a memory of its own: `Guard.mend` takes
a tensor from the golden copy where it does not fit and the golden copy does.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.seeds import generator
from skytrigger.model.file import ModelFile

if TYPE_CHECKING:
    import onnx

# by ONNX's own numbers of types; whole 64-bit numbers are shapes, which are program and not data
KINDS = {1: "float32 scales", 10: "float16 weights", 3: "int8 weights", 2: "uint8 zero points", 6: "int32 biases"}


def flip_bits(data: bytes, flips: int, rng: np.random.Generator) -> bytes:
    """`data` with that many distinct bits flipped.

    Raises
    ------
    InputError
        More flips than bits.
    """
    if not 0 <= flips <= 8 * len(data):
        raise InputError(f"{flips} flips in {8 * len(data)} bits", expected="from none to every bit")
    out = np.frombuffer(data, np.uint8).copy()
    if flips:
        places = rng.choice(8 * len(data), flips, replace=False)
        np.bitwise_xor.at(out, places // 8, (1 << (places % 8)).astype(np.uint8))
    return out.tobytes()


def flips_of(per_mbit: float, bits: int, rng: np.random.Generator) -> int:
    """How many of `bits` are flipped at `per_mbit` upsets a million bits on average: Poisson, at most all."""
    return min(bits, int(rng.poisson(per_mbit * bits / 1e6)))


def flip_tiles(tiles: NDArray[np.uint16], per_mbit: float, seed: int) -> NDArray[np.uint16]:
    """Stored tiles (n, bands, h, w) with upsets in their raw samples."""
    rng = generator(seed, "tiles")
    data = np.ascontiguousarray(tiles).tobytes()
    changed = flip_bits(data, flips_of(per_mbit, 8 * len(data), rng), rng)
    return np.frombuffer(changed, tiles.dtype).reshape(tiles.shape).copy()


def _tensors(graph: onnx.ModelProto, kinds: Sequence[str] = ()) -> list[onnx.TensorProto]:
    """Initialisers that are data, each with its bytes in `raw_data`."""
    from onnx import numpy_helper

    found = []
    for tensor in graph.graph.initializer:
        kind = KINDS.get(tensor.data_type)
        if kind is None or (kinds and kind not in kinds):
            continue
        if not tensor.raw_data:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
        found.append(tensor)
    return found


def weight_bits(model: ModelFile, kinds: Sequence[str] = ()) -> dict[str, int]:
    """Bits of the model's constants by kind."""
    bits: dict[str, int] = {}
    for tensor in _tensors(model.graph(), kinds):
        kind = KINDS[tensor.data_type]
        bits[kind] = bits.get(kind, 0) + 8 * len(tensor.raw_data)
    return bits


def flip_weights(
    model: ModelFile, seed: int, *, per_mbit: float | None = None, flips: int = 0, kinds: Sequence[str] = ()
) -> ModelFile:
    """The model with upsets in its constants.

    Parameters
    ----------
    per_mbit
        Upsets a million bits, on average; else exactly `flips`.
    kinds
        Only in constants of these kinds (values of `KINDS`); by default in all.
    """
    graph = model.graph()
    tensors = _tensors(graph, kinds)
    whole = b"".join(t.raw_data for t in tensors)
    rng = generator(seed, "weights")
    count = flips if per_mbit is None else flips_of(per_mbit, 8 * len(whole), rng)
    changed = flip_bits(whole, count, rng)
    at = 0
    for tensor in tensors:
        size = len(tensor.raw_data)
        tensor.raw_data = changed[at : at + size]
        at += size
    return _with(model, graph)


def _with(model: ModelFile, graph: onnx.ModelProto) -> ModelFile:
    content = graph.SerializeToString()
    return replace(model, content=content, sha256=hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class Guard:
    """CRC-32 of every tensor, taken on the ground.

    Attributes
    ----------
    checks
        (tensor's name, bytes, CRC-32): a few hundred bytes, themselves in a memory that is safe.
    """

    checks: tuple[tuple[str, int, int], ...]

    @classmethod
    def of(cls, model: ModelFile) -> Guard:
        """Of a model that is known to be whole."""
        return cls(tuple((t.name, len(t.raw_data), zlib.crc32(t.raw_data)) for t in _tensors(model.graph())))

    def damaged(self, model: ModelFile) -> list[str]:
        """Names of tensors that do not fit their CRC."""
        return [t.name for t, check in self._pairs(model.graph()) if not _fits(t, check)]

    def mend(self, model: ModelFile, golden: ModelFile) -> tuple[ModelFile, list[str], list[str]]:
        """The model with damaged tensors taken from the golden copy.

        Returns
        -------
        tuple
            The model; the names of tensors that were mended; those that are damaged in both copies.
        """
        graph = model.graph()
        spare = {t.name: t for t, check in self._pairs(golden.graph()) if _fits(t, check)}
        mended, beyond = [], []
        for tensor, check in self._pairs(graph):
            if _fits(tensor, check):
                continue
            if tensor.name in spare:
                tensor.raw_data = spare[tensor.name].raw_data
                mended.append(tensor.name)
            else:
                beyond.append(tensor.name)
        return (_with(model, graph) if mended else model), mended, beyond

    def _pairs(self, graph: onnx.ModelProto) -> list[tuple[onnx.TensorProto, tuple[str, int, int]]]:
        tensors = _tensors(graph)
        if [(t.name, len(t.raw_data)) for t in tensors] != [(name, size) for name, size, _ in self.checks]:
            raise InputError("the guard is of another model", remedy="take it anew with Guard.of")
        return list(zip(tensors, self.checks, strict=True))


def _fits(tensor: onnx.TensorProto, check: tuple[str, int, int]) -> bool:
    return zlib.crc32(tensor.raw_data) == check[2]
