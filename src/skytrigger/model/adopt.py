"""Other people's ONNX files: given a card, and the input and outputs that this product's model files have.

The graph itself is not touched. Nodes are put before it (another layout, normalisation) and after it (logarithms of
probabilities), its axis of images is freed, and the result is run before it is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.core.heads import CLASSES
from skytrigger.model.card_file import Statement
from skytrigger.model.checks import refuse_large, refuse_outside
from skytrigger.model.file import CARD_KEY, INPUT, LIMIT_BYTES

if TYPE_CHECKING:
    import onnx

NOTE = "adopted"
_MOST_CHANNELS = 32  # without a card, an axis longer than this is no channels
_TINY = 1e-30
_TOLERANCE = 1e-3


def carries_card(path: str | Path) -> bool:
    """Whether a model file has this product's card; True too for what is no ONNX, which reading it will say."""
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception:  # protobuf raises types of its own
        return True
    return any(entry.key == CARD_KEY for entry in model.metadata_props)


def adopt(path: str | Path, statement: Statement | None = None, shape: Sequence[int] = ()) -> bytes:
    """The model in `path` as one of this product's files.

    Parameters
    ----------
    statement
        The card and how it is meant; without one a card is made up for timing: channels and classes are numbered.
    shape
        (c, h, w) where the graph leaves them open and no card states them.

    Raises
    ------
    InputError
        No ONNX, data outside its folder, several inputs, another type or shape than stated, or a graph that takes
        one number of images only.
    """
    import onnx
    from onnx.compose import add_prefix

    path = Path(path)
    model = add_prefix(_load(path), "theirs.")  # so that no name is taken twice
    given = _only_input(model, path)
    dims = [d.dim_value for d in given.type.tensor_type.shape.dim]
    stated, statement = statement, statement or _made_up(model, path, dims, tuple(shape))
    card = statement.card
    nchw, nhwc = [len(card.channels), *card.size], [*card.size, len(card.channels)]
    fits = [name for name, want in (("nchw", nchw), ("nhwc", nhwc)) if _fits(dims[1:], want)]
    layout = statement.layout or (fits[0] if fits and (len(fits) == 1 or nchw == nhwc) else "")
    if layout not in fits or len(dims) != 4:
        doubt = "both layouts fit: state layout = 'nchw' or 'nhwc'" if len(fits) > 1 else f"{nchw} or {nhwc}"
        raise InputError(f"{path} takes {dims} (0 = any)", expected=f"(n, ...) with {doubt}")
    _wrap(model, given, statement, layout)
    notes = {**card.notes, NOTE: {"file": path.name, "layout": layout, "normalised": statement.normalise,
                                  "outputs": statement.outputs}}  # fmt: skip
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = CARD_KEY, replace(card, notes=notes).to_json()
    try:
        onnx.checker.check_model(model)
        refuse_large(model, path)
    except onnx.checker.ValidationError as error:
        raise InputError(f"{path} is not a valid ONNX model: {str(error)[:300]}") from error
    content = bytes(model.SerializeToString())
    answers = _try(content, card, path)
    if stated:
        _check_outputs(answers, stated, path)
    return content


def _fits(dims: list[int], want: list[int]) -> bool:
    return len(dims) == 3 and all(have in (0, size) for have, size in zip(dims, want, strict=True))


