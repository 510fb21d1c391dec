"""INT8 by static quantisation: QDQ pairs, per-channel weights, ranges from training images."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.seeds import generator
from skytrigger.export.onnx_file import write_model
from skytrigger.runtimes.model_file import INPUT, read_model

CALIBRATION_IMAGES = 200
METHODS = ("minmax", "percentile", "entropy")


def stratified(index: NDArray[np.int64], labels: NDArray[np.int64], count: int, seed: int = 0) -> NDArray[np.int64]:
    """At most `count` of the images `index`, as evenly over the classes as they allow."""
    random = generator(seed, "calibration")
    shuffled = random.permutation(index)
    rank = np.zeros(len(shuffled), dtype=np.int64)
    for label in np.unique(labels[shuffled]):
        member = labels[shuffled] == label
        rank[member] = np.arange(member.sum())
    return np.sort(shuffled[np.argsort(rank, kind="stable")[:count]])


def quantise(
    fp32_model: str | Path,
    out: str | Path,
    tiles: NDArray[Any],
    ids: tuple[str, ...],
    method: str = "minmax",
    exclude: tuple[str, ...] = (),
) -> None:
    """Write the INT8 model file `out` from a float32 one.

    Normalisation stays float32: DN ranges would eat the 8 bits.

    Parameters
    ----------
    tiles
        Calibration images (n, c, h, w) in raw units: of the training part only.
    ids
        Their names; a hash of the list goes into the card.
    method
        How activation ranges are chosen: ``minmax``, ``percentile`` (99.99) or ``entropy``.
    exclude
        Graph nodes to leave in float32.
    """
    if method not in METHODS:
        raise InputError(f"calibration method {method!r}", expected=", ".join(METHODS))
    if len(tiles) == 0:
        raise InputError("no calibration images", remedy="--data with a training part")
    quantization = require("onnxruntime.quantization")
    source = read_model(fp32_model)
    _require_fp32(source.card, fp32_model)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self.left = iter(tiles)

        def get_next(self) -> dict[str, Any] | None:
            tile = next(self.left, None)
            return None if tile is None else {INPUT: tile[None].astype(np.float32)}

    floats = [n.name for n in source.graph().graph.node if n.op_type in ("Sub", "Div", "Cast")]
    methods = quantization.CalibrationMethod
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser speaks through the root logger
    with tempfile.TemporaryDirectory() as folder:
        prepared, result = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        require("onnxruntime.quantization.shape_inference").quant_pre_process(source.path, prepared)
        quantization.quantize_static(
            prepared,
            result,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            calibrate_method={"minmax": methods.MinMax, "percentile": methods.Percentile, "entropy": methods.Entropy}[
                method
            ],
            nodes_to_exclude=[*floats, *exclude],
            extra_options={"ActivationSymmetric": False, "WeightSymmetric": True, "CalibPercentile": 99.99},
        )
        import onnx

        model = onnx.load(result)
    calibration = {
        "method": method,
        "images": len(tiles),
        "ids_sha256": hashlib.sha256("\n".join(ids).encode()).hexdigest(),
        "float_nodes": list(exclude),
    }
    notes = {**source.card.notes, "calibration": calibration}
    write_model(model, replace(source.card, precision="int8", notes=notes), out)


def _require_fp32(card: ModelCard, path: str | Path) -> None:
    if card.precision != "fp32":
        raise InputError(f"{path} holds {card.precision} weights", expected="fp32 to quantise from")
