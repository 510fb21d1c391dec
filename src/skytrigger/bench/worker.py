"""The measured program: a process of its own that opens one session and does what its parent asks, line by line.

The job is JSON on stdin's first line; each further line is a request, answered by one JSON line. Nothing is pickled.
While this process works its parent sleeps in a read. The end of stdin ends the process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

BEGIN_S = time.perf_counter()


class Worker:
    """One open session and the inputs it is fed with."""

    def __init__(self, job: dict[str, Any]) -> None:
        from skytrigger.measure.clocks import CudaClock
        from skytrigger.measure.inputs import CacheFlush, rotating
        from skytrigger.runtimes.open import open_session

        self.job = job
        imported_s = time.perf_counter()
        names = ("runtime", "precision", "batch_size", "threads", "streams", "device", "input_type")
        asked = {k: job[k] for k in names}
        self.session = open_session(job["model"], **asked)
        opened_s = time.perf_counter()
        self.items = job["batch_size"] * job["streams"]
        self.inputs = _inputs(job, self.session.model.card, self.items)
        self.call = rotating(_casting(self.session.run, job), self.inputs)
        stream = getattr(self.session, "stream", None)  # of a session on a GPU that tells which
        self.device_clock = CudaClock(stream) if stream is not None and job["streams"] == 1 else None
        self.flush = CacheFlush() if job.get("flush") else None
        made_s = time.perf_counter()
        self.call()
        self.session.synchronize()
        first_s = time.perf_counter() - made_s
        self.cold = {"import_s": imported_s - BEGIN_S, "open_s": opened_s - imported_s, "first_s": first_s}

    def ready(self) -> dict[str, Any]:
        """What the session really is, and how long a cold start took."""
        from skytrigger.core.host import host_facts

        return {"facts": self.session.facts, "cold": self.cold, "host": host_facts(), "items": self.items}

    def warm(self, **rule: float) -> dict[str, Any]:
        """Warm up by the rule."""
        from skytrigger.measure.warmup import WarmUp

        def step() -> None:
            self.call()
            self.session.synchronize()

        return WarmUp(**rule).run(step)  # type: ignore[arg-type]

    def slot(self, calls: int, offline: bool, lead_in: int, limit_s: float) -> dict[str, Any]:
        """One visit: `lead_in` untimed calls, then `calls` timed ones, each synchronised or (offline) all at once.

        Single calls stop at `limit_s`: on a loaded machine the mean can be many times the median.
        """
        from skytrigger.measure.conditions import Watch
        from skytrigger.measure.scenarios import no_collection

        clock, call, synchronize, flush = time.perf_counter_ns, self.call, self.session.synchronize, self.flush
        timer = self.device_clock
        for _ in range(lead_in):
            call()
        synchronize()
        seconds, device = [], []
        with no_collection():
            watch = Watch.begin()
            if offline:
                start = clock()
                for _ in range(calls):
                    call()
                synchronize()
                seconds.append((clock() - start) / 1e9 / calls)
            else:
                until = clock() + limit_s * 1e9
                while len(seconds) < calls and (not seconds or clock() < until):
                    if flush is not None:
                        flush()
                    start = clock()
                    if timer is not None:
                        timer.start()
                    call()
                    if timer is not None:
                        timer.stop()
                    synchronize()
                    seconds.append((clock() - start) / 1e9)
                    if timer is not None:
                        device.append(timer.seconds())
            return {"seconds": seconds, "device": device, "conditions": watch.taken()}

    def loop(self, seconds: float) -> dict[str, Any]:
        """Work without pause for `seconds`: what a power window looks at. Returns images done and time taken."""
        begin = time.perf_counter()
        calls = 0
        while time.perf_counter() - begin < seconds:
            self.call()
            calls += 1
        self.session.synchronize()
        return {"items": calls * self.items, "seconds": time.perf_counter() - begin}

    def frame_rate(self, **options: Any) -> dict[str, Any]:
        """Frames that arrive at a fixed rate."""
        from skytrigger.measure.paced import frame_rate

        return _plain(frame_rate(self.call, self.session.synchronize, items=self.items, **options))

    def streams(self, duration_s: float) -> dict[str, Any]:
        """As many sessions as streams, each in a thread of its own."""
        from skytrigger.measure.inputs import rotating
        from skytrigger.measure.streams import concurrent
        from skytrigger.runtimes.open import open_session

        names = ("runtime", "precision", "batch_size", "threads", "device", "input_type")
        asked = {k: self.job[k] for k in names}
        sessions = [open_session(self.job["model"], **asked) for _ in range(self.job["streams"])]
        inputs = [batch[: self.job["batch_size"]] for batch in self.inputs]
        calls = [rotating(_casting(session.run, self.job), inputs) for session in sessions]
        measured = concurrent(calls, items=self.job["batch_size"], duration_s=duration_s)
        for session in sessions:
            session.close()
        return _plain(measured)

    def stages(self, calls: int) -> dict[str, Any]:
        """Decode, prepare, compute, post, each timed apart."""
        from skytrigger.bench.stage_split import stage_split

        return {"samples": stage_split(self.session, self.inputs, calls)}


def _casting(run: Callable[[Any], Any], job: dict[str, Any]) -> Callable[[Any], Any]:
    """`run` itself, or with a cast before it where tiles lie in memory in another type than it takes."""
    kind = job["input_type"]
    return run if job.get("stored") in (None, kind) else lambda tiles: run(tiles.astype(kind))


def _plain(measured: Any) -> dict[str, Any]:
    samples = {name: {"unit": s.unit, "values": s.values, "items": s.items} for name, s in measured.samples.items()}
    return {"samples": samples, "conditions": measured.conditions, "extra": measured.extra, "warmup": measured.warmup}


def _inputs(job: dict[str, Any], card: Any, items: int) -> list[Any]:
    """Several different batches (64 MiB in all at most), from `tiles` (.npy) or drawn from the model's statistics."""
    import numpy as np

    from skytrigger.core.errors import InputError

    kind = job.get("stored") or job["input_type"]
    shape = (items, len(card.channels), *card.size)
    count = max(1, min(int(job.get("inputs", 4)), (64 << 20) // (4 * int(np.prod(shape)))))
    if job.get("tiles"):
        tiles = np.load(job["tiles"], mmap_mode="r", allow_pickle=False)
        if kind not in ("float32", tiles.dtype.name):
            with np.errstate(all="ignore"):
                kept = tiles.astype(kind)
            if not np.array_equal(kept.astype(np.float64), tiles.astype(np.float64)):
                raise InputError(f"tiles of {job['tiles']} do not fit the type {kind}", expected="values it holds")
        rows = np.arange(count * items) % len(tiles)
        return [np.ascontiguousarray(tiles[part], dtype=kind) for part in rows.reshape(count, items)]
    rng = np.random.default_rng(0)
    mean, std = (np.asarray(v, np.float32)[None, :, None, None] for v in (card.mean, card.std))
    top = np.iinfo(kind).max if np.dtype(kind).kind == "u" else np.inf
    drawn = (np.rint(mean + std * rng.standard_normal(shape, np.float32)) for _ in range(count))
    return [np.clip(tiles, 0, top).astype(kind) for tiles in drawn]


def _answer(out: TextIO, value: dict[str, Any]) -> None:
    print(json.dumps(value, allow_nan=False), file=out, flush=True)


def main() -> None:
    """Serve one job."""
    # Libraries print to stdout: answers get a descriptor of their own, and descriptor 1 becomes stderr.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from skytrigger.core.errors import SkytriggerError, UnavailableError

    job = json.loads(sys.stdin.readline())
    try:
        worker = Worker(job)
    except UnavailableError as error:
        return _answer(out, {"unavailable": str(error)})
    except SkytriggerError as error:
        return _answer(out, {"error": str(error), "exit_code": error.exit_code})
    except Exception as error:  # an engine may raise anything; the parent reports it and goes on
        return _answer(out, {"error": f"{type(error).__name__}: {error}", "exit_code": 1})
    _answer(out, worker.ready())
    requests: dict[str, Callable[..., dict[str, Any]]] = {
        "warm": worker.warm, "slot": worker.slot, "loop": worker.loop, "frame-rate": worker.frame_rate,
        "streams": worker.streams,
        "stages": worker.stages,
    }  # fmt: skip
    for line in sys.stdin:
        request = json.loads(line)
        try:
            _answer(out, requests[request.pop("do")](**request))
        except Exception as error:  # same
            _answer(out, {"error": f"{type(error).__name__}: {error}", "exit_code": 1})
    worker.session.close()


if __name__ == "__main__":
    main()