def _load(path: Path) -> onnx.ModelProto:
    """The model with the tensors of other files in its own folder taken in."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_model, uses_external_data

    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise InputError(f"{path} has {path.stat().st_size} bytes", expected=f"at most {LIMIT_BYTES}")
        content = path.read_bytes()
        model = onnx.load_model_from_string(content)
    except OSError as error:
        raise InputError(f"cannot read the model file {path}: {error.strerror}") from error
    except Exception as error:  # protobuf raises types of its own
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a valid ONNX model: {str(error)[:300]}") from error
    size = len(content)
    folder = path.parent.resolve()
    outside = [tensor for tensor in model.graph.initializer if uses_external_data(tensor)]
    for tensor in outside:
        place = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        target = folder / place
        if not place or not target.resolve().is_relative_to(folder) or not target.is_file() or target.is_symlink():
            raise InputError(
                f"{path}: the tensor {tensor.name!r} lies in {place!r}", expected="a file in its own folder"
            )
        size += target.stat().st_size
        if size > LIMIT_BYTES:
            raise InputError(f"{path} with its data has {size} bytes", expected=f"at most {LIMIT_BYTES}")
    try:
        if outside:
            load_external_data_for_model(model, str(folder))
        refuse_outside(model, path, size)
        return model
    except (ValueError, OSError, onnx.checker.ValidationError) as error:
        raise InputError(f"{path}: its data cannot be read: {error}") from error


def _only_input(model: onnx.ModelProto, path: Path) -> onnx.ValueInfoProto:
    import onnx

    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise InputError(f"{path} has the inputs {[value.name for value in inputs]}", expected="one, of tiles")
    kind = inputs[0].type.tensor_type.elem_type
    if kind != onnx.TensorProto.FLOAT:
        raise InputError(f"{path} takes {onnx.TensorProto.DataType.Name(kind)}", expected="FLOAT (float32)")
    value: onnx.ValueInfoProto = inputs[0]
    return value


def _made_up(model: onnx.ModelProto, path: Path, dims: list[int], shape: tuple[int, ...]) -> Statement:
    """A card that is good for timing only; where the axes do not tell channels from rows, nothing is made up."""
    sizes = dims[1:]
    if not shape and len(sizes) == 3 and all(sizes):
        first, last = sizes[0] <= _MOST_CHANNELS, sizes[2] <= _MOST_CHANNELS
        if first != last:
            shape = (sizes[0], sizes[1], sizes[2]) if first else (sizes[2], sizes[0], sizes[1])
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(
            f"{path} carries no model card and takes {dims} (0 = any)",
            remedy="--input-shape CHANNELS,HEIGHT,WIDTH, or a card: skytrigger export FILE.onnx --card card.toml",
        )
    outputs = [d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim]
    classes = outputs[-1] if len(outputs) == 2 and outputs[-1] > 1 else 0
    if not classes:
        raise InputError(f"{path} gives {outputs} (0 = any)", expected="(n, classes)",
                         remedy="a card: skytrigger export FILE.onnx --card card.toml")  # fmt: skip
    count = shape[0]
    card = ModelCard(
        name=path.stem, channels=tuple(f"channel{k + 1}" for k in range(count)),
        classes=tuple(f"class{k + 1}" for k in range(classes)), size=(shape[1], shape[2]), mean=(0.0,) * count,
        std=(1.0,) * count, units="float", data_hash="", notes={"made_up": "channels and classes are numbered"},
    )  # fmt: skip
    channels_last = _fits(sizes, [shape[1], shape[2], shape[0]]) and not _fits(sizes, list(shape))
    return Statement(card, "nhwc" if channels_last else "nchw")  # free axes are as ONNX's convolutions take them


def _wrap(model: onnx.ModelProto, given: onnx.ValueInfoProto, statement: Statement, layout: str) -> None:
    """Put this product's input before the graph and its outputs behind it, and free the axis of images."""
    from onnx import TensorProto, helper, numpy_helper

    card, graph = statement.card, model.graph
    if len(graph.output) != len(card.heads):
        raise InputError(f"{len(graph.output)} outputs: {[o.name for o in graph.output]}",
                         expected=f"{len(card.heads)}, as the card says")  # fmt: skip
    before, behind, at = [], [], INPUT
    if statement.normalise:
        for kind, values in (("Sub", card.mean), ("Div", card.std)):
            array = np.asarray(values, np.float32)[None, :, None, None]
            graph.initializer.append(numpy_helper.from_array(array, f"skytrigger.{kind}"))
            before.append(helper.make_node(kind, [at, f"skytrigger.{kind}"], [f"skytrigger.{kind}.out"]))
            at = f"skytrigger.{kind}.out"
    turn: dict[str, Any] = {"perm": [0, 2, 3, 1]}
    entry = "Transpose" if layout == "nhwc" else "Identity"
    before.append(helper.make_node(entry, [at], [given.name], **(turn if layout == "nhwc" else {})))
    for head, output in zip(card.heads, graph.output, strict=True):
        source = output.name
        if statement.outputs == "probabilities":
            floor = f"skytrigger.floor.{head.name}"
            graph.initializer.append(numpy_helper.from_array(np.array(_TINY, np.float32), floor))
            behind.append(helper.make_node("Max", [source, floor], [f"{floor}.out"]))
            behind.append(helper.make_node("Log", [f"{floor}.out"], [head.name]))
        else:
            behind.append(helper.make_node("Identity", [source], [head.name]))
    nodes = [*before, *graph.node, *behind]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    shape: list[str | int | None] = ["n", len(card.channels), *card.size]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape))
    graph.output.extend(
        helper.make_tensor_value_info(head.name, TensorProto.FLOAT, ["n", head.outputs]) for head in card.heads
    )


def _try(content: bytes, card: ModelCard, path: Path) -> list[NDArray[np.float32]]:
    """Answers to three images; the same for one of them alone, or the graph takes one number of images only."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    random = np.random.default_rng(0)
    shape = (3, len(card.channels), *card.size)
    mean, std = (np.asarray(v, np.float32)[None, :, None, None] for v in (card.mean, card.std))
    tiles = mean + std * random.standard_normal(shape, np.float32)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        one, three = session.run(None, {INPUT: tiles[:1]}), session.run(None, {INPUT: tiles})
    except Exception as error:  # onnxruntime raises types of its own
        raise InputError(
            f"{path} does not run on any number of images: {str(error)[:200]}",
            remedy="export it with a free axis of images (torch.onnx.export: dynamic_axes or dynamic_shapes)",
        ) from error
    for head, single, several in zip(card.heads, one, three, strict=True):
        if several.shape != (3, head.outputs):
            raise InputError(f"{path} gives {several.shape} for 3 images", expected=f"(3, {head.outputs}), as its card")
        if not np.allclose(single, several[:1], rtol=_TOLERANCE, atol=_TOLERANCE):
            raise InputError(f"{path}: an image's answer depends on the images beside it", expected="a free batch axis")
    return [np.asarray(values) for values in three]


def _check_outputs(answers: Sequence[NDArray[np.float32]], statement: Statement, path: Path) -> None:
    """Refuse outputs that are not of the kind stated: taken for the other, every probability would be wrong."""
    for head, values in zip(statement.card.heads, answers, strict=True):
        if head.kind != CLASSES:
            continue
        given = np.exp(values) if statement.outputs == "probabilities" else values
        sums = bool((given >= 0).all() and np.allclose(given.sum(axis=1), 1, atol=_TOLERANCE))
        if sums != (statement.outputs == "probabilities"):
            found = "add up to 1: probabilities" if sums else "do not add up to 1: no probabilities"
            raise InputError(
                f"{path}: the answers {found}, its card says {statement.outputs}",
                remedy=f'outputs = "{"probabilities" if sums else "logits"}" in the card',
            )
