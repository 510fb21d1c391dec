"""Each fault at random moments of a replay: results/onboard/faults.json.

    python benchmarks/onboard_faults.py [--moments 20] [--kills 20] [--out results/onboard]

Resets, clock jumps, missed passes and full memories on a day of the preset `cubesat`; kill -9 of the replay's own
process on the tests' small mission, with a checkpoint at every event, each resumed and compared byte by byte.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.files import write_json
from skytrigger.core.host import host_facts
from skytrigger.core.seeds import generator
from skytrigger.onboard import tally
from skytrigger.onboard.mission import Day, prepare
from skytrigger.onboard.plan import make_plan
from skytrigger.onboard.policies.found import policy_named
from skytrigger.onboard.replay import Replay
from skytrigger.onboard.spec import Fault
from skytrigger.onboard.spec_file import load_spec

SMALL = Path(__file__).parents[1] / "tests" / "onboard"
POLICY = "value"


def checked(day: Day) -> dict[str, Any]:
    """One replay, and whether what must hold does."""
    upside_down = 0

    def watch(what: str, taken: Any, queue: Any, keys: Any) -> None:
        nonlocal upside_down
        if what == "evicted" and len(taken.rows):
            left = queue.rows["key"][queue.rows["n"] > 0]
            upside_down += bool(len(left) and taken.rows["key"].max() > left.min())

    replay = Replay(day.stream(0), policy_named(POLICY), watch)
    done = replay.run()  # raises where a tile is sent a second time
    gone = sum(tally.total(done, k) for k in ("tiles", "evicted", "dropped"))
    return {
        "higher_lost_before_lower": upside_down,
        "books_balance": abs(gone + replay.queue.tiles - tally.total(done, "tiles_offered")) < 0.5,
        "value": tally.total(done, "value"),
    }


def with_faults(day: Day, *faults: Fault, memory: float = 1.0) -> Day:
    """The same day with faults and another memory."""
    m = replace(day.spec.mission, memory_bit=day.spec.mission.memory_bit * memory)
    spec = replace(day.spec, fault=faults, mission=m)
    return replace(day, spec=spec, plan=make_plan(spec))


def on_board(moments: int) -> dict[str, Any]:
    """Faults of the spacecraft."""
    spec = load_spec("cubesat")
    day = prepare(replace(spec, stream=replace(spec.stream, every=20)))
    whole = checked(day)["value"]
    rng = generator(0, "faults")
    at = rng.uniform(0, spec.mission.hours * 3600, moments)
    kinds = {
        "reset": [with_faults(day, Fault("reset", at_s=float(t), lasts_s=300.0)) for t in at],
        "clock jump": [with_faults(day, Fault("clock_jump", at_s=float(t), by_s=float(by)))
                       for t, by in zip(at, rng.normal(0, 3600, moments), strict=True)],
        "missed pass": [with_faults(day, Fault("missed_pass", contact=int(p)))
                        for p in rng.integers(0, len(day.plan.passes), moments)],
        "memory full": [with_faults(day, memory=float(m)) for m in rng.uniform(0.02, 0.5, moments)],
    }  # fmt: skip
    result = {}
    for kind, days in kinds.items():
        runs = [checked(d) for d in days]
        kept = np.array([r["value"] for r in runs]) / whole
        result[kind] = {
            "moments": moments,
            "sent_twice": 0,  # a replay that sends a tile twice raises
            "higher_lost_before_lower": sum(r["higher_lost_before_lower"] for r in runs),
            "books_balance": all(r["books_balance"] for r in runs),
            "value_kept_mean": float(kept.mean()),
            "value_kept_least": float(kept.min()),
        }
        print(kind, result[kind], flush=True)
    return result


def killed(kills: int) -> dict[str, Any]:
    """kill -9 of the replay at random checkpoints; resumed; compared."""

    def run(out: Path, at: int) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, str(SMALL / "killed.py"), str(SMALL / "small.toml"), str(out), str(at)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def files(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*")
                if p.is_file() and p.name != "timing.json"}  # fmt: skip

    rng = generator(0, "kills")
    same = 0
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        count = int(run(whole, 0).stdout.split()[-1])
        for i, at in enumerate(rng.integers(1, count + 1, kills)):
            out = Path(scratch) / str(i)
            if run(out, int(at)).returncode != -9:
                raise SystemExit(f"kill at {at} of {count} did not happen")
            run(out, 0)
            same += files(out) == files(whole)
        print("kill -9", same, "of", kills, flush=True)
    return {"moments": kills, "ended_as_undisturbed": same, "checkpoints": count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--out", default="results/onboard")
    args = parser.parse_args()
    record = {"what": "onboard faults", "where": host_facts(), "on_board": on_board(args.moments)}
    record["kill -9"] = killed(args.kills)
    write_json(Path(args.out) / "faults.json", record)


if __name__ == "__main__":
    main()
