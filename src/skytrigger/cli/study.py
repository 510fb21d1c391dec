"""skytrigger study"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from skytrigger.cli.outcome import Outcome

GRIDS = ("batch-size", "power")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "study", nargs="?", default="quick", metavar="PRESET|SPEC.toml", help="quick, eurosat, batch-size or power"
    )
    parser.add_argument("--out", help="folder; what is done there is kept (default runs/<preset>)")
    parser.add_argument("--data", nargs="+", metavar="PATH", help="folders, zips, packed stores, or synthetic[:COUNT]")
    parser.add_argument("--bands", help="all, rgb, or B02,B03,...")
    parser.add_argument("--split", help="random, spatial or all")
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
    parser.add_argument("--skip-bad", action="store_true", default=None, help="leave out and list bad tiles")


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.study.load import load_data
    from skytrigger.study.spec import load_spec

    grid = args.study in GRIDS
    spec = load_spec(
        "quick" if grid else args.study,
        data=tuple(args.data) if args.data else None,
        bands=args.bands,
        split=args.split,
        split_lists=tuple(args.split_lists) if args.split_lists else None,
        models=tuple(args.models) if args.models else None,
        seeds=tuple(args.seeds) if args.seeds else None,
        device=args.device,
        skip_bad=args.skip_bad,
        epochs=args.epochs,
        part=args.part,
        seconds=args.seconds,
    )
    out = Path(args.out or f"runs/{Path(args.study).stem}")
    return (_grid if grid else _matrix)(args, spec, *load_data(spec), out)


def _grid(args: argparse.Namespace, spec: Any, dataset: Any, split: Any, out: Path) -> Outcome:
    """The batch-size and power studies: one network over a grid of their own."""
    from skytrigger.core.errors import InputError
    from skytrigger.core.progress import track
    from skytrigger.report.build import build_report
    from skytrigger.study import batch_size, power

    models = args.models or ["basic"]
    if len(models) > 1 or args.only:
        raise InputError(f"the {args.study} study takes one network and no --only", remedy="--models basic")
    chosen: dict[str, Any] = {"model": models[0], "part": spec.part}
    chosen |= {name: value for name in ("epochs", "seconds") if (value := getattr(args, name)) is not None}
    with track(args.study, 1.0) as advance:
        if args.study == "batch-size":
            chosen |= {"seeds": spec.seeds, "device": args.device or "cpu"}
            records = batch_size.run(dataset, split, out, batch_size.BatchSizeOptions(**chosen), advance)
        else:
            chosen |= {"devices": (args.device,) if args.device else ()}
            records = power.run(dataset, split, out, power.PowerOptions(**chosen), advance)
    pages = [str(p) for p in build_report(out)]
    return Outcome({"out": str(out), "records": len(records), "report": pages}, "\n".join(pages[:2]))


def _matrix(args: argparse.Namespace, spec: Any, dataset: Any, split: Any, out: Path) -> Outcome:
    """Networks, seeds and engines, cell by cell."""
    from skytrigger.report.build import build_report
    from skytrigger.study.runner import run_study

    cells = run_study(spec, dataset, split, out, only=tuple(args.only or ()))
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
