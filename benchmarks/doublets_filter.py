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
from skytrigger.hep.doublets.evaluation import describe, evaluate_filter, packaged
from skytrigger.hep.doublets.figures import roc_png
from skytrigger.hep.doublets.model_files import export_filter
from skytrigger.hep.doublets.reader import read_doublets
from skytrigger.hep.doublets.training import TREES_FILE, default_recipe, train_filter

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
        model, with_validation = RUNS[name]
        run = args.runs / name
        recipe = default_recipe(model)
        train_filter(
            dataset, recipe, run, with_validation=with_validation, threads=args.threads,
            on_epoch=lambda h: say(json.dumps(h)),
        )  # fmt: skip
        found, _ = evaluate_filter(run, dataset, part="test", threads=args.threads)
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
    result = export_filter(run, packaged(), dataset, "fp32", notes)
    packaged("doublets_trees.onnx").write_bytes((run / TREES_FILE).read_bytes())
    say(f"{packaged()}: {result}")


if __name__ == "__main__":
    main()
