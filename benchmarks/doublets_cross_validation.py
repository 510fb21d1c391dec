"""Ten-fold cross-validation on the real doublets: no cluster of a judged doublet was trained on.

    python benchmarks/doublets_cross_validation.py --data pixel_doublets.h5.gz --out results/doublets

The folds are the ten bins that the split is made of. Networks, features and recipes were chosen on
bins 2 to 9 (the training and validation parts); bins 0 and 1 (the test part) chose nothing. Also what other splits
would say of the trees: by rows (repeats of a doublet on both sides), by distinct doublets (clusters on both sides).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from skytrigger.core.dataset import Split
from skytrigger.core.files import write_json
from skytrigger.core.progress import say
from skytrigger.hep.doublets.application import DOUBLETS, default_recipe
from skytrigger.hep.doublets.evaluation import TREES_FILE
from skytrigger.hep.doublets.metrics import EFFICIENCIES, curve, scores
from skytrigger.hep.doublets.reader import read_doublets
from skytrigger.hep.doublets.split import TENTHS, cluster_numbers, distinct_doublets, tenths
from skytrigger.hep.doublets.trees import Trees
from skytrigger.learn.evaluate import predictions_of_run
from skytrigger.learn.runs import train_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--runs", default="runs/doublets", type=Path)
    parser.add_argument("--out", default="results/doublets", type=Path)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    dataset = read_doublets(args.data)
    first = np.sort(np.unique(distinct_doublets(dataset.x), return_index=True)[1])
    bins = tenths(cluster_numbers(dataset.x[first]), 0)
    folds = []
    for fold in range(TENTHS):
        judged = first[(bins == fold).all(axis=1)]
        trained = first[(bins != fold).all(axis=1)]
        split = Split(trained, judged, judged, {"kind": "cluster-disjoint fold", "fold": fold, "seed": 0})
        run = args.runs / f"fold_{fold}"
        train_run(DOUBLETS, dataset, split, default_recipe("doublets_small"), run, threads=args.threads)
        logits = predictions_of_run(run, DOUBLETS.build, dataset, judged, threads=args.threads).logits
        trees = Trees.read(run / TREES_FILE).logits(dataset.x[judged])
        row = {"fold": fold, "n": len(judged)}
        for name, found in (("doublets_small", logits), ("boosted_trees", trees)):
            roc = curve(scores(found), dataset.y[judged])
            row[name] = {"auc": roc.auc, "rejection": {f"{e:g}": roc.at(e)[2] for e in EFFICIENCIES}}
        folds.append(row)
        say(json.dumps(row))
    results = {"data": dataset.source, "folds": folds, "mean": {}, "trees_by_other_splits": _other(dataset, first)}
    for name in ("doublets_small", "boosted_trees"):
        aucs = np.array([f[name]["auc"] for f in folds])
        results["mean"][name] = {
            "auc": float(aucs.mean()), "auc_standard_error": float(aucs.std(ddof=1) / np.sqrt(len(aucs))),
            "rejection": {e: float(np.mean([f[name]["rejection"][e] for f in folds])) for e in row[name]["rejection"]},
        }  # fmt: skip
    say(json.dumps(results["mean"], indent=1))
    write_json(args.out / "cross_validation.json", results)


def _other(dataset, first) -> dict:
    """AUC of the trees where a random fifth of the rows, or of the distinct doublets, is judged."""
    found = {}
    for name, index in (("rows", np.arange(len(dataset))), ("distinct_doublets", first)):
        random = np.random.default_rng(0)
        order = random.permutation(index)
        judged, trained = np.split(order, [len(order) // 5])
        trained = trained[:20_000]
        trees = Trees.fit(dataset.x[trained], dataset.y[trained])
        found[name] = curve(scores(trees.logits(dataset.x[judged])), dataset.y[judged]).auc
    return found


if __name__ == "__main__":
    main()
