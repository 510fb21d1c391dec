"""What TensorRT made of a graph: its engine inspector's text as layers, fusions and precisions.

The one-line format is read, not the JSON: the builder prints the same lines at its most verbose level, and that
is the only inspector there is without a GPU, where an engine can be built but not deserialised.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

HEAD = "Layers:\n"
# both the words of versions 10 ("Row major linear FP16 format") and of 11 ("Half")
_WORDS = (
    ("bfloat", "bf16"), ("bf16", "bf16"), ("half", "fp16"), ("fp16", "fp16"), ("float", "fp32"), ("fp32", "fp32"),
    ("uint8", "uint8"), ("int8", "int8"), ("fp8", "fp8"), ("int32", "int32"), ("int64", "int64"), ("bool", "bool"),
)  # fmt: skip
# a runtime fusion is a matrix product with its neighbours, whose kernel is compiled where it first runs
_PRODUCTS = ("correlation", "conv", "gemm", "matmul", "matrixmultiply", "matrix_multiply", "runtime_fusion")


@dataclass(frozen=True)
class Layer:
    """One layer of an engine.

    Attributes
    ----------
    kind
        The library's word, e.g. ``correlation`` (a convolution), ``gemm``, ``kgen`` (a generated kernel).
    inputs, constants, outputs
        Precisions of the tensors it reads, of its weights and of what it writes.
    fused
        Nodes of the ONNX graph that it stands for.
    tactic
        The kernel, as far as it is chosen ahead of time.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    constants: tuple[str, ...]
    outputs: tuple[str, ...]
    fused: tuple[str, ...]
    tactic: str

    @property
    def is_product(self) -> bool:
        """Whether it is a convolution or a matrix product."""
        return any(word in self.kind.lower() for word in _PRODUCTS)

    @property
    def precision(self) -> str:
        """Of what it multiplies: int8 where values and weights both are."""
        return self.inputs[0] if self.inputs else self.outputs[0] if self.outputs else "none"


def layers_of(text: str) -> list[Layer]:
    """Layers from the inspector's one-line format (``LayerInformationFormat.ONELINE``)."""
    body = text.split(HEAD, 1)[-1]
    listed: list[Layer] = []
    for line in body.split("\n"):  # splitlines() would also split at the separators inside the metadata
        if not line.startswith("Name: "):
            if listed:
                break  # the tensors of the network follow
            continue
        listed.append(
            Layer(
                name=_word(line, "Name"),
                kind=_word(line, "LayerType"),
                inputs=_precisions(line, "Inputs"),
                constants=_precisions(line, "Constants"),
                outputs=_precisions(line, "Outputs"),
                fused=tuple(re.findall(r"\[ONNX Layer: ([^\]\x1e\x1f]*)", line)),
                tactic=_word(line, "TacticName"),
            )
        )
    return listed


def _word(line: str, key: str) -> str:
    match = re.search(rf"(?:^|, ){key}: ([^,]*)", line)
    return match[1].strip() if match else ""


def _precisions(line: str, key: str) -> tuple[str, ...]:
    start = line.find(f"{key}: [")
    if start < 0:
        return ()
    depth, end = 0, start
    for end in range(start + len(key) + 2, len(line)):
        depth += {"[": 1, "]": -1}.get(line[end], 0)
        if depth == 0:
            break
    types = re.findall(r"Datatype: ([^,}]+)", line[start:end])
    return tuple(next((name for word, name in _WORDS if word in t.lower()), t.strip()) for t in types)


def precision_of_layers(layers: list[Layer], tf32: bool) -> str:
    """Precision in which most convolutions and matrix products of an engine run; ``tf32`` where float32 ones may."""
    votes = Counter(layer.precision for layer in layers if layer.is_product)
    if not votes:
        return "unknown"
    most = votes.most_common(1)[0][0]
    return "tf32" if tf32 and most == "fp32" else most


def summary(layers: list[Layer]) -> dict[str, Any]:
    """Counts by precision, and every layer with what was fused into it."""
    return {
        "layers": len(layers),
        "products": dict(Counter(layer.precision for layer in layers if layer.is_product)),
        "others": dict(Counter(layer.precision for layer in layers if not layer.is_product)),
        "per_layer": [
            {"name": layer.name, "kind": layer.kind, "precision": layer.precision, "fused": list(layer.fused)}
            for layer in layers
        ],
    }
