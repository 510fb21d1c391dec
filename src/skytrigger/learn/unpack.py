"""The network of a model file: weights that training can start from, where there is no run folder.

INT8 weights are their codes times their scales; the rounding of activations is gone. A standardisation that was folded
into the first convolution is taken out of it. Batch normalisations that the file has folded away come back as ones that
change nothing: `settle` gives them the statistics of images.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.heads import outputs_of
from skytrigger.learn.output_layer import tensors_of
from skytrigger.learn.run_folder import Build
from skytrigger.model.file import ModelFile, read_model
from skytrigger.model.qdq import constants_of
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.registry import faithful

if TYPE_CHECKING:
    from torch import Tensor, nn

NORMALISATION = "BatchNormalization"
KINDS = ("Conv", "Gemm", NORMALISATION)
PROOF_IMAGES = 16
# of the answers' own spread: rounding of half precision, of INT8 activations; another network is off by about 1
TOLERANCE = {"fp32": 1e-2, "fp16": 5e-2, "int8": 0.5}


def network_of_file(file: str | Path, build: Build) -> tuple[nn.Module, ModelCard]:
    """The network of a model file in float32, in evaluation mode, and the file's card; proven against the file.

    Raises
    ------
    InputError
        The file's network is none that can be built here, or its layers are not that network's.
    """
    model = read_model(file)
    card = model.card
    if "adopted" in card.notes:
        raise InputError(
            f"{file} holds somebody else's graph, from which no training can start here",
            remedy="let it teach: skytrigger train --teacher FILE, or skytrigger optimize FILE",
        )
    network = build(card.name, len(card.channels), card.size, outputs_of(card.heads), **card.options)
    try:
        _fill(network, _layers(model))
    except (ValueError, StopIteration) as error:
        raise _other(model, str(error)) from error
    network.eval()
    if (off := _deviation(network, model)) > TOLERANCE.get(card.precision, 0.5):
        raise _other(model, f"answers differ by {off:.2g} of their spread")
    return network, card


def _other(model: ModelFile, why: str) -> InputError:
    return InputError(
        f"the layers of {model.path} are not those of the network {model.card.name!r} that its card names: {why}",
        remedy="the run folder that it was exported from",
    )


def _layers(model: ModelFile) -> list[tuple[str, list[NDArray[np.float32]]]]:
    """Kind, and weights and bias (or scale, shift, mean, variance), of the file's layers in the order they run."""
    graph = model.graph()
    constants = constants_of(graph)
    made = {n.output[0]: n for n in graph.graph.node}

    def value(name: str) -> NDArray[np.float32]:
        node = made.get(name)
        if node is not None and node.op_type == "DequantizeLinear" and node.input[0] in constants:
            codes, steps, zeros = (constants[i].astype(np.float32) for i in node.input)
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            shape = [-1 if steps.ndim and k == axis else 1 for k in range(codes.ndim)]
            return np.asarray((codes - zeros.reshape(shape)) * steps.reshape(shape), np.float32)
        if name not in constants:
            raise ValueError(f"{name} is no constant")
        return constants[name].astype(np.float32)

    found = []
    for node in graph.graph.node:
        if node.op_type in KINDS:
            values = [value(name) for name in node.input[1:]]
            if node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute):
                values[0] = values[0].T
            found.append((node.op_type, values))
    if found and found[0][0] == "Conv":
        _take_back_standardisation(found[0][1], model.card, {n.op_type for n in _before_first_product(graph)})
    return found


def _before_first_product(graph: Any) -> list[Any]:
    products = [i for i, n in enumerate(graph.graph.node) if n.op_type in KINDS]
    return list(graph.graph.node[: products[0]])


def _take_back_standardisation(values: list[NDArray[np.float32]], card: ModelCard, kinds: set[str]) -> None:
    """Undo what `fold` made of the first convolution: weights over the spreads, means in the bias. In place.

    ``w' x + b' = (w' std) z + (b' + sum w' mean)`` with the standardised tiles ``z = (x - mean) / std``.
    """
    if "QuantizeLinear" in kinds or "Div" in kinds:
        return
    weight = values[0].astype(np.float64)
    if weight.shape[1] != len(card.channels):
        raise ValueError(f"its first convolution reads {weight.shape[1]} channels")
    mean, std = (np.array(v).reshape(1, -1, 1, 1) for v in (card.mean, card.std))
    if "Sub" not in kinds:
        bias = values[1] if len(values) > 1 else np.zeros(len(weight))
        values[1:] = [(bias + (weight * mean).sum((1, 2, 3))).astype(np.float32)]
    values[0] = (weight * std).astype(np.float32)


