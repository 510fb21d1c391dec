"""The 2019 study's own figures, to set new devices beside them; never mixed with what was measured here."""

from __future__ import annotations

import math
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError

FIGURES = ("ms_per_image", "ms", "watts")


def read_origin(path: str | Path | None = None) -> dict[str, Any]:
    """``source``, ``year``, ``time`` (one dict for each figure) and ``unavailable``; the package's own file by default.

    ``results/origin.toml`` is a copy of it for readers.

    Raises
    ------
    InputError
        Missing, not TOML, or an entry without device, task, runtime and one positive figure.
    """
    try:
        file = resources.files("skytrigger.measure") / "origin.toml" if path is None else Path(path)
        study = tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if not isinstance(study.get("source"), str) or not isinstance(study.get("time"), list):
        raise InputError(f"{path} has no source or no [[time]] entries")
    for number, entry in enumerate(study["time"], 1):
        figures = [entry[f] for f in FIGURES if f in entry] if isinstance(entry, dict) else []
        good = [f for f in figures if isinstance(f, int | float) and math.isfinite(f) and f > 0]
        if not good or len(good) != len(figures) or not all(entry.get(k) for k in ("device", "task", "runtime")):
            raise InputError(f"{path}, entry {number}: {entry}", expected=f"device, task, runtime and {FIGURES}")
    return study
