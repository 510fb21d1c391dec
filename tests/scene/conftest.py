"""Scenes that several tests look at, and a stand-in for a network whose answers tell which pixels it saw."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rasterio")


class Fingerprints:
    """Lanes whose 'logits' are facts of a tile: means of each band's quarters and corner pixels."""

    input_type, codes, batch, native = "uint16", None, 29, ()
    facts: dict = {"version": "0"}

    def __init__(self, lanes: int = 2) -> None:
        self.count = lanes
        self.seen = 0

    def __len__(self) -> int:
        return self.count

    def logits(self, lane: int):
        return self.of

    def of(self, tiles: np.ndarray) -> np.ndarray:
        self.seen += len(tiles)
        return fingerprint(tiles)


def fingerprint(tiles: np.ndarray) -> np.ndarray:
    t = tiles.astype(np.float64)
    high, wide = t.shape[-2] // 2, t.shape[-1] // 2
    parts = [t[..., a : a + high, b : b + wide].mean(axis=(2, 3)) for a in (0, high) for b in (0, wide)]
    corners = [t[..., a, b] for a in (0, -1) for b in (0, -1)]
    return np.concatenate([*parts, *corners], axis=1).astype(np.float32)


@pytest.fixture
def fingerprints() -> Fingerprints:
    return Fingerprints()
