"""A whole mission on built-in tiles, end to end; killed and resumed; explained; with a policy of one's own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skytrigger.cli.main import main
from skytrigger.core.errors import InputError
from skytrigger.core.parquet import read_table

pytest.importorskip("skyfield")
pytest.importorskip("rasterio")
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CONTRACT = ("spec.toml", "summary.json", "tiles.parquet", "memory.parquet", "passes.json", "packets")


def run(spec: Path, out: Path, at: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(HERE / "killed.py"), str(spec), str(out), str(at)],
        capture_output=True,
        text=True,
        timeout=300,
    )


def files(folder: Path) -> dict[str, bytes]:
    """All but the times that this run took."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "timing.json"
    }  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, cache):
    """(folder, number of checkpoints) of one replay that nothing disturbs."""
    import os

    os.environ["SKYTRIGGER_CACHE"] = str(cache)
    out = tmp_path_factory.mktemp("whole") / "out"
    done = run(HERE / "small.toml", out)
    assert done.returncode == 0, done.stderr
    return out, int(done.stdout.split()[-1])


def test_it_leaves_what_the_contract_says(undisturbed):
    out, _ = undisturbed
    assert all((out / name).exists() for name in CONTRACT)
    assert not (out / "work").exists()
    summary = json.loads((out / "summary.json").read_text())
    assert summary["synthetic"] is True
    assert set(summary["policies"]) == {"fifo", "value", "tiers"}
    for metrics in summary["policies"].values():
        share = metrics["value_of_oracle"]
        assert 0 <= share["low"] <= share["value"] <= share["high"] + 1e-12 or share["low"] < 0
        assert metrics["memory_peak_bit"]["value"] <= 1.5e11
    of = {n: m["value_of_oracle"]["value"] for n, m in summary["policies"].items()}
    assert of["fifo"] < of["value"] <= 1.0


def test_tiles_and_passes_agree(undisturbed):
    out, _ = undisturbed
    table = {
        c: read_table(out / "tiles.parquet")[c].to_pylist()
        for c in ("tile", "status", "t_sensed_s", "t_ground_s", "pass")
    }
    passes = {p["pass"]: p for p in json.loads((out / "passes.json").read_text())}
    assert len(set(table["tile"])) == len(table["tile"])
    for status, sensed, ground, number in zip(*(table[c] for c in list(table)[1:]), strict=True):
        assert (status == "sent") == (ground is not None) == (number is not None)
        if number is not None:
            assert passes[number]["t_start_s"] - 1e-6 <= ground <= passes[number]["t_end_s"] + 1e-6
            assert ground > sensed
    for one in passes.values():
        assert one["sent_bit"] <= one["capacity_bit"] + 1e-6


def test_packets_hold_the_tiles_that_were_sent(undisturbed):
    from skytrigger.onboard.packets import read

    out, _ = undisturbed
    tiles = read_table(out / "tiles.parquet")
    sent = {t for t, s in zip(tiles["tile"].to_pylist(), tiles["status"].to_pylist(), strict=True) if s == "sent"}
    came = []
    for path in sorted((out / "packets").glob("*.bin")):
        items, faults = read(path)
        assert not faults
        came += [i.tile for i in items]
    assert sorted(came) == sorted(sent)


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_killed_and_resumed_it_ends_as_undisturbed(undisturbed, tmp_path, share):
    whole, count = undisturbed
    out = tmp_path / "out"
    at = max(1, int(count * share) + int(np.random.default_rng().integers(0, 9)))
    assert run(HERE / "small.toml", out, at).returncode == -signal.SIGKILL
    assert (out / "work").exists()
    assert not (out / "summary.json").exists()
    again = run(HERE / "small.toml", out)
    assert again.returncode == 0, again.stderr
    assert int(again.stdout.split()[-1]) < count  # it went on, it did not begin again
    assert files(out) == files(whole)


def test_explain_says_why(undisturbed, capsys):
    out, _ = undisturbed
    table = read_table(out / "tiles.parquet")
    for status in sorted(set(table["status"].to_pylist())):
        tile = table["tile"].to_pylist()[table["status"].to_pylist().index(status)]
        assert main(["onboard", "explain", str(out), tile]) == 0
        said = capsys.readouterr().out
        assert status in said
        assert "found" in said
    assert main(["onboard", "explain", str(out), "S9/9/9"]) == 2
    assert "no tile" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing", "--out", "x"], "sentinel2"),
        (["sentinel2"], "--out"),
        (["explain", "x"], "DIR TILE"),
        (["explain", "nowhere", "S0/0/0"], "no finished replay"),
        (["sentinel2", "--out", "x", "--threads", "0"], "1 to 256"),
    ],
)
def test_wrong_requests_are_named(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["onboard", *words]) == 2
    assert said in capsys.readouterr().err


def test_other_files_are_not_written_over(tmp_path):
    from skytrigger.onboard.mission import replay_mission
    from skytrigger.onboard.spec_file import load_spec

    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="other files"):
        replay_mission(load_spec(HERE / "small.toml"), tmp_path)


def test_the_policy_of_the_docs_runs(tmp_path):
    """docs/onboard.md's example, as it stands there, in at most 20 lines."""
    from onboard.made import MadeStream, Tile
    from skytrigger.onboard import tally
    from skytrigger.onboard.policies.found import policy_named
    from skytrigger.onboard.replay import Replay

    text = (ROOT / "docs" / "onboard.md").read_text()
    code = next(c for c in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "(Policy)" in c)
    assert len(code.strip().splitlines()) <= 20
    (tmp_path / "mine.py").write_text(code)
    name = re.search(r"class (\w+)\(Policy\)", code)[1]
    tiles = [Tile(0, 1.0, cloudy=True), Tile(1, 1.0), Tile(2, 3.0)]
    done = Replay(MadeStream(tiles, [(5, 6)], 9), policy_named(f"mine.py:{name}", tmp_path)).run()
    assert tally.STATUS[done.status[2]] == "sent"
    assert tally.STATUS[done.status[0]] == "dropped"
