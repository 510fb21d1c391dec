"""Quantisation-aware fine-tuning: the rounding is part of the forward pass, weights and ranges learn to live with it.

The folded graph itself is trained, with the scales it will be written with: rounding by the straight-through estimator,
activation steps learned (Esser et al. 2020, "Learned step size quantization"), weight steps from each channel's largest
weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from skytrigger.core.card import ModelCard
from skytrigger.core.extras import require
from skytrigger.learn.run_folder import RunFolder
from skytrigger.model.fold import Graph
from skytrigger.model.qdq import (
    SHAPES,
    Ranges,
    Scale,
    blocks_of,
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


@dataclass(frozen=True)
class _Plan:
    """What of a graph is rounded and what learns.

    Attributes
    ----------
    entry, first, shift
        Output of the standardisation, its scale, and how far the rounded zero points move each channel's mean; no scale
        where the network does not read it as it is (`model.native_student`).
    scales, sources
        Of activations that are rounded; of those that pass on what is rounded already.
    products, trained
        Names of the nodes with weights, and of their weights and biases.
    """

    entry: str
    first: Scale | None
    shift: NDArray[np.float32]
    constants: dict[str, Any]
    scales: dict[str, Scale]
    sources: dict[str, str]
    nodes: list[onnx.NodeProto]
    products: set[str]
    trained: set[str]

    @cached_property
    def names(self) -> dict[str, str]:
        """Tensor -> its name in the module."""
        return {name: f"t{i}" for i, name in enumerate({**self.constants, **self.scales})}


def _plan(model: onnx.ModelProto, ranges: Ranges) -> _Plan:
    pair = standardisation(model)
    if pair is None:
        raise ValueError("the graph does not begin with its standardisation")
    constants = constants_of(model)
    mean, std = (np.asarray(constants[n.input[1]], np.float64).reshape(-1) for n in pair)
    entry = pair[1].output[0]
    first, shift = None, np.zeros(len(mean))
    if entry in ranges:
        first = Scale.of(*input_range(*ranges[entry], mean, std))
        _, zeros = input_scales(first, mean, std)
        # by up to half a step: seen in training as it will be
        shift = mean / std - (first.zero - zeros.astype(np.float64)) * first.step
    sources = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type in SHAPES}
    rounded = [name for name in quantised_tensors(model) if name != entry and name not in sources]
    blocks = blocks_of(model, pair)
    wide = {blocks: input_range(*ranges[blocks], mean, std)} if blocks in rounded else {}
    scales = {name: Scale.of(*wide.get(name, ranges[name])) for name in rounded}
    nodes = [n for n in model.graph.node if n.name not in (pair[0].name, pair[1].name)]
    products = {n.name for n in nodes if is_product(n, constants)}
    trained = {n.input[i] for n in nodes if n.name in products for i in (1, 2) if len(n.input) > i}
    return _Plan(entry, first, shift.astype(np.float32), constants, scales, sources, nodes, products, trained)


def _rounded(x: Tensor) -> Tensor:
    """Rounded, with the gradient of what was not (straight-through estimator)."""
    result: Tensor = x + (x.round() - x).detach()
    return result


def _rounded_weight(value: Tensor, across: bool, limit: int) -> Tensor:
    """A weight in steps of its output channels, the second axis's where `across`."""
    axes = [0] if across else list(range(1, value.ndim))
    step = (value.detach().abs().amax(axes, keepdim=True) / limit).clamp(min=1e-10)
    result: Tensor = _rounded(value / step).clamp(-limit, limit) * step
    return result


def _learned(module: Any, plan: _Plan) -> tuple[dict[str, Any], dict[str, Scale]]:
    """Weights and scales as they are written."""
    weights = {name: getattr(module, plan.names[name]).detach().cpu().numpy() for name in plan.trained}
    found = {n: Scale(math.exp(float(module.step_of(n).detach())), s.zero) for n, s in plan.scales.items()}
    for out, source in plan.sources.items():
        if source in found:
            found[out] = found[source]
    return weights, found if plan.first is None else {**found, plan.entry: plan.first}


def fake_quantised(model: onnx.ModelProto, ranges: Ranges, limit: int) -> nn.Module:
    """The graph behind its standardisation, as a torch module that rounds as the QDQ file will.

    Takes standardised images. `learned()` gives the weights and scales to write.
    """
    torch = require("torch", why="quantisation-aware training")
    plan = _plan(model, ranges)
    names, apply = plan.names, operator_table(torch)

    def quantise(x: Tensor, step: Any, zero: int) -> Tensor:
        result: Tensor = (torch.clamp(_rounded(x / step) + zero, 0, 255) - zero) * step
        return result

    class FakeQuantised(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            for name, value in plan.constants.items():
                tensor = torch.from_numpy(np.array(value))
                if name in plan.trained:
                    self.register_parameter(names[name], torch.nn.Parameter(tensor))
                else:
                    self.register_buffer(names[name], tensor)
            for name, scale in plan.scales.items():
                step = torch.nn.Parameter(torch.tensor(math.log(scale.step)))
                self.register_parameter(f"{names[name]}_step", step)
            self.register_buffer("shift", torch.from_numpy(plan.shift).view(1, -1, 1, 1))

        def parameter_groups(self) -> list[tuple[list[Any], float]]:
            """Parameters and the multiple of the learning rate that each group learns at."""
            steps = {f"{names[name]}_step" for name in plan.scales}
            of = dict(self.named_parameters())
            return [([v for k, v in of.items() if k not in steps], 1.0), ([of[k] for k in sorted(steps)], STEP_FACTOR)]

        def step_of(self, name: str) -> Any:
            return getattr(self, f"{names[name]}_step")

        def forward(self, images: Any) -> Any:
            first = plan.first
            entered = quantise(images + self.shift, first.step, first.zero) if first else images
            values: dict[str, Any] = {plan.entry: entered, "": None}
            for node in plan.nodes:
                attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
                inputs = [values[n] if n in values else self.constant(n) for n in node.input]
                if node.name in plan.products:
                    across = node.op_type == "Gemm" and not attributes.get("transB", 0)
                    inputs[1] = _rounded_weight(getattr(self, names[node.input[1]]), across, limit)
                out = node.output[0]
                values[out] = apply[node.op_type](attributes, *inputs)
                if out in plan.scales:
                    values[out] = quantise(values[out], torch.exp(self.step_of(out)), plan.scales[out].zero)
            answers = tuple(values[output.name] for output in model.graph.output)
            return answers[0] if len(answers) == 1 else answers

        def constant(self, name: str) -> Any:
            value = plan.constants[name]
            shape_like = value.dtype.kind == "i" and value.ndim <= 1
            return value.reshape(-1).tolist() if shape_like else getattr(self, names[name])

        def learned(self) -> tuple[dict[str, Any], dict[str, Scale]]:
            return _learned(self, plan)

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
