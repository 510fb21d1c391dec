"""Shards dealt out to worker processes, with progress; a shard that is done stays done."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

from skytrigger.core.errors import SkytriggerError
from skytrigger.core.host import cores_in_mask
from skytrigger.core.progress import track
from skytrigger.eo.shards import Plan, Reader, pack_shard, record_path

# Below this a second process costs more (0.3 s to start) than it saves.
_MIN_SHARDS_PER_WORKER = 2


def run_shards(folder: Path, plan: Plan, workers: int | None) -> None:
    """Pack every shard of `plan` that has no record yet.

    Raises
    ------
    SkytriggerError
        The disk refuses, or a worker died; what is finished is kept.
    """
    todo = [shard for shard in range(plan.shards) if not record_path(folder, shard).exists()]
    count = min(workers or cores_in_mask(), len(todo) // _MIN_SHARDS_PER_WORKER)
    with track(f"packing {len(plan.candidates)} tiles", len(plan.candidates)) as advance:
        advance(len(plan.candidates) - sum(len(plan.span(shard)) for shard in todo))
        if count <= 1:
            reader = Reader(plan.sources, plan.reading)
            for shard in todo:
                try:
                    pack_shard(folder, plan, reader, shard)
                except OSError as error:
                    raise _failed(folder, str(error)) from error
                advance(len(plan.span(shard)))
            reader.close()
            return
        jobs: queue.SimpleQueue[int] = queue.SimpleQueue()
        for shard in todo:
            jobs.put(shard)
        answers: queue.SimpleQueue[int | str] = queue.SimpleQueue()
        processes = [_start(folder) for _ in range(count)]
        try:
            for process in processes:
                threading.Thread(target=_feed, args=(process, jobs, answers), daemon=True).start()
            for _ in todo:
                answer = answers.get()
                if isinstance(answer, str):
                    raise _failed(folder, answer)
                advance(len(plan.span(answer)))
        finally:
            for process in processes:
                process.kill()  # finished shards are on disk
                process.wait()


def _start(folder: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "skytrigger.eo.shards", str(folder)]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        env=environment,
        start_new_session=True,  # Ctrl-C is for the parent, which ends its workers
    )


def _feed(process: subprocess.Popen[str], jobs: queue.SimpleQueue[int], answers: queue.SimpleQueue[int | str]) -> None:
    """Give one worker a shard at a time; report each, and its death."""
    if process.stdin is None or process.stdout is None:
        return
    while not jobs.empty():
        try:
            shard = jobs.get_nowait()
        except queue.Empty:
            return
        try:
            process.stdin.write(f"{shard}\n")
            process.stdin.flush()
            answer = process.stdout.readline().strip()
        except (OSError, ValueError):
            answer = ""
        if answer != f"done {shard}":
            answers.put(answer or f"a worker died at shard {shard} (exit status {process.wait()})")
            return
        answers.put(shard)


def _failed(folder: Path, reason: str) -> SkytriggerError:
    died = reason.startswith("a worker died")
    remedy = "its own message is above; then" if died else "free space, then"
    return SkytriggerError(
        f"packing into {folder} failed: {reason.removeprefix('error ')}\n  remedy: {remedy} run the same command "
        "again: it goes on where it was"
    )
