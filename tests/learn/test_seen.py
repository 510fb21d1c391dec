"""What a network has seen may not judge what is made of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from skytrigger.core.dataset import Split
from skytrigger.core.errors import InputError
from skytrigger.core.seen import FILE_LIMIT, NOTE, SHARE, Seen, distinct, hashes_of, origin_of, seen_of
from skytrigger.core.split import split_lists
from skytrigger.eo.networks import build
from skytrigger.learn.evaluate import card_of
from skytrigger.learn.leakage import Source, judged_images, require_unseen
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.teacher import Teacher
from skytrigger.learn.train import train
from skytrigger.model.export import export_onnx
from skytrigger.model.file import read_model

RECIPE = Recipe("regularized", epochs=1, batch_size=16, precision="fp32", options={})
LISTS = Path(__file__).parents[2] / "results"


def turned(n: int = 96) -> Split:
    """A split whose validation and test images were training images of `tiny.split`."""
    index = np.arange(n)
    return Split(index[48:], index[:24], index[24:48], {"kind": "test"})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("seen") / "first"
    train(build, tiny.dataset(), tiny.split(), RECIPE, out, threads=1)
    return out


def test_a_start_that_saw_the_judging_images_is_refused_with_count_and_examples(run, tmp_path):
    with pytest.raises(InputError, match=r"first: 24 of 24 validation images.*first: 24 of 24 test images") as told:
        train(build, tiny.dataset(), turned(), RECIPE, tmp_path / "out", threads=1, start=run)
    assert "tile_0, tile_1, tile_2" in str(told.value)
    assert "--allow-seen" in str(told.value)
    assert not (tmp_path / "out" / "model.json").exists()


def test_a_teacher_is_refused_as_a_start_is_also_as_a_model_file(run, tmp_path):
    from skytrigger.learn.run_folder import RunFolder

    network, card = RunFolder(run).load(build)
    export_onnx(network.eval(), card, tmp_path / "first.onnx")
    recipe = replace(RECIPE, distil=0.5)
    for given_as in (run, tmp_path / "first.onnx"):
        teacher = Teacher([given_as], build)
        with pytest.raises(InputError, match="24 of 24 test images"):
            train(build, tiny.dataset(), turned(), recipe, tmp_path / "out", threads=1, teacher=teacher)


def test_what_is_allowed_is_said_by_the_card_and_by_all_that_follow(run, tmp_path):
    second, third = tmp_path / "second", tmp_path / "third"
    train(build, tiny.dataset(), turned(), RECIPE, second, threads=1, start=run, allow_seen=True)
    seen = seen_of(card_of(second).notes, "second")
    assert [w[:30] for w in seen.warnings] == ["first: 24 of 24 validation ima", "first: 24 of 24 test images he"]
    assert len(seen.train) == 96  # its own 48 and those of its start
    unchanged = Split(np.arange(96), np.arange(0), np.arange(0))
    assert require_unseen([Source("second", card_of(second))], tiny.dataset(), unchanged) == seen.warnings
    train(build, tiny.dataset(), turned(), RECIPE, third, threads=1, start=second, allow_seen=True)
    assert set(seen.warnings) <= set(seen_of(card_of(third).notes, "third").warnings)


def test_the_same_split_again_is_no_leak(run, tmp_path):
    again = train(build, tiny.dataset(), tiny.split(), RECIPE, tmp_path / "again", threads=1, start=run)
    assert seen_of(again.card().notes, "again").warnings == ()


def test_cards_of_before_are_not_known_and_say_so(run):
    card = card_of(run)
    old = replace(card, notes={k: v for k, v in card.notes.items() if k != NOTE})
    (warning,) = require_unseen([Source("old", old)], tiny.dataset(), turned())
    assert warning.startswith("old: not known")
    assert judged_images(old, "old", tiny.dataset(), np.arange(4)) == {
        "known": False, "images": None, "of": 4, "examples": [], "share": None, "warnings": []
    }  # fmt: skip
    assert judged_images(card, "new", tiny.dataset(), np.arange(50, 96))["images"] == 57 - 50


def test_other_channels_of_the_same_tiles_are_the_same_images():
    wide = replace(tiny.dataset(), source={"kind": "tiles", "files": ["ms.zip"]})
    other = replace(wide.select(("B01",)), source={"kind": "tiles", "files": ["rgb.zip"]})
    assert len(Seen.of(wide, tiny.split()).among(other, np.arange(96))) == 57
    synthetic = replace(wide, source={"kind": "synthetic", "seed": 2})
    assert Seen.of(wide, tiny.split()).among(synthetic, np.arange(96)) == []


def test_altered_copies_are_their_original():
    assert hashes_of(["doublet_7_copy_3"], "x") == hashes_of(["doublet_7"], "x")
    source = {"kind": "file", "file": "a.h5", "rows": 9}
    assert origin_of({**source, "copies": 8, "original_hash": "0"}) == origin_of(source) != origin_of({})


@given(st.sets(st.text(min_size=1, max_size=8), max_size=60), st.sets(st.text(min_size=1, max_size=8), max_size=60))
def test_a_note_gives_back_what_was_written(train_names, val_names):
    seen = Seen(*(np.unique(hashes_of(sorted(names), "")) for names in (train_names, val_names)), warnings=("w",))
    back = seen_of({NOTE: json.loads(json.dumps(seen.note()))}, "here")
    assert back.train.tolist() == seen.train.tolist()
    assert back.val.tolist() == seen.val.tolist()
    assert (back.share, back.warnings) == (1, ("w",))


def test_a_large_list_is_thinned_in_a_model_file_and_still_finds_a_leak(tmp_path, run):
    from skytrigger.learn.run_folder import RunFolder

    names = [f"tile_{i}" for i in range(14_578)]
    origin = origin_of(tiny.dataset().source)
    seen = Seen(np.unique(hashes_of(names, origin)), np.zeros(0, np.uint64))
    thin = seen.thinned()
    assert thin.share == SHARE
    assert 0.9 < len(thin.train) * SHARE / len(names) < 1.1
    assert len(seen.train) > FILE_LIMIT > len(thin.train)
    network, card = RunFolder(run).load(build)
    export_onnx(network.eval(), replace(card, notes={**card.notes, NOTE: seen.note()}), tmp_path / "m.onnx")
    written = read_model(tmp_path / "m.onnx").card
    assert len(written.to_json()) < 15_000
    (leak, *_) = Source("m", written).leaks(tiny.dataset(), turned())
    assert "lists one of 8" in leak


@pytest.mark.parametrize("note", [3, {}, {"train": "AAAA", "val": "", "share": 1, "warnings": []},
                                  {"train": "?", "val": "", "share": 1, "warnings": []}])  # fmt: skip
def test_a_broken_list_is_refused(note):
    with pytest.raises(InputError, match="list of training images"):
        seen_of({NOTE: note}, "model.json")


def stems(path: Path) -> list[str]:
    return path.read_text().split()


def test_the_lists_of_both_data_sets_together_have_no_tile_in_two_parts():
    parts = {part: stems(LISTS / "split" / f"{part}.txt") for part in ("train", "val", "test")}
    assert len(set().union(*parts.values())) == sum(map(len, parts.values())) == 21_600
    for part, names in parts.items():
        assert set(stems(LISTS / "eurosat-ms" / f"{part}.txt")) <= set(names)
    assert set(parts["test"]) == set(stems(LISTS / "eurosat-rgb" / "test.txt"))


def test_the_packaged_13_band_classifier_started_from_tiles_that_validated_it():
    val, rgb = (set(stems(LISTS / n)) for n in ("eurosat-ms/val.txt", "eurosat-rgb/train.txt"))
    assert (len(val & rgb), len(val)) == (73, 81)
    assert not set(stems(LISTS / "eurosat-ms" / "test.txt")) & rgb


def test_split_lists_of_both_together_divide_a_set_of_some_of_the_tiles(tmp_path):
    data = tiny.dataset()
    for part, rows in (("train", range(0, 50)), ("val", range(50, 70)), ("test", range(70, 90))):
        (tmp_path / part).write_text("".join(f"tile_{i}\nelsewhere_{part}_{i}\n" for i in rows))
    split = split_lists(data, *(tmp_path / p for p in ("train", "val", "test")))
    assert [len(split.part(p)) for p in ("train", "val", "test")] == [50, 20, 20]


@pytest.mark.real
def test_real_13_band_tiles_are_known_from_rgb_training(real_data: Path):
    from skytrigger.eo.load import load

    wide = load([str(real_data / "eurosat_ms_train.zip")])
    split = split_lists(wide, LISTS / "eurosat-ms" / "train.txt", LISTS / "eurosat-ms" / "val.txt")
    rgb = Seen(np.unique(hashes_of(stems(LISTS / "eurosat-rgb" / "train.txt"), "")), np.zeros(0, np.uint64))
    card = replace(card_for(wide), notes={NOTE: rgb.note()})
    with pytest.raises(InputError, match="73 of 81 validation images here are among its training images"):
        require_unseen([Source("eurosat_rgb", card)], wide, split)
    together = Seen(np.unique(hashes_of(stems(LISTS / "split" / "train.txt"), "")), np.zeros(0, np.uint64))
    clean = replace(card, notes={NOTE: together.note()})
    assert require_unseen([Source("eurosat_rgb", clean)], wide, split) == ()


def card_for(data):
    from skytrigger.core.card import ModelCard

    n = len(data.channels)
    return ModelCard("basic", data.channels, data.classes, (64, 64), (0.0,) * n, (1.0,) * n, data.units, data_hash="")


def test_the_commands_refuse_allow_and_say(tmp_path: Path, capsys):
    from skytrigger.cli.main import main

    common = ["--data", "synthetic:60", "--threads", "1"]
    asked = ["train", "--model", "student", "--epochs", "1", *common]
    assert main([*asked, "--out", str(tmp_path / "a")]) == 0
    again = [*asked, "--seed", "3", "--start", str(tmp_path / "a"), "--out", str(tmp_path / "b"), "--json"]
    assert main(again) == 2
    assert "among its training images" in capsys.readouterr().err
    assert main([*again, "--allow-seen"]) == 0
    told = json.loads(capsys.readouterr().out)["leakage"]
    assert any(sentence.startswith("a: 7 of 10 test images") for sentence in told)
    assert main(["evaluate", str(tmp_path / "b"), *common, "--out", str(tmp_path / "e"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["leakage"]
    assert (found["images"], found["of"], found["warnings"]) == (7, 10, told)
    assert json.loads((tmp_path / "e" / "metrics.json").read_text())["leakage"] == found


def test_names_that_start_anew_in_every_class_and_part() -> None:
    ids = ("Forest/1", "River/1", "Forest/2", "River/2")
    data = replace(tiny.dataset(4), ids=ids, source={"kind": "tiles"})
    seen = Seen.of(data, Split(np.array([0, 3]), np.array([1]), np.array([2])))
    assert seen.among(data, np.array([2])) == []
    assert seen.among(data, np.arange(4)) == ["Forest/1", "River/2"]
    parted = replace(data, ids=("train/River/1", "val/River/1", "train/River/2", "test/River/1"))
    assert distinct(parted.ids) == ["train/River/1", "val/River/1", "River/2", "test/River/1"]
    seen = Seen.of(parted, Split(np.array([0, 2]), np.array([1]), np.array([3])))
    assert seen.among(parted, np.array([1, 3])) == []
    alone = replace(data, ids=("River/1", "River/2", "River/3", "River/4"))  # the folder of one part, given by itself
    assert seen.among(alone, np.arange(4)) == ["River/2"]
