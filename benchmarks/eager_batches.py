"""`basic` in PyTorch eager at every batch size, beside the search's winner with band picking on the clock.

    python benchmarks/eager_batches.py --out results/optimize/eager

One run of counterbalanced blocks, one thread each. Both start at float32 tiles of all 13 bands in memory: the winner
sees eight of them, and what brings these together is timed with it, as NumPy's copy into a buffer that is kept or as a
`Gather` in front of the model's graph. `basic` has random weights: its time does not depend on them. A visit's time is
CPU time of the thread that calls (all the work is done on it), so that other work on the machine weighs less; wall
times are kept beside it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from skytrigger.core.card import ModelCard
from skytrigger.core.files import sha256_file, write_json
from skytrigger.core.host import host_facts
from skytrigger.core.progress import say, track
from skytrigger.eo.bands import BANDS
from skytrigger.eo.networks import build
from skytrigger.measure.conditions import Watch
from skytrigger.measure.paired import Slot, run_blocks
from skytrigger.model.export import export_onnx
from skytrigger.model.file import read_model
from skytrigger.optimize.students import multiply_adds
from skytrigger.runtimes.open import open_session

CHANNELS = tuple(band.name for band in BANDS)
SIZE = (64, 64)
BATCHES = (1, 4, 8, 16, 32, 64)
WINNER_BATCH = 64  # as it was found
ROTATING = 256
Tiles = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--winner", default="results/optimize/best.onnx", type=Path)
    parser.add_argument("--out", default="results/optimize/eager", type=Path)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.15, help="CPU time of a visit, at the least one call")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        basic, gather = Path(folder) / "basic.onnx", Path(folder) / "gather.onnx"
        work = untrained(basic)
        with_gather(args.winner, gather)
        calls = arms(basic, args.winner, gather)
        visits = {arm: visit_of(call, images, args.seconds) for arm, (call, images, _) in calls.items()}
        wall: dict[str, list[float]] = {arm: [] for arm in visits}
        kept = {arm: (lambda arm=arm: visits[arm](wall[arm])) for arm in visits}
        with track("eager and winner", args.blocks) as advance:
            slots = run_blocks(kept, args.blocks, advance=lambda: advance(1))
    record = {
        "host": host_facts(), "threads": 1, "blocks": args.blocks, "unit": "s an image, CPU time of the calling thread",
        "multiply_adds": {"basic": work}, "winner": {"file": str(args.winner), "sha256": sha256_file(args.winner)},
        "arms": {arm: {"images": calls[arm][1], "what": calls[arm][2], "slots": [s.value_s for s in slots[arm]],
                       "wall_slots": wall[arm], "steal_s": [s.conditions.get("steal_s") for s in slots[arm]],
                       "wall_s": [s.conditions.get("wall_s") for s in slots[arm]]} for arm in slots},
    }  # fmt: skip
    write_json(args.out / "eager.json", record)
    for arm, its in record["arms"].items():
        say(f"{arm}: {1e3 * float(np.median(its['slots'])):.4f} ms an image")


def untrained(out: Path, channels: Sequence[str] = CHANNELS) -> int:
    """`basic` with its initial weights as a model file; its multiply-adds."""
    count = len(channels)
    network = build("basic", count, SIZE, 10).eval()
    classes = tuple(f"class {i}" for i in range(10))
    scale = (1000.0,) * count
    card = ModelCard("basic", tuple(channels), classes, SIZE, scale, scale, "DN", data_hash="")
    export_onnx(network, card, out)
    return multiply_adds(network, count, SIZE)


def with_gather(winner: Path, out: Path) -> None:
    """The winner's graph with a `Gather` of its bands in front: it takes tiles of all bands."""
    model = onnx.load(winner)
    seen = read_model(winner).card.channels
    (tiles,) = [i for i in model.graph.input if i.name == "tiles"]
    for node in model.graph.node:
        node.input[:] = ["picked" if name == "tiles" else name for name in node.input]
    index = onnx.numpy_helper.from_array(np.array([CHANNELS.index(c) for c in seen], np.int64), "bands")
    model.graph.initializer.append(index)
    model.graph.node.insert(0, onnx.helper.make_node("Gather", ["tiles", "bands"], ["picked"], axis=1))
    tiles.type.tensor_type.shape.dim[1].dim_value = len(CHANNELS)
    onnx.save(model, out)


def arms(basic: Path, winner: Path, gather: Path) -> dict[str, tuple[Callable[[Tiles], object], int, str]]:
    """Arm -> (call on a batch of 13 bands, images a call, what it is)."""
    found: dict[str, tuple[Callable[[Tiles], object], int, str]] = {}
    for batch in BATCHES:
        session = open_session(basic, "torch", "fp32", batch, 1)
        found[f"eager {batch}"] = (session.run, batch, "basic, PyTorch eager, channels-last")
    twin = open_session(basic, "torch", "fp32", 16, 1)
    found["control 16"] = (twin.run, 16, "a second session of eager 16")
    small = open_session(winner, "onnxruntime", "fp32", WINNER_BATCH, 1)
    picks = [CHANNELS.index(c) for c in read_model(winner).card.channels]
    buffer = np.empty((WINNER_BATCH, len(picks), *SIZE), np.float32)

    def picked(tiles: Tiles) -> object:
        for place, pick in enumerate(picks):
            buffer[:, place] = tiles[:, pick]
        return small.run(buffer)

    ready = np.random.default_rng(1).integers(0, 4000, buffer.shape).astype(np.float32)
    found["winner"] = (lambda _: small.run(ready), WINNER_BATCH, "the winner, its bands lie ready")
    found["winner, NumPy"] = (picked, WINNER_BATCH, "the winner, its bands copied by NumPy")
    found["winner, Gather"] = (_session_of(gather), WINNER_BATCH, "the winner, a Gather in its graph")
    return found


def _session_of(file: Path) -> Callable[[Tiles], object]:
    """A bare ONNX Runtime session, one thread: the file's card is of other bands."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda tiles: session.run(None, {"tiles": tiles})


@cache
def rotating(channels: int, kind: str) -> NDArray[Any]:
    """Random tiles that all arms of a run read: where tiles lie in memory alone makes up to a third of a fast arm."""
    return np.random.default_rng(0).integers(0, 4000, (ROTATING, channels, *SIZE)).astype(kind)


def visit_of(
    call: Callable[[Any], object],
    images: int,
    seconds: float,
    *,
    channels: int = len(CHANNELS),
    clock: Callable[[], float] = time.thread_time,
    kind: str = "float32",
) -> Callable[[list[float]], Slot]:
    """A visit of calls on rotating tiles; the slot holds seconds of CPU an image, the list gets wall seconds."""
    tiles = rotating(channels, kind).reshape(-1, images, channels, *SIZE)
    several = len(tiles)

    def visit(wall: list[float]) -> Slot:
        call(tiles[0])
        watch, done, start, began = Watch.begin(), 0, clock(), time.perf_counter()
        while not done or clock() - start < seconds:
            call(tiles[(done + 1) % several])
            done += 1
        spent, passed = clock() - start, time.perf_counter() - began
        wall.append(passed / done / images)
        return Slot((spent / done / images,), watch.taken())

    return visit


if __name__ == "__main__":
    main()
