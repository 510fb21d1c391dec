r"""Everything that needs a GPU, as one plan that can be cut off and gone on with.

    python benchmarks/gpu_plan.py --plan                           # what it would do, and how long that takes
    python benchmarks/gpu_plan.py --minutes 9 --out results/gpu    # what fits into nine minutes, dearest first
    python benchmarks/gpu_plan.py --call 1 --bring build/bring --out OUT    # what waits for a card, in two calls
    python benchmarks/gpu_plan.py --simulate --out /tmp/gpu        # every step end to end without a GPU

Each step is a process (group) of its own and is killed at its limit. Its records lie in ``OUT/<card>/<step>/``; while
it runs, the folder is called ``<step>.partial``, and stays so where it was cut off or failed. A step whose folder is
there is not done again. ``summary.json`` tells what each came to.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu_bring import brought
from gpu_steps.card_tiles import MEMORY, in_memory
from skytrigger.core.errors import SkytriggerError
from skytrigger.core.files import read_json, write_json
from skytrigger.core.host import nvml_gpus
from skytrigger.core.progress import say

BENCHMARKS = Path(__file__).resolve().parent
RECORDS = BENCHMARKS.parent / "results" / "gpu"
ENDING_S, GONE_S = 30.0, 10.0  # between the seconds that a step is given and its end; to wait for what was killed
PACKAGES_PATH = "GPU_PLAN_PACKAGES"
WITHOUT_NUMBA = ("training", "teacher", "basic_again", "eager_streams", "batch_half")  # no time goes to trying it


@dataclass(frozen=True)
class Step:
    """One step: `usual_s` is what it takes on an H100, at `limit_s` it is killed; the dearest come first."""

    name: str
    what: str
    usual_s: float
    limit_s: float
    least_s: float = 0.0
    """Does with less than usual, down to this; 0: does not."""


STEPS = (
    Step("clue", "CLUE's strategies 1 to 4, kernels, copies and whole, labels against the CPU", 90, 150),
    Step("networks", "basic whole on every engine, 1 to 8 streams, all seven networks; bursts and windows", 95, 200),
    Step("power", "watts of the framework against the fastest engine, batch 1, 64, 1,024", 160, 240),
    Step("doublets", "PyTorch in every precision and compiled beside hopper", 90, 130),
    Step("batch", "inference at 1 to 8,192, training at 16 to 1,024 images", 100, 150),
    Step("clue_many", "CLUE on many events in one call, by threads and packs; the limits of link and host", 65, 110),
    Step("scenes", "a whole granule from native bands, whole, decoding and the card alone; GeoTIFF, Zarr", 85, 120),
    Step("basic_again", "basic in parts, ways and with its first two layers as one; layer by layer", 45, 75),
    Step("eager_streams", "PyTorch eager on 1, 2 and 4 streams, driven by one thread", 30, 60),
    Step("batch_half", "the training rows of `batch` in bfloat16 alone", 30, 60),
    Step("training", "the seven networks on RGB tiles, 25 epochs, 3 seeds", 240, 300),
    Step("teacher", "large RGB teachers, and the packaged architectures taught by them", 460, 500, least_s=180),
    Step("checks", "pytest tests/gpu", 80, 180),
)

CALLS = {
    1: (8.5, ("clue_many", "scenes", "basic_again", "eager_streams", "batch_half", "training")),
    2: (5.0, ("teacher",)),
}
"""What waits for a card: minutes and steps of each of two calls."""


def chosen(steps: Sequence[Step], done: set[str], seconds: float, only: Sequence[str] = ()) -> list[Step]:
    """Steps that are not done and fit into `seconds`, in order of their worth."""
    found, left = [], seconds
    for step in steps:
        if step.name in done or (only and step.name not in only):
            continue
        if (step.least_s or step.usual_s) <= left:
            found.append(step)
            left -= min(step.usual_s, left)
    return found


def finished(folder: Path) -> set[str]:
    """Names of the steps whose records are there."""
    return {p.parent.name for p in folder.glob("*/records.jsonl") if "." not in p.parent.name}


def run_killed(command: Sequence[str], limit_s: float, environment: dict[str, str]) -> tuple[int | None, float]:
    """(exit status, or None where the limit killed it; seconds); the whole process group goes at once.

    The group stays in this session, so that whatever ends the session ends the step, too.
    """
    start, status = time.perf_counter(), None
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, process_group=0)
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(limit_s)
    finally:
        with contextlib.suppress(ProcessLookupError):  # what the step left behind, too
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # one that a driver holds cannot be killed
            process.wait(GONE_S)
    return status, time.perf_counter() - start


def card(simulate: bool) -> str:
    """Folder name of this machine's first GPU."""
    if simulate:
        return "simulated"
    gpus = nvml_gpus()
    if not gpus:
        raise SystemExit("no NVIDIA GPU here (or nvidia-ml-py is missing); --simulate runs the steps without one")
    return re.sub(r"[^a-z0-9]+", "-", str(gpus[0]["name"]).lower()).strip("-")


