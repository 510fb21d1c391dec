"""Small Parquet files that unpack to a lot, and honest ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from skytrigger.core.errors import InputError
from skytrigger.core.parquet import read_table
from skytrigger.learn.predictions import read_predictions


def test_an_honest_table_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"id": ["a", "b", None], "x": [1.5, 2.5, 3.5], "v": [[1, 2], [], [3]], "other": [1, 2, 3]})
    parquet.write_table(table, path, row_group_size=2)
    found = read_table(path, ("id", "x", "v", "missing"))
    assert found.column_names == ["id", "x", "v"]
    assert found.to_pydict() == table.drop_columns(["other"]).to_pydict()
    assert read_table(path).column_names == table.column_names
    parquet.write_table(table.slice(0, 0), path)
    assert read_table(path).num_rows == 0


def test_a_billion_rows_of_nothing_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with parquet.ParquetWriter(path, pa.schema([("x", pa.int64())])) as writer:
        for _ in range(10):
            writer.write_table(pa.table({"x": pa.nulls(40_000_000, pa.int64())}), row_group_size=40_000_000)
    assert path.stat().st_size < 2_000_000
    with pytest.raises(InputError, match="declares 48"):
        read_table(path)


def test_one_long_string_repeated_is_counted_as_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"id": pa.array(["a" * 1000] * 100_000)}), path)
    assert path.stat().st_size < 50_000
    assert read_table(path, limit_bytes=110_000_000).num_rows == 100_000
    with pytest.raises(InputError, match="unpacks to more than"):
        read_table(path, limit_bytes=99_000_000)


def test_lists_are_bounded_by_their_elements(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"v": [np.zeros(1_000_000, np.float32)] * 3}), path)
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="declares 24"):
        read_table(path, limit_bytes=20_000_000)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 60 + b"\x10\0\0\0PAR1"])
def test_what_is_no_parquet_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    for read in (read_table, read_predictions):
        with pytest.raises(InputError, match=r"a\.parquet"):
            read(path)


def test_predictions_do_not_unpack_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    with parquet.ParquetWriter(path, pa.schema([("id", pa.string()), ("true", pa.int64())])) as writer:
        rows = pa.table({"id": pa.nulls(60_000_000, pa.string()), "true": pa.nulls(60_000_000, pa.int64())})
        for _ in range(8):
            writer.write_table(rows, row_group_size=60_000_000)
    with pytest.raises(InputError, match=r"predictions\.parquet is not a predictions file.*declares"):
        read_predictions(path)
