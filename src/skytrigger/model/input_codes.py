"""INT8 model files from their first codes on: who writes tiles as the network's own uint8 saves it a pass over them.

A file whose graph begins with ``QuantizeLinear(tiles)`` by channel (see `qdq.write_qdq`, `merge_input`), but for nodes
that only leave pixels out, computes ``code = clip(rint(x / step) + zero, 0, 255)`` first (ONNX, QuantizeLinear: halves
to the even neighbour).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.model.file import INPUT, ModelFile
from skytrigger.model.qdq import constants_of

if TYPE_CHECKING:
    import onnx

WHOLE_NUMBERS = 65_536  # of uint16 data
MOVEMENT = ("Reshape", "Slice")


@dataclass(frozen=True)
class InputCodes:
    """``code = clip(rint(x * gain) + zero, 0, 255)``, by channel, the same as the file's for every uint16 number x.

    Attributes
    ----------
    rows
        (k, s): of each s rows the network reads the first k, and is given the codes of these alone (`skip_rows`).
    """

    gains: NDArray[np.float32]
    zeros: NDArray[np.float32]
    rows: tuple[int, int] = (1, 1)

    def height(self, height: int) -> int:
        """Rows of codes for so many of numbers."""
        return height // self.rows[1] * self.rows[0]

    def of(self, tiles: NDArray[Any]) -> NDArray[np.uint8]:
        """(n, c, h, w) numbers -> codes (n, c, `height`, w)."""
        kept, step = self.rows
        n, c, h, w = tiles.shape
        tiles = tiles.reshape(n, c, h // step, step, w)[:, :, :, :kept].reshape(n, c, -1, w)
        gains, zeros = (v[:, None, None] for v in (self.gains, self.zeros))
        codes: NDArray[np.uint8] = np.clip(np.rint(tiles.astype(np.float32) * gains) + zeros, 0, 255).astype(np.uint8)
        return codes


def input_codes(model: ModelFile) -> InputCodes | None:
    """The codes that a file begins with; None where it begins otherwise, or where a product cannot stand for the ratio.

    A product is several times faster than a division; whether it rounds alike is tried for all whole numbers.
    """
    graph = model.graph()
    node, moved = _first(graph)
    if node is None:
        return None
    constants = constants_of(graph)
    steps, zeros = constants.get(node.input[1]), constants.get(node.input[2]) if len(node.input) > 2 else None
    channels = len(model.card.channels)
    if steps is None or zeros is None or zeros.dtype != np.uint8 or steps.shape not in ((), (channels,)):
        return None
    gains = np.empty(channels, np.float32)
    numbers = np.arange(WHOLE_NUMBERS, dtype=np.float32)
    for c, step in enumerate(np.broadcast_to(steps, channels)):
        codes = np.clip(np.rint(numbers / step), -256, 256)
        near = np.float32(1) / np.float32(step)
        tried = (near, np.nextafter(near, np.float32(0)), np.nextafter(near, np.float32(np.inf)))
        same = [g for g in tried if (np.clip(np.rint(numbers * g), -256, 256) == codes).all()]
        if not same:
            return None
        gains[c] = same[0]
    return InputCodes(gains, np.broadcast_to(zeros, channels).astype(np.float32), _rows_read(moved, constants))


def _first(graph: onnx.ModelProto) -> tuple[Any, list[Any]]:
    """The QuantizeLinear (by channel or one step) that alone reads the tiles, or None; what moves pixels before it."""
    name, moved = INPUT, []
    while True:
        readers = [n for n in graph.graph.node if name in n.input]
        if len(readers) != 1 or readers[0].input[0] != name:
            return None, []
        (node,) = readers
        if node.op_type in MOVEMENT:
            name = node.output[0]
            moved.append(node)
            continue
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        return (node, moved) if node.op_type == "QuantizeLinear" and axis == 1 else (None, [])


def _rows_read(moved: list[Any], constants: Mapping[str, NDArray[Any]]) -> tuple[int, int]:
    """(k, s) of what `skip_rows` writes; (1, 1) where nothing is moved, or otherwise."""
    if [n.op_type for n in moved] != ["Reshape", "Slice", "Reshape"]:
        return 1, 1
    parts, whole = (constants.get(moved[k].input[1], np.empty(0)).tolist() for k in (0, 2))
    sliced = [constants.get(name, np.empty(0)).tolist() for name in moved[1].input[1:]]
    if len(parts) != 5 or len(sliced) != 3 or sliced[::2] != [[0], [3]] or len(sliced[1]) != 1:
        return 1, 1
    (kept,), (_, channels, groups, step, columns) = sliced[1], parts
    return (kept, step) if 0 < kept <= step and whole == [0, channels, groups * kept, columns] else (1, 1)


def from_codes(model: ModelFile) -> ModelFile:
    """The same network with input ``tiles`` of uint8 codes; in memory only, for a session of input type ``uint8``.

    Where it reads some rows only (`InputCodes.rows`), its input and so its card's size are of these.

    Raises
    ------
    ValueError
        `input_codes` gives none.
    """
    import onnx

    graph = model.graph()
    node, moved = _first(graph)
    if node is None:
        raise ValueError(f"{model.path} does not begin with codes")
    codes, source = node.output[0], node.input[0]
    graph.graph.node.remove(node)
    card, (kept, step) = model.card, _rows_read(moved, constants_of(graph))
    if step > 1:
        for other in moved:
            graph.graph.node.remove(other)
        source, height = INPUT, card.size[0] // step * kept
        graph.graph.input[0].type.tensor_type.shape.dim[2].dim_value = height
        card = replace(card, size=(height, card.size[1]))
    for other in graph.graph.node:
        other.input[:] = [source if name == codes else name for name in other.input]
    graph.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    del graph.graph.value_info[:]
    content = graph.SerializeToString()
    return replace(model, content=content, card=card, sha256=hashlib.sha256(content).hexdigest())
