"""A measured program seen from its parent, which sleeps while it works."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from skytrigger.core.errors import InputError, SkytriggerError, UnavailableError

TIMEOUT_S = 600.0


class WorkerProcess:
    """Start `bench.worker` on a job; `ask` sends a request and sleeps until its answer is there.

    Raises
    ------
    UnavailableError
        This machine cannot do what the job asks for.
    InputError, SkytriggerError
        The job is wrong, or its process failed.
    """

    def __init__(self, job: dict[str, Any], timeout_s: float = TIMEOUT_S) -> None:
        self.timeout_s = timeout_s
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process; closed in close()
        threads = str(job["threads"])
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
        begin = time.perf_counter()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "skytrigger.bench.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            env={**os.environ, **dict.fromkeys(names, threads)},
        )  # fmt: skip
        self._buffer = b""
        try:
            self.ready = self._exchange(job, timeout_s)
        except BaseException:
            self.close()
            raise
        self.cold = {"process_s": time.perf_counter() - begin, **self.ready["cold"]}

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """One request and its answer; what is asked to last longer may answer later."""
        lasts_s = sum(float(arguments.get(name) or 0) for name in ("seconds", "duration_s"))
        return self._exchange({"do": do, **arguments}, self.timeout_s + lasts_s)

    def _exchange(self, message: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        stdin = self._child.stdin
        if stdin is None:
            raise SkytriggerError("the measured process has no input")
        with contextlib.suppress(BrokenPipeError):  # its answer, or its absence, says why
            stdin.write(json.dumps(message).encode() + b"\n")
            stdin.flush()
        answer: dict[str, Any] = json.loads(self._line(timeout_s))
        if "unavailable" in answer:
            raise UnavailableError(answer["unavailable"])
        if "error" in answer:
            raise (InputError if answer["exit_code"] == 2 else SkytriggerError)(answer["error"])
        return answer

    def _line(self, timeout_s: float) -> bytes:
        """Sleep until a whole line is there."""
        stdout = self._child.stdout
        if stdout is None:
            raise SkytriggerError("the measured process has no output")
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                raise SkytriggerError(f"the measured process did not answer within {timeout_s:g} s")
            part = os.read(stdout.fileno(), 1 << 20)
            if not part:
                raise SkytriggerError(f"the measured process ended ({self._death()})")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _death(self) -> str:
        code = self._child.wait(10)
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        why = signal.Signals(-code).name if code < 0 else f"code {code}"
        return f"{why}: {lines[-1]}" if lines else why

    def close(self) -> None:
        """End the process; an unwilling one is killed."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._log.close()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
