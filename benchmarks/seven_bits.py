"""An INT8 classifier with weights of eight bits as one of seven, its logits calibrated: the same answers on every CPU.

    python benchmarks/seven_bits.py MODEL.onnx --data TILES ... --split-lists train.txt val.txt test.txt --out NEW.onnx

CPUs without VNNI add pairs of 8-bit products in 16 bits, which 8-bit weights overflow. Scales grow by 127/63, codes and
biases shrink by as much. The temperature of the logits is fitted on validation images; it changes no decision. The test
figure in the metadata is measured anew, on the test part of the lists.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import numpy_helper
from scipy.optimize import minimize_scalar

from pack_classifier import WHERE, logits_of, test_figure
from skytrigger.core.progress import say
from skytrigger.core.split import split_again
from skytrigger.eo.load import load
from skytrigger.learn.evaluate import align
from skytrigger.learn.metrics import cross_entropy
from skytrigger.model.export import write_model
from skytrigger.model.file import read_model
from skytrigger.model.qdq import REDUCED_LIMIT, WEIGHT_LIMIT


def seven_bits(graph: Any) -> None:
    """Weights within -63..63, in place."""
    constants = {t.name: numpy_helper.to_array(t) for t in graph.graph.initializer}
    share, new = REDUCED_LIMIT / WEIGHT_LIMIT, {}
    for node in graph.graph.node:
        codes = constants.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if codes is not None and codes.dtype in (np.int8, np.int32):
            new[node.input[0]] = np.rint(codes * share).astype(codes.dtype)
            new[node.input[1]] = (constants[node.input[1]] / share).astype(np.float32)
    _replace(graph, new)


def temper(graph: Any, temperature: float) -> None:
    """Divide the logits, in the scales of the last dense layer's weights and bias."""
    constants = {t.name: numpy_helper.to_array(t) for t in graph.graph.initializer}
    made = {n.output[0]: n for n in graph.graph.node}
    last = next(n for n in reversed(graph.graph.node) if n.op_type == "Gemm")
    scales = [made[name].input[1] for name in last.input[1:]]
    _replace(graph, {s: (constants[s] / temperature).astype(np.float32) for s in scales})


def _replace(graph: Any, new: dict[str, Any]) -> None:
    kept = [numpy_helper.from_array(new[t.name], t.name) if t.name in new else t for t in graph.graph.initializer]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--split-lists", nargs="+", required=True)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    model = read_model(args.model)
    card, graph = model.card, model.graph()
    dataset = align(load(args.data), card)
    split = split_again(dataset, card.split, args.split_lists)
    seven_bits(graph)
    notes = {**card.notes, "calibration": {**card.notes["calibration"], "weight_limit": REDUCED_LIMIT}}
    write_model(graph, replace(card, notes=notes), args.out)
    logits, true = logits_of(args.out, "int8", dataset, split.val), dataset.y[split.val]
    found = minimize_scalar(lambda t: cross_entropy(logits / t, true).mean(), bounds=(0.2, 5), method="bounded")
    temper(graph, float(found.x))
    notes["temperature"] = round(float(found.x), 4)
    write_model(graph, replace(card, notes=notes), args.out)
    notes["test"] = test_figure(args.out, dataset, split, WHERE)
    write_model(graph, replace(card, notes=notes), args.out)
    say(f"{args.out}: temperature {notes['temperature']}, test {notes['test']}")


if __name__ == "__main__":
    main()
