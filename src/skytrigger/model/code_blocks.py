"""INT8 files from the blocks of codes on that their first convolution reads, where its windows do not overlap.

Who writes codes (`input_codes`) can write them block by block as well: ``(n, rows, columns, bytes)``. The bytes of a
block are one window's codes, channel by channel, row by row. The convolution is then a product of each block with its
weights, and no pixels are turned: this order is what engines compute on. The sums are the same whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.model.file import INPUT, ModelFile
from skytrigger.model.input_codes import from_codes
from skytrigger.model.qdq import constants_of

if TYPE_CHECKING:
    import onnx

STEP = 64  # bytes of a block that matrix units take at once: a part of them costs as much


@dataclass(frozen=True)
class CodeBlocks:
    """A network whose input ``tiles`` is uint8 (n, `rows`, `columns`, `depth`).

    Attributes
    ----------
    content
        The ONNX model, in memory only.
    window
        Rows and columns of codes in a block.
    depth
        Bytes of a block: channels x rows x columns, and zeros after them.
    """

    content: bytes
    window: tuple[int, int]
    rows: int
    columns: int
    depth: int

    def of(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(n, c, h, w) codes -> (n, rows, columns, depth)."""
        n, c = codes.shape[:2]
        high, wide = self.window
        split = codes.reshape(n, c, self.rows, high, self.columns, wide).transpose(0, 2, 4, 1, 3, 5)
        blocks = np.zeros((n, self.rows, self.columns, self.depth), np.uint8)
        blocks[..., : c * high * wide] = split.reshape(n, self.rows, self.columns, -1)
        return blocks


def code_blocks(model: ModelFile) -> CodeBlocks | None:
    """The network from its blocks on; None where the first convolution's windows overlap, leave gaps or are padded.

    Raises
    ------
    ValueError
        The file does not begin with codes (`input_codes`).
    """
    from onnx import helper, numpy_helper

    short = from_codes(model)
    graph = short.graph()
    found = _first_convolution(graph)
    if found is None:
        return None
    convolution, codes, weights = found
    kernel = constants_of(graph)[weights]
    count, channels, high, wide = kernel.shape
    height, width = short.card.size
    if height % high or width % wide:
        return None
    used = channels * high * wide
    depth = used if used <= STEP else -(-used // STEP) * STEP
    flat = np.zeros((count, depth, 1, 1), kernel.dtype)
    flat[:, :used, 0, 0] = kernel.reshape(count, used)
    (tensor,) = [t for t in graph.graph.initializer if t.name == weights]
    tensor.CopyFrom(numpy_helper.from_array(flat, weights))
    for attribute in convolution.attribute:
        if attribute.name in ("kernel_shape", "strides"):
            attribute.ints[:] = [1, 1]
    shape = height // high, width // wide, depth
    for dim, value in zip(graph.graph.input[0].type.tensor_type.shape.dim[1:], shape, strict=True):
        dim.dim_value = value
    # behind the dequantisation: in front of it, OpenVINO computes the convolution in float32
    place = next(i for i, n in enumerate(graph.graph.node) if codes in n.output)
    graph.graph.node.insert(place + 1, helper.make_node("Transpose", [codes], ["blocks/turned"], perm=[0, 3, 1, 2]))
    convolution.input[0] = "blocks/turned"
    del graph.graph.value_info[:]
    return CodeBlocks(graph.SerializeToString(), (high, wide), *shape)


def _first_convolution(graph: onnx.ModelProto) -> tuple[Any, str, str] | None:
    """Convolution, its dequantised codes and its whole-number weights, where windows lie side by side; else None."""
    constants = constants_of(graph)
    made = {name: node for node in graph.graph.node for name in node.output}
    readers = [n for n in graph.graph.node if INPUT in n.input]
    if len(readers) != 1 or readers[0].op_type != "DequantizeLinear":
        return None
    if any(constants.get(name, np.empty(2)).size != 1 for name in readers[0].input[1:]):  # steps of channels
        return None
    codes = readers[0].output[0]
    users = [n for n in graph.graph.node if codes in n.input]
    if len(users) != 1 or users[0].op_type != "Conv" or users[0].input[0] != codes:
        return None
    weights = made.get(users[0].input[1])
    if weights is None or weights.op_type != "DequantizeLinear" or weights.input[0] not in constants:
        return None
    shape = constants[weights.input[0]].shape
    how = {a.name: list(a.ints) or a.i or a.s for a in users[0].attribute}
    plain = (how.get("group") or 1) == 1 and set(how.get("dilations") or [1]) == {1}
    plain = plain and not any(how.get("pads") or [0]) and how.get("auto_pad", b"NOTSET") in (b"NOTSET", 0)
    side_by_side = tuple(how.get("strides") or (1, 1)) == shape[2:]
    return (users[0], codes, weights.input[0]) if plain and side_by_side else None
