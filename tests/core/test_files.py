"""Lines that survive a kill, whole files, content addresses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from skytrigger.core.errors import InputError
from skytrigger.core.files import append_line, atomic_path, read_json, read_lines, sha256_json
from skytrigger.study.study_file import Cell


def test_a_torn_last_line_is_cut_off_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a" / "lines.jsonl"
    append_line(path, '{"a": 1}')
    append_line(path, '{"a": 2}\n')
    with open(path, "ab") as stream:
        stream.write(b'{"a": 3, "torn": ')
    assert [line["a"] for line in read_lines(path)] == [1, 2]
    append_line(path, '{"a": 4}')
    assert path.read_bytes() == b'{"a": 1}\n{"a": 2}\n{"a": 4}\n'


def test_a_file_of_one_torn_line_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"torn')
    append_line(path, "{}")
    assert path.read_bytes() == b"{}\n"
    path.write_bytes(b"")
    append_line(path, "{}")
    assert path.read_bytes() == b"{}\n"


@pytest.mark.parametrize(
    ("content", "words"), [(b"{}\n[]\n", "line 2: not a JSON object"), (b"\n{\n{}\n", "line 2: not")]
)
def test_a_bad_line_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_lines(path)


def test_json_up_to_a_size(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[1, 2]")
    assert read_json(path, limit_bytes=6) == [1, 2]
    with pytest.raises(InputError, match="6 bytes"):
        read_json(path, limit_bytes=5)
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match="not valid JSON"):
        read_json(path)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_cells_address_holds_kind_parameters_and_needs() -> None:
    base = Cell("train", "a", {"x": 1})
    assert Cell("train", "another label", {"x": 1}).key == base.key
    others = [
        Cell("export", "a", {"x": 1}),
        Cell("train", "a", {"x": 2}),
        Cell("train", "a", {"x": 1}, needs=(base,)),
        Cell("train", "a", {"x": 1}, needs=(Cell("export", "a", {"x": 1}),)),
    ]
    assert len({c.key for c in [base, *others]}) == 5
    assert Cell("train", "a", {"b": 1, "a": 2}).key == Cell("train", "a", {"a": 2, "b": 1}).key
    text = json.dumps({"a": 2, "b": [1]}, separators=(",", ":"))
    assert sha256_json({"b": [1], "a": 2}) == hashlib.sha256(text.encode()).hexdigest()
