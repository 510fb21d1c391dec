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


def check_input_type(name: str) -> None:
    """Raise InputError for what no dataset is stored in."""
    if name not in INPUT_TYPES:
        raise InputError(f"input type {name!r}", expected=", ".join(INPUT_TYPES))


def with_input_type(model: ModelFile, name: str) -> bytes:
    """The model's content with input ``tiles`` of the type `name`, cast to float32 first."""
    if name == "float32":
        return model.content
    graph = model.graph()
    if graph.graph.input[0].type.tensor_type.elem_type == _onnx_type(name):  # its own codes: see `model.input_codes`
        return model.content
    content: bytes = cast_first(graph, name).SerializeToString()
    return content


def _onnx_type(name: str) -> int:
    import onnx

    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(name)))


def cast_first(graph: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Put the cast in front of the graph, in place."""
    import onnx

    floats = f"{INPUT}_float32"
    for node in graph.graph.node:
        node.input[:] = [floats if i == INPUT else i for i in node.input]
    graph.graph.input[0].type.tensor_type.elem_type = _onnx_type(name)
    graph.graph.node.insert(0, onnx.helper.make_node("Cast", [INPUT], [floats], to=onnx.TensorProto.FLOAT))
    return graph


def as_tensor(torch: Any, tiles: Any) -> Any:
    """A numpy array as a tensor on the same memory; uint16 travels as the bits of int16, which torch handles fully."""
    return torch.from_numpy(tiles.view(np.int16) if tiles.dtype == np.uint16 else tiles)


def as_float(torch: Any, images: Any, name: str) -> Any:
    """What `as_tensor` made, on any device, as float32 numbers."""
    if name == "uint16":
        images = images.to(torch.int32) & 0xFFFF
    return images.to(torch.float32)
