"""skytrigger change"""

from __future__ import annotations

import argparse
from pathlib import Path

from skytrigger.cli.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", help="folder of a map that classify made, or a scene")
    parser.add_argument("after", help="the same ground at a later date")
    parser.add_argument("--out", required=True, help="folder for change.tif, .parquet, .png and summary.json")
    parser.add_argument("--model", default="eurosat_ms", help="of both maps; its confusion must be known")
    parser.add_argument("--limit", type=float, default=0.9, help="probability from which a cell is called changed")
    parser.add_argument("--stride", type=int, help="pixels of a cell, for scenes that are classified first")
    parser.add_argument("--offset", default="metadata", help="as for classify")


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.eo.change.compare import change
    from skytrigger.eo.scene.classify import Options

    options = Options(stride=args.stride, offset=args.offset)
    summary = change(args.before, args.after, args.out, model=args.model, limit=args.limit, options=options)
    lines = [
        f"{summary['cells_changed']:,} of {summary['cells_compared']:,} cells changed ({summary['changed_km2']:,.1f} "
        f"of {summary['area_compared_km2']:,.1f} km2), probability at least {summary['limit']:g}",
        f"of unchanged ground {100 * summary['false_alarm_rate']:.3f} % is called changed, by the model's confusion",
    ]
    lines += [f"{value:12,.2f} km2  {name}" for name, value in list(summary["transitions_km2"].items())[:12]]
    lines += [f"{v['km2']:12,.2f} km2  sign: {name}" for name, v in summary["signs"].items()]
    lines += [f"note: {note}" for note in summary["notes"]]
    lines.append(str(Path(args.out) / "change.png"))
    return Outcome(summary, "\n".join(lines))
