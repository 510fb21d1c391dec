"""A model file as CMSSW's TICL feeds it: channels last, its names and its order of particles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.errors import InputError
from skytrigger.core.files import write_bytes
from skytrigger.hep.pid.data import ENERGY, IDENTITY
from skytrigger.hep.pid.evaluation import CALIBRATION
from skytrigger.hep.pid.geometry import CLASSES
from skytrigger.hep.pid.networks import layout_of
from skytrigger.model.file import INPUT, read_model

CMSSW_INPUT, CMSSW_ENERGY, CMSSW_IDENTITY = "input", "output/regressed_energy", "output/id_probabilities"
PARTICLES = (
    "photon", "electron", "muon", "neutral_pion", "charged_hadron", "neutral_hadron", "ambiguous", "unknown",
)  # fmt: skip
"""Order of `ticl::Trackster::ParticleType`; particles this network does not know get probability 0."""


def write_cmssw(model: str | Path, out: str | Path) -> int:
    """Write `model` with input ``input`` (n, 50, 10, 3) and outputs ``output/regressed_energy`` (n, 1) in GeV and
    ``output/id_probabilities`` (n, 8), calibrated; returns its size in bytes.

    The file carries no card: it is for CMSSW, not for this package.

    Raises
    ------
    InputError
        The network does not take images of layout ``ticl``.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    file = read_model(model)
    card = file.card
    if [head.name for head in card.heads] != [IDENTITY, ENERGY] or layout_of((card.size[0], card.size[1])) != "ticl":
        raise InputError(f"{model} is no network of ticl images", expected="pid_small, or pid_origin on them")
    graph = file.graph().graph
    places = np.zeros((len(CLASSES), len(PARTICLES)), np.float32)
    places[np.arange(len(CLASSES)), [PARTICLES.index(name) for name in CLASSES]] = 1
    temperature = np.array((card.notes.get(CALIBRATION) or {}).get("temperature", 1.0), np.float32)
    constants: dict[str, Any] = {
        "cmssw_places": places,
        "cmssw_temperature": temperature,
        "cmssw_first": np.array([0], np.int64),
        "cmssw_last": np.array([1], np.int64),
    }
    before = helper.make_node("Transpose", [CMSSW_INPUT], [INPUT], perm=[0, 3, 1, 2])
    after = [
        helper.make_node("Div", [IDENTITY, "cmssw_temperature"], ["cmssw_scaled"]),
        helper.make_node("Softmax", ["cmssw_scaled"], ["cmssw_own"], axis=1),
        helper.make_node("MatMul", ["cmssw_own", "cmssw_places"], [CMSSW_IDENTITY]),
        helper.make_node("Slice", [ENERGY, "cmssw_first", "cmssw_last", "cmssw_last"], [CMSSW_ENERGY]),
    ]
    values = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    size = [card.size[0], card.size[1], len(card.channels)]
    inputs = [helper.make_tensor_value_info(CMSSW_INPUT, TensorProto.FLOAT, ["batch", *size])]
    outputs = [
        helper.make_tensor_value_info(CMSSW_ENERGY, TensorProto.FLOAT, ["batch", 1]),
        helper.make_tensor_value_info(CMSSW_IDENTITY, TensorProto.FLOAT, ["batch", len(PARTICLES)]),
    ]
    whole = helper.make_graph(
        [before, *graph.node, *after], "skytrigger", inputs, outputs, [*graph.initializer, *values]
    )
    found = helper.make_model(whole, opset_imports=file.graph().opset_import, ir_version=file.graph().ir_version)
    onnx.checker.check_model(found)
    content: bytes = found.SerializeToString(deterministic=True)
    write_bytes(out, content)
    return len(content)
