"""A made-up replay's folder, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def made_replay(tmp_path_factory) -> Path:
    for package in ("rasterio", "imagecodecs", "spacepackets"):
        pytest.importorskip(package)
    from onboard import replay_folder

    return replay_folder.make(tmp_path_factory.mktemp("replay") / "out")


@pytest.fixture
def folder(made_replay, tmp_path) -> Path:
    """A copy of it that a test may spoil."""
    shutil.copytree(made_replay, tmp_path / "out")
    return tmp_path / "out"
