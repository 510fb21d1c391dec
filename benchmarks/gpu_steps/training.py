"""Step: the seven networks trained on RGB tiles, 25 epochs, batch 32, several runs at once on one card.

The tiles lie on the card as they are stored (uint8). The loop is this toolkit's own. At batch 32 a run is bound by the
launching of its kernels, not by the card, so several processes share the card. The parts are those of
``results/eurosat-rgb``. The test tiles judge two epochs' weights, the last one's and those of the least validation
loss; which tiles are right stands in the record, in the order of ``test.txt``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gpu_steps.card_tiles import in_memory
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.files import sha256_json
from skytrigger.core.host import host_facts
from skytrigger.core.progress import say
from skytrigger.eo.load import load
from skytrigger.eo.networks import NAMES, build
from skytrigger.learn.batches import Batches
from skytrigger.learn.device import resolve_device, resolve_precision
from skytrigger.learn.predict import answers
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.run_folder import RunFolder, load_tensors
from skytrigger.learn.train import train
from skytrigger.measure.records import Record, Samples, append

EPOCHS, AT_ONCE = 25, 6
LISTS = Path(__file__).resolve().parents[2] / "results" / "eurosat-rgb"
ORDER = [("basic", seed) for seed in range(3)] + [(n, s) for s in range(3) for n in NAMES if n != "basic"]


def run(out: Path, simulate: bool, data: Path | None = None) -> None:
    """Records of the step into `out`; `data` holds the tiles' archives.

    Raises
    ------
    SystemExit
        A run failed; the others' records are whole.
    """
    out.mkdir(parents=True, exist_ok=True)
    lost: list[str] = []
    with tempfile.TemporaryDirectory(dir=in_memory()) as scratch:
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
                    lost.append(f"{name} seed {seed} ({process.returncode})")
                    say(f"{lost[-1]} failed")
                    continue
                history = [json.loads(t) for t in (Path(scratch) / f"{name}-{seed}.jsonl").read_text().splitlines()]
                last = history[-1]
                device = "cpu" if simulate else "cuda"
                what = {"network": name, "runtime": "torch", "precision": "fp32", "batch_size": 32, "seed": seed,
                        "device": device, "scenario": "training", "input_type": "uint8"}  # fmt: skip
                extra = {"history": history, "val_accuracy": last["val_accuracy"], "val_loss": last["val_loss"],
                         "train_accuracy": last["train_accuracy"], "at_once": AT_ONCE,
                         "test": json.loads((Path(scratch) / f"{name}-{seed}.json").read_text())}  # fmt: skip
                if simulate:
                    extra["simulated"] = True
                append(
                    out / "records.jsonl",
                    Record("training", what, where, {"whole": Samples("s", (taken,))}, extra=extra),
                )
                say(f"{name} seed {seed}: {last['val_accuracy']:.4f} after {len(history)} epochs, {taken:.0f} s")
    if lost:
        raise SystemExit(f"failed: {', '.join(lost)}")


def rgb(folder: Path) -> tuple[Dataset, Split]:
    """Tiles of all archives below `folder`, divided as results/eurosat-rgb has them."""
    dataset = load([str(p) for p in sorted(folder.rglob("rgb_*.zip"))])
    place = {name: i for i, name in enumerate(dataset.ids)}
    parts = {part: (LISTS / f"{part}.txt").read_text().split() for part in ("train", "val", "test")}
    index = {part: np.array([place[name] for name in names], np.int64) for part, names in parts.items()}
    facts = {"kind": "lists", **{part: len(names) for part, names in parts.items()}}
    return dataset, Split(index["train"], index["val"], index["test"], facts)


def one(data: str, name: str, seed: int, scratch: Path, simulate: bool) -> None:
    """One run in a process of its own."""
    if simulate:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        from gpu_steps.batch import random_tiles

        dataset, split = random_tiles(40, 8)
        split = Split(split.train, split.val, split.val, split.facts)
    else:
        dataset, split = rgb(Path(data) if data != "None" else Path("build/bring"))
    epochs, device = (2, "cpu") if simulate else (EPOCHS, "cuda")
    recipe = Recipe(name, epochs=epochs, batch_size=32, seed=seed, precision="fp32", patience=epochs)  # keeps the best
    done = train(build, dataset, split, recipe, scratch / f"{name}-{seed}", device=device, threads=1)
    (scratch / f"{name}-{seed}.json").write_text(json.dumps(judged(done, dataset, split, device)))
    done.checkpoint.unlink()
    (scratch / f"{name}-{seed}.jsonl").write_text("".join(json.dumps(h) + "\n" for h in done.history()))


def judged(run: RunFolder, dataset: Dataset, split: Split, device: str) -> dict[str, object]:
    """Which test tiles the last epoch's weights get right, and those of the least validation loss: bits, as hex."""
    where, index = resolve_device(device), split.test
    network, card = run.load(build)
    batches = Batches(dataset, card.mean, card.std, where)
    losses = [h["val_loss"] for h in run.history()]
    last = {
        k.removeprefix("network."): v for k, v in load_tensors(run.checkpoint)[0].items() if k.startswith("network.")
    }
    found: dict[str, object] = {"tiles": len(index), "ids_sha256": sha256_json([dataset.ids[i] for i in index]),
                                "best_epoch": losses.index(min(losses)) + 1}  # fmt: skip
    for which, weights in (("best", None), ("last", last)):
        if weights:
            network.load_state_dict(weights)
        (logits,) = answers(network.to(where), batches, index, resolve_precision("fp32", where))
        found[which] = np.packbits(logits.argmax(axis=1) == dataset.y[index]).tobytes().hex()
    return found


if __name__ == "__main__":
    one(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), sys.argv[5] == "1")