def environment_of(scratch: Path, wheels: Path | None = None, packages: Path | None = None) -> dict[str, str]:
    """Of a step: `wheels` come first on its import path; `packages` last, see `main`, so that the machine's own win."""
    own = [str(BENCHMARKS.parent / "src"), str(BENCHMARKS), os.environ.get("PYTHONPATH", "")]
    found = os.environ | {
        "GPU_PLAN_MODELS": str(scratch / "models"),  # made once for all steps
        "PYTHONPATH": os.pathsep.join(p for p in [str(wheels or ""), *own] if p),
        "PYTHONUNBUFFERED": "1",
        "NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS": "0",
    }
    (scratch / "models").mkdir(exist_ok=True)
    return found | ({PACKAGES_PATH: str(packages)} if packages else {})


def run_plan(steps: Sequence[Step], folder: Path, seconds: float, options: Sequence[str] = (),
             environment: dict[str, str] | None = None, program: Path = BENCHMARKS / "gpu_plan.py",
             slack: float = 1.0) -> None:  # fmt: skip
    """Run the steps until the time is over; each leaves whole records or a ``.partial`` folder.

    `program` is called with ``--step NAME --out FOLDER`` and the options. Limits are of a card; `slack` times as much
    is given where there is none.
    """
    begin = time.perf_counter()
    for step in steps:
        left = seconds - (time.perf_counter() - begin)
        if left < min(step.usual_s, 20):
            note(folder, step, "no time left", 0.0)
            continue
        start, outcome = time.perf_counter(), "interrupted"
        try:
            partial = room(folder, step.name)
            say(f"--- {step.name}: {step.what} (at most {min(slack * step.limit_s, left):.0f} s)")
            command = [sys.executable, str(program), "--step", step.name, "--out", str(partial), *options]
            if step.least_s:
                command += ["--seconds", f"{min(step.usual_s, left) - ENDING_S:.0f}"]
            limit = min(slack * step.limit_s, left)
            status, _ = run_killed(command, limit, dict(os.environ) if environment is None else environment)
            outcome = "killed" if status is None else "done" if status == 0 else f"failed ({status})"
            if status == 0 and not (partial / "records.jsonl").is_file():
                outcome = "failed (no records)"
            settle(folder, step.name, done=outcome == "done")
        except OSError as error:  # a full disk is no reason not to try the next one
            outcome = f"failed ({error})"
        finally:
            note(folder, step, outcome, time.perf_counter() - start)


def room(folder: Path, name: str) -> Path:
    """An empty ``.partial`` folder; what an earlier try left stands beside it until this one has left more."""
    settle(folder, name, done=False)
    partial = folder / f"{name}.partial"
    if partial.exists():
        partial.rename(folder / f"{name}.earlier")
    partial.mkdir(parents=True)
    return partial


def settle(folder: Path, name: str, done: bool) -> None:
    """Give a step that is done its name; of two tries that are not done, keep the one with more records."""
    partial, earlier = folder / f"{name}.partial", folder / f"{name}.earlier"
    sizes = [p.stat().st_size if (p := f / "records.jsonl").is_file() else -1 for f in (partial, earlier)]
    if earlier.exists() and not done and sizes[1] > sizes[0]:
        shutil.rmtree(partial, ignore_errors=True)
        earlier.rename(partial)
    shutil.rmtree(earlier, ignore_errors=True)
    if done:
        partial.rename(folder / name)


