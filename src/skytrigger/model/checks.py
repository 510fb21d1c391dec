"""ONNX from strangers: no tensor outside the file, and none larger than the file can hold or an engine should build."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skytrigger.core.errors import InputError

if TYPE_CHECKING:
    import onnx

ONE_FILE = "one whole file"
MAX_ELEMENTS = 1 << 28  # of one intermediate tensor and one image
# Operators whose output is as large as a number in the file says, not as their input is.
SIZED_BY_VALUE = frozenset((
    "ConstantOfShape", "Expand", "EyeLike", "OneHot", "Pad", "RandomNormal", "RandomUniform", "Range", "Resize", "Tile",
    "Upsample", "CenterCropPad", "HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix", "AffineGrid",
    "STFT",
))  # fmt: skip
CONTROL_FLOW = frozenset(("Loop", "Scan"))  # their bodies run as often as a number in the file says


def refuse_outside(model: onnx.ModelProto, path: str | Path, size_bytes: int) -> None:
    """Refuse a model any of whose tensors lies in another file or declares more elements than the file could hold.

    Tensors are found by their type, in whatever field they are: initialisers, attributes of nodes in graphs, subgraphs
    and functions, sparse tensors, training information.

    Parameters
    ----------
    size_bytes
        Of the file; 4-bit numbers take half a byte.
    """
    import onnx

    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise InputError(f"{path}: tensor {tensor.name!r} lies outside the file", expected=ONE_FILE)
        elements = math.prod(tensor.dims)
        if min(tensor.dims, default=0) < 0 or elements > 2 * size_bytes:
            raise InputError(
                f"{path}: tensor {tensor.name!r} of shape {list(tensor.dims)} in a file of {size_bytes} bytes",
                expected="its own elements in the file",
            )


def _tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Every TensorProto in a protobuf message, wherever it is."""
    import onnx

    waiting = [message]
    while waiting:
        each = waiting.pop()
        if isinstance(each, onnx.TensorProto):
            yield each
            continue
        for descriptor, value in each.ListFields():
            if descriptor.message_type is None:
                continue
            waiting.extend([value] if hasattr(value, "ListFields") else value)


def refuse_large(model: onnx.ModelProto, path: str | Path) -> None:
    """Refuse a checked model whose graph would build huge tensors out of a small file.

    Shapes are inferred, an unknown extent (the batch) counted as 1.

    Raises
    ------
    InputError
        A tensor over 2^28 elements an image; an operator whose output's size is a number in the file, where that
        number cannot be told; a loop; functions (no engine's exporter here writes them).
    """
    import onnx

    if model.functions or any(n.op_type in CONTROL_FLOW for n in _nodes(model.graph)):
        raise InputError(f"{path} holds loops or functions", expected="a plain graph of operators")
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # C++ errors of several types
        raise InputError(f"{path}: its shapes contradict each other: {str(error)[:200]}") from error
    known = {
        v.name: v.type.tensor_type
        for v in [*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input]
        if v.type.HasField("tensor_type") and v.type.tensor_type.HasField("shape")
    }
    for name, kind in known.items():
        extents = [max(1, d.dim_value) for d in kind.shape.dim]
        if math.prod(extents) > MAX_ELEMENTS:
            raise InputError(f"{path}: tensor {name!r} of shape {extents}", expected=f"at most {MAX_ELEMENTS} elements")
    given = {d.dim_param for v in model.graph.input for d in v.type.tensor_type.shape.dim} - {""}
    for node in _nodes(inferred.graph):
        if node.op_type in SIZED_BY_VALUE and not all(_told(known.get(out), given) for out in node.output if out):
            raise InputError(
                f"{path}: nothing tells how large the output of {node.op_type} ({node.name!r}) is",
                expected="shapes that can be inferred",
            )


def _told(kind: Any, given: set[str]) -> bool:
    """Whether every extent is a number or an extent of the input (the batch)."""
    return kind is not None and all(d.HasField("dim_value") or d.dim_param in given for d in kind.shape.dim)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Nodes of a graph and of the subgraphs in them."""
    waiting = [graph]
    while waiting:
        for node in waiting.pop().node:
            yield node
            for attribute in node.attribute:
                waiting += [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
