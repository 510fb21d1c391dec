"""Parquet files from strangers: a few bytes can declare a billion rows, so sizes are bounded before anything is read.

Run-length and dictionary encoding repeat a value for nothing. Numbers and lists are bounded by the counts that the
file's footer states; text is kept as a dictionary, so that one long string repeated is held once, and its length as
plain text is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError

LIMIT_BYTES = 4 << 30
ROWS_AT_ONCE = 65_536
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}


def read_table(path: str | Path, columns: Sequence[str] | None = None, *, limit_bytes: int = LIMIT_BYTES) -> Any:
    """A `pyarrow.Table` of those columns (default: all; names that the file lacks are left out).

    Text columns come as dictionaries; `to_pylist` gives their plain values.

    Raises
    ------
    InputError
        No Parquet, damaged, or columns that would take more than `limit_bytes` in memory.
    """
    import pyarrow as pa
    from pyarrow import parquet

    path = Path(path)
    try:
        with parquet.ParquetFile(path, thrift_string_size_limit=1 << 26, thrift_container_size_limit=1 << 22) as file:
            wanted = [n for n in file.schema_arrow.names if columns is None or n in columns]
            text = _check_footer(file.metadata, wanted, path, limit_bytes)
        with parquet.ParquetFile(path, read_dictionary=text) as file:
            batches, held = [], 0
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=wanted):
                held += sum(_plain_bytes(column) for column in batch.columns)
                if held > limit_bytes:
                    raise InputError(f"{path} unpacks to more than {limit_bytes} bytes")
                batches.append(batch)
            schema = batches[0].schema if batches else pa.schema([file.schema_arrow.field(n) for n in wanted])
            return pa.Table.from_batches(batches, schema).replace_schema_metadata(file.schema_arrow.metadata)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (pa.ArrowException, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is not a valid Parquet file: {error}") from error


def _check_footer(metadata: Any, wanted: Sequence[str], path: Path, limit_bytes: int) -> list[str]:
    """Refuse what the footer itself says is too much; the leaves that hold text."""
    declared, text = 0, []
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group)
        for index in range(rows.num_columns):
            leaf = rows.column(index)
            if leaf.path_in_schema.split(".")[0] not in wanted:
                continue
            width = _WIDTHS.get(leaf.physical_type)
            # offsets of lists and dictionary indices take 4 bytes
            declared += max(leaf.num_values, rows.num_rows) * ((width or 0) + 4) + leaf.total_uncompressed_size
            if width is None and leaf.path_in_schema not in text:
                text.append(leaf.path_in_schema)
    if declared > limit_bytes:
        raise InputError(f"{path} declares {declared} bytes", expected=f"at most {limit_bytes}")
    return text


def _plain_bytes(column: Any) -> int:
    """Bytes of a column as plain values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary)
    total = pc.sum(pc.take(pc.cast(lengths, pa.int64()), column.indices)).as_py()
    return int(column.nbytes) + int(total or 0)
