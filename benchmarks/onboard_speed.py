"""A day of Sentinel-2: 65 million tiles by statistics, 1 % really classified: results/onboard/speed.json.

    python benchmarks/onboard_speed.py [--data tiles] [--hours 24] [--out results/onboard]

One policy, one order. CPU seconds of the whole process are recorded beside the wall clock's, since other work may share
the machine.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from skytrigger.core.files import write_json
from skytrigger.core.host import host_facts
from skytrigger.onboard import tally
from skytrigger.onboard.facts import STATIONS
from skytrigger.onboard.mission import prepare
from skytrigger.onboard.policies.found import policy_named
from skytrigger.onboard.replay import Replay
from skytrigger.onboard.spec_file import load_spec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="*")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--out", default="results/onboard")
    args = parser.parse_args()
    spec = load_spec("sentinel2")
    tiles = tuple(args.data) if args.data else spec.stream.tiles
    spec = replace(
        spec,
        mission=replace(spec.mission, hours=args.hours, imaging_s=978.0, stations=tuple(STATIONS)),
        stream=replace(spec.stream, tiles=tiles, block_scenes=1, every=1, window=(13, 13)),
    )
    marks = [(time.perf_counter(), time.process_time())]
    with tempfile.TemporaryDirectory() as work:
        day = prepare(spec, Path(work))
        marks.append((time.perf_counter(), time.process_time()))
        replay = Replay(day.stream(0), policy_named("value"))
        run = replay.run(Path(work) / "value.replay")
        marks.append((time.perf_counter(), time.process_time()))
    wall, cpu = ([b[i] - a[i] for a, b in pairwise(marks)] for i in (0, 1))
    record = {
        "what": "onboard speed",
        "tiles": [Path(t).name for t in tiles],
        "hours": args.hours,
        "where": host_facts(),
        "tiles_sensed": int(day.plan.blocks.tiles.sum()),
        "tiles_classified": len(day.found),
        "scenes": len(day.plan.blocks.t_s),
        "passes": len(day.plan.passes),
        "value_of_offered": tally.total(run, "value") / tally.total(run, "value_offered"),
        "classify": {"wall_s": round(wall[0], 1), "cpu_s": round(cpu[0], 1)},
        "replay": {"wall_s": round(wall[1], 1), "cpu_s": round(cpu[1], 1)},
        "wall_s": round(sum(wall), 1),
        "cpu_s": round(sum(cpu), 1),
        "peak_MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "queue_peak_bit": replay.queue.peak_bit,
        "note": "other work shared the two cores: CPU seconds are this process's own, the wall clock's are not",
    }
    write_json(Path(args.out) / "speed.json", record)
    print({k: record[k] for k in ("wall_s", "cpu_s", "peak_MB", "tiles_sensed", "tiles_classified")})


if __name__ == "__main__":
    main()
