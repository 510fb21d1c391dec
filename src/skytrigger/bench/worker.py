"""The measured program: a process of its own that opens one session and does what its parent asks, line by line.

The job is JSON on stdin's first line; each further line is a request, answered by one JSON line. Nothing is pickled.
While this process works its parent sleeps in a read. The end of stdin ends the process.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

BEGIN_S = time.perf_counter()


class Worker:
    """One open session and the inputs it is fed with.

    The job holds `EngineSpec`'s entries and ``tiles``, ``stored``, ``flush`` and ``codec`` of the bench's options.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        from skytrigger.bench.inputs import CacheFlush, batches, rotating
        from skytrigger.measure.clocks import CudaClock
        from skytrigger.runtimes.open import open_session
        from skytrigger.runtimes.spec import EngineSpec

        self.job, self.spec = job, EngineSpec.from_json(job)
        imported_s = time.perf_counter()
        self.session = open_session(job["model"], self.spec)
        opened_s = time.perf_counter()
        self.items = self.spec.images
        kind = job.get("stored") or self.spec.input_type
        native = bool(self.session.model.native)
        tiles = batches(self.session.card, self.items, "float32" if native else kind, job.get("tiles"))
        # native pixels are made beforehand: bringing tiles back to them is no part of the network's use
        self.inputs: list[Any] = [self.session.given(t).astype(kind) for t in tiles] if native else list(tiles)
        self.call = rotating(self._run_of(self.session), self.inputs)
        stream = getattr(self.session, "stream", None)  # of a session on a GPU that tells which
        self.device_clock = CudaClock(stream) if stream is not None and self.spec.streams == 1 else None
        self.flush = CacheFlush() if job.get("flush") else None
        made_s = time.perf_counter()
        self.call()
        self.session.synchronize()
        first_s = time.perf_counter() - made_s
        self.cold = {"import_s": imported_s - BEGIN_S, "open_s": opened_s - imported_s, "first_s": first_s}

    def _run_of(self, session: Any) -> Callable[[Any], Any]:
        """What is timed: all answers, after a cast where tiles lie in memory in another type than the session takes."""
        run: Callable[[Any], Any] = session.run if len(session.heads) == 1 else session.answers
        kind = self.spec.input_type
        return run if self.job.get("stored") in (None, kind) else lambda tiles: run(tiles.astype(kind))

    def ready(self) -> dict[str, Any]:
        """What the session really is, and how long a cold start took."""
        from skytrigger.core.host import host_facts

        return {"facts": self.session.facts, "cold": self.cold, "host": host_facts(), "items": self.items}

    def warm(self, **rule: float) -> dict[str, Any]:
        """Warm up by the rule."""
        from skytrigger.bench.warmup import WarmUp

        def step() -> None:
            self.call()
            self.session.synchronize()

        return WarmUp(**rule).run(step)  # type: ignore[arg-type]

    def slot(self, **how: Any) -> dict[str, Any]:
        """One `loop.visit`."""
        from skytrigger.bench.loop import visit

        got = visit(self.call, self.session.synchronize, between=self.flush, device_clock=self.device_clock, **how)
        return {"seconds": got.seconds, "device": got.device_seconds, "conditions": got.conditions}

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
        from skytrigger.bench.frames import frame_rate

        return _plain(frame_rate(self.call, self.session.synchronize, items=self.items, **options))

    def streams(self, duration_s: float) -> dict[str, Any]:
        """As many sessions as streams, each in a thread of its own."""
        from dataclasses import replace

        from skytrigger.bench.inputs import rotating
        from skytrigger.bench.streams import concurrent
        from skytrigger.runtimes.open import open_session

        single, size = replace(self.spec, streams=1), self.spec.batch_size
        sessions = [open_session(self.job["model"], single) for _ in range(self.spec.streams)]
        inputs = [batch[:size] for batch in self.inputs]
        calls = [rotating(self._run_of(session), inputs) for session in sessions]
        measured = concurrent(calls, items=size, duration_s=duration_s)
        for session in sessions:
            session.close()
        return _plain(measured)

    def stages(self, calls: int) -> dict[str, Any]:
        """Decode (where the job names who can), prepare, compute, post, each timed apart."""
        from skytrigger.bench.loop import Measured
        from skytrigger.bench.stages import stage_split
        from skytrigger.core.errors import InputError

        if self.session.model.native:
            raise InputError("the scenario stages for a network on native pixels", expected="another scenario")

        module, _, name = (self.job.get("codec") or "").partition(":")
        codec = getattr(importlib.import_module(module), name)(self.session.card) if module else None
        return _plain(Measured(stage_split(self.session, self.inputs, calls, codec), {}))


def _plain(measured: Any) -> dict[str, Any]:
    samples = {name: {"unit": s.unit, "values": s.values, "items": s.items} for name, s in measured.samples.items()}
    return {"samples": samples, "conditions": measured.conditions, "extra": measured.extra}


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
        "streams": worker.streams, "stages": worker.stages,
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
