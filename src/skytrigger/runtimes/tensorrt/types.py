"""A float32 graph typed in 16 bits from its first product on: how a strongly typed network comes to bfloat16."""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper

PRODUCTS = ("Conv", "Gemm", "MatMul")


def typed_in(model: onnx.ModelProto, dtype: int) -> None:
    """Make all that follows the first convolution or matrix product `dtype`, in place; input and output stay float32.

    What comes before, the standardisation of DN up to 28,000, keeps its 24 bits, as in FP16 files.

    Parameters
    ----------
    dtype
        ``TensorProto.BFLOAT16`` or ``FLOAT16``.
    """
    graph = model.graph
    constants = {t.name: t for t in graph.initializer}
    low: set[str] = set()  # values of the new type
    nodes: list[onnx.NodeProto] = []
    added: dict[str, str] = {}

    def lowered(name: str) -> str:
        """`name` in the new type: a converted constant, or a cast."""
        if name not in added:
            added[name] = f"{name}.low"
            if name in constants:
                values = numpy_helper.to_array(constants[name])
                graph.initializer.append(
                    helper.make_tensor(added[name], dtype, values.shape, values.astype("float32").reshape(-1).tolist())
                )
            else:
                nodes.append(helper.make_node("Cast", [name], [added[name]], f"{name}.cast", to=dtype))
        return added[name]

    for node in graph.node:
        if node.op_type in PRODUCTS or any(name in low for name in node.input):
            for index, name in enumerate(node.input):
                whole = name in constants and constants[name].data_type != onnx.TensorProto.FLOAT  # shapes, axes
                if name and name not in low and not whole:
                    node.input[index] = lowered(name)
            low.update(node.output)
        nodes.append(node)
    for output in [o.name for o in graph.output if o.name in low]:
        for node in nodes:
            for names in (node.input, node.output):
                for index, name in enumerate(names):
                    names[index] = f"{output}.low" if name == output else name
        nodes.append(helper.make_node("Cast", [f"{output}.low"], [output], to=onnx.TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [t for t in graph.initializer if t.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]  # they name the old types
