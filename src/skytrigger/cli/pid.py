"""`skytrigger pid`: particle identity and energy from calorimeter showers."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from skytrigger.cli.outcome import Outcome
from skytrigger.core.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """One sub-command each."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    sim = commands.add_parser("simulate", help="simulate showers, cluster them, write them to a file")
    sim.add_argument("--showers", type=int, default=10_000, help="how many (default 10,000)")
    sim.add_argument("--seed", type=int, default=0, help="the same seed gives the same showers")
    sim.add_argument("--out", required=True, help=".parquet, .h5 or .root")
    sim.add_argument("--energy", default="25:400", metavar="LOW:HIGH", help="GeV, uniform (default 25:400)")
    sim.add_argument("--eta", default="1.7:2.7", metavar="LOW:HIGH", help="pseudorapidity (default 1.7:2.7)")
    sim.add_argument(
        "--mix", default="1,1,1,1", help="shares of photons, electrons, muons, charged hadrons (default 1,1,1,1)"
    )
    sim.add_argument("--pileup", type=float, default=0.0, help="mean number of other collisions (default 0)")
    sim.add_argument("--content", choices=("clusters", "hits", "both"), default="clusters", help="what is written")
    sim.add_argument("--processes", type=int, default=0, help="default: one for each core of this process")


def run(args: argparse.Namespace) -> Outcome:
    """Dispatch."""
    return {"simulate": _simulate}[args.action](args)


def _range(name: str, text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise InputError(f"--{name} {text}", expected="LOW:HIGH") from None
    return low, high


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--mix {text}", expected="four shares, separated by commas") from None


def _simulate(args: argparse.Namespace) -> Outcome:
    from skytrigger.hep.pid.production import produce
    from skytrigger.hep.pid.simulator import Beam
    from skytrigger.measure.host import cores_in_mask

    beam = Beam(_range("energy", args.energy), _range("eta", args.eta), _shares(args.mix), args.pileup)
    start = time.perf_counter()
    made = produce(
        Path(args.out), args.showers, args.seed, beam, content=args.content,
        processes=args.processes or cores_in_mask(),
    )  # fmt: skip
    seconds = time.perf_counter() - start
    data: dict[str, Any] = {"out": args.out, **made, "seconds": seconds, "showers_per_s": args.showers / seconds}
    text = (
        f"{args.showers} simulated showers ({', '.join(f'{n} {c}' for c, n in made['classes'].items())}), "
        f"{made['clusters']} layer clusters in {seconds:.1f} s: {args.showers / seconds:.0f} showers/s\n"
        f"written to {args.out}"
    )
    return Outcome(data, text)
