"""Change: noise is not called change, real change is, and the stated false-alarm rate holds."""

from __future__ import annotations

import base64
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio

from scene.make_scenes import pixels, safe
from skytrigger.cli.main import main
from skytrigger.core.errors import InputError
from skytrigger.eo.change.compare import change
from skytrigger.eo.change.signs import signs
from skytrigger.eo.change.transitions import fit_transitions, reported_given_true
from skytrigger.eo.scene.classify import Options, classify_scene
from skytrigger.eo.scene.engine import model_for
from skytrigger.eo.scene.reject import scene_facts

GROUND = np.array([0.3, 0.25, 0.15, 0.02, 0.03, 0.1, 0.05, 0.05, 0.02, 0.03])


@pytest.fixture(scope="module")
def confusion():
    return scene_facts(model_for("eurosat_ms")).confusion


def noisy(true: np.ndarray, confusion: np.ndarray, seed: int) -> np.ndarray:
    """One map's report of the ground, with the errors of its confusion."""
    p = reported_given_true(confusion)
    random = np.random.default_rng(seed)
    return (random.random((len(true), 1)) > np.cumsum(p, axis=1)[true]).sum(axis=1)


def counted(a, b, k=10):
    counts = np.zeros((k, k), np.int64)
    np.add.at(counts, (a, b), 1)
    return counts


@pytest.mark.parametrize("seed", range(5))
def test_two_noisy_views_of_one_scene(confusion, seed):
    """Nothing changed; the share that is called changed is what was stated."""
    true = np.random.default_rng(seed).choice(
        10, 29_584, p=np.r_[0.3, 0.25, 0.15, 0.02, 0.03, 0.1, 0.05, 0.05, 0.02, 0.03]
    )
    a, b = noisy(true, confusion, 10 + seed), noisy(true, confusion, 20 + seed)
    assert (a != b).mean() > 0.08  # comparing the maps cell by cell would call all that
    found = fit_transitions(counted(a, b), confusion, confusion)
    called = found.called[a, b].mean()
    assert called <= found.false_alarm_rate + 3 * np.sqrt(max(found.false_alarm_rate, 1e-5) / len(true))
    assert called < 0.01
    assert np.trace(found.shares) > 0.98


def test_real_change_is_found(confusion):
    """8 % of the ground went from crops to buildings: most of it is called, little else."""
    random = np.random.default_rng(3)
    true = random.choice(10, 29_584, p=np.r_[0.4, 0.3, 0.1, 0, 0, 0.1, 0, 0.05, 0, 0.05])
    new = true.copy()
    moved = (true == 0) & (random.random(len(true)) < 0.2)
    new[moved] = 7
    a, b = noisy(true, confusion, 1), noisy(new, confusion, 2)
    found = fit_transitions(counted(a, b), confusion, confusion)
    called = found.called[a, b]
    assert called[moved].mean() > 0.7
    assert called[~moved].mean() < 0.01
    assert found.shares[0, 7] == pytest.approx(moved.mean(), rel=0.15)
    assert (found.likeliest[0, 7] == (0, 7)).all()
    assert (called & ~moved).sum() / called.sum() < 0.1


def test_shares_and_probabilities_are_such(confusion):
    counts = np.random.default_rng(0).integers(0, 50, (10, 10))
    found = fit_transitions(counts, confusion, confusion)
    assert found.shares.sum() == pytest.approx(1)
    assert ((found.changed >= 0) & (found.changed <= 1)).all()
    assert 0 <= found.false_alarm_rate <= 1
    # classes in another order give the same, in that order
    order = np.random.default_rng(1).permutation(10)
    turned = fit_transitions(counts[np.ix_(order, order)], *([confusion[np.ix_(order, order)]] * 2))
    assert np.allclose(turned.changed, found.changed[np.ix_(order, order)])


def test_nothing_to_compare(confusion):
    with pytest.raises(InputError, match="no cell"):
        fit_transitions(np.zeros((10, 10), np.int64), confusion, confusion)
    with pytest.raises(InputError, match="classes"):
        fit_transitions(np.ones((3, 3), np.int64), confusion, confusion)


