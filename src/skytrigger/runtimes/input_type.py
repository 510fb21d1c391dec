"""The type in which tiles are handed to a session: the data's own is smaller to move; the engine makes the floats.

The model file stays as it is (float32 tiles); a session opened for another type puts one cast in front of the graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skytrigger.core.errors import InputError
from skytrigger.model.file import INPUT, ModelFile

if TYPE_CHECKING:
    import onnx

INPUT_TYPES = ("float32", "float16", "uint16", "uint8")
MOVEMENT = ("Reshape", "Slice")


def check_input_type(name: str) -> None:
    """Raise InputError for what no dataset is stored in."""
    if name not in INPUT_TYPES:
        raise InputError(f"input type {name!r}", expected=", ".join(INPUT_TYPES))


def with_input_type(model: ModelFile, name: str, *, by_int32: bool = False) -> bytes:
    """The model's content with input ``tiles`` of the type `name`, cast to float32 first; see `cast_first`."""
    if name == "float32":
        return model.content
    graph = model.graph()
    if graph.graph.input[0].type.tensor_type.elem_type == _onnx_type(name):  # its own codes: see `model.input_codes`
        return model.content
    content: bytes = cast_first(graph, name, by_int32=by_int32).SerializeToString()
    return content


def _onnx_type(name: str) -> int:
    import onnx

    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(name)))


def cast_first(graph: onnx.ModelProto, name: str, *, by_int32: bool = False) -> onnx.ModelProto:
    """Put the cast in front of the graph, in place; behind nodes that only leave pixels out: fewer are to be cast.

    With `by_int32` integers become int32 first: OpenVINO quantises no uint16.
    """
    import onnx

    kinds = [onnx.TensorProto.INT32] * (by_int32 and name != "float16") + [onnx.TensorProto.FLOAT]
    place, source = _behind_movement(graph)
    names = [source, *(f"{INPUT}_as_{onnx.TensorProto.DataType.Name(kind).lower()}" for kind in kinds)]
    for node in graph.graph.node:
        node.input[:] = [names[-1] if i == source else i for i in node.input]
    graph.graph.input[0].type.tensor_type.elem_type = _onnx_type(name)
    for kind, taken, made in reversed(list(zip(kinds, names[:-1], names[1:], strict=True))):
        graph.graph.node.insert(place, onnx.helper.make_node("Cast", [taken], [made], to=kind))
    return graph


def _behind_movement(graph: onnx.ModelProto) -> tuple[int, str]:
    """How many nodes at the graph's beginning only move pixels, one after the other, and what the last one gives."""
    source = INPUT
    for place, node in enumerate(graph.graph.node):
        alone = sum(source in other.input for other in graph.graph.node) == 1
        if not (alone and node.op_type in MOVEMENT and node.input[0] == source):
            return place, source
        source = node.output[0]
    return 0, INPUT  # nothing is computed at all


def as_tensor(torch: Any, tiles: Any) -> Any:
    """A numpy array as a tensor on the same memory; uint16 travels as the bits of int16, which torch handles fully."""
    return torch.from_numpy(tiles.view(np.int16) if tiles.dtype == np.uint16 else tiles)


def as_float(torch: Any, images: Any, name: str) -> Any:
    """What `as_tensor` made, on any device, as float32 numbers."""
    if name == "uint16":
        images = images.to(torch.int32) & 0xFFFF
    return images.to(torch.float32)
