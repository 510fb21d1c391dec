"""Recall of target tiles against the bits sent, on the preset `sentinel2`'s stream: results/onboard/recall.json.

python benchmarks/onboard_recall.py --data EuroSAT test tiles [--out results/onboard]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from skytrigger.core.files import write_json
from skytrigger.core.host import host_facts
from skytrigger.onboard.metrics import recall_at
from skytrigger.onboard.mission import prepare
from skytrigger.onboard.spec_file import load_spec

BUDGETS = (0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="*")
    parser.add_argument("--out", default="results/onboard")
    args = parser.parse_args()
    spec = load_spec("sentinel2")
    tiles = tuple(args.data) if args.data else spec.stream.tiles
    day = prepare(replace(spec, stream=replace(spec.stream, tiles=tiles, every=10)))
    curve = [recall_at(day.stream(0), share) for share in BUDGETS]
    names = [Path(t).name for t in tiles]
    write_json(
        Path(args.out) / "recall.json",
        {"what": "onboard recall", "tiles": names, "synthetic": day.pool.synthetic, "model_hash": day.model.sha256,
         "targets": list(spec.value.targets), "curve": curve, "where": host_facts()},
    )  # fmt: skip
    for row in curve:
        print(row)


if __name__ == "__main__":
    main()
