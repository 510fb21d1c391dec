"""`skytrigger compare`: two runs, predictions or records: is the difference real?"""

from __future__ import annotations

import argparse
from pathlib import Path

from skytrigger.cli.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.description = (
        "Compare two evaluations (paired on the same images) or two measurements (paired within one bench run). "
        "Exit code: 0 no difference established, 3 B is worse, 4 B is better."
    )
    what = "folder, predictions.parquet or records.jsonl; ::WORD[,WORD] picks, e.g. runs/bench::basic,openvino"
    parser.add_argument("a", metavar="A", help=what)
    parser.add_argument("b", metavar="B", help="likewise")
    parser.add_argument("--margin", type=float, metavar="POINTS",
                        help="non-inferiority margin of accuracy in percentage points, fixed beforehand")  # fmt: skip
    parser.add_argument("--seeds", action="store_true", help="all predictions below a folder are seeds of one recipe")
    parser.add_argument("--out", metavar="DIR", help="write compare.json, compare.txt and confusion_change.png there")


def run(args: argparse.Namespace) -> Outcome:
    """Compare; the exit code is the verdict."""
    from skytrigger.study.comparison import as_text, compare

    result = compare(args.a, args.b, margin=args.margin, seeds=args.seeds)
    if args.out:
        from skytrigger.report.comparison import write_comparison

        write_comparison(result, Path(args.out))
    return Outcome(result, as_text(result), result["exit_code"])
