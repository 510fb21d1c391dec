"""``skytrigger models``: every packaged model, how well and where that ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from skytrigger.applications.models import SUFFIX, describe, described
from skytrigger.applications.registry import applications
from skytrigger.cli.main import main
from skytrigger.core.errors import InputError
from skytrigger.core.files import sha256_file

NAMES = [name for one in applications().values() for name in one.packaged]
RESULTS = Path(__file__).parents[2] / "results"


def test_all_are_listed_with_figure_source_and_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["models"]}
    assert list(found) == NAMES
    for name, one in found.items():
        assert one["sha256"] == sha256_file(one["file"]), name
        assert 0 < one["bytes"] <= 300_000
        figure = one["figure"]
        assert figure["low"] < figure["value"] < figure["high"]
        assert figure["n"] > 0
        assert all([figure["source"], one["limits"], *one["limits"], one["trained_on"], one["recipe"]])


def test_text_names_what_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "doublets", "eurosat_ms.onnx"]) == 0
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.splitlines() if line and line[0] != " "] == ["eurosat_ms", "doublets"]
    assert all(word in text for word in ("limit", "AUC 0.", " % ("))


def test_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "resnet"]) == 2
    assert "eurosat_ms" in capsys.readouterr().err


def test_figures_beside_a_file_are_those_of_the_record() -> None:
    one = next(one for one in described() if one["name"] == "hgcal_pid")
    found = json.loads((RESULTS / "pid/networks.json").read_text())["networks"]["pid_small"]
    assert one["figure"]["value"] == found["accuracy"]
    assert [one["figure"]["low"], one["figure"]["high"]] == found["accuracy_interval_95"]


def test_facts_of_another_file_are_refused(tmp_path: Path) -> None:
    source = applications()["eurosat"].packaged["eurosat_ms"]
    copy = tmp_path / "mine.onnx"
    shutil.copy(source, copy)
    assert describe(copy)["limits"] == []
    facts = json.loads(source.with_suffix(SUFFIX).read_text())
    copy.with_suffix(SUFFIX).write_text(json.dumps({**facts, "model_sha256": "0" * 64}))
    with pytest.raises(InputError, match="another model file"):
        describe(copy)
    copy.with_suffix(SUFFIX).write_text("[]")
    with pytest.raises(InputError, match="not valid"):
        describe(copy)


def test_one_that_is_asked_for_tells_its_classes_cost_and_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "eurosat_rgb"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    words = ("found AnnualCrop ", "confused PermanentCrop taken for HerbaceousVegetation", "calibration error",
             "of CPU an image", "seen ", "recipe ", "file /")  # fmt: skip
    assert [word for word in words if word not in text] == []


def test_the_level_is_read_from_channels_and_refusals() -> None:
    levels = {one["name"]: one["level"] for one in described()}
    assert levels["eurosat_ms"] == levels["eurosat_ms_fast"] == "Level-1C, top of the atmosphere"
    assert levels["eurosat_l2a"] == "Level-2A, surface"
    assert levels["eurosat_rgb"] is None


def test_details_are_those_of_the_records() -> None:
    for one in described():
        if one["application"] != "eurosat":
            continue
        assert "judged" in one, f"{one['name']}: PYTHONPATH=benchmarks:src python benchmarks/packaged_details.py"
        record = json.loads((RESULTS.parent / one["judged"]["record"] / "metrics.json").read_text())
        assert record["model_hash"] == one["sha256"]
        assert one["judged"]["calibration_error"] == record["expected_calibration_error"]
        classes = record["classes"]
        assert {k: v["recall"] for k, v in one["judged"]["classes"].items()} == {
            k: v["recall"] for k, v in record["per_class"].items()
        }
        for pair in one["judged"]["confused"]:
            row = record["confusion"][classes.index(pair["true"])]
            assert (row[classes.index(pair["taken_for"])], sum(row)) == (pair["images"], pair["of"])
        timed = json.loads((RESULTS.parent / one["time"]["record"]).read_text())
        assert timed["model"]["sha256"] == one["sha256"]
