r"""Everything that needs a GPU, as one plan that can be cut off and gone on with.

    python benchmarks/gpu_plan.py --plan                           # what it would do, and how long that takes
    python benchmarks/gpu_plan.py --minutes 9 --out results/gpu    # what fits into nine minutes, dearest first
    python benchmarks/gpu_plan.py --simulate --out /tmp/gpu        # every step end to end without a GPU

Each step is a process (group) of its own and is killed at its limit. Its records lie in ``OUT/<card>/<step>/``; while
it runs, the folder is called ``<step>.partial``, and stays so where it was cut off or failed. A step whose folder is
there is not done again. ``summary.json`` tells what each came to.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu_bring import PACKAGES, join
from skytrigger.core.files import read_json, write_json
from skytrigger.core.host import nvml_gpus
from skytrigger.core.progress import say

BENCHMARKS = Path(__file__).resolve().parent
ENDING_S = 30.0  # between the seconds that a step is given and its end


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
    return {p.parent.name for p in folder.glob("*/records.jsonl") if not p.parent.name.endswith(".partial")}


def run_killed(command: Sequence[str], limit_s: float, environment: dict[str, str]) -> tuple[int | None, float]:
    """(exit status, or None where the limit killed it; seconds); the whole process group goes at once."""
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        status: int | None = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        with contextlib.suppress(ProcessLookupError):  # what the step left behind, too
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return status, time.perf_counter() - start


def card(simulate: bool) -> str:
    """Folder name of this machine's first GPU."""
    if simulate:
        return "simulated"
    gpus = nvml_gpus()
    if not gpus:
        raise SystemExit("no NVIDIA GPU here (or nvidia-ml-py is missing); --simulate runs the steps without one")
    return re.sub(r"[^a-z0-9]+", "-", str(gpus[0]["name"]).lower()).strip("-")


def brought(folder: Path | None) -> tuple[Path | None, list[str]]:
    """(folder of whole files, folders for the import path) of the parts that `gpu_bring.py` made.

    Wheels are installed where Numba does not load without them; packages come last on the path, so that none takes the
    place of the machine's own.
    """
    if folder is None:
        return None, []
    whole, site = Path(tempfile.mkdtemp(prefix="brought-")), tempfile.mkdtemp(prefix="wheels-")
    if missing := join(folder, whole):
        say(f"parts are missing of {', '.join(missing)}")
    path = []
    if subprocess.run([sys.executable, "-c", "import numba.cuda.np.arrayobj"], capture_output=True).returncode:
        how = ["--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--quiet", "--target", site]
        if files := sorted(str(p) for p in whole.glob("*.whl")):
            subprocess.run([sys.executable, "-m", "pip", "install", *how, *files], check=True)
            path.append(site)
    path.append("")  # here comes the project's own source
    if (whole / PACKAGES).is_file():
        with tarfile.open(whole / PACKAGES) as archive:
            archive.extractall(whole, filter="data")
        path.append(str(whole / "site"))
    return whole, path


def run_plan(steps: Sequence[Step], folder: Path, seconds: float, options: Sequence[str] = (),
             path: Sequence[str] = (), program: Path = BENCHMARKS / "gpu_plan.py",
             slack: float = 1.0) -> None:  # fmt: skip
    """Run the steps until the time is over; each leaves whole records or a ``.partial`` folder.

    `program` is called with ``--step NAME --out FOLDER`` and the options, with `path` first on its import path (what
    follows an empty name in it: last). Limits are of a card; `slack` times as much is given where there is none.
    """
    begin = time.perf_counter()
    own = [str(BENCHMARKS.parent / "src"), str(BENCHMARKS), os.environ.get("PYTHONPATH", "")]
    place = path.index("") if "" in path else len(path)
    source = os.pathsep.join(p for p in [*path[:place], *own, *path[place + 1 :]] if p)
    models = tempfile.mkdtemp(prefix="models-")  # made once for all steps
    environment = (
        os.environ
        | {"GPU_PLAN_MODELS": models}
        | {"PYTHONPATH": source, "PYTHONUNBUFFERED": "1", "NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS": "0"}
    )
    for step in steps:
        left = seconds - (time.perf_counter() - begin)
        if left < min(step.usual_s, 20):
            note(folder, step, "no time left", 0.0)
            continue
        target, partial = folder / step.name, folder / f"{step.name}.partial"
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True, exist_ok=True)
        say(f"--- {step.name}: {step.what} (at most {min(step.limit_s, left):.0f} s)")
        command = [
            sys.executable,
            str(program),
            "--step",
            step.name,
            "--out",
            str(partial),
            *options,
        ]
        if step.least_s:
            command += ["--seconds", f"{min(step.usual_s, left) - ENDING_S:.0f}"]
        status, taken = run_killed(command, min(slack * step.limit_s, left), environment)
        if status == 0 and (partial / "records.jsonl").is_file():
            partial.rename(target)
        note(folder, step, "killed" if status is None else "done" if status == 0 else f"failed ({status})", taken)
    shutil.rmtree(models, ignore_errors=True)


def note(folder: Path, step: Step, outcome: str, seconds: float) -> None:
    """Write down what a step came to."""
    path = folder / "summary.json"
    summary = read_json(path) if path.is_file() else {}
    write_json(path, summary | {step.name: {"outcome": outcome, "seconds": round(seconds, 1)}})
    say(f"--- {step.name}: {outcome} in {seconds:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/gpu"))
    parser.add_argument("--minutes", type=float, default=9.0)
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
        if args.simulate:
            os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
        importlib.import_module(f"gpu_steps.{args.step}").run(
            args.out, args.simulate, args.data, **({"seconds": args.seconds} if args.seconds else {})
        )
        return
    folder = args.out / (card(args.simulate) if not args.plan or args.simulate else "any card")
    seconds = 60 * args.minutes
    steps = chosen(STEPS, finished(folder), float("inf") if args.simulate else seconds, args.only)
    for step in STEPS:
        mark = "run" if step in steps else "done" if step.name in finished(folder) else "left out"
        say(f"{mark:8s} {step.name:10s} {step.usual_s:4.0f} s (limit {step.limit_s:.0f})  {step.what}")
    if not args.plan:
        begin = time.perf_counter()
        whole, path = brought(args.bring)
        data = args.data or whole
        options = ["--simulate"] * args.simulate + (["--data", str(data)] if data else [])
        seconds -= time.perf_counter() - begin
        if args.simulate:
            run_plan(steps, folder, float("inf"), options, path, slack=10.0)
        else:
            run_plan(steps, folder, seconds, options, path)
        for name, entry in read_json(folder / "summary.json").items():
            say(f"{name:10s} {entry['outcome']:14s} {entry['seconds']:.0f} s")


if __name__ == "__main__":
    main()
