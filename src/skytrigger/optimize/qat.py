"""Quantisation-aware fine-tuning: the rounding is part of the forward pass, weights and ranges learn to live with it.

The folded graph itself is trained, with the scales it will be written with: rounding by the straight-through estimator,
activation steps learned (Esser et al. 2020, "Learned step size quantization"), weight steps from each channel's largest
weight.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from skytrigger.core.card import ModelCard
from skytrigger.core.extras import require
from skytrigger.learn.run_folder import RunFolder
from skytrigger.model.fold import Graph
from skytrigger.model.qdq import (
    SHAPES,
    Ranges,
    Scale,
    constants_of,
    input_range,
    input_scales,
    is_product,
    quantised_tensors,
    standardisation,
)
from skytrigger.optimize.training import Trainer
from skytrigger.runtimes.torch.graph import operator_table

if TYPE_CHECKING:
    from torch import Tensor, nn

RATE, STEP_FACTOR = 5e-4, 2.0  # learning rate of weights; what steps learn at, as a multiple


def fake_quantised(model: onnx.ModelProto, ranges: Ranges, limit: int) -> nn.Module:
    """The graph behind its standardisation, as a torch module that rounds as the QDQ file will.

    Takes standardised images. `learned()` gives the weights and scales to write.
    """
    torch = require("torch", why="quantisation-aware training")
    pair = standardisation(model)
    if pair is None:
        raise ValueError("the graph does not begin with its standardisation")
    constants = constants_of(model)
    mean, std = (np.asarray(constants[n.input[1]], np.float64).reshape(-1) for n in pair)
    entry = pair[1].output[0]
    tensors = quantised_tensors(model)
    first = Scale.of(*input_range(*ranges[entry], mean, std))
    _, zeros = input_scales(first, mean, std)
    # the rounded zero points move each channel's mean by up to half a step: seen in training as it will be
    shift = mean / std - (first.zero - zeros.astype(np.float64)) * first.step
    sources = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type in SHAPES}
    scales = {name: Scale.of(*ranges[name]) for name in tensors if name != entry and name not in sources}
    apply = operator_table(torch)
    nodes = [n for n in model.graph.node if n.name not in (pair[0].name, pair[1].name)]
    products = {n.name for n in nodes if is_product(n, constants)}
    trained = {n.input[i] for n in nodes if n.name in products for i in (1, 2) if len(n.input) > i}
    names = {name: f"t{i}" for i, name in enumerate({**constants, **scales})}

    def rounded(x: Tensor) -> Tensor:
        result: Tensor = x + (torch.round(x) - x).detach()
        return result

    def quantise(x: Tensor, step: Any, zero: int) -> Tensor:
        result: Tensor = (torch.clamp(rounded(x / step) + zero, 0, 255) - zero) * step
        return result

    class FakeQuantised(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            for name, value in constants.items():
                tensor = torch.from_numpy(np.array(value))
                if name in trained:
                    self.register_parameter(names[name], torch.nn.Parameter(tensor))
                else:
                    self.register_buffer(names[name], tensor)
            for name, scale in scales.items():
                step = torch.nn.Parameter(torch.tensor(math.log(scale.step)))
                self.register_parameter(f"{names[name]}_step", step)
            self.register_buffer("shift", torch.from_numpy(shift.astype(np.float32)).view(1, -1, 1, 1))

        def parameter_groups(self) -> list[tuple[list[Any], float]]:
            """Parameters and the multiple of the learning rate that each group learns at."""
            steps = {f"{names[name]}_step" for name in scales}
            of = dict(self.named_parameters())
            return [([v for k, v in of.items() if k not in steps], 1.0), ([of[k] for k in sorted(steps)], STEP_FACTOR)]

        def step_of(self, name: str) -> Any:
            return getattr(self, f"{names[name]}_step")

        def weight(self, name: str, kind: str, attributes: dict[str, Any]) -> Any:
            value = getattr(self, names[name])
            across = kind == "Gemm" and not attributes.get("transB", 0)
            axes = [0] if across else list(range(1, value.ndim))
            step = torch.clamp(value.detach().abs().amax(axes, keepdim=True) / limit, min=1e-10)
            return torch.clamp(rounded(value / step), -limit, limit) * step

        def forward(self, images: Any) -> Any:
            values: dict[str, Any] = {entry: quantise(images + self.shift, first.step, first.zero), "": None}
            for node in nodes:
                attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
                inputs = [values[n] if n in values else self.constant(n) for n in node.input]
                if node.name in products:
                    inputs[1] = self.weight(node.input[1], node.op_type, attributes)
                out = node.output[0]
                values[out] = apply[node.op_type](attributes, *inputs)
                if out in scales:
                    values[out] = quantise(values[out], torch.exp(self.step_of(out)), scales[out].zero)
            answers = tuple(values[output.name] for output in model.graph.output)
            return answers[0] if len(answers) == 1 else answers

        def constant(self, name: str) -> Any:
            value = constants[name]
            shape_like = value.dtype.kind == "i" and value.ndim <= 1
            return value.reshape(-1).tolist() if shape_like else getattr(self, names[name])

        def learned(self) -> tuple[dict[str, Any], dict[str, Scale]]:
            weights = {name: getattr(self, names[name]).detach().cpu().numpy() for name in trained}
            found = {n: Scale(math.exp(float(self.step_of(n).detach())), s.zero) for n, s in scales.items()}
            for out, source in sources.items():
                if source in found:
                    found[out] = found[source]
            return weights, {**found, entry: first}

    module: nn.Module = FakeQuantised()
    return module


def fine_tune(
    trainer: Trainer, model: onnx.ModelProto, card: ModelCard, ranges: Ranges, limit: int, key: dict[str, Any]
) -> tuple[onnx.ModelProto, dict[str, Scale]]:
    """The graph with weights tuned under rounding, by distillation on the training part, and its scales.

    `key` names all that the graph and its ranges depend on.
    """

    def build(*_: Any, **__: Any) -> nn.Module:
        return fake_quantised(model, ranges, limit)

    cost = trainer.search.settings.cost
    plain = trainer.recipe({}, cost.tune_epochs, tuning=True)
    # rounded weights must not be averaged, and float32 is what rounding is exact in
    recipe = replace(plain, learning_rate=RATE, optimiser="adam", weight_decay=0.0, ema=0.0, precision="fp32",
                     channels_last=False)  # fmt: skip
    key = {**key, "epochs": recipe.epochs, "distil": recipe.distil}
    run = trainer.run("aware", key, recipe, "quantisation-aware", build, card.channels, cost.tune_epochs)
    module, _ = RunFolder(run).load(build)
    return _written(model, module)


def _written(model: onnx.ModelProto, module: Any) -> tuple[onnx.ModelProto, dict[str, Scale]]:
    weights, scales = module.learned()
    tuned = onnx.ModelProto()
    tuned.CopyFrom(model)
    graph = Graph(tuned)
    for name, value in weights.items():
        graph.set(name, value)
    return tuned, scales
