"""A trained network as a model file: normalisation inside the graph, the card in the metadata."""

from __future__ import annotations

import copy
import logging
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.files import write_bytes
from skytrigger.core.seen import NOTE, seen_of
from skytrigger.model.file import CARD_KEY, INPUT
from skytrigger.model.native_inputs import KEY

if TYPE_CHECKING:
    import onnx
    from torch import nn

OPSET = 18


def with_normalisation(network: nn.Module, card: ModelCard, precision: str = "fp32") -> nn.Module:
    """The network from raw units to float32: ``network((tiles - mean) / std)``, a tuple where it has several heads.

    Normalisation stays float32 (DN up to 28,000 over float16's 3 digits); fp16 covers what follows.
    """
    torch = require("torch", why="export")
    dtype = {"fp32": torch.float32, "fp16": torch.float16}[precision]

    class Normalised(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.network = copy.deepcopy(network).to(dtype)
            self.register_buffer("mean", torch.tensor(card.mean, dtype=torch.float32).view(1, -1, 1, 1))
            self.register_buffer("std", torch.tensor(card.std, dtype=torch.float32).view(1, -1, 1, 1))

        def forward(self, tiles: Any) -> Any:
            answer = self.network(((tiles - self.mean) / self.std).to(dtype))
            if isinstance(answer, tuple):
                return tuple(tensor.to(torch.float32) for tensor in answer)
            return answer.to(torch.float32)

    module: nn.Module = Normalised().eval()
    return module


def export_onnx(network: nn.Module, card: ModelCard, out: str | Path, precision: str = "fp32") -> None:
    """Write `network` (evaluation mode) as a model file, whole or not at all.

    Parameters
    ----------
    precision
        ``fp32`` or ``fp16`` (weights and arithmetic after normalisation; strongly typed).
    """
    if precision not in ("fp32", "fp16"):
        raise InputError(f"cannot export to precision {precision!r}", expected="fp32, fp16 or int8")
    torch = require("torch", why="export")
    require("onnxscript", why="export")
    module = with_normalisation(network, card, precision)
    example = torch.zeros(2, len(card.channels), *card.size)
    batch = torch.export.Dim("batch", min=1, max=1 << 16)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[head.name for head in card.heads],
            dynamic_shapes={"tiles": {0: batch}},
            opset_version=OPSET,
        )
    model = program.model_proto
    _strip(model)
    write_model(model, replace(card, precision=precision), out)


def write_model(model: onnx.ModelProto, card: ModelCard, out: str | Path) -> None:
    """Put the card into the metadata, beside what it says of native inputs, and write the file."""
    native = [(p.key, p.value) for p in model.metadata_props if p.key == KEY]
    del model.metadata_props[:]
    for key, value in native:
        model.metadata_props.add(key=key, value=value)
    entry = model.metadata_props.add()
    seen = seen_of(card.notes, card.name)
    if seen is not None:
        card = replace(card, notes={**card.notes, NOTE: seen.thinned().note()})
    entry.key, entry.value = CARD_KEY, card.to_json()
    write_bytes(out, model.SerializeToString(deterministic=True))


def _strip(model: onnx.ModelProto) -> None:
    """Drop the exporter's source locations: they name folders of the machine and double small files."""
    from skytrigger import __version__

    graph = model.graph
    for item in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.doc_string = ""
        del item.metadata_props[:]
    del graph.metadata_props[:]
    graph.doc_string = model.doc_string = ""
    graph.name = "skytrigger"
    model.producer_name, model.producer_version = "skytrigger", __version__
