"""`skytrigger report`: report.html and report.md."""

from __future__ import annotations

import argparse
from pathlib import Path

from skytrigger.cli.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="DIR",
        help="a study's or a search's folder, or one with records*.jsonl; several are set together",
    )
    parser.add_argument("--out", help="folder for the report (default: the first DIR)")


def run(args: argparse.Namespace) -> Outcome:
    """Write the report."""
    from skytrigger.core.errors import InputError
    from skytrigger.report.build import build_reports
    from skytrigger.report.optimize_page import write_search_page

    searches = [f for f in args.folders if (Path(f) / "optimize.json").is_file()]
    if searches and (len(args.folders) > 1 or args.out is not None):
        raise InputError(
            f"{searches[0]} holds a search: its page stands alone, in its own folder",
            remedy=f"skytrigger report {searches[0]}",
        )
    if searches:
        pages = [str(p) for p in write_search_page(args.folders[0])]
        return Outcome({"files": pages}, "\n".join(pages))
    files = [str(p) for p in build_reports(args.folders, args.out or args.folders[0])]
    return Outcome({"files": files}, "\n".join(files))
