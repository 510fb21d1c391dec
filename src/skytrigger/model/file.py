"""Model files: ONNX with the model card in its metadata. They may come from anybody."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.model.checks import refuse_large, refuse_outside

if TYPE_CHECKING:
    import onnx

INPUT, CARD_KEY = "tiles", "skytrigger.card"
LIMIT_BYTES = 2_000_000_000  # protobuf's own limit


@dataclass(frozen=True)
class ModelFile:
    """A checked model file.

    Attributes
    ----------
    path, content
        Where it lies and its bytes, read once: what is checked is what is run.
    sha256
        Of `content`.
    card
        From the metadata.
    """

    path: Path
    content: bytes
    sha256: str
    card: ModelCard

    def graph(self) -> onnx.ModelProto:
        """The parsed model."""
        import onnx

        return onnx.load_model_from_string(self.content)


def read_model(path: str | Path) -> ModelFile:
    """Read a model file and refuse what is not one of ours.

    Raises
    ------
    InputError
        Missing, too large, not ONNX, any tensor outside the file or larger than it, a graph that builds
        huge tensors, no card, or an input or outputs that contradict the card.
    """
    import onnx

    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder", expected="a model file (.onnx)", remedy="skytrigger export RUN")
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise InputError(f"{path} has {path.stat().st_size} bytes", expected=f"at most {LIMIT_BYTES}")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the model file {path}: {error.strerror}") from error
    try:
        model = onnx.load_model_from_string(content)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        if CARD_KEY not in metadata:
            raise InputError(
                f"{path} carries no model card ({CARD_KEY}): what its channels and classes are is not known",
                remedy=f"give it one, see docs/formats.md: skytrigger export {path} --card card.toml --out OURS.onnx",
            )
        refuse_outside(model, path, len(content))  # before the checker: never follow a path from a file
        onnx.checker.check_model(model)
        refuse_large(model, path)
    except InputError:
        raise
    except Exception as error:  # protobuf and the checker raise types of their own
        raise InputError(f"{path} is not a valid ONNX model: {str(error)[:300]}") from error
    card = ModelCard.from_json(metadata[CARD_KEY], str(path))
    _check_shapes(model, card, path)
    return ModelFile(path, content, hashlib.sha256(content).hexdigest(), card)


def _check_shapes(model: onnx.ModelProto, card: ModelCard, path: Path) -> None:
    import onnx

    inputs = {v.name: v.type.tensor_type for v in model.graph.input}
    outputs = {v.name: v.type.tensor_type for v in model.graph.output}
    heads = [head.name for head in card.heads]
    if set(inputs) != {INPUT} or list(outputs) != heads:
        raise InputError(
            f"{path} has inputs {sorted(inputs)} and outputs {list(outputs)}",
            expected=f"{INPUT} and {', '.join(heads)}, in this order",
        )
    found = [d.dim_value for d in inputs[INPUT].shape.dim]
    expected = [0, len(card.channels), *card.size]
    if found != expected or inputs[INPUT].elem_type != onnx.TensorProto.FLOAT:
        raise InputError(
            f"{path}: input of shape {found} (0 = any)", expected=f"float32 {expected}, as its own card says"
        )
    for head in card.heads:
        found = [d.dim_value for d in outputs[head.name].shape.dim]
        if found[1:] not in ([head.outputs], [0]):
            raise InputError(f"{path}: output {head.name} of shape {found}", expected=f"(n, {head.outputs})")