def note(folder: Path, step: Step, outcome: str, seconds: float) -> None:
    """Write down what a step came to."""
    path = folder / "summary.json"
    try:
        summary = read_json(path) if path.is_file() else {}
        write_json(path, summary | {step.name: {"outcome": outcome, "seconds": round(seconds, 1)}})
    except (OSError, SkytriggerError) as error:
        say(f"summary.json: {error}")
    say(f"--- {step.name}: {outcome} in {seconds:.1f} s")


def print_plan(steps: Sequence[Step], done: set[str], seconds: float) -> None:
    """What is run, what a card has taken for it, and whether it fits."""
    took = {name: f"{entry['seconds']:.0f} s{'' if entry['outcome'] == 'done' else ', ' + entry['outcome']}"
            for path in sorted(RECORDS.glob("*/summary.json")) for name, entry in read_json(path).items()}  # fmt: skip
    for step in STEPS:
        mark = "run" if step in steps else "done" if step.name in done else "left out"
        least = f"{step.least_s:.0f} to " if step.least_s else ""
        planned = f"{least}{step.usual_s:.0f} s, limit {step.limit_s:.0f}, took {took.get(step.name, '?')}"
        say(f"{mark:8s} {step.name:13s} {planned:40s} {step.what}")
    planned_s = sum(step.least_s or step.usual_s for step in steps)
    given = "" if seconds == float("inf") else f" of {seconds:.0f} s"
    say(f"{len(steps)} steps, {planned_s:.0f} s{given}; `took`: on the card of results/gpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/gpu"))
    parser.add_argument("--minutes", type=float, help="9, or those of --call")
    parser.add_argument("--call", type=int, choices=CALLS, help="the steps that wait for a card, those of this call")
    parser.add_argument("--plan", action="store_true", help="print it and do nothing")
    parser.add_argument(
        "--simulate", action="store_true", help="without a GPU: tiny sizes, the CPU in the card's place"
    )
    parser.add_argument("--only", nargs="+", default=(), choices=[s.name for s in STEPS])
    parser.add_argument("--bring", type=Path, help="folder of parts, as gpu_bring.py makes them")
    parser.add_argument("--data", type=Path, help="folder of whole archives of tiles; those brought by default")
    parser.add_argument("--step", choices=[s.name for s in STEPS], help="run this one here, records into --out itself")
    parser.add_argument("--seconds", type=float, help="with --step: of a step that does with less than usual")
    args = parser.parse_args()
    if args.step:
        sys.path += [p for p in [os.environ.get(PACKAGES_PATH)] if p]
        if args.simulate:
            os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
        importlib.import_module(f"gpu_steps.{args.step}").run(
            args.out, args.simulate, args.data, **({"seconds": args.seconds} if args.seconds else {})
        )
        return
    folder = args.out / (card(args.simulate) if not args.plan or args.simulate else "any card")
    minutes, only = CALLS.get(args.call, (9.0, ()))
    seconds = float("inf") if args.simulate else 60 * (args.minutes or minutes)
    done = finished(folder)
    steps = chosen(STEPS, done, seconds, args.only or only)
    print_plan(steps, done, seconds)
    if not args.plan:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            go(steps, folder, seconds, args)
        except KeyboardInterrupt:
            raise SystemExit(130) from None


def go(steps: Sequence[Step], folder: Path, seconds: float, args: argparse.Namespace) -> None:
    """Put together what was brought, run the steps, tell what they came to."""
    begin = time.perf_counter()
    temporary = functools.partial(tempfile.TemporaryDirectory, prefix="gpu-plan-", ignore_cleanup_errors=True)
    with temporary() as place, temporary(dir=in_memory()) as memory:
        scratch = Path(place)
        numba = any(step.name not in WITHOUT_NUMBA for step in steps)
        whole, wheels, packages = brought(args.bring, scratch, numba) if args.bring else (None, None, None)
        data = args.data or whole
        options = ["--simulate"] * args.simulate + (["--data", str(data)] if data else [])
        seconds -= time.perf_counter() - begin
        environment = environment_of(scratch, wheels, packages) | {MEMORY: memory}
        run_plan(steps, folder, seconds, options, environment, slack=10.0 if args.simulate else 1.0)
    if (folder / "summary.json").is_file():
        for name, entry in read_json(folder / "summary.json").items():
            say(f"{name:13s} {entry['outcome']:14s} {entry['seconds']:.0f} s")
    if not {step.name for step in steps} <= finished(folder):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
