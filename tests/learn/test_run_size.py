"""How large a run folder gets is said before it is."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiny
from skytrigger.core.errors import InputError
from skytrigger.eo.networks import build
from skytrigger.learn import run_folder
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.run_folder import RunFolder
from skytrigger.learn.train import train


@pytest.mark.parametrize("changes", [{}, {"patience": 1, "ema": 0.9}])
def test_the_size_that_is_said_is_the_folder_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, float]
) -> None:
    said: list[int] = []
    monkeypatch.setattr(RunFolder, "announce", lambda self, size: said.append(size))
    recipe = Recipe("regularized", epochs=1, batch_size=16, precision="fp32", options={}, **changes)  # type: ignore[arg-type]
    train(build, tiny.dataset(), tiny.split(), recipe, tmp_path, threads=1)
    held = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert said[0] == pytest.approx(held, rel=0.05)


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.announce(1_080_000_000)
    assert "will hold 1.08 GB" in capsys.readouterr().err
    folder.announce(1000)
    assert not capsys.readouterr().err
    free = run_folder.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(run_folder.shutil, "disk_usage", lambda path: free._replace(free=10**9))
    with pytest.raises(InputError, match=r"will hold 1.08 GB, 1.00 GB are free"):
        folder.announce(1_080_000_000)
