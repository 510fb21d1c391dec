"""Files a run folder may hold when it comes from somebody else."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from skytrigger.core.errors import InputError
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.run_folder import load_tensors
from skytrigger.study.toml import load_spec


def _safetensors(path: Path, header: Any, data: bytes = bytes(16), length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def _tensor(shape: list[int], offsets: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


def test_an_honest_file_is_read(tmp_path: Path) -> None:
    tensors, _ = load_tensors(_safetensors(tmp_path / "a.safetensors", _tensor([4], [0, 16])))
    assert tensors["w"].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("header", "length"),
    [
        (_tensor([4], [0, 16]), 2**63),  # a header longer than memory
        (_tensor([4], [0, 16]), 200_000_000),
        (_tensor([1 << 40], [0, 1 << 42]), None),  # data beyond the end
        (_tensor([1 << 40], [0, 16]), None),  # a shape that its bytes cannot hold
        (_tensor([1 << 62, 1 << 62], [0, 16]), None),  # and one that overflows
        (_tensor([4], [8, 24]), None),
        (_tensor([-4], [0, 16]), None),
        (_tensor([4], [0, 16], "OBJECT"), None),
        ({f"w{i}": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for i in range(1000)}, None),  # shared bytes
        (b"[" * 100_000, None),
        (b"\xff\xfe", None),
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, header: Any, length: int | None) -> None:
    path = _safetensors(tmp_path / "a.safetensors", header, length=length)
    with pytest.raises(InputError, match=r"a\.safetensors is not a valid safetensors file"):
        load_tensors(path)


def test_text_nested_without_end_is_no_crash(tmp_path: Path) -> None:
    deep = tmp_path / "deep.toml"
    deep.write_text("x = " + "[" * 50_000)
    with pytest.raises(InputError, match="recipe"):
        Recipe.read(deep)
    with pytest.raises(InputError, match="TOML"):
        load_spec(str(deep))
