"""`skytrigger clue`: cluster hits of a file."""

from __future__ import annotations

import argparse
import time
from typing import Any

from skytrigger.cli.outcome import Outcome
from skytrigger.core.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments; several values of --dc or --rhoc, separated by commas, make a scan."""
    parser.add_argument(
        "points",
        help="hits: .csv, .tsv (also .gz), .txt, .dat, .parquet, .feather, .h5, .root, or synthetic[:HITS[:SEED]]",
    )
    parser.add_argument("--columns", default="", metavar="ROLE=NAME,...", help="x=lcX,y=lcY,weight=lcEnergy,layer=none")
    parser.add_argument("--tree", help="of a ROOT file")
    parser.add_argument("--group", help="of an HDF5 file; elsewhere the collection before the columns' names")
    parser.add_argument("--dc", default="", help="radius of the density; a,b,c scans (needs a column truth)")
    parser.add_argument("--rhoc", default="", help="density of a seed; a,b,c scans")
    parser.add_argument("--seed-distance", default="", help="seeds are further from denser hits (default: dc)")
    parser.add_argument("--outlier-distance", default="", help="default: the rules' multiple of dc")
    parser.add_argument("--rules", default="paper", help="paper, cmssw or cluestering")
    parser.add_argument("--kernel", help="flat:F, exponential:A:B or gaussian:A:B:C instead of the rules' own")
    parser.add_argument("--noise", type=float, help="sigma of the noise (rules cmssw)")
    parser.add_argument("--period", metavar="AXIS:LENGTH", help="a coordinate that wraps around, e.g. y:6.2831855")
    parser.add_argument("--three-dimensional", action="store_true", help="use the column z in the distance")
    parser.add_argument("--backend", default="cpu", help="cpu, reference, kdtree or cuda")
    parser.add_argument("--strategy", type=int, default=3, help="of the backend cuda: 1 to 4")
    parser.add_argument("--threads", type=int, default=1, help="of the backend cpu")
    parser.add_argument("--scheduler", help="Dask scheduler for a scan over many events")
    parser.add_argument("--out", help="results: .csv, .parquet or .h5")
    parser.add_argument("--clusters", help="energies, positions and sizes of clusters: .csv, .parquet or .h5")
    parser.add_argument("--digits", type=int, default=6, help="significant digits in CSV (9 lose nothing)")
    parser.add_argument("--picture", help="a layer as .png, .svg or .pdf")
    parser.add_argument("--layer", type=int, help="of the picture (default: the fullest)")


def _numbers(name: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise InputError(f"--{name} {text}", expected="a number, or numbers separated by commas") from None


def _one(name: str, text: str) -> float | None:
    values = _numbers(name, text)
    if len(values) > 1:
        raise InputError(f"--{name} {text}: several values", expected="one, outside a scan")
    return values[0] if values else None


def _hits(args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The hits, and how they were read."""
    from skytrigger.core.synthetic import WORD, synthetic
    from skytrigger.hep.clue.events import pu200_event
    from skytrigger.hep.clue.naming import parse_columns
    from skytrigger.hep.clue.tables import read_table

    points, columns = args.points, parse_columns(args.columns)
    made = synthetic(points)
    if made is not None:
        count = 100_000 if made.count is None else made.count
        return pu200_event(count, seed=made.seed or 0), {"assumed": [WORD]}
    hits, facts = read_table(points, columns, args.tree, args.group)
    if args.three_dimensional and hits.z is None:
        raise InputError(f"{points} has no column z", expected="z, for --three-dimensional, or --columns z=NAME")
    return hits, facts


def _options(args: argparse.Namespace) -> dict[str, Any]:
    from skytrigger.hep.clue.rules import Kernel

    options: dict[str, Any] = {"rules": args.rules, "backend": args.backend, "strategy": args.strategy}
    options["threads"] = args.threads
    if args.kernel:
        options["kernel"] = Kernel.parse(args.kernel)
    if args.noise is not None:
        options["noise"] = args.noise
    if args.period:
        axis, _, length = args.period.partition(":")
        options["period"] = {axis: _one("period", length) or 0.0}
    return options


def run(args: argparse.Namespace) -> Outcome:
    """Cluster, or scan."""
    if not 1 <= args.digits <= 17:
        raise InputError(f"--digits {args.digits}", expected="1 to 17")
    options = _options(args)
    if max(len(_numbers("dc", args.dc)), len(_numbers("rhoc", args.rhoc))) > 1:
        return _scan(args, options)
    return _cluster(args, options)


