"""Step: large RGB teachers, and the packaged architectures taught by them, in RGB and in 13 bands.

Stages (`teacher_stages`) are processes of their own: each starts while the one before it trains, waits for its turn and
its seconds, and is killed where it takes far more. One that fails is run again without CUDA graphs. After each stage
its records and weights lie whole in at most seven files in ``OUT``, none over 16 MiB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpu_steps.card_tiles import bands, in_memory, listed, rgb
from skytrigger.core.host import host_facts
from skytrigger.measure.records import Record, Samples, append

# stages that run at once, and their share of the time
STAGES = (
    (("choose",), 0.15),
    (("teachers",), 0.26),
    (("students",), 0.29),
    (("ms_teachers", "ms_teachers_held"), 0.08),
    (("ms_students", "ms_students_held"), 0.13),
    (("held_students",), 0.09),
)
SECONDS, GRACE_S, LEAST_S = 450.0, 25.0, 12.0
PROGRAM = Path(__file__).parents[1] / "gpu_teacher.py"


def run(out: Path, simulate: bool, data: Path | None = None, seconds: float = SECONDS) -> None:
    """All stages; records, logits and weights into `out`.

    Raises
    ------
    SystemExit
        A stage did not end well; what the others left is whole.
    """
    begin = time.perf_counter()
    lost: list[str] = []
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="teacher-", dir=in_memory()) as folder:
        work = Path(folder)
        prepare(work, data or Path("build/bring"))
        say(begin, "tiles are ready")
        waiting = [[Stage(name, work, simulate) for name in names] for names, _ in STAGES[:1]]
        graphs = not simulate
        try:
            for number, (_, share) in enumerate(STAGES):
                if number + 1 < len(STAGES):  # the next ones import and wait meanwhile
                    waiting.append([Stage(name, work, simulate) for name in STAGES[number + 1][0]])
                left = seconds - (time.perf_counter() - begin)
                given = left * share / sum(s for _, s in STAGES[number:]) if not simulate else 600.0
                if left < LEAST_S and not simulate:
                    lost += [s.name for s in waiting[number]]
                    say(begin, f"{', '.join(s.name for s in waiting[number])}: no time left")
                else:
                    graphs = turn(waiting[number], given, left, begin, out, graphs, lost)
                    keep(work, out)
        finally:
            for stages in waiting:
                for stage in stages:
                    stage.end()
    if lost:
        raise SystemExit(f"not done: {', '.join(lost)}")


def turn(stages: list[Stage], given: float, left: float, begin: float, out: Path, graphs: bool,
         lost: list[str]) -> bool:  # fmt: skip
    """Let the stages of one turn train, once more without graphs where one fails; whether the next ones use graphs.

    Names of those that do not end well are added to `lost`.
    """
    start, simulate = time.perf_counter(), stages[0].simulate
    say(begin, f"{', '.join(s.name for s in stages)}: {given:.0f} s")
    limit = given if simulate else min(given + GRACE_S, max(left, LEAST_S))
    for stage in stages:
        stage.go(given, graphs)
    for stage in stages:
        status = stage.wait(limit - (time.perf_counter() - start))
        rest = given - (time.perf_counter() - start)
        if status and graphs and rest > LEAST_S:
            say(begin, f"{stage.name} failed ({status}); again without graphs")
            graphs = False
            stage.start()
            stage.go(rest, graphs)
            status = stage.wait(rest + GRACE_S)
        taken = time.perf_counter() - start
        outcome = "killed" if status is None else f"failed ({status})" if status else "done"
        say(begin, f"{stage.name}: {outcome} after {taken:.0f} s")
        lost += [stage.name] if outcome != "done" else []
        where = {k: v for k, v in host_facts().items() if k in ("gpus", "cpu", "os", "python", "packages")}
        what = {"network": stage.name, "runtime": "torch", "precision": "bf16", "scenario": "training",
                "device": "cpu" if simulate else "cuda"}  # fmt: skip
        extra: dict[str, Any] = {"outcome": outcome, "given_s": given} | ({"simulated": True} if simulate else {})
        append(out / "records.jsonl", Record("training", what, where, {"whole": Samples("s", (taken,))}, extra=extra))
    return graphs


@dataclass
class Stage:
    """A stage's process: started, told to go, waited for."""

    name: str
    work: Path
    simulate: bool

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin the process; it imports, then waits for `go`."""
        self.order = self.work / f"{self.name}.go"
        self.order.unlink(missing_ok=True)
        command = [sys.executable, str(PROGRAM), "--stage", self.name, "--work", str(self.work)]
        command += ["--simulate"] * self.simulate
        source = os.pathsep.join([str(PROGRAM.parent.with_name("src")), os.environ.get("PYTHONPATH", "")])
        threads = "1" if self.simulate else "2"
        environment = os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(command, env=environment)  # of this group, which goes at once if it must

    def go(self, seconds: float, graphs: bool) -> None:
        """Its seconds begin."""
        partial = self.order.with_suffix(".part")
        partial.write_text(json.dumps({"until": time.time() + seconds, "graphs": graphs}), encoding="utf-8")
        partial.rename(self.order)

    def wait(self, limit: float) -> int | None:
        """Exit status; None where the limit killed it."""
        try:
            return self.process.wait(max(limit, 0.1))
        except subprocess.TimeoutExpired:
            self.end()
            return None

    def end(self) -> None:
        """Stop it if it is still there."""
        self.process.kill()
        self.process.wait()


def prepare(work: Path, data: Path) -> None:
    """Tiles of the lists as arrays that every stage opens; test tiles stay where they are."""
    wanted = listed("rgb_train") | listed("rgb_val") | listed("east") | listed("colour")

    def stored(kind: str) -> None:
        tiles = rgb(data, wanted) if kind == "rgb" else bands(data, listed("ms_train") | listed("ms_val"))
        np.save(work / f"{kind}.npy", tiles.x)
        (work / f"{kind}.txt").write_text("\n".join(tiles.names) + "\n", encoding="utf-8")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(stored, ("rgb", "ms")))


def keep(work: Path, out: Path) -> None:
    """What is there so far into files that travel: records and logits, students' weights, teachers' in float16."""
    packs: dict[str, list[Path]] = {
        "records.tar": sorted([*work.glob("*.json"), *work.glob("*.npz")]),
        "students_rgb.tar": sorted((work / "students").glob("*.safetensors")),
        "students_ms.tar": sorted((work / "ms_students").glob("*.safetensors")),
    }
    for name, files in packs.items():
        if files:
            partial = out / f"{name}.part"
            with tarfile.open(partial, "w:gz") as tar:
                for file in files:
                    tar.add(file, file.relative_to(work))
            partial.rename(out / name)
    for file in sorted((work / "teachers").glob("*.safetensors")):
        if not (out / file.name).exists():
            halved(file, out / file.name)


def halved(file: Path, target: Path) -> None:
    """Weights of convolutions in float16."""
    from safetensors.torch import load_file, save_file

    save_file({k: v.half() if v.ndim == 4 else v for k, v in load_file(file).items()}, target)


def stage(name: str, work: Path, simulate: bool) -> None:
    """One stage, in its own process."""
    import torch

    from gpu_steps.teacher_runs import RUNS
    from gpu_steps.teacher_stages import Job

    device = torch.device("cpu" if simulate else "cuda")
    torch.zeros(1, device=device)
    order = work / f"{name}.go"
    while not order.is_file():
        time.sleep(0.05)
    given = json.loads(order.read_text(encoding="utf-8"))
    finish = RUNS[name](Job(work, name, device, graphs=given["graphs"], tiny=simulate))
    finish(given["until"] - time.time())


def say(begin: float, text: str) -> None:
    print(f"[{time.perf_counter() - begin:6.1f} s] {text}", flush=True)
