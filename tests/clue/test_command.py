"""`skytrigger clue` from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skytrigger.cli.main import main


@pytest.fixture
def points(tmp_path: Path) -> Path:
    path = tmp_path / "points.csv"
    path.write_text("0,0,0,1\n0.5,0,0,1\n9,9,0,1\n0,0,1,1\n")
    return path


@pytest.mark.parametrize("backend", ["cpu", "reference", "kdtree"])
def test_cluster(points: Path, tmp_path: Path, backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.csv"
    words = ["--dc", "1", "--rhoc", "2", "--seed-distance", "1", "--outlier-distance", "2", "--backend", backend]
    assert main(["clue", str(points), *words, "--out", str(out), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["n_hits"], data["n_clusters"], data["n_unclustered"]) == (4, 1, 2)
    assert out.read_text() == (
        "index,x,y,layer,weight,rho,delta,nh,isSeed,clusterId\n"
        "0,0,0,0,1,2,0.5,1,0,0\n"
        "1,0.5,0,0,1,2,999,-1,1,0\n"
        "2,9,9,0,1,1,999,-1,0,-1\n"
        "3,0,0,1,1,1,999,-1,0,-1\n"
    )


def test_synthetic_scan_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scan.csv"
    assert main(["clue", "synthetic:800:1", "--dc", "1,2", "--rhoc", "3,6", "--out", str(out), "--json"]) == 0
    trials = json.loads(capsys.readouterr().out)["trials"]
    assert len(trials) == 4
    assert trials[0]["f1"] == max(t["f1"] for t in trials)
    assert len(out.read_text().splitlines()) == 5
    picture = tmp_path / "a.svg"
    words = ["--rules", "cmssw", "--noise", "0.1", "--kernel", "flat:0.5", "--picture", str(picture), "--layer", "3"]
    assert main(["clue", "synthetic:800", *words]) == 0
    assert picture.stat().st_size > 1000


@pytest.mark.parametrize(
    "words",
    [
        ["--dc", "0", "--rhoc", "1"],
        ["--dc", "x", "--rhoc", "1"],
        ["--rhoc", "1"],
        ["--dc", "1", "--rhoc", "1", "--backend", "abacus"],
        ["--dc", "1", "--rhoc", "1", "--rules", "none"],
        ["--dc", "1", "--rhoc", "1", "--kernel", "box:1"],
        ["--dc", "1", "--rhoc", "1", "--period", "y:zero"],
        ["--dc", "1", "--rhoc", "1", "--period", "y:1"],
        ["--dc", "1", "--rhoc", "1", "--three-dimensional"],
        ["--dc", "1", "--rhoc", "1", "--out", "a.txt"],
        ["--dc", "1", "--rhoc", "1", "--digits", "0"],
        ["--dc", "1,2", "--rhoc", "1"],
        ["--dc", "1", "--rhoc", "1", "--seed-distance", "1,2"],
    ],
)
def test_wrong_requests(points: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clue", str(points), *words]) == 2
    assert capsys.readouterr().err.startswith("skytrigger: error: ")


def test_wrong_points(capsys: pytest.CaptureFixture[str]) -> None:
    for points in ("nowhere.csv", "synthetic:many", "synthetic:0"):
        assert main(["clue", points, "--dc", "1", "--rhoc", "1"]) == 2
