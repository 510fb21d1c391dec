"""A replay's state on disk, whole or absent, with a checksum: what a killed replay goes on from."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.errors import InputError
from skytrigger.core.files import write_bytes

_MARK = b"skytrigger onboard 1\n"


def pack(state: dict[str, Any]) -> bytes:
    """Arrays and numbers by name as bytes, a SHA-256 before them."""
    stream = io.BytesIO()
    arrays: dict[str, Any] = {k: np.asarray(v) for k, v in state.items()}
    np.savez(stream, **arrays)
    content = stream.getvalue()
    return _MARK + hashlib.sha256(content).digest() + content


def unpack(data: bytes, where: str = "the checkpoint") -> dict[str, Any]:
    """What `pack` was given.

    Raises
    ------
    InputError
        Bytes that are not what was written.
    """
    start = len(_MARK) + 32
    content = data[start:]
    if not data.startswith(_MARK) or hashlib.sha256(content).digest() != data[len(_MARK) : start]:
        raise InputError(f"{where} is damaged", remedy="remove the folder, then replay from the start")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {k: archive[k] for k in archive.files}


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a state in place of the last one."""
    write_bytes(path, pack(state))


def load(path: Path) -> dict[str, Any] | None:
    """The last state, or None where there is none."""
    return unpack(path.read_bytes(), str(path)) if path.exists() else None
