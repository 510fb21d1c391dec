"""A tiny model file made by hand, and predictions of imaginary networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from skytrigger.core.card import ModelCard
from skytrigger.learn.predictions import Predictions, write_predictions
from skytrigger.model.file import CARD_KEY

CLASSES = ("Forest", "River", "Road")


def tiny_model(path: Path, width: int = 4, name: str = "tiny") -> Path:
    """One convolution, one dense layer; `width` sets how much work it is."""
    rng = np.random.default_rng(0)

    def weight(key: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), key)

    nodes = [
        helper.make_node("Conv", ["tiles", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "g"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes, "tiny",
        [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [weight("w", width, 3, 3, 3), weight("g", 3, width)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    card = ModelCard(name, ("B04", "B03", "B02"), CLASSES, (16, 16), (1000.0,) * 3, (200.0,) * 3, "DN", "hash")
    entry = model.metadata_props.add()
    entry.key, entry.value = CARD_KEY, card.to_json()
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


class Answers:
    """Predictions on the same images with chosen accuracy."""

    def __init__(self, folder: Path, n: int = 900) -> None:
        self.folder, self.n = folder, n
        self.true = np.arange(n) % 3
        self.hard = np.random.default_rng(0).random(n)

    def write(self, name: str, wrong: float, seed: int = 0, **changes: object) -> Path:
        """A network that errs on the hardest images, about a share `wrong` of all."""
        rng = np.random.default_rng(seed + 1)
        bad = self.hard + 0.05 * rng.standard_normal(self.n) < wrong
        answer = np.where(bad, (self.true + 1) % 3, self.true)
        logits = np.eye(3, dtype=np.float32)[answer] * 4
        found = {"ids": tuple(f"x_{i}" for i in range(self.n)), "true": self.true, "logits": logits, "classes": CLASSES}
        path = self.folder / name / "predictions.parquet"
        write_predictions(path, Predictions(**{**found, **changes}))
        return path
