"""Packaged models by name on data that are theirs, and on data that are not: said, refused, and what to do instead."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from skytrigger.applications.registry import model_path
from skytrigger.cli.main import main
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.learn.evaluate import card_of

L2A = [band for band in EUROSAT_ORDER if band != "B10"]
Say = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Say:
    """Run a command; its code, its JSON and what it said on stderr."""

    def run(command: str, *words: object) -> tuple[int, dict[str, Any], str]:
        out = tmp_path / ("out.csv" if command == "predict" else "out")
        code = main([command, *map(str, words), "--out", str(out), "--json"])
        told, error = capsys.readouterr()
        return code, json.loads(told) if told else {}, error

    return run


def tiles(folder: Path, change: Callable[[Any], Any] = lambda x: x, model: str = "eurosat_ms", side: int = 64) -> Path:
    """Twelve tiles of two classes at the levels that `model` was trained on, in the order of its channels."""
    card, random = card_of(model_path(model)), np.random.default_rng(0)
    for number in range(12):
        name = ("Forest", "River")[number % 2]
        level = np.array(card.mean)[:, None, None] + np.array(card.std)[:, None, None] * (
            0.5 * random.standard_normal((len(card.channels), side, side)) + (number % 2) * 0.4
        )
        x = change(np.clip(level, 0, 20000).astype(np.uint16))
        (folder / name).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / name / f"{name}_{number}.tif", x, photometric="minisblack", planarconfig="separate")
    return folder


def test_tiles_at_its_own_levels_raise_no_word(say: Say, tmp_path: Path) -> None:
    code, found, _ = say("evaluate", "eurosat_ms_fast", "--data", tiles(tmp_path / "data"))
    assert code == 0
    assert "levels" not in found


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_an_offset_that_is_still_in_is_told(command: str, say: Say, tmp_path: Path) -> None:
    code, found, _ = say(command, "eurosat_ms_fast", "--data", tiles(tmp_path / "data", lambda x: x + 1000))
    assert code == 0
    assert "about 1,000 higher" in found["levels"]["sentence"]


def test_bands_in_a_products_order_are_told(say: Say, tmp_path: Path) -> None:
    order = [EUROSAT_ORDER.index(band) for band in sorted(EUROSAT_ORDER, key=lambda b: b.replace("B8A", "B08A"))]
    _, found, _ = say("evaluate", "eurosat_ms_fast", "--data", tiles(tmp_path / "data", lambda x: x[order]))
    assert {"B10", "B11"} <= {one["channel"] for one in found["levels"]["channels"]}


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_tiles_with_b10_are_none_for_level_2a_however_bands_are_picked(command: str, say: Say, tmp_path: Path) -> None:
    data, picked = tiles(tmp_path / "data"), [] if command == "predict" else ["--bands", ",".join(L2A)]
    code, _, error = say(command, "eurosat_l2a", "--data", data, *picked)
    assert code == 2
    assert "has B10: only Level-1C has it" in error


def test_level_2a_tiles_lack_what_level_1c_networks_read(say: Say, tmp_path: Path) -> None:
    data = tiles(tmp_path / "data", model="eurosat_l2a")
    code, _, error = say("evaluate", "eurosat_ms", "--data", data, "--band-names", ",".join(L2A))
    assert code == 2
    assert "channels ['B10'] are not in the data" in error
    assert "a packaged network for such data: eurosat_l2a" in error


def test_other_units_are_refused_with_the_networks_that_take_them(say: Say, tmp_path: Path) -> None:
    code, _, error = say("evaluate", "eurosat_rgb", "--data", tiles(tmp_path / "data"))
    assert code == 2
    assert "wants rgb8" in error
    assert "a packaged network for such data: eurosat_ms, eurosat_ms_fast" in error


def test_reflectance_is_refused_with_a_remedy_that_makes_dn(say: Say, tmp_path: Path) -> None:
    data = tiles(tmp_path / "data", lambda x: (x / 10_000).astype(np.float32))
    code, _, error = say("evaluate", "eurosat_ms", "--data", data)
    assert code == 2
    assert "are reflectance, and DN is reflectance x 10,000: gdal_translate" in error


def test_other_sizes_and_few_bands_are_refused_with_a_training(say: Say, tmp_path: Path) -> None:
    code, _, error = say("evaluate", "eurosat_ms", "--data", tiles(tmp_path / "small", side=32))
    assert (code, "skytrigger train --start" in error) == (2, True)
    four = tiles(tmp_path / "four", lambda x: x[1:5])
    code, _, error = say("evaluate", "eurosat_ms", "--data", four, "--band-names", "B02,B03,B04,B05")
    assert (code, "skytrigger train --start" in error) == (2, True)


def test_training_starts_from_a_packaged_name_on_other_classes_bands_and_size(say: Say, tmp_path: Path) -> None:
    data = tiles(tmp_path / "data", lambda x: x[1:5], side=32)
    (data / "Forest").rename(data / "Wald")
    words = ["--data", data, "--band-names", "B02,B03,B04,B05", "--epochs", 1, "--threads", 1, "--device", "cpu"]
    code, found, error = say("train", "--start", "eurosat_ms_fast", *words, "--split", "random")
    assert (code, found["epochs"]) == (0, 1)
    assert "4 of 4 channels by name" in error
    assert "1 of 2 classes by name, the others untrained" in error
    card = card_of(tmp_path / "out")
    assert (card.options, card.classes) == (card_of(model_path("eurosat_ms_fast")).options, ("River", "Wald"))


def test_a_name_that_is_nothing_is_refused_with_those_there_are(say: Say) -> None:
    for command in ("evaluate", "export", "optimize"):
        more = ["--max-drop", "1"] if command == "optimize" else []
        code, _, error = say(command, "eurosat", *more)
        assert code == 2
        assert "eurosat_ms_fast" in error
    assert say("train", "--start", "eurosat")[0] == 2
    code, _, error = say("train")
    assert (code, "--model NAME, --start MODEL" in error) == (2, True)


def test_export_takes_packaged_names(say: Say) -> None:
    code, found, _ = say("export", "eurosat_ms", "--native")
    assert (code, list(found["inputs"])) == (0, ["tiles_10m", "tiles_20m", "tiles_60m"])
