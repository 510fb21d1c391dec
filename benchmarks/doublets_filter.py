"""Train the filters on the real doublets, judge them on the test part, write the package's model files.

    python benchmarks/doublets_filter.py --data pixel_doublets.h5.gz --runs runs/doublets --out results/doublets

Nothing is chosen here: networks, features and recipes were settled by cross-validation inside the
training and validation parts (docs/doublets.md). Three runs of the same split:
`small` and `cnn` are trained on the training part, `packaged` on training and validation parts. With --ship, the
last one goes into the package, with its figures on the test part in its metadata.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from skytrigger.core.files import sha256_file, write_json
from skytrigger.core.progress import say
from skytrigger.hep.doublets.application import DOUBLETS, default_recipe, with_validation
from skytrigger.hep.doublets.evaluation import TREES_FILE, describe, packaged
from skytrigger.hep.doublets.figures import roc_png
from skytrigger.hep.doublets.reader import read_doublets
from skytrigger.learn.evaluate import evaluate
from skytrigger.learn.exporting import export_run
from skytrigger.learn.runs import train_run

SOURCE = (
    "CMS simulated TTbar, pile-up 35, balanced pixel-hit doublets of the pixel-doublet filter study "
    "(Di Florio, Pantaleo, Carta 2018): charges in electrons, called ADC there"
)
RUNS = {
    "small": ("doublets_small", False),
    "cnn": ("doublets_cnn", False),
    "packaged": ("doublets_small", True),
}
KEPT = ("auc", "rejection", "n", "distinct", "families", "intervals_95", "working_points", "calibration", "baseline")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--runs", default="runs/doublets", type=Path)
    parser.add_argument("--out", default="results/doublets", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--only", default=",".join(RUNS))
    parser.add_argument("--ship", action="store_true", help="write the package's doublets.onnx and doublets_trees.onnx")
    args = parser.parse_args()
    dataset = read_doublets(args.data)
    results = {"data": dataset.source, "data_hash": dataset.content_hash, "file_sha256": sha256_file(args.data)}
    for name in args.only.split(","):
        model, both = RUNS[name]
        run = args.runs / name
        split = DOUBLETS.split(dataset, DOUBLETS.splits[0], 0)
        split = with_validation(split) if both else split
        train_run(DOUBLETS, dataset, split, default_recipe(model), run, threads=args.threads,
                  on_epoch=lambda h: say(json.dumps(h)))  # fmt: skip
        found, _ = evaluate(DOUBLETS, run, dataset, part="test", threads=args.threads)
        say(f"{name}\n{describe(found)}\n")
        roc_png(found, args.out / f"roc_{name}.png")
        results[name] = {"network": model, **{key: found[key] for key in (*KEPT, "auc_minus_baseline")}}
        for row in (results[name], results[name]["baseline"]):
            row.pop("roc", None)
    write_json(args.out / "accuracy.json", results)
    if args.ship:
        _ship(dataset, args.runs / "packaged", results["packaged"])


def _ship(dataset, run: Path, found: dict) -> None:
    notes = {
        "source_of_data": SOURCE,
        "test_part": {
            "what": "20 % of the distinct doublets, none of whose clusters is in the training or validation parts",
            **{key: found[key] for key in ("n", "auc", "rejection", "intervals_95")},
            "boosted_trees_auc": found["baseline"]["auc"],
        },
    }
    split = DOUBLETS.split(dataset, DOUBLETS.splits[0], 0)
    result = export_run(run, DOUBLETS, packaged(), "fp32", (dataset, split), notes)
    packaged("doublets_trees.onnx").write_bytes((run / TREES_FILE).read_bytes())
    say(f"{packaged()}: {result}")


if __name__ == "__main__":
    main()
