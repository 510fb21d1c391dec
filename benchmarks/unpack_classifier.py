"""An INT8 classifier of the package as a run folder again: a float teacher that takes crops, a start for others.

    python benchmarks/unpack_classifier.py eurosat_rgb --data TILES ... --out teacher

Weights are the file's codes times their scales; the rounding of activations is gone. Batch normalisations get the
statistics of `--images` tiles of the data, and gains and offsets that undo them, so that the network answers the same
in training as in use.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import numpy_helper
from torch import nn

from skytrigger.applications.registry import build, model_path
from skytrigger.core.heads import outputs_of
from skytrigger.core.progress import say
from skytrigger.core.seen import NOTE, Seen, hashes_of
from skytrigger.core.split import split_by
from skytrigger.core.split_files import read_list
from skytrigger.eo.load import load
from skytrigger.learn.batches import Batches
from skytrigger.learn.evaluate import align
from skytrigger.learn.predict import answers
from skytrigger.learn.run_folder import RunFolder, save_tensors
from skytrigger.model.file import read_model
from skytrigger.model.quantise import stratified
from skytrigger.runtimes.open import open_session

LAYERS = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)


def products(graph: Any) -> list[tuple[Any, Any]]:
    """(weight, bias) float32 of convolutions and dense layers, in the order they run."""
    constants = {t.name: numpy_helper.to_array(t) for t in graph.graph.initializer}
    made = {n.output[0]: n for n in graph.graph.node}

    def value(name: str) -> Any:
        node = made.get(name)
        if node is None or node.op_type != "DequantizeLinear":
            return constants[name]
        codes, steps, _ = (constants[i] for i in node.input)
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        return codes.astype(np.float32) * steps.reshape([-1 if k == axis else 1 for k in range(codes.ndim)])

    found = []
    for node in graph.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            weight = value(node.input[1])
            if node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute):
                weight = weight.T
            found.append((weight, value(node.input[2])))
    return found


def filled(network: nn.Module, graph: Any) -> None:
    """The graph's weights in the network's convolutions; the biases in the batch normalisations behind them."""
    layers = [m for m in network.modules() if isinstance(m, LAYERS)]
    found = iter(products(graph))
    for layer, after in zip(layers, [*layers[1:], None], strict=True):
        if isinstance(layer, nn.BatchNorm2d):
            continue
        weight, bias = (torch.from_numpy(np.array(v, np.float32)) for v in next(found))
        layer.weight.data.copy_(weight.view_as(layer.weight))
        target = after if isinstance(after, nn.BatchNorm2d) else layer
        target.bias.data.copy_(bias)


def given_statistics(network: nn.Module, images: Any) -> None:
    """Running statistics as `images` have them, with gains and offsets that leave the answers as they are."""

    def settle(module: Any, inputs: Any) -> None:
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
        module.running_mean.copy_(mean)
        module.running_var.copy_(variance)
        module.weight.data.copy_(torch.sqrt(variance + module.eps))
        module.bias.data.add_(mean)

    hooks = [m.register_forward_pre_hook(settle) for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.inference_mode():
        network.eval()(images)
    for hook in hooks:
        hook.remove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--split-lists", nargs="+", required=True, help="those it was trained with: its card gets them")
    parser.add_argument("--also", nargs=2, type=Path, metavar=("TRAIN", "VAL"), help="lists of what it started from")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    model = read_model(model_path(args.model))
    card = model.card
    dataset = align(load(args.data), card)
    split = split_by(dataset, args.split_lists)
    network = build(card.name, len(card.channels), card.size, outputs_of(card.heads), **card.options)
    filled(network, model.graph())
    batches = Batches(dataset, card.mean, card.std, torch.device("cpu"))
    rows = stratified(split.train, dataset.y, args.images)
    given_statistics(network, batches.images(rows))
    (mine,) = answers(network, batches, split.val)
    session = open_session(model, "onnxruntime", "int8", 64, 1)
    theirs = np.concatenate([session.run(dataset.x[split.val[i : i + 64]].astype(np.float32))
                             for i in range(0, len(split.val), 64)])  # fmt: skip
    same = float((mine.argmax(1) == theirs.argmax(1)).mean())
    say(f"the same class for {100 * same:.2f} % of {len(split.val)} validation images")
    notes = {k: v for k, v in card.notes.items() if k not in ("calibration", "test")}
    seen = Seen.of(dataset, split)
    if args.also:
        seen = seen.joined(Seen(*(np.unique(hashes_of(read_list(file)[0], "")) for file in args.also)))
    notes[NOTE] = notes.get(NOTE) or seen.note()
    args.out.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(args.out)
    save_tensors(folder.weights, network.state_dict(), {})
    folder.write_card(replace(card, precision="fp32", notes=notes))


if __name__ == "__main__":
    main()
