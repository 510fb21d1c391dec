"""Small doublet files, written as the study's are."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from skytrigger.core.dataset import Dataset
from skytrigger.hep.doublets.simulator import simulate

Write = Callable[..., Path]


@pytest.fixture(scope="session")
def doublets() -> Dataset:
    """1,500 simulated doublets."""
    return simulate(1500, seed=3)


@pytest.fixture
def write_file(tmp_path: Path) -> Write:
    """Write (x, y) as the study does; `change` may alter the open file before it is closed."""

    def write(
        x: Any,
        y: Any,
        *,
        name: str = "doublets.h5",
        gzipped: bool = False,
        change: Callable[[h5py.File], None] = lambda file: None,
    ) -> Path:
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            group = file.create_group("data")
            group["block0_values"] = np.asarray(x).reshape(len(x), -1)
            group["block0_items"] = np.array([f"{p}Pix{i + 1}" for p in ("in", "out") for i in range(256)], dtype="S9")
            group["block1_values"] = np.stack([1 - np.asarray(y), np.asarray(y)], axis=1).astype(np.float64)
            change(file)
        if gzipped:
            path.write_bytes(gzip.compress(path.read_bytes()))
        return path

    return write
