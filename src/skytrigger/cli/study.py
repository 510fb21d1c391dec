"""skytrigger study"""

from __future__ import annotations

import argparse
from pathlib import Path

from skytrigger.cli.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", nargs="?", default="quick", metavar="PRESET|SPEC.toml", help="quick, eurosat, ...")
    parser.add_argument("--out", help="folder; what is done there is kept (default runs/<preset>)")
    parser.add_argument("--data", nargs="+", metavar="PATH", help="folders, zips, packed stores, or synthetic[:COUNT]")
    parser.add_argument("--bands", help="all, rgb, or B02,B03,...")
    parser.add_argument("--split", help="random, spatial or all")
    parser.add_argument("--split-lists", nargs="+", metavar="LIST.txt", help="TRAIN.txt VAL.txt [TEST.txt]")
    parser.add_argument("--models", nargs="+", metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--device", help="for training: cpu, cuda, auto")
    parser.add_argument(
        "--only", nargs="+", choices=("train", "evaluate", "export", "bench"), help="kinds of cells to run now"
    )
    parser.add_argument("--skip-bad", action="store_true", default=None, help="leave out and list bad tiles")


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.report.build import build_report
    from skytrigger.study.load import load_data
    from skytrigger.study.runner import run_study
    from skytrigger.study.spec import load_spec

    spec = load_spec(
        args.study,
        data=tuple(args.data) if args.data else None,
        bands=args.bands,
        split=args.split,
        split_lists=tuple(args.split_lists) if args.split_lists else None,
        models=tuple(args.models) if args.models else None,
        seeds=tuple(args.seeds) if args.seeds else None,
        device=args.device,
        skip_bad=args.skip_bad,
        epochs=args.epochs,
    )
    out = Path(args.out or f"runs/{Path(args.study).stem}")
    dataset, split = load_data(spec)
    cells = run_study(spec, dataset, split, out, only=tuple(args.only or ()))
    pages = build_report(out)
    states: dict[str, int] = {}
    for cell in cells:
        states[cell.status] = states.get(cell.status, 0) + 1
    lines = [f"{cell.kind} {cell.label}: {cell.status}: {cell.error}" for cell in cells if cell.error]
    lines.append(", ".join(f"{n} {state}" for state, n in states.items()))
    lines += [f"report: {page}" for page in pages]
    problems = [{"cell": f"{c.kind} {c.label}", "status": c.status, "error": c.error} for c in cells if c.error]
    data = {"out": str(out), "cells": states, "report": [str(p) for p in pages], "problems": problems}
    return Outcome(data, "\n".join(lines), 1 if "failed" in states else 0)
