"""Networks for particle identity and energy beside their baselines, on showers that chose nothing.

    skytrigger pid simulate --showers 80000 --seed 1 --out train.parquet
    skytrigger pid simulate --showers 20000 --seed 2 --out test.parquet
    python benchmarks/pid_networks.py runs/pid_small [runs/pid_origin] --train train.parquet --test test.parquet

Writes networks.json and, for each network, pictures into a folder of its name. Boosted trees are fitted on the training
part of the training file (as many showers as --tree-showers says), lines of the weighted sum too; everything is judged
on the test file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from skytrigger.core.files import read_json, write_json
from skytrigger.core.host import host_facts
from skytrigger.core.progress import say
from skytrigger.hep.pid.application import PID
from skytrigger.hep.pid.baselines import Trees
from skytrigger.hep.pid.data import ENERGY, IDENTITY, load_showers
from skytrigger.hep.pid.evaluation import RANGE, describe, evaluate, judge
from skytrigger.hep.pid.figures import energies_png, pictures
from skytrigger.hep.pid.geometry import CLASSES
from skytrigger.hep.pid.networks import layout_of
from skytrigger.hep.pid.separation import pair_rocs
from skytrigger.learn.evaluate import card_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="run folders or model files")
    parser.add_argument("--train", required=True, help="the file that the networks were trained on")
    parser.add_argument("--test", required=True)
    parser.add_argument("--outside", help="showers beyond the trained energies, for the response there")
    parser.add_argument("--out", default="results/pid", type=Path)
    parser.add_argument("--tree-showers", type=int, default=20_000, help="of the training part, for the trees")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    found: dict = {"host": host_facts(), "trees": trees(args), "networks": {}}
    for model in args.models:
        card = card_of(model)
        layout = layout_of((card.size[0], card.size[1]))
        test = load_showers([args.test], layout=layout)
        metrics, predictions = evaluate(model, test, part="all", threads=args.threads)
        metrics["baselines"]["boosted trees"] = found["trees"]
        say(describe(metrics))
        if args.outside:
            far, _ = evaluate(model, load_showers([args.outside], layout=layout), part="all", threads=args.threads)
            metrics["response_outside"] = far["response_outside"]
            for name, row in metrics["baselines"].items():
                row["response_outside"] = far["baselines"].get(name, {}).get("response_outside", {})
        folder = args.out / card.name
        folder.mkdir(parents=True, exist_ok=True)
        pictures(metrics, folder)
        truth, answers = predictions.truth, predictions.answers
        energies_png(truth[ENERGY][:8000, 0], answers[ENERGY][:8000, 0], truth[IDENTITY][:8000],
                     folder / "energies.png", f"{card.name}: 8,000 simulated showers")  # fmt: skip
        for pair in metrics["pairs"].values():
            pair.pop("efficiency", None), pair.pop("rejection", None)  # the curves are in the pictures
        metrics.pop("heads", None)
        found["networks"][card.name] = metrics
    if args.models:
        write_json(args.out / "networks.json", found)


def trees(args: argparse.Namespace) -> dict:
    """Figures of the boosted trees; kept beside the test file, since they take the longest."""
    kept = Path(args.test).with_suffix(f".trees{args.tree_showers}.json")
    if kept.is_file():
        return read_json(kept)
    train = load_showers([args.train], layout="ticl")
    rows = PID.split(train, "random", 0).train[: args.tree_showers]
    fitted = Trees.fit(train, rows)
    test = load_showers([args.test], layout="ticl")
    index = np.arange(len(test))
    logits, energy = fitted.answer(test, index)
    label = test.targets[IDENTITY]
    true = test.targets[ENERGY][:, 0].astype(np.float64)
    found = {**judge(logits, energy, label, true, RANGE), "trained": len(rows)}
    found["pairs"] = {name: pair["auc"] for name, pair in pair_rocs(logits, label, CLASSES).items()}
    write_json(kept, found)
    return found


if __name__ == "__main__":
    main()
