"""Fixtures that every area shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real data, from SKYTRIGGER_TEST_DATA."""
    folder = os.environ.get("SKYTRIGGER_TEST_DATA")
    if not folder:
        pytest.skip("real data: set SKYTRIGGER_TEST_DATA to its folder")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"SKYTRIGGER_TEST_DATA={folder} is not a folder")
    return path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests never touch the user's cache."""
    monkeypatch.setenv("SKYTRIGGER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
