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
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.files import atomic_path, write_json
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
    folds, kept = [], []
    for fold in range(TENTHS):
        judged = first[(bins == fold).all(axis=1)]
        trained = first[(bins != fold).all(axis=1)]
        split = Split(trained, judged, judged, {"kind": "cluster-disjoint fold", "fold": fold, "seed": 0})
        run = args.runs / f"fold_{fold}"
        train_run(DOUBLETS, dataset, split, default_recipe("doublets_small"), run, threads=args.threads)
        logits = predictions_of_run(run, DOUBLETS.build, dataset, judged, threads=args.threads).logits
        trees = Trees.read(run / TREES_FILE).logits(dataset.x[judged])
        row = {"fold": fold, "n": len(judged)}
        kept.append({"fold": np.full(len(judged), fold), "row": judged, "true": dataset.y[judged],
                     "doublets_small": scores(logits), "boosted_trees": scores(trees)})  # fmt: skip
        for name, found in (("doublets_small", logits), ("boosted_trees", trees)):
            roc = curve(scores(found), dataset.y[judged])
            row[name] = {"auc": roc.auc, "rejection": {f"{e:g}": roc.at(e)[2] for e in EFFICIENCIES}}
        folds.append(row)
        say(json.dumps(row))
    other, others = by_other_splits(dataset, first)
    results = {"data": dataset.source, "folds": folds, "mean": {}, "trees_by_other_splits": other}
    for name in ("doublets_small", "boosted_trees"):
        aucs = np.array([f[name]["auc"] for f in folds])
        results["mean"][name] = {
            "auc": float(aucs.mean()), "auc_standard_error": float(aucs.std(ddof=1) / np.sqrt(len(aucs))),
            "rejection": {e: float(np.mean([f[name]["rejection"][e] for f in folds])) for e in row[name]["rejection"]},
        }  # fmt: skip
    say(json.dumps(results["mean"], indent=1))
    write_json(args.out / "cross_validation.json", results)
    write_scores(args.out / "cross_validation_scores.parquet", kept)
    write_scores(args.out / "other_splits_scores.parquet", others)


def write_scores(path: Path, parts: list[dict]) -> None:
    """All judged doublets, a row each."""
    columns = {name: pa.array(np.concatenate([part[name] for part in parts])) for name in parts[0]}
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def by_other_splits(dataset: Dataset, first: NDArray[np.int64]) -> tuple[dict, list[dict]]:
    """AUC and scores of the trees where a random fifth of the rows, or of the distinct doublets, is judged."""
    found, kept = {}, []
    for name, index in (("rows", np.arange(len(dataset))), ("distinct_doublets", first)):
        random = np.random.default_rng(0)
        order = random.permutation(index)
        judged, trained = np.split(order, [len(order) // 5])
        trained = trained[:20_000]
        trees = Trees.fit(dataset.x[trained], dataset.y[trained])
        score = scores(trees.logits(dataset.x[judged]))
        found[name] = curve(score, dataset.y[judged]).auc
        kept.append({"split": np.full(len(judged), name), "row": judged, "true": dataset.y[judged],
                     "boosted_trees": score})  # fmt: skip
    return found, kept


if __name__ == "__main__":
    main()
