"""Step: the tests that need a GPU."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from skytrigger.core.files import write_text
from skytrigger.core.host import host_facts
from skytrigger.core.progress import say
from skytrigger.measure.records import Record, append

# what was brought comes last on the import path, as in the steps themselves
PYTEST = """
import os, sys
sys.path += [p for p in [os.environ.get("GPU_PLAN_PACKAGES")] if p]
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


def run(out: Path, simulate: bool, data: Path | None = None) -> None:
    """The test runner's own words into `out`, and a record of the counts.

    Raises
    ------
    SystemExit
        The tests did not run; that some failed is a result.
    """
    out.mkdir(parents=True, exist_ok=True)
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PYTEST, "tests/gpu", "-rs", "-p", "no:cacheprovider"]
    source = os.pathsep.join([str(root / "src"), os.environ.get("PYTHONPATH", "")])
    with (out / "log.partial").open("w") as log:  # on disk as it comes: what a killed run said is kept
        done = subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": source}, stdout=log, stderr=log)
    text = (out / "log.partial").read_text()
    write_text(out / "tests.txt", text.replace(str(root), ".").replace(sys.prefix, "<python>"))
    (out / "log.partial").unlink()
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", text)}
    extra = {"returned": done.returncode, "counts": counts} | ({"simulated": True} if simulate else {})
    append(out / "records.jsonl", Record("control", {"network": "tests/gpu"}, host_facts(), {}, extra=extra))
    say(f"tests/gpu: {counts}")
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest returned {done.returncode}: {text[-2000:]}")
