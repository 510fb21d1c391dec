"""A student with 4x4 patches as one that reads two rows of every four: the start of a short training.

    python benchmarks/half_rows.py RUN --out NEW

Neighbouring rows are alike: each row of the new kernel takes the weights of two rows of the old one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from skytrigger.learn.run_folder import RunFolder, load_tensors, save_tensors

STEM = "r4"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    card = RunFolder(args.run).card()
    weights, _ = load_tensors(RunFolder(args.run).weights)
    name, kernel = next((k, v) for k, v in weights.items() if v.ndim == 4)
    out, channels, rows, columns = kernel.shape
    weights[name] = kernel.view(out, channels, rows // 2, 2, columns).sum(3)
    args.out.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(args.out)
    save_tensors(folder.weights, weights, {})
    folder.write_card(replace(card, options={**card.options, "stem": STEM}))


if __name__ == "__main__":
    main()
