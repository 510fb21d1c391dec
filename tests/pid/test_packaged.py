"""The network in the package: small, and as good on fresh showers as its results say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from skytrigger.cli.main import main
from skytrigger.hep.pid.data import load_showers
from skytrigger.hep.pid.evaluation import evaluate
from skytrigger.hep.pid.packaged import NAME, PACKAGED
from skytrigger.hep.pid.production import produce
from skytrigger.hep.pid.simulator import VERSION, Beam
from skytrigger.model.file import read_model


def test_it_is_small_and_says_where_it_comes_from():
    file = read_model(PACKAGED[NAME])
    assert len(file.content) <= 300_000
    notes = file.card.notes
    assert notes["source"]["kind"] == "synthetic"
    assert notes["source"]["simulator"] == VERSION
    assert 0.5 < notes["calibration"]["temperature"] < 2
    assert [head.name for head in file.card.heads] == ["identity", "energy"]


def test_it_answers_fresh_showers():
    found, _ = evaluate(PACKAGED[NAME], load_showers(["synthetic:1200:77"]), threads=1)
    assert found["part"] == "all"
    assert found["accuracy"] > 0.78
    assert found["recall"]["muon"] > 0.99
    assert found["recall"]["charged_hadron"] > 0.97
    assert abs(found["bias"]["photon"]["median"]) < 0.01
    assert found["resolution"]["charged_hadron"]["sigma68"] < 0.13
    low, high = found["calibration"]["coverage"]["one_sigma"]["interval_95"]
    assert low < 0.70
    assert high > 0.66


def test_pid_run_works_out_of_the_box(tmp_path: Path, capsys):
    produce(tmp_path / "hits.parquet", 64, 2, Beam(), content="hits")
    assert main(["pid", "run", str(tmp_path / "hits.parquet"), "--out", str(tmp_path / "out.csv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n"] == 64
    assert sum(found["particles"].values()) == 64
    header = (tmp_path / "out.csv").read_text().splitlines()[0]
    for column in ("particle", "p_photon", "energy", "energy_sigma", "clusters_left_out", "extrapolated"):
        assert column in header
    assert main(["pid", "run", str(tmp_path / "none.parquet"), "--out", str(tmp_path / "x.csv")]) == 2
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.slow
def test_energies_beyond_the_trained_ones_are_counted(tmp_path: Path):
    produce(tmp_path / "far.parquet", 800, 3, Beam(energy=(300, 600), mix=(1, 1, 0, 1)))
    found, _ = evaluate(PACKAGED[NAME], load_showers([str(tmp_path / "far.parquet")]), threads=1)
    assert found["extrapolated"] > 400
    assert set(found["response_outside"]) == {"photon", "electron", "charged_hadron"}
    for row in found["response_outside"].values():
        assert all(b["low"] >= 400 for b in row["bins"])
        assert np.isfinite([b["median"] for b in row["bins"]]).all()
