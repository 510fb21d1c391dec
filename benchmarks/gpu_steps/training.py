"""Step: the seven networks trained on RGB tiles, 25 epochs, batch 32, several runs at once on one card.

The tiles lie on the card as they are stored (uint8). The loop is this toolkit's own. At batch 32 a run is bound by the
launching of its kernels, not by the card, so several processes share the card. Validation tiles choose nothing: the
last epoch's weights are judged.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.host import host_facts
from skytrigger.core.progress import say
from skytrigger.eo.load import load
from skytrigger.eo.networks import NAMES, build
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.train import train
from skytrigger.measure.records import Record, Samples, append

EPOCHS, AT_ONCE = 25, 6
ORDER = [("basic", seed) for seed in range(3)] + [(n, s) for s in range(3) for n in NAMES if n != "basic"]


def run(out: Path, simulate: bool, data: Path | None = None) -> None:
    """Records of the step into `out`; `data` holds the tiles' archives and ``rgb_val.txt``."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as scratch:
        if not simulate:
            rgb(data or Path("build/bring"))  # packed once, before the processes open it
        jobs = [("basic", 0)] if simulate else list(ORDER)
        running: list[tuple[str, int, float, subprocess.Popen[bytes]]] = []
        where = {k: v for k, v in host_facts().items() if k in ("gpus", "cpu", "os", "python", "packages")}
        while jobs or running:
            while jobs and len(running) < AT_ONCE:
                name, seed = jobs.pop(0)
                command = [sys.executable, __file__, str(data), name, str(seed), scratch, str(int(simulate))]
                running.append((name, seed, time.perf_counter(), subprocess.Popen(command)))
            time.sleep(0.1)
            for job in [j for j in running if j[3].poll() is not None]:
                running.remove(job)
                name, seed, start, process = job
                taken = time.perf_counter() - start
                if process.returncode:
                    say(f"{name} seed {seed} failed with {process.returncode}")
                    continue
                history = [json.loads(t) for t in (Path(scratch) / f"{name}-{seed}.jsonl").read_text().splitlines()]
                last = history[-1]
                device = "cpu" if simulate else "cuda"
                what = {"network": name, "runtime": "torch", "precision": "fp32", "batch_size": 32, "seed": seed,
                        "device": device, "scenario": "training", "input_type": "uint8"}  # fmt: skip
                extra = {"history": history, "val_accuracy": last["val_accuracy"], "val_loss": last["val_loss"],
                         "train_accuracy": last["train_accuracy"], "at_once": AT_ONCE}  # fmt: skip
                if simulate:
                    extra["simulated"] = True
                append(
                    out / "records.jsonl",
                    Record("training", what, where, {"whole": Samples("s", (taken,))}, extra=extra),
                )
                say(f"{name} seed {seed}: {last['val_accuracy']:.4f} after {len(history)} epochs, {taken:.0f} s")


def rgb(folder: Path) -> tuple[Dataset, Split]:
    """Tiles and the split that ``rgb_val.txt`` names."""
    dataset = load([str(p) for p in sorted(folder.rglob("rgb_*.zip"))])
    chosen = set(next(iter(sorted(folder.rglob("rgb_val.txt")))).read_text().split())
    judged = np.array([i in chosen for i in dataset.ids])
    facts = {"kind": "lists", "val": int(judged.sum())}
    return dataset, Split(np.flatnonzero(~judged), np.flatnonzero(judged), np.empty(0, np.int64), facts)


def one(data: str, name: str, seed: int, scratch: Path, simulate: bool) -> None:
    """One run in a process of its own."""
    if simulate:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        from gpu_steps.batch import random_tiles

        dataset, split = random_tiles(40, 8)
    else:
        dataset, split = rgb(Path(data) if data != "None" else Path("build/bring"))
    recipe = Recipe(name, epochs=2 if simulate else EPOCHS, batch_size=32, seed=seed, precision="fp32")
    done = train(build, dataset, split, recipe, scratch / f"{name}-{seed}", device="cpu" if simulate else "cuda",
                 threads=1, keep_checkpoint=False)  # fmt: skip
    (scratch / f"{name}-{seed}.jsonl").write_text("".join(json.dumps(h) + "\n" for h in done.history()))


if __name__ == "__main__":
    one(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), sys.argv[5] == "1")
