"""The engine cache: a hit is exact, a damaged entry is built again and said so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from skytrigger.model.file import ModelFile, read_model
from skytrigger.runtimes.tensorrt import cache
from skytrigger.runtimes.tensorrt.build import Target

pytest.importorskip("tensorrt_rtx_bindings", reason="pip install 'skytrigger[tensorrt-rtx]'")
TARGET = Target("tensorrt_rtx", "fp32", ("8.6",), 4)


@pytest.fixture
def model(made) -> ModelFile:
    return read_model(made("1lessconv").path)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYTRIGGER_CACHE", str(tmp_path))


def test_the_second_time_nothing_is_built(model) -> None:
    first = cache.engine_for(model, TARGET)
    second = cache.engine_for(model, TARGET)
    assert (first.source, second.source) == ("built", "cache")
    assert second.plan == first.plan
    assert second.record == first.record
    assert second.record["precision_run"] == "fp32"


@pytest.mark.parametrize(
    "other",
    [{"batch_size": 5}, {"precision": "tf32"}, {"capabilities": ("8.9",)}, {"gpu": "another"}],
)
def test_every_part_of_the_target_is_in_the_key(model, other: dict) -> None:
    cache.engine_for(model, TARGET)
    assert cache.engine_for(model, replace(TARGET, **other)).source == "built"


def test_graph_and_library_version_are_in_the_key(model, made, monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorrt_rtx_bindings

    cache.engine_for(model, TARGET)
    assert cache.engine_for(read_model(made("basic").path), TARGET).source == "built"
    monkeypatch.setattr(tensorrt_rtx_bindings, "__version__", "1.8")
    assert cache.engine_for(model, TARGET).source == "built"


def entry() -> Path:
    (path,) = cache.folder().glob("*.engine")
    return path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def no_record(path: Path) -> None:
    path.with_name(path.name + ".json").unlink()


def bad_record(path: Path) -> None:
    path.with_name(path.name + ".json").write_text('{"key": 3')


def not_a_record(path: Path) -> None:
    path.with_name(path.name + ".json").write_text("[1]")


def no_plan(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [cut, flip, no_record, bad_record, not_a_record, no_plan])
def test_a_damaged_entry_is_built_again_and_said_so(model, damage, capsys: pytest.CaptureFixture[str]) -> None:
    first = cache.engine_for(model, TARGET)
    damage(entry())
    again = cache.engine_for(model, TARGET)
    assert again.source == "built"
    assert "built again" in again.note
    assert "engine cache" in capsys.readouterr().err
    assert cache.engine_for(model, TARGET).source == "cache"
    assert first.record["key"] == again.record["key"]


def test_an_engine_from_elsewhere_is_found_by_its_key(model, tmp_path: Path) -> None:
    both = cache.engine_for(model, replace(TARGET, capabilities=("8.9", "8.6")))
    renamed = cache.folder() / "from-elsewhere.engine"
    shutil.move(entry(), renamed)
    shutil.move(next(cache.folder().glob("*.json")), renamed.with_name(renamed.name + ".json"))
    found = cache.engine_for(model, TARGET)  # one of its two capabilities
    assert found.source == "cache"
    assert found.plan == both.plan
    assert cache.engine_for(model, replace(TARGET, capabilities=("8.0",))).source == "built"


def test_a_foreign_file_in_the_folder_does_no_harm(model) -> None:
    cache.folder().mkdir()
    (cache.folder() / "a.engine").write_bytes(b"x")
    (cache.folder() / "a.engine.json").write_text(json.dumps({"key": {}, "plan_sha256": "0"}))
    assert cache.engine_for(model, TARGET).source == "built"