def _fill(network: nn.Module, layers: list[tuple[str, list[NDArray[np.float32]]]]) -> None:
    """The file's weights in the network's layers, one after the other."""
    torch = require("torch", why="training")
    layer = torch.nn
    left: Iterator[tuple[str, list[NDArray[np.float32]]]] = iter(layers)
    ahead = next(left, None)
    bias: NDArray[np.float32] | None = None  # of the last convolution, not yet in any layer
    for module in network.modules():
        if isinstance(module, layer.BatchNorm2d):
            if ahead is not None and ahead[0] == NORMALISATION:
                values = ahead[1]
                ahead = next(left, None)
            else:
                one, zero = np.ones(module.num_features, np.float32), np.zeros(module.num_features, np.float32)
                values = [one * np.sqrt(1 + module.eps), zero if bias is None else bias, zero, one]
                bias = None
            targets = (module.weight, module.bias, module.running_mean, module.running_var)
            for target, given in zip(targets, values, strict=True):
                _put(target, given)
        elif isinstance(module, (layer.Conv2d, layer.Linear)):
            if bias is not None and bias.any():
                raise ValueError("a bias where the network has none")
            if ahead is None or ahead[0] != ("Conv" if isinstance(module, layer.Conv2d) else "Gemm"):
                raise ValueError(f"no layer of the file for {module}")
            weight, bias = ahead[1][0], ahead[1][1] if len(ahead[1]) > 1 else None
            _put(module.weight, weight)
            if module.bias is not None:
                _put(module.bias, np.zeros(len(weight), np.float32) if bias is None else bias)
                bias = None
            ahead = next(left, None)
    if ahead is not None:
        raise ValueError(f"{1 + sum(1 for _ in left)} layers more than the network has")


def _put(target: Any, values: NDArray[np.float32]) -> None:
    torch = require("torch", why="training")
    if tuple(target.shape) != values.shape:
        raise ValueError(f"weights of {values.shape} where the network has {tuple(target.shape)}")
    target.data.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def _deviation(network: nn.Module, model: ModelFile) -> float:
    """Largest deviation (root mean square) of the network's answers from the file's, over the answers' own spread."""
    torch = require("torch", why="training")
    card = model.card
    random = np.random.default_rng(0)
    shape = (PROOF_IMAGES, len(card.channels), *card.size)
    # each image and channel at a level of its own, so that answers differ as those of real images do
    drawn = random.standard_normal((*shape[:2], 1, 1)) + 0.5 * random.standard_normal(shape)
    mean, std = (np.array(v)[:, None, None] for v in (card.mean, card.std))
    tiles = np.ascontiguousarray(mean + std * drawn, np.float32)
    session = open_session(model, faithful(card.precision), card.precision, PROOF_IMAGES, threads=1)
    try:
        theirs = list(session.answers(tiles).values())
    finally:
        session.close()
    with torch.inference_mode():
        standard = torch.from_numpy(np.ascontiguousarray((tiles - mean) / std, np.float32))
        mine = [answer.numpy() for answer in tensors_of(network(standard))]
    off = [np.sqrt(np.square(a - b).mean()) / max(float(b.std()), 1e-6) for a, b in zip(mine, theirs, strict=True)]
    return float(max(off))


def settle(network: nn.Module, images: Tensor) -> None:
    """Give batch normalisations the statistics of `images`, and gains and shifts that leave all answers as they are.

    Without, a network from a file would answer otherwise in training than in use: its own normalisations were folded.
    """
    torch = require("torch", why="training")

    def hook(module: Any, inputs: Any) -> None:
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
        gain = module.weight / torch.sqrt(module.running_var + module.eps)
        module.bias.data.add_(gain * (mean - module.running_mean))
        module.weight.data.copy_(gain * torch.sqrt(variance + module.eps))
        module.running_mean.copy_(mean)
        module.running_var.copy_(variance)

    hooks = [m.register_forward_pre_hook(hook) for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    was = network.training
    with torch.no_grad():
        network.eval()(images)
    network.train(was)
    for one in hooks:
        one.remove()
