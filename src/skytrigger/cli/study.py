"""skytrigger study"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from skytrigger.cli.outcome import Outcome

# options that decide what is computed, in the order in which a reproducing command gives them
DECIDING = ("data", "bands", "split", "split_lists", "models", "seeds", "epochs", "part", "seconds", "device",
            "band_names", "scale", "max_no_data")  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    from skytrigger.cli.data_options import add_reading_arguments

    parser.add_argument(
        "study", nargs="?", default="quick", metavar="PRESET|SPEC.toml",
        help="quick, eurosat, batch-size, power or doublets",
    )  # fmt: skip
    parser.add_argument("--out", help="folder; what is done there is kept (default runs/<preset>)")
    parser.add_argument("--data", nargs="+", metavar="PATH", help="folders, zips, packed stores, or synthetic[:COUNT]")
    parser.add_argument("--bands", help="all, rgb, or B02,B03,...")
    parser.add_argument("--split", help="random, spatial or all; of doublets cluster-disjoint")
    parser.add_argument("--split-lists", nargs="+", metavar="LIST.txt", help="TRAIN.txt VAL.txt [TEST.txt]")
    parser.add_argument("--models", nargs="+", metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--part", choices=("test", "val"), help="part of the split that accuracy is reported on")
    parser.add_argument("--seconds", type=float, help="timed seconds for each engine")
    parser.add_argument("--device", help="for training: cpu, cuda, auto")
    parser.add_argument(
        "--only", nargs="+", choices=("train", "evaluate", "export", "bench"), help="kinds of cells to run now"
    )
    add_reading_arguments(parser)
    parser.add_argument("--skip-bad", action="store_true", default=None, help="leave out and list bad tiles")


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.eo.reading import names_of
    from skytrigger.report.build import build_report
    from skytrigger.study.cells import load_data
    from skytrigger.study.fit import refuse_unfit
    from skytrigger.study.runner import run_study
    from skytrigger.study.toml import load_spec

    changes = {name: value for name in DECIDING if (value := getattr(args, name)) is not None}
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
    if "band_names" in changes:
        changes["band_names"] = names_of(args.band_names)
    out = Path(args.out or f"runs/{Path(args.study).stem}")
    spec = load_spec(args.study, skip_bad=args.skip_bad, **changes)
    dataset, split = load_data(spec)
    if not args.only or "train" in args.only:
        refuse_unfit(spec, dataset)
    cells = run_study(spec, dataset, split, out, only=tuple(args.only or ()), command=_command(args, changes, out))
    pages = build_report(out)
    states: dict[str, int] = {}
    for cell in cells:
        states[cell.status] = states.get(cell.status, 0) + 1
    lines = [f"{cell.kind} {cell.label}: {cell.status}: {cell.error}" for cell in cells if cell.error]
    lines.append(", ".join(f"{n} {state}" for state, n in states.items()))
    lines += [f"report: {page}" for page in pages[:2]]
    problems = [{"cell": f"{c.kind} {c.label}", "status": c.status, "error": c.error} for c in cells if c.error]
    data = {"out": str(out), "cells": states, "report": [str(p) for p in pages], "problems": problems}
    return Outcome(data, "\n".join(lines), 1 if "failed" in states else 0)


def _command(args: argparse.Namespace, changes: dict[str, object], out: Path) -> str:
    """What makes the study again, files without their folders; empty for a TOML file, whose content the page shows."""
    from skytrigger.study.toml import PRESETS, bare

    if args.study not in PRESETS:
        return ""
    words = ["skytrigger", "study", args.study]
    for name, value in changes.items():
        listed = [str(v) for v in (value if isinstance(value, tuple) else (value,))]
        listed = [",".join(listed)] if name == "band_names" else listed
        words += ["--" + name.replace("_", "-"), *(map(bare, listed) if name in ("data", "split_lists") else listed)]
    words += ["--skip-bad"] if args.skip_bad else []
    return shlex.join([*words, "--out", f"runs/{out.name}"])
