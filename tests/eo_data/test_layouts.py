"""Where tiles lie: class folders, archives, parts, lists; stores, training and prediction of what was found there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eo_data.tile_files import archived, each, parted, picture, pngs, shard
from skytrigger.cli.main import main
from skytrigger.core.dataset import Dataset, content_hash
from skytrigger.core.errors import InputError
from skytrigger.core.split import make_split, split_again, split_by
from skytrigger.eo.load import load
from skytrigger.eo.pack import pack
from skytrigger.eo.store import open_store, save_store
from skytrigger.learn.batches import augment_d4


def test_names_restart_in_every_folder(cache: Path, tmp_path: Path) -> None:
    pngs()(tmp_path / "a")
    data = load([str(tmp_path / "a")])
    assert data.ids == tuple(f"{label}/00{n}" for label in ("Forest", "River") for n in (1, 2, 3))
    assert data.y.tolist() == [0, 0, 0, 1, 1, 1]


def test_archives_hold_the_same_tiles(cache: Path, tmp_path: Path) -> None:
    hashes = set()
    for kind in ("zip", "tar", "tar.gz"):
        archived(kind)(tmp_path / kind)
        hashes.add(load([str(tmp_path / kind / "made")]).content_hash)
        for inner in ("", "/EuroSAT"):
            data = load([str(tmp_path / kind / f"x.{kind}") + inner])
            hashes.add(data.content_hash)
        one = load([str(tmp_path / kind / f"x.{kind}/EuroSAT/River")])
        assert one.classes == ("River",)
        with pytest.raises(InputError, match="no tiles in"):
            load([str(tmp_path / kind / f"x.{kind}/Nothing")])
    assert len(hashes) == 1
    assert data.source["files"][0]["name"] == "x.tar.gz/EuroSAT"


def test_a_shard_says_its_classes(cache: Path, tmp_path: Path) -> None:
    shard(tmp_path)
    data = load([str(tmp_path / "shard-000000.tar")])
    assert data.classes == ("0", "1")
    assert data.ids == tuple(f"{k}/{n:06}" for k in (0, 1) for n in range(6) if n % 2 == k)
    for n in (2, 5):
        picture(tmp_path / "x.png", n)
        row = data.ids.index(f"{n % 2}/{n:06}")
        np.testing.assert_array_equal(data.x[row], np.asarray(Image.open(tmp_path / "x.png")).transpose(2, 0, 1))
    assert load([str(tmp_path / "shard-000000.tar")], labels=False).ids == tuple(f"{n:06}" for n in range(6))


def test_tars_that_are_damaged_or_lie(cache: Path, tmp_path: Path) -> None:
    import tarfile

    archived("tar.gz")(tmp_path)
    whole = (tmp_path / "x.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="is damaged"):
        load([str(tmp_path / "cut.tar.gz")])
    with tarfile.open(tmp_path / "bad.tar", "w") as out:
        for name, kind in (("../River/1.png", tarfile.REGTYPE), ("River/2.png", tarfile.SYMTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            out.addfile(info)
    with pytest.raises(InputError) as caught:
        load([str(tmp_path / "bad.tar")])
    assert "its path leaves the archive" in str(caught.value)
    assert "it is a link" in str(caught.value)
    (tmp_path / "x.rar").write_bytes(b"Rar!\x1a\x07")
    with pytest.raises(InputError) as caught:
        load([str(tmp_path / "x.rar")])
    assert "download" not in str(caught.value)


def test_folders_train_val_test(cache: Path, tmp_path: Path) -> None:
    parted(tmp_path / "a")
    data = load([str(tmp_path / "a")])
    assert data.ids[0] == "test/Forest/1"
    split = make_split(data, "folders")
    for part in ("train", "val", "test"):
        assert all(data.ids[k].startswith(f"{part}/") for k in split.part(part))
        assert len(split.part(part)) == 6
    assert split_again(data, split.facts).train.tolist() == split.train.tolist()
    kept = pack([str(tmp_path / "a")], tmp_path / "store")
    assert kept.parts == open_store(tmp_path / "store", verify=True).parts == data.parts
    assert load([str(tmp_path / "store")], bands="rgb").parts == data.parts
    picture(tmp_path / "a" / "Forest" / "9.png", 99)
    with pytest.raises(InputError, match="1 tiles lie outside the folders of parts"):
        load([str(tmp_path / "a")])


def test_folders_without_val_and_without_classes(cache: Path, tmp_path: Path) -> None:
    for part, shift in (("Training", 0), ("test", 500)):
        each(lambda path, seed, shift=shift: picture(path, seed + shift), "{n}", 10, "png")(tmp_path / "a" / part)
    data = load([str(tmp_path / "a")])
    split = make_split(data, "folders", 3)
    assert split.facts["counts"] == {"train": 18, "val": 2, "test": 20}
    assert sorted(data.y[split.val]) == [0, 1]
    for part in ("train", "test"):
        picture(tmp_path / "b" / part / "1.png", len(part))
    with pytest.raises(InputError, match=r"tiles lie directly in test \(1\), train \(1\)"):
        load([str(tmp_path / "b")])
    with pytest.raises(InputError, match="do not come in folders"):
        make_split(load([str(tmp_path / "a" / "test")]), "folders")


def test_lists_as_csv(cache: Path, tmp_path: Path) -> None:
    pngs()(tmp_path / "a")
    data = load([str(tmp_path / "a")])
    (tmp_path / "s.csv").write_text(
        ",Filename,Label,split\n0,Forest/001.png,x,train\n1,River/001.png,x,Validation\n2,a/River/003.png,x,test\n"
    )
    split = split_by(data, [tmp_path / "s.csv"])
    found = [[data.ids[k] for k in part] for part in (split.train, split.val, split.test)]
    assert found == [["Forest/001"], ["River/001"], ["River/003"]]
    assert split_again(data, split.facts, [tmp_path / "s.csv"]).val.tolist() == split.val.tolist()
    for name, row in (("train", "Forest/001.png"), ("val", "River/002.png")):
        (tmp_path / f"{name}.csv").write_text(f"label;image_path\nx;{row}\n")
    two = split_by(data, [tmp_path / "train.csv", tmp_path / "val.csv"])
    assert ([data.ids[k] for k in two.train], [data.ids[k] for k in two.val]) == (["Forest/001"], ["River/002"])
    (tmp_path / "t.csv").write_text("filename,split\n001.png,train\n")
    with pytest.raises(InputError, match="'001' is the name of Forest/001 and of River/001"):
        split_by(data, [tmp_path / "t.csv"])
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no column of image names among 'a', 'b'"):
        split_by(data, [tmp_path / "t.csv"])
    (tmp_path / "t.csv").write_text("name,split\nForest/001,holdout\n")
    with pytest.raises(InputError, match="line 2: part 'holdout'"):
        split_by(data, [tmp_path / "t.csv"])
    (tmp_path / "t.csv").write_text("name,split\nForest/001,train\nForest/001,test\n")
    with pytest.raises(InputError, match="Forest/001 is in train and in test"):
        split_by(data, [tmp_path / "t.csv"])


def test_files_beside_the_class_folders(cache: Path, tmp_path: Path) -> None:
    pngs()(tmp_path / "a")
    picture(tmp_path / "a" / "overview.png", 5)
    with pytest.raises(InputError, match=r"a/overview.png: it lies beside the class folders"):
        load([str(tmp_path / "a")])
    picture(tmp_path / "one" / "img_1.png", 1)
    assert load([str(tmp_path / "one")]).classes == ("one",)


# --- stores, training


def test_stores_of_floats_reopen(cache: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(4, 2, 3, 5)).astype(np.float32)
    y, ids = np.array([0, 1, 0, 1]), ("a", "b", "c", "d")
    data = Dataset(x, y, ids, ("B02", "B03"), ("F", "R"), content_hash(x, y, ids, ("B02", "B03"), ("F", "R")), "float")
    save_store(data, tmp_path / "s")
    again = open_store(tmp_path / "s", verify=True)
    np.testing.assert_array_equal(again.x, x)
    assert again.content_hash == data.content_hash
    with pytest.raises(InputError, match="store of float64"):
        save_store(Dataset(x.astype(np.float64), y, ids, ("B02", "B03"), ("F", "R"), ""), tmp_path / "t")
    with pytest.raises(InputError, match="scale cannot be stated any more"):
        load([str(tmp_path / "s")], scale=1.0)


def test_symmetries_of_images_that_are_not_square() -> None:
    images = torch.arange(8 * 2 * 3, dtype=torch.float32).reshape(8, 1, 2, 3)
    found = augment_d4(images, np.arange(8)).numpy()
    for k in range(8):
        image = images[k, 0].numpy()
        expected = np.rot90(image[:, ::-1] if k >= 4 else image, 2 * (k % 4 // 2))
        np.testing.assert_array_equal(found[k, 0], expected)


def test_one_class_is_refused_before_training(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    each(lambda path, seed: picture(path, seed), "{n}", 12, "png")(tmp_path / "a")
    status = main(["train", "--model", "basic", "--data", str(tmp_path / "a/River"), "--out", str(tmp_path / "run")])
    assert status == 2
    assert "one class only, 'River'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


# --- predict


def test_predict(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pyarrow import csv, parquet

    for n in range(3):
        picture(tmp_path / "new" / "2024" / f"{n}.jpg", n, shape=(64, 64))
    picture(tmp_path / "new" / "x.jpg", 0, shape=(64, 64))  # equal pixels are no reason to leave one out
    paths = [tmp_path / "p.parquet", tmp_path / "p.csv"]
    for path in paths:
        assert main(["predict", "eurosat_rgb", "--data", str(tmp_path / "new"), "--out", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts["images"] == 4
    assert sum(facts["predicted"]["class"].values()) == 4
    table = parquet.read_table(paths[0]).to_pydict()
    assert table["id"] == ["2024/0", "2024/1", "2024/2", "x"]
    assert table["class"][0] == table["class"][3]
    chances = np.array([table[name] for name in table if name.startswith("p_")])
    assert chances.sum(axis=0) == pytest.approx(1)
    assert chances.max(axis=0) == pytest.approx(table["probability"])
    other = csv.read_csv(paths[1]).to_pydict()
    assert other["class"] == table["class"]
    assert other["probability"] == pytest.approx(table["probability"])
    assert main(["predict", "eurosat_rgb", "--data", str(tmp_path / "new"), "--out", str(tmp_path / "p.txt")]) == 2
    assert ".parquet or .csv" in capsys.readouterr().err
    picture(tmp_path / "small" / "x.jpg", 0)
    assert main(["predict", "eurosat_rgb", "--data", str(tmp_path / "small"), "--out", str(paths[0])]) == 2
    assert "(64, 64) pixels for this model" in capsys.readouterr().err


@pytest.mark.real
def test_predict_says_what_evaluate_says(
    cache: Path, tmp_path: Path, real_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pyarrow import parquet

    archive = str(real_data / "eurosat_ms_val.zip")
    assert main(["predict", "eurosat_ms", "--data", archive, "--out", str(tmp_path / "p.parquet")]) == 0
    table = parquet.read_table(tmp_path / "p.parquet").to_pydict()
    assert main(["evaluate", "eurosat_ms", "--data", archive, "--split", "all", "--out", str(tmp_path / "e")]) == 0
    found = parquet.read_table(tmp_path / "e" / "predictions.parquet")
    classes = json.loads(found.schema.metadata[b"classes"])
    judged = dict(zip(found["id"].to_pylist(), found["logits"].to_pylist(), strict=True))
    for name, answer in zip(table["id"], table["class"], strict=True):
        assert classes[int(np.argmax(judged[name.rsplit("/", 1)[-1]]))] == answer


def test_a_size_that_a_network_cannot_take_is_refused_before_a_study(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    each(lambda path, seed: picture(path, seed, shape=(36, 36)), "{n}", 12, "png")(tmp_path / "a")
    (tmp_path / "s.toml").write_text(f'title = "x"\ndata = ["{tmp_path}/a"]\nmodels = ["basic", "1lessconv"]\n')
    assert main(["study", str(tmp_path / "s.toml"), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "tiles of 36x36 pixels do not fit basic (a multiple of 8)" in told
    assert "1lessconv fit" in told
    assert not (tmp_path / "out").exists()
