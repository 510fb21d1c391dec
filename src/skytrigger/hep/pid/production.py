"""Simulated showers into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.errors import InputError
from skytrigger.core.files import atomic_path
from skytrigger.core.progress import track
from skytrigger.hep.pid.columns import table_of
from skytrigger.hep.pid.formats import SUFFIXES, open_writer
from skytrigger.hep.pid.geometry import CLASSES
from skytrigger.hep.pid.simulator import BLOCK, Beam, simulate

BLOCKS_PER_WRITE = 32
SHOWERS_PER_PROCESS = 2000
"""Fewer do not pay for the start of a process."""


def produce(
    out: Path, count: int, seed: int, beam: Beam, *, content: str = "clusters", processes: int = 1
) -> dict[str, Any]:
    """Simulate `count` showers into `out`; returns what was written.

    `content`: ``clusters``, ``hits`` or ``both``. The showers, and the bytes of Parquet and HDF5 files, do not depend
    on `processes`. (ROOT files carry the time of writing.)
    """
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"cannot write {out}", expected=", ".join(f"*{s}" for s in SUFFIXES))
    facts = {"kind": "synthetic", "seed": seed, "showers": count, **beam.facts}
    kinds, clusters, hits = np.zeros(len(CLASSES), np.int64), 0, 0
    processes = max(1, min(processes, count // SHOWERS_PER_PROCESS))
    blocks = simulate(count, seed, beam, processes=processes, hits=content != "clusters")
    with atomic_path(out) as temporary, track("simulate", count) as advance:
        writer = open_writer(temporary, out.suffix, facts)
        try:
            waiting = []
            for block in blocks:
                waiting.append(block)
                found, cells = block
                kinds += np.bincount(found.label, minlength=len(CLASSES))  # type: ignore[arg-type]
                clusters += len(found.clusters)
                hits += 0 if cells is None else len(cells.x)
                if len(waiting) == BLOCKS_PER_WRITE:
                    writer.write(table_of(waiting, content != "hits"))
                    waiting = []
                advance(min(BLOCK, len(found)))
            if waiting:
                writer.write(table_of(waiting, content != "hits"))
        finally:
            writer.close()
    classes = {name: int(n) for name, n in zip(CLASSES, kinds, strict=True)}
    return {"showers": count, "seed": seed, "synthetic": True, "classes": classes, "clusters": clusters, "hits": hits}