def test_signs():
    def one(**values):
        return {k: np.array([v], np.float32) for k, v in values.items()}

    green = one(ndvi=0.7, nbr=0.5, ndwi=-0.5, ndbi=-0.2)
    assert {k: bool(v[0]) for k, v in signs(green, one(ndvi=0.2, nbr=-0.2, ndwi=-0.4, ndbi=0.2)).items()} == {
        "burned": True, "flooded": False, "bared": True,
    }  # fmt: skip
    assert signs(green, one(ndvi=0.1, nbr=0.4, ndwi=0.3, ndbi=-0.4))["flooded"][0]
    assert not any(v[0] for v in signs(green, green).values())
    assert not any(v[0] for v in signs(green, one(ndvi=np.nan, nbr=np.nan, ndwi=np.nan, ndbi=np.nan)).values())
    assert set(signs(one(ndwi=0.0), green)) == {"flooded"}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    bands = pixels(570, 450)
    later = {n: v.copy() for n, v in bands.items()}
    for name, values in later.items():  # the upper right quarter drowns: dark, darkest in the infrared
        h, w = values.shape
        part = values[: h // 2, w // 2 :]
        infrared = name in ("B08", "B8A", "B11", "B12", "B06", "B07", "B09")
        part[:] = np.where(part > 0, part // (8 if infrared else 1) + 1, 0)
    return safe(folder / "a", bands, offset=0.0), safe(folder / "b", later, offset=0.0), folder


def test_change_of_scenes(scenes, capsys):
    before, after, folder = scenes
    summary = change(before, after, folder / "out")
    assert {p.name for p in (folder / "out").iterdir()} >= {
        "change.tif",
        "change.parquet",
        "change.png",
        "change.html",
        "summary.json",
    }
    text = (folder / "out/change.html").read_text()
    assert "http://" not in text
    assert "https://" not in text
    data = json.loads(text.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    assert (data["rows"], data["columns"]) == (8, 9)
    assert len(base64.b64decode(data["sign"])) == 8 * 9
    assert json.loads((folder / "out/summary.json").read_text()) == summary
    assert summary["signs"]["flooded"]["cells"] >= 5
    with rasterio.open(folder / "out/change.tif") as s:
        assert s.descriptions == ("before", "after", "change_percent", "sign")
        sign = s.read(4)
        assert (sign[:3, 5:8] == 2).sum() >= 5
        assert not (sign[5:] == 2).any()
    table = pq.read_table(folder / "out/change.parquet").to_pydict()
    first, second, difference = (np.array(table[c]) for c in ("ndwi_before", "ndwi_after", "d_ndwi"))
    assert np.allclose(difference, second - first, atol=1e-6)
    assert any("season" in n for n in summary["notes"])
    few = 2 * summary["cells_compared"] < summary["cells"]
    assert few == summary["notes"][0].startswith(f"Only {summary['cells_compared']:,} of ")
    # the second time both maps are there already, and a finished map's folder is taken as it is
    assert (
        main(
            ["change", str(folder / "out/before"), str(folder / "out/after"), "--out", str(folder / "again"), "--json"]
        )
        == 0
    )
    again = json.loads(capsys.readouterr().out)
    assert again["transitions_km2"] == summary["transitions_km2"]


def test_the_same_scene_twice(scenes):
    before, _, folder = scenes
    summary = change(before, before, folder / "same")
    assert summary["cells_changed"] == 0
    assert not summary["transitions_km2"]
    assert all(s["cells"] == 0 for s in summary["signs"].values())


def test_refusals(scenes, capsys):
    before, after, folder = scenes
    classify_scene(after, "eurosat_ms", folder / "fine", Options(stride=32))
    arguments = ["change", str(before), str(folder / "fine"), "--out", str(folder / "x")]
    assert main(arguments) == 2
    assert "same tile and stride" in capsys.readouterr().err
    assert main(["change", str(before), str(after), "--out", str(folder / "y"), "--limit", "0.2"]) == 2
    assert main(["change", str(folder / "nothing"), str(after), "--out", str(folder / "z")]) == 2
