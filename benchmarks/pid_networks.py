"""Networks for particle identity and energy beside their baselines, on showers that chose nothing.

    skytrigger pid simulate --showers 80000 --seed 1 --out train.parquet
    skytrigger pid simulate --showers 20000 --seed 2 --out test.parquet
    python benchmarks/pid_networks.py runs/pid_small [runs/pid_origin] --train train.parquet --test test.parquet

Writes networks.json and, for each network, pictures into a folder of its name. Boosted trees are fitted on the training
part of the training file, lines of the weighted sum too; everything is judged on the test file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from skytrigger.core.files import write_json
from skytrigger.core.host import host_facts
from skytrigger.core.progress import say
from skytrigger.hep.pid.application import PID
from skytrigger.hep.pid.baselines import Trees
from skytrigger.hep.pid.data import ENERGY, IDENTITY, load_showers
from skytrigger.hep.pid.evaluation import describe, evaluate, figures_of_merit
from skytrigger.hep.pid.figures import energies_png, pictures
from skytrigger.hep.pid.networks import layout_of
from skytrigger.learn.evaluate import card_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="run folders or model files")
    parser.add_argument("--train", required=True, help="the file that the networks were trained on")
    parser.add_argument("--test", required=True)
    parser.add_argument("--out", default="results/pid", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    found: dict = {"host": host_facts(), "networks": {}}
    trees: Trees | None = None
    for model in args.models:
        card = card_of(model)
        layout = layout_of((card.size[0], card.size[1]))
        if trees is None:
            data = load_showers([args.train], layout=layout)
            rows = PID.split(data, "random", 0).train
            trees = Trees.fit(data, rows)
            found["trees_trained"], found["trees_layout"] = len(rows), layout
            del data
        test = load_showers([args.test], layout=layout)
        metrics, predictions = evaluate(model, test, part="all", threads=args.threads)
        index = np.arange(len(test))
        metrics |= figures_of_merit(predictions, test, index, model, trees)
        say(describe(metrics))
        folder = args.out / card.name
        folder.mkdir(parents=True, exist_ok=True)
        pictures(metrics, folder)
        truth, answers = predictions.truth, predictions.answers
        some = np.arange(min(len(index), 8000))
        energies_png(truth[ENERGY][some, 0], answers[ENERGY][some, 0], truth[IDENTITY][some], folder / "energies.png",
                     f"{card.name}: {len(some)} simulated showers")  # fmt: skip
        metrics["parameters_bytes"] = sum(f.stat().st_size for f in _files(model))
        for part in (metrics, *metrics["baselines"].values()):
            for pair in part.get("pairs", {}).values():
                pair.pop("efficiency"), pair.pop("rejection")  # the curves are in the pictures
        metrics.pop("heads", None)
        found["networks"][card.name] = metrics
    write_json(args.out / "networks.json", found)


def _files(model: Path) -> list[Path]:
    return [model / "weights.safetensors"] if model.is_dir() else [model]


if __name__ == "__main__":
    main()
