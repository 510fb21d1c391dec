"""report.html and report.md of a study folder."""

from __future__ import annotations

from pathlib import Path


def build_report(folder: str | Path) -> list[Path]:
    return []
