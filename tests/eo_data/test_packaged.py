"""The classifiers in the package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skytrigger.applications.registry import model_path
from skytrigger.cli.main import main
from skytrigger.core.errors import InputError
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.load import load
from skytrigger.eo.packaged import PACKAGED, packaged
from skytrigger.eo.synthetic import make
from skytrigger.model.file import read_model
from skytrigger.runtimes.open import open_session

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
TAKES = {"ms": EUROSAT_ORDER, "rgb": ("B04", "B03", "B02"), "l2a": [b for b in EUROSAT_ORDER if b != "B10"]}


def kind_of(name: str) -> str:
    return name.removeprefix("eurosat_").removesuffix("_fast")


@pytest.mark.parametrize("name", PACKAGED)
def test_small_and_says_where_it_comes_from(name: str) -> None:
    file = packaged(name)
    assert file.stat().st_size <= 300_000
    card = read_model(file).card
    assert card.precision == "int8"
    assert set(card.channels) == set(TAKES[kind_of(name)])
    assert card.notes["calibration"]["weight_limit"] == 63
    assert card.units == ("rgb8" if kind_of(name) == "rgb" else "DN")
    assert "EuroSAT" in card.notes["trained_on"]
    low, high = card.notes["test"]["interval_95"]
    assert low < card.notes["test"]["accuracy"] < high


@pytest.mark.parametrize("name", PACKAGED)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_decides_as_it_did(name: str, runtime: str) -> None:
    """Synthetic tiles whose decision is far from any other: the same on every engine and machine."""
    card = read_model(packaged(name)).card
    tiles = make(40).select(card.channels).x.astype(np.float32)
    if card.units == "rgb8":
        tiles = np.floor(np.clip(tiles / 2750, 0, 1) * 255)
    answers = open_session(packaged(name), runtime, "int8", 40, 1).run(tiles).argmax(1)
    assert {k: card.classes[answers[int(k)]] for k in GOLDEN[name]} == GOLDEN[name]


def test_level_2a_is_told_from_level_1c(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The bands have the same names in both, and other levels; B10 is only in one."""
    words = ["evaluate", "eurosat_l2a", "--data", "synthetic:20", "--out", str(tmp_path / "out"), "--json"]
    assert main(words) == 2
    assert "has B10: only Level-1C has it" in capsys.readouterr().err
    bands = ",".join(b for b in EUROSAT_ORDER if b != "B10")
    assert main([*words, "--bands", bands]) == 2  # leaving it out makes no Level-2A of them
    assert "B10" in capsys.readouterr().err


@pytest.mark.parametrize("name", PACKAGED)
def test_engines_agree(name: str) -> None:
    card = read_model(packaged(name)).card
    random = np.random.default_rng(0)
    mean, std = (np.array(v, np.float32)[None, :, None, None] for v in (card.mean, card.std))
    tiles = np.maximum(0, mean + std * random.standard_normal((8, len(card.channels), 64, 64), np.float32))
    found = [open_session(packaged(name), runtime, "int8", 8, 1).run(tiles) for runtime in ("onnxruntime", "openvino")]
    assert np.abs(found[0] - found[1]).max() < 0.1 * np.abs(found[0]).max()


ANSWERS = """
import sys
import numpy as np
from skytrigger.eo.packaged import PACKAGED, packaged
from skytrigger.model.file import read_model
from skytrigger.runtimes.open import open_session
random = np.random.default_rng(0)
found = {}
for name in PACKAGED:
    card = read_model(packaged(name)).card
    mean, std = (np.array(v, np.float32)[None, :, None, None] for v in (card.mean, card.std))
    tiles = np.maximum(0, mean + std * random.standard_normal((32, len(mean), 64, 64), np.float32))
    found[name] = open_session(packaged(name), "openvino", "int8", 32, 1).run(tiles)
np.savez(sys.argv[1], **found)
"""


def test_a_cpu_without_vnni_decides_alike(tmp_path: Path) -> None:
    """oneDNN, held to AVX2, adds pairs of products in 16 bits, which seven bits of weights never overflow."""
    pytest.importorskip("openvino")
    for file, more in (("as_it_is", {}), ("avx2", {"ONEDNN_MAX_CPU_ISA": "AVX2"})):
        command = [sys.executable, "-c", ANSWERS, str(tmp_path / file)]
        subprocess.run(command, check=True, env=os.environ | more, timeout=200)
    ours, theirs = (np.load(tmp_path / f"{file}.npz") for file in ("as_it_is", "avx2"))
    for name in PACKAGED:
        np.testing.assert_allclose(ours[name], theirs[name], atol=0.5)
        same = ours[name].argmax(1) == theirs[name].argmax(1)
        assert same[np.diff(np.sort(ours[name], 1)[:, -2:])[:, 0] > 0.5].all()
        assert same.mean() > 0.95


def test_names_stand_for_files_that_do_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert model_path("eurosat_ms") == packaged("eurosat_ms")
    assert model_path("eurosat_rgb.onnx") == packaged("eurosat_rgb")
    with pytest.raises(InputError, match="no run folder or model file"):
        model_path("other.onnx")
    Path("eurosat_ms").mkdir()
    assert model_path("eurosat_ms") == Path("eurosat_ms")
    with pytest.raises(KeyError):
        packaged("basic")


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "data", "least"),
    [
        ("eurosat_ms", "eurosat_ms_val.zip", 0.90),
        ("eurosat_rgb", "eurosat_rgb_val.zip", 0.89),
        ("eurosat_ms_fast", "eurosat_ms_val.zip", 0.92),
        ("eurosat_rgb_fast", "eurosat_rgb_val.zip", 0.88),
    ],
)
def test_accuracy_on_real_tiles(
    name: str, data: str, least: float, real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figure in the metadata is that of its own test tiles, through the command."""
    words = ["evaluate", name, "--data", str(real_data / data), "--split", "all", "--out", str(tmp_path), "--json"]
    assert main(words) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert len(load([str(real_data / data)])) == metrics["images"]
    assert metrics["accuracy"] >= least
    said = read_model(packaged(name)).card.notes["test"]
    assert metrics["accuracy"] == pytest.approx(said["accuracy"], abs=0.004)
