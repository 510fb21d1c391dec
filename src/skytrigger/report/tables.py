"""The report's tables as CSV: each as it is shown, and the records with intervals in columns of their own."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

from skytrigger.core.files import write_text
from skytrigger.measure.records import Record
from skytrigger.measure.tables import to_csv
from skytrigger.report.content import Section, Table, Value


def write_tables(sections: Sequence[Section], records: Sequence[Record], out: Path) -> list[Path]:
    """``tables/<section>[-<n>].csv`` and, where there are records, ``tables/records.csv``; the folder is replaced."""
    folder = out / "tables"
    shutil.rmtree(folder, ignore_errors=True)
    files = []
    for section in sections:
        tables = [b for b in section.blocks if isinstance(b, Table) and b.rows]
        for number, table in enumerate(tables, 1):
            mark = f"-{number}" if len(tables) > 1 else ""
            files.append(folder / f"{section.key}{mark}.csv")
            write_text(files[-1], table_csv(table))
    if records:
        files.append(folder / "records.csv")
        write_text(files[-1], to_csv(records))
    return files


def table_csv(table: Table) -> str:
    """A column for each heading, and behind it one for what stands in small below its figures, where anything does."""
    small = [any(row[i].small for row in table.rows) for i in range(len(table.head))]
    head = [
        c for name, more in zip(table.head, small, strict=True) for c in ([name, f"{name}: below"] if more else [name])
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for row in table.rows:
        writer.writerow(c for value, more in zip(row, small, strict=True) for c in _cells(value, more))
    return text.getvalue()


def _cells(value: Value, more: bool) -> list[str]:
    return [_safe(value.text), _safe(value.small)] if more else [_safe(value.text)]


def _safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "@", "\t", "\r") else text
