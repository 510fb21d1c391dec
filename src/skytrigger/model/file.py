"""Model files: ONNX with the model card in its metadata. They may come from anybody."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.model.checks import refuse_large, refuse_outside
from skytrigger.model.native_inputs import KEY, PHASE, Group, read_groups

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
    native
        What its inputs hold where it takes native pixels (`native_inputs`); empty: tiles.
    """

    path: Path
    content: bytes
    sha256: str
    card: ModelCard
    native: tuple[Group, ...] = ()

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
    native = read_groups(metadata.get(KEY), str(path))
    _check_shapes(model, card, native, path)
    return ModelFile(path, content, hashlib.sha256(content).hexdigest(), card, native)


def _check_shapes(model: onnx.ModelProto, card: ModelCard, native: tuple[Group, ...], path: Path) -> None:
    import onnx

    inputs = {v.name: v.type.tensor_type for v in model.graph.input}
    expected = {INPUT: [0, len(card.channels), *card.size]}
    if native:
        expected = {g.input: [0, len(g.channels), g.side, g.side] for g in native}
        if sorted(c for g in native for c in g.channels) != list(range(len(card.channels))):
            raise InputError(f"{path}: {KEY} does not hold every channel of its card once")
        if any(g.phases > 1 for g in native):
            expected[PHASE] = [2]
    outputs = {v.name: v.type.tensor_type for v in model.graph.output}
    heads = [head.name for head in card.heads]
    if set(inputs) != set(expected) or list(outputs) != heads:
        raise InputError(
            f"{path} has inputs {sorted(inputs)} and outputs {list(outputs)}",
            expected=f"{', '.join(expected)} and {', '.join(heads)}, in this order",
        )
    for name, shape in expected.items():
        found = [d.dim_value for d in inputs[name].shape.dim]
        kind = onnx.TensorProto.INT64 if name == PHASE else onnx.TensorProto.FLOAT
        if found != shape or inputs[name].elem_type != kind:
            raise InputError(
                f"{path}: input {name} of shape {found} (0 = any)",
                expected=f"{'int64' if name == PHASE else 'float32'} {shape}, as its own card says",
            )
    for head in card.heads:
        found = [d.dim_value for d in outputs[head.name].shape.dim]
        if found[1:] not in ([head.outputs], [0]):
            raise InputError(f"{path}: output {head.name} of shape {found}", expected=f"(n, {head.outputs})")
