"""Networks, their training through the house's loop, export, and the way from hits to answers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from skytrigger.cli.main import main
from skytrigger.core.errors import InputError
from skytrigger.hep.pid.answering import answer_events
from skytrigger.hep.pid.application import PID, default_recipe, prepare
from skytrigger.hep.pid.columns import Lists, Table
from skytrigger.hep.pid.data import ENERGY, IDENTITY, dataset_of, load_showers, read_showers
from skytrigger.hep.pid.evaluation import evaluate
from skytrigger.hep.pid.formats import open_writer, read_table
from skytrigger.hep.pid.geometry import CLASSES, MUON
from skytrigger.hep.pid.networks import build
from skytrigger.hep.pid.production import produce
from skytrigger.hep.pid.simulator import Beam
from skytrigger.learn.exporting import export_run
from skytrigger.learn.runs import train_run

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def showers(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pid") / "showers.parquet"
    produce(path, 700, 6, Beam(), content="both")
    return path


@pytest.fixture(scope="module")
def trained(showers: Path, tmp_path_factory) -> Path:
    dataset = load_showers([str(showers)])
    recipe = default_recipe("pid_small", epochs=6, batch_size=16)
    return train_run(
        PID, dataset, PID.split(dataset, "random", 0), recipe, tmp_path_factory.mktemp("run"), threads=1
    ).path


@pytest.fixture(scope="module")
def model(trained: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("model") / "pid.onnx"
    export_run(trained, PID, out)
    return out


@pytest.mark.parametrize(("name", "width"), [("pid_small", 10), ("pid_origin", 30)])
def test_networks_have_two_heads(name: str, width: int):
    network = build(name, 3, (50, width), (4, 2)).eval()
    identity, energy = network(torch.rand(3, 3, 50, width))
    assert identity.shape == (3, 4)
    assert energy.shape == (3, 2)
    count = sum(p.numel() for p in network.parameters())
    assert (count < 100_000) if name == "pid_small" else (count == pytest.approx(24.8e6, rel=0.01))
    for bad in ({"channels": 2}, {"size": (49, width)}, {"outputs": 4}, {"outputs": (4, 2, 1)}):
        given = {"channels": 3, "size": (50, width), "outputs": (4, 2)} | bad
        with pytest.raises(InputError):
            build(name, **given)
    with pytest.raises(InputError, match="options"):
        build(name, 3, (50, width), (4, 2), nonsense=1)


def test_pid_small_does_not_know_the_order_of_clusters_nor_where_phi_begins(showers: Path):
    network = build("pid_small", 3, (50, 10), (4, 2)).eval()
    x = torch.from_numpy(load_showers([str(showers)]).x[:16])
    turned = x.clone()
    turned[:, 2] = torch.where(x[:, 0] > 0, torch.remainder(x[:, 2] + 2.5 + np.pi, 2 * np.pi) - np.pi, 0.0)
    shuffled = x[:, :, :, torch.randperm(10)]
    with torch.inference_mode():
        plain = network(x)
        for other in (network(turned), network(shuffled)):
            for a, b in zip(plain, other, strict=True):
                torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-3)


def test_energy_of_an_untrained_pid_small_is_about_the_sum():
    found = load_showers(["synthetic:64:1"])
    total = found.x[:, 0].sum((1, 2))
    with torch.inference_mode():
        _, values = build("pid_small", 3, (50, 10), (4, 2)).eval()(torch.from_numpy(found.x))
    np.testing.assert_allclose(values[:, 0].numpy(), total, rtol=0.3)


def test_muons_have_no_energy_to_learn(showers: Path):
    dataset = load_showers([str(showers)])
    split = PID.split(dataset, "random", 0)
    _, _, recipe = prepare(dataset, split, default_recipe("pid_small"))
    muon = dataset.targets[IDENTITY] == MUON
    assert np.isnan(dataset.targets[ENERGY][muon]).all()
    assert np.isfinite(dataset.targets[ENERGY][~muon]).all()
    assert len(recipe.options["mean"]) == 3
    assert prepare(dataset, split, default_recipe("pid_origin"))[0] is dataset


def test_loading_refuses_what_it_cannot_do(showers: Path):
    for bad in ({"bands": "eta"}, {"skip_bad": True}):
        with pytest.raises(InputError):
            load_showers([str(showers)], **bad)
    with pytest.raises(InputError, match="layout"):
        load_showers([f"{showers}@none"])
    assert load_showers([f"{showers}@origin"]).x.shape[1:] == (3, 50, 30)
    hits = read_table(showers)
    only_hits = Table(hits.rows, hits.scalars, {"hit": hits.lists["hit"]}, hits.facts)
    np.testing.assert_array_equal(dataset_of(read_showers(showers), "ticl").x[:5], load_showers([str(showers)]).x[:5])
    assert only_hits.rows == 700


def test_training_calibrates_and_file_answers_like_the_run(trained: Path, model: Path, showers: Path):
    card = json.loads((trained / "model.json").read_text())
    assert card["notes"]["calibration"]["temperature"] > 0
    assert card["notes"]["calibration"]["sigma_factor"] > 0
    assert len(card["notes"]["weighted_sum"]["slope"]) == len(CLASSES)
    assert model.stat().st_size < 300_000
    dataset = load_showers([str(showers)])
    of_run, first = evaluate(trained, dataset, part="all", threads=1)
    of_file, second = evaluate(model, dataset, part="all", threads=1)
    np.testing.assert_allclose(first.answers[IDENTITY], second.answers[IDENTITY], atol=5e-3)
    np.testing.assert_allclose(first.answers[ENERGY], second.answers[ENERGY], rtol=2e-3, atol=5e-3)
    for found in (of_run, of_file):
        assert {"accuracy", "recall", "resolution", "bias", "n", "pairs", "calibration", "baselines"} <= set(found)
    assert of_file["recall"]["muon"] > 0.8
    assert of_file["baselines"]["weighted sum"]["resolution"]["photon"]["sigma68"] < 0.05


def test_hits_to_answers(model: Path, showers: Path, tmp_path: Path):
    table = read_table(showers)
    hits = tmp_path / "hits.parquet"
    writer = open_writer(hits, ".parquet", {})
    writer.write(Table(table.rows, {}, {"hit": table.lists["hit"]}))
    writer.close()
    whole = answer_events(hits, model, tmp_path / "a.parquet", rows=1000)
    pieces = answer_events(hits, model, tmp_path / "b.csv", rows=128, batch_size=50)
    assert whole["n"] == pieces["n"] == 700
    assert whole["particles"] == pieces["particles"]
    assert set(whole["seconds_by_stage"]) == {"read", "cluster", "image", "infer", "write"}
    import pyarrow.parquet as pq

    rows = pq.read_table(tmp_path / "a.parquet").to_pydict()
    lines = list(csv.DictReader((tmp_path / "b.csv").open()))
    assert [r["particle"] for r in lines] == rows["particle"]
    clusters = answer_events(showers, model, tmp_path / "c.parquet")
    assert clusters["particles"] == whole["particles"]
    total = np.array([rows[f"p_{c}"] for c in CLASSES]).sum(0)
    np.testing.assert_allclose(total, 1, atol=1e-5)
    muon = np.array(rows["particle"]) == "muon"
    assert np.isnan(np.array(rows["energy"], float)[muon]).all()
    assert np.isfinite(np.array(rows["energy"], float)[~muon]).all()


def test_rows_without_clusters_say_so(model: Path, tmp_path: Path):
    hits = {"x": np.array([50.0, 50.0]), "y": np.array([20.0, 20.0]), "mip": np.array([5.0, 9.0]),
            "layer": np.array([7, 8]), "noise": np.array([0.1, 0.1])}  # fmt: skip
    path = tmp_path / "hits.parquet"
    writer = open_writer(path, ".parquet", {})
    writer.write(Table(3, {}, {"hit": Lists(np.array([0, 0, 2, 2]), hits)}))
    writer.close()
    found = answer_events(path, model, tmp_path / "out.parquet")
    assert (found["n"], found["without_clusters"]) == (3, 2)
    import pyarrow.parquet as pq

    rows = pq.read_table(tmp_path / "out.parquet").to_pydict()
    assert [p == "none" for p in rows["particle"]] == [True, False, True]


def test_extrapolation_is_flagged(model: Path, tmp_path: Path):
    produce(tmp_path / "far.parquet", 64, 1, Beam(energy=(900, 1000), mix=(1, 0, 0, 0)))
    answer_events(tmp_path / "far.parquet", model, tmp_path / "out.parquet")
    import pyarrow.parquet as pq

    rows = pq.read_table(tmp_path / "out.parquet").to_pydict()
    assert np.mean(rows["extrapolated"]) > 0.9


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_every_runtime_answers_like_onnxruntime(model: Path, showers: Path, runtime: str):
    from skytrigger.runtimes.open import open_session

    if runtime == "openvino":
        pytest.importorskip("openvino")
    pictures = load_showers([str(showers)]).x[:80]
    answers = []
    for name in ("onnxruntime", runtime):
        session = open_session(model, name, batch_size=64, threads=1)
        answers.append(session.answers(pictures))
        session.close()
    for head in (IDENTITY, ENERGY):
        np.testing.assert_allclose(answers[1][head], answers[0][head], rtol=1e-3, atol=1e-3)


def test_cmssw_file_answers_like_ours(model: Path, showers: Path, tmp_path: Path):
    import onnxruntime

    from skytrigger.hep.pid.cmssw import PARTICLES, write_cmssw
    from skytrigger.hep.pid.images import channels_last
    from skytrigger.hep.pid.separation import probabilities
    from skytrigger.runtimes.open import open_session

    write_cmssw(model, tmp_path / "cmssw.onnx")
    pictures = load_showers([str(showers)]).x[:50]
    session = open_session(model, batch_size=50, threads=1)
    ours = session.answers(pictures)
    theirs = onnxruntime.InferenceSession(tmp_path / "cmssw.onnx", providers=["CPUExecutionProvider"])
    assert [i.name for i in theirs.get_inputs()] == ["input"]
    energy, identity = theirs.run(
        ["output/regressed_energy", "output/id_probabilities"], {"input": channels_last(pictures)}
    )
    np.testing.assert_allclose(energy, ours[ENERGY][:, :1], rtol=1e-5)
    known = [PARTICLES.index(name) for name in CLASSES]
    chance = probabilities(ours[IDENTITY], session.card.notes["calibration"]["temperature"])
    np.testing.assert_allclose(identity[:, known], chance, atol=1e-5)
    assert not np.delete(identity, known, axis=1).any()
    session.close()


def test_wrong_models_and_outputs_are_refused(showers: Path, tmp_path: Path, model: Path):
    with pytest.raises(InputError, match="heads"):
        answer_events(showers, other_model(), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="cannot write"):
        answer_events(showers, model, tmp_path / "x.txt")
    assert not (tmp_path / "x.parquet").exists()


def other_model() -> Path:
    from skytrigger.hep.doublets.evaluation import packaged

    return packaged()


def test_commands(showers: Path, tmp_path: Path, trained: Path, capsys):
    assert (
        main(["pid", "simulate", "--showers", "40", "--seed", "1", "--out", str(tmp_path / "s.parquet"), "--json"]) == 0
    )
    made = json.loads(capsys.readouterr().out)
    assert made["showers"] == 40
    assert made["showers_per_s"] > 0
    out = ["--out", str(tmp_path / "eval")]
    assert main(["pid", "evaluate", str(trained), "--data", str(showers), "--threads", "1", "--json", *out]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"accuracy", "recall", "resolution", "bias", "n"} <= set(found)
    for picture in ("confusion", "roc", "resolution", "energies"):
        assert (tmp_path / f"eval/{picture}.png").stat().st_size > 5000
    for wrong in (["--energy", "5"], ["--energy", "400:25"], ["--mix", "1,2"], ["--eta", "a:b"], ["--out", "x.txt"]):
        assert main(["pid", "simulate", "--showers", "4", "--out", str(tmp_path / "w.parquet"), *wrong]) == 2
        assert "expected" in capsys.readouterr().err
