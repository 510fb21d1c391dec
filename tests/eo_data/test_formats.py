"""docs/formats.md is what happens: every row is made, read and compared with the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from eo_data.formats_page import PAGE, ROWS, Row, run, shown, table


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_row(row: Row, cache: Path, tmp_path: Path) -> None:
    status, told = run(row, tmp_path)
    assert (status == 2) is row.refused, told
    assert row.expect in told
    line = table([(row, told)]).splitlines()[4]
    assert line in PAGE.read_text(encoding="utf-8"), (
        "write the page anew: PYTHONPATH=tests python tests/eo_data/formats_page.py --write"
    )


def test_the_page_has_no_other_rows() -> None:
    assert len(shown(PAGE.read_text(encoding="utf-8")).splitlines()) == len(ROWS) + 6
