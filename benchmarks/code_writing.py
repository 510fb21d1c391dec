"""What makes the fast packaged classifiers fast, each thing left out or done otherwise, in one run of paired blocks.

    python benchmarks/code_writing.py --out results/fast/tried --threads 2

OpenVINO, batch 64, wall clock, tiles in memory as float32 and as they are stored. Every arm is a session that
`open_session` makes, with one piece of it exchanged. The engine's own counters of each layer, of the first and of the
shipped way, are kept beside the times; they are read in calls of their own.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import openvino

from eager_batches import rotating, visit_of
from skytrigger.core.files import sha256_file, write_json
from skytrigger.core.host import host_facts
from skytrigger.core.progress import say, track
from skytrigger.eo.packaged import packaged
from skytrigger.measure.paired import run_blocks
from skytrigger.model import code_blocks
from skytrigger.model.file import read_model
from skytrigger.runtimes import code_writer, openvino_session
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.session import Session

BATCH, COUNTED = 64, 40
STORED = {"DN": "uint16", "rgb8": "uint8"}
SHIPPED, BEFORE = "as shipped", "all by the engine"
Patch = Any


def core_with(**more: Any) -> type:
    """OpenVINO's core, which compiles with these properties, too."""

    class Core(openvino.Core):  # type: ignore[misc]
        def compile_model(self, graph: Any, device: str, config: dict[str, Any]) -> Any:
            return super().compile_model(graph, device, {**config, **more})

    return Core


def without_inner_rounding(model: Any, spec: Any, planes: bool) -> Any:
    """The writer, of a network whose residual sum takes the convolution's answer before it is rounded to 8 bits."""
    writer = code_writer.code_writer(model, spec)
    graph = onnx.load_model_from_string(writer.content)
    made = {name: node for node in graph.graph.node for name in node.output}
    for node in graph.graph.node:
        if node.op_type == "Add":
            rounded = made[made[node.input[1]].input[0]]
            node.input[1] = rounded.input[0]
    writer.content = graph.SerializeToString()
    return writer


def ways(threads: int) -> dict[str, tuple[list[Patch], dict[str, int]]]:
    """Arm -> (what is exchanged, how the session is opened)."""
    whole = {"batch_size": BATCH, "threads": threads}
    here = partial(patch.object, openvino_session)
    mean, tiles = here("pool_by_windows", lambda _: None), here("code_writer", lambda *_: None)
    planes = [patch.object(code_writer, "code_blocks", lambda _: None), here("PLANES", code_writer.WRITTEN)]
    found = {
        SHIPPED: ([], whole),
        "control": ([], whole),
        BEFORE: ([mean, tiles], whole),
        "codes by the engine": ([tiles], whole),
        "codes in planes": (planes, whole),
        "blocks not filled up": ([patch.object(code_blocks, "STEP", 1 << 20)], whole),
        "mean by ReduceMean": ([mean], whole),
        "no rounding before the sum": ([here("code_writer", without_inner_rounding)], whole),
    }
    if threads > 1:
        found["one thread writes"] = ([patch.object(code_writer, "SHARE", 1 << 40)], whole)
        found["all threads write"] = ([patch.object(code_writer, "SHARE", 1)], whole)
        found["not pinned"] = ([patch.object(openvino, "Core", core_with(ENABLE_CPU_PINNING=False))], whole)
        found["a stream each"] = ([], {"batch_size": BATCH // threads, "threads": 1, "streams": threads})
    return found


@contextmanager
def opened(name: str, kind: str, patches: list[Patch], how: dict[str, int]) -> Iterator[Session]:
    """A session, opened with pieces exchanged."""
    with ExitStack() as stack:
        for piece in patches:
            stack.enter_context(piece)
        session = open_session(packaged(name), "openvino", "int8", input_type=kind, **how)
    yield session
    session.close()


def layers(name: str, kind: str, patches: list[Patch], how: dict[str, int], tiles: Any) -> list[list[Any]]:
    """[what, kernel, seconds an image, the median] of each layer that the engine counts, in its order."""
    counting = patch.object(openvino, "Core", core_with(PERF_COUNT=True))
    times: dict[tuple[int, str, str], list[float]] = {}
    with opened(name, kind, [*patches, counting], how) as session:
        for call in range(COUNTED):
            session.run(tiles[call % len(tiles)])
            ran = [p for p in session._requests[0].profiling_info if p.status == p.Status.EXECUTED]  # type: ignore[attr-defined]
            for place, p in enumerate(ran):
                key = (place, p.node_type, p.exec_type)
                times.setdefault(key, []).append(p.real_time.total_seconds() / len(tiles[0]))
    return [[what, kernel, float(np.median(found))] for (_, what, kernel), found in times.items()]


def agreement(sessions: dict[str, Session], tiles: Any) -> dict[str, dict[str, float]]:
    """Arm -> largest difference of a logit from the first way's, and tiles of another class."""
    exact = np.concatenate([sessions[BEFORE].run(batch) for batch in tiles])
    found = {}
    for arm, session in sessions.items():
        logits = np.concatenate([session.run(batch) for batch in tiles])
        found[arm] = {"logits_max": float(np.abs(logits - exact).max()), "tiles": len(exact),
                      "other_classes": int((logits.argmax(1) != exact.argmax(1)).sum())}  # fmt: skip
    return found


def timed(name: str, kind: str, threads: int, blocks: int, seconds: float) -> dict[str, Any]:
    """The record of one classifier and type of tiles."""
    channels = len(read_model(packaged(name)).card.channels)
    tiles = rotating(channels, kind).reshape(-1, BATCH, channels, 64, 64)
    wall: dict[str, list[float]] = {}
    with ExitStack() as stack:
        sessions = {a: stack.enter_context(opened(name, kind, *way)) for a, way in ways(threads).items()}
        agree = agreement(sessions, tiles)
        visits: dict[str, Callable[[], Any]] = {}
        for arm, session in sessions.items():
            visit = visit_of(session.run, BATCH, seconds, channels=channels, clock=perf_counter, kind=kind)
            visits[arm] = partial(visit, wall.setdefault(arm, []))
        with track(f"{name}, {kind}", blocks) as advance:
            slots = run_blocks(visits, blocks, advance=lambda: advance(1))
    counted = {arm: layers(name, kind, *ways(threads)[arm], tiles) for arm in (BEFORE, SHIPPED)}
    return {
        "host": host_facts(), "threads": threads, "blocks": blocks, "unit": "s an image, wall clock", "tiles": kind,
        "model": {"name": name, "sha256": sha256_file(packaged(name))}, "layers": counted,
        "arms": {arm: {**agree[arm], "slots": [s.value_s for s in slots[arm]],
                       "steal_s": [s.conditions.get("steal_s") for s in slots[arm]],
                       "wall_s": [s.conditions.get("wall_s") for s in slots[arm]]} for arm in slots},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="results/fast/tried", type=Path)
    parser.add_argument("--only", nargs="+", default=["eurosat_ms_fast", "eurosat_rgb_fast"])
    parser.add_argument("--kinds", nargs="+", choices=["float32", "stored"], default=["float32", "stored"])
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=0.04, help="time of a visit")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    for name, kind in itertools.product(args.only, args.kinds):
        stored = STORED[read_model(packaged(name)).card.units]
        record = timed(name, stored if kind == "stored" else kind, args.threads, args.blocks, args.seconds)
        write_json(args.out / f"{name}-{kind}.json", record)
        for arm, its in record["arms"].items():
            say(f"{name}, {kind}, {arm}: {1e6 * float(np.median(its['slots'])):.2f} us an image")


if __name__ == "__main__":
    main()
