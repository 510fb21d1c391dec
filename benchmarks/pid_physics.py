"""The shower simulator's own checks, and its speed.

    python benchmarks/pid_physics.py --out results/pid

Writes physics.json: raw resolutions of electrons, photons and charged hadrons at fixed energies with their fits,
the separation of electrons and photons by boosted trees, and showers/s (clustering and writing included) by the wall
clock and by the CPU time of the process. Pictures of showers beside.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from skytrigger.core.files import write_json
from skytrigger.core.host import host_facts
from skytrigger.core.progress import say
from skytrigger.hep.pid.checks import electron_photon_separation, raw_resolution
from skytrigger.hep.pid.figures import showers_png
from skytrigger.hep.pid.geometry import CLASSES, ELECTRON, HADRON, PHOTON
from skytrigger.hep.pid.production import produce
from skytrigger.hep.pid.simulator import VERSION, Beam, simulate
from skytrigger.hep.pid.tracksters import join
from skytrigger.measure.stats import median_interval, wilson

ENERGIES = {ELECTRON: (20, 50, 100, 200, 300), PHOTON: (25, 50, 100, 200, 400), HADRON: (20, 50, 100, 200, 300)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="results/pid", type=Path)
    parser.add_argument("--showers", type=int, default=2000, help="at each energy")
    parser.add_argument("--pairs", type=int, default=24_000, help="electrons and photons for the trees")
    parser.add_argument("--rounds", type=int, default=7, help="of the speed")
    args = parser.parse_args()
    found: dict = {"host": host_facts(), "simulator": VERSION, "raw_resolution": {}}
    for kind, energies in ENERGIES.items():
        found["raw_resolution"][CLASSES[kind]] = asdict(raw_resolution(kind, energies, args.showers))
        say(f"{CLASSES[kind]}: {found['raw_resolution'][CLASSES[kind]]}")
    light = join([t for t, _ in simulate(args.pairs, 11, Beam(mix=(1, 1, 0, 0)))])
    accuracy, judged = electron_photon_separation(light), args.pairs - args.pairs * 3 // 4
    interval = wilson(round(accuracy * judged), judged)
    found["electron_photon_trees"] = {
        "accuracy": accuracy, "interval_95": [interval.low, interval.high], "trained": args.pairs - judged, "n": judged,
    }  # fmt: skip
    say(str(found["electron_photon_trees"]))
    found["speed"] = {str(n): speed(n, args.rounds) for n in (1, 2)}
    say(str(found["speed"]))
    write_json(args.out / "physics.json", found)
    pictures(args.out)


def speed(processes: int, rounds: int, count: int = 4096) -> dict:
    """Showers/s into a Parquet file; median of rounds and its interval. CPU seconds only where one process does it."""
    wall, own = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "showers.parquet"
        produce(path, 64, 0, Beam())
        for seed in range(rounds):
            start, cpu = time.perf_counter(), time.process_time()
            produce(path, count, seed, Beam(), processes=processes)
            wall.append(count / (time.perf_counter() - start))
            own.append(count / (time.process_time() - cpu))
    found = {"showers": count, "rounds": rounds}
    for name, values in ({"per_s": wall} | ({"per_cpu_s": own} if processes == 1 else {})).items():
        middle = median_interval(values)
        known = math.isfinite(middle.low)  # fewer than six rounds give no interval
        found[name] = {"median": middle.estimate, "interval_95": [middle.low, middle.high] if known else None}
    return found


def pictures(out: Path) -> None:
    """One shower of each class at about 100 GeV, of the same direction."""
    one = [join([t for t, _ in simulate(64, 3, Beam((100, 100), (2.0, 2.0), tuple(np.eye(4)[k])))]) for k in range(4)]
    showers_png(join([o.take(np.array([0])) for o in one]), range(4), out / "showers.png", "simulated showers")


if __name__ == "__main__":
    main()
