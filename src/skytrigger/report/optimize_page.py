"""report.html and report.md of a search: what was chosen and why."""

from __future__ import annotations

from pathlib import Path


def write_page(folder: str | Path) -> list[Path]:
    return [Path(folder) / "report.html"]