def _cluster(args: argparse.Namespace, options: dict[str, Any]) -> Outcome:
    from skytrigger.core.synthetic import WORD
    from skytrigger.hep.clue.api import cluster_hits
    from skytrigger.hep.clue.pictures import layer_picture
    from skytrigger.hep.clue.tables import write_clusters, write_columns

    hits, facts = _hits(args)
    start = time.perf_counter()
    found = cluster_hits(
        hits,
        three_dimensional=args.three_dimensional,
        dc=_one("dc", args.dc),
        rhoc=_one("rhoc", args.rhoc),
        seed_distance=_one("seed-distance", args.seed_distance),
        outlier_distance=_one("outlier-distance", args.outlier_distance),
        **options,
    )
    seconds = time.perf_counter() - start
    if args.out:
        write_clusters(args.out, hits, found, args.digits)
    if args.clusters:
        write_columns(args.clusters, found.table(hits).columns(), args.digits)
    if args.picture:
        layer_picture(args.picture, hits, found, args.layer)
    out = int((found.cluster_id < 0).sum())
    data = {
        "points": args.points,
        "read": facts,
        "synthetic": facts.get("assumed") == [WORD],
        "n_hits": len(found),
        "n_clusters": found.n_clusters,
        "n_unclustered": out,
        "backend": args.backend,
        "rules": args.rules,
        "seconds": seconds,
        "out": args.out,
        "clusters": args.clusters,
        "picture": args.picture,
    }
    text = f"{len(found)} hits: {found.n_clusters} clusters, {out} hits in none ({args.backend}, rules {args.rules})"
    written = " and ".join(path for path in (args.out, args.clusters, args.picture) if path)
    return Outcome(data, text + _read_lines(facts) + (f"\nwritten to {written}" if written else ""))


def _read_lines(facts: dict[str, Any]) -> str:
    """Columns and assumptions, as text."""
    columns = ", ".join(f"{role} = {name}" for role, name in facts.get("columns", {}).items())
    lines = [f"read {columns}"] if columns else []
    lines += [f"assumed {'; '.join(facts['assumed'])}"] if facts.get("assumed") else []
    lines += [f"not used: {', '.join(facts['ignored'])}"] if facts.get("ignored") else []
    return "".join(f"\n{line}" for line in lines)


def _scan(args: argparse.Namespace, options: dict[str, Any]) -> Outcome:
    import numpy as np

    from skytrigger.hep.clue.api import cluster_hits
    from skytrigger.hep.clue.pictures import layer_picture
    from skytrigger.hep.clue.tables import write_columns
    from skytrigger.hep.clue.tuning import scan

    hits, facts = _hits(args)
    if args.clusters:
        raise InputError("--clusters in a scan", expected="one --dc and one --rhoc")
    if args.seed_distance or args.outlier_distance:
        raise InputError(
            "--seed-distance and --outlier-distance in a scan", expected="their defaults, which go with each dc"
        )
    dc, rhoc = _numbers("dc", args.dc), _numbers("rhoc", args.rhoc)
    trials = scan(hits, dc, rhoc, scheduler=args.scheduler, three_dimensional=args.three_dimensional, **options)
    rows = [t.row() for t in trials]
    if args.out:
        write_columns(args.out, {name: np.array([r[name] for r in rows]) for name in rows[0]}, args.digits)
    if args.picture:
        names = ("dc", "rhoc", "seed_distance", "outlier_distance")
        setting = {name: getattr(trials[0], name) for name in names}
        best = cluster_hits(hits, three_dimensional=args.three_dimensional, **setting, **options)
        layer_picture(args.picture, hits, best, args.layer)
    lines = [f"best of {len(rows)} settings on {rows[0]['n_events']} event(s), by energy-weighted F1:"]
    lines += [
        f"  dc {r['dc']:g} rhoc {r['rhoc']:g}: F1 {r['f1']:.4f}, efficiency {r['efficiency']:.4f}, "
        f"purity {r['purity']:.4f}, {r['n_clusters']} clusters"
        for r in rows[:5]
    ]
    data = {"points": args.points, "read": facts, "trials": rows, "out": args.out, "picture": args.picture}
    return Outcome(data, "\n".join(lines) + _read_lines(facts))
