"""Splits: complete, disjoint, seeded, stratified, and the same for the same tiles in any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrigger.core.dataset import Dataset, Split, content_hash
from skytrigger.core.errors import InputError
from skytrigger.core.split import make_split, split_again, split_all, split_lists, split_random, split_spatial


def dataset(counts: list[int], *, lonlat: bool = True, order: np.ndarray | None = None) -> Dataset:
    classes = tuple(f"C{k}" for k in range(len(counts)))
    y = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    ids = [f"C{label}_{n}" for n, label in enumerate(y)]
    places = np.stack([np.linspace(20, -10, len(y)), np.full(len(y), 50.0)], axis=1)
    if order is not None:
        y, ids, places = y[order], [ids[k] for k in order], places[order]
    x = np.zeros((len(y), 1, 2, 2), np.uint8)
    return Dataset(
        x,
        y,
        tuple(ids),
        ("B02",),
        classes,
        content_hash(x, y, ids, ["B02"], classes),
        "rgb8",
        places if lonlat else None,
    )


def names(data: Dataset, split: Split) -> tuple[set[str], set[str], set[str]]:
    return tuple({data.ids[k] for k in part} for part in (split.train, split.val, split.test))  # type: ignore[return-value]


def check_partition(data: Dataset, split: Split) -> None:
    everything = np.concatenate([split.train, split.val, split.test])
    assert sorted(everything.tolist()) == list(range(len(data)))
    for part in (split.train, split.val, split.test):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
    assert split.facts["counts"] == {"train": len(split.train), "val": len(split.val), "test": len(split.test)}


@given(st.lists(st.integers(1, 120), min_size=2, max_size=6), st.integers(0, 2**40))
def test_random_is_a_stratified_partition(counts: list[int], seed: int) -> None:
    data = dataset(counts)
    split = split_random(data, seed)
    check_partition(data, split)
    for label, count in enumerate(counts):
        held = max(1, round(count / 10)) if count >= 3 else 0
        found = [int((data.y[part] == label).sum()) for part in (split.train, split.val, split.test)]
        assert found == [count - 2 * held, held, held]


def test_random_is_80_10_10_and_seeded() -> None:
    data = dataset([100, 200])
    split = split_random(data, 3)
    assert split.facts["counts"] == {"train": 240, "val": 30, "test": 30}
    assert split.facts["seed"] == 3
    assert split.facts["kind"] == "random"
    assert names(data, split) == names(data, split_random(data, 3))
    assert names(data, split) != names(data, split_random(data, 4))
    # not the first or last of each class
    assert 0.3 < np.mean(split.test[split.test < 100]) / 100 < 0.7


@given(st.permutations(range(60)))
def test_random_does_not_depend_on_the_order(order: list[int]) -> None:
    data, shuffled = dataset([20, 40]), dataset([20, 40], order=np.array(order))
    assert names(data, split_random(data, 1)) == names(shuffled, split_random(shuffled, 1))


def test_spatial_goes_by_longitude() -> None:
    data = dataset([30, 70])
    split = split_spatial(data)
    check_partition(data, split)
    assert data.lonlat is not None
    lon = data.lonlat[:, 0]
    assert split.facts["counts"] == {"train": 60, "val": 20, "test": 20}
    assert lon[split.train].max() < lon[split.val].min()
    assert lon[split.val].max() < lon[split.test].min()
    assert split.facts["borders_longitude_deg"] == [lon[split.val].min(), lon[split.test].min()]


def test_spatial_without_places() -> None:
    with pytest.raises(InputError, match=r"100 of 100 have none(.|\n)*--split-lists"):
        split_spatial(dataset([30, 70], lonlat=False))
    data = dataset([30, 70])
    assert data.lonlat is not None
    data.lonlat[7, 0] = np.nan
    with pytest.raises(InputError, match=r"1 of 100 have none .such as C0_7"):
        split_spatial(data)


def test_all_and_unknown() -> None:
    data = dataset([3, 4])
    split = split_all(data)
    check_partition(data, split)
    assert len(split.test) == 7
    assert make_split(data, "all").facts["kind"] == "all"
    with pytest.raises(InputError, match="no split called 'half'"):
        make_split(data, "half")


@pytest.fixture
def lists(tmp_path: Path) -> list[Path]:
    texts = {
        "train.txt": "# comment\nC0_0.jpg\nC0_1.tif\nsome/folder/C1_10.jpg\n\nC9_5.jpg\nC0_0.jpg\n",
        "val.txt": "\ufeffC0_2.jpg\r\nC1_11\r\n",
        "test.txt": "sub\\C1_12.jpg\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, newline="")
    return [tmp_path / name for name in texts]


def test_lists_match_by_stem(lists: list[Path]) -> None:
    data = dataset([10, 10])
    split = split_lists(data, *lists)
    assert names(data, split) == ({"C0_0", "C0_1", "C1_10"}, {"C0_2", "C1_11"}, {"C1_12"})
    assert split.facts["kind"] == "lists"
    assert split.facts["lists"]["train"]["names"] == 4
    assert split.facts["lists"]["train"]["found"] == 3
    assert len(split.facts["lists"]["val"]["sha256"]) == 64
    assert split.facts["unlisted"] == 14
    assert str(lists[0].parent) not in str(split.facts)  # names only, no folders of this machine
    two = split_lists(data, *lists[:2])
    assert len(two.test) == 0


def test_lists_that_are_wrong(lists: list[Path], tmp_path: Path) -> None:
    data = dataset([10, 10])
    with pytest.raises(InputError, match=r"4 names are in .*, such as C0_0"):
        split_lists(data, lists[0], lists[0])
    (tmp_path / "nothing.txt").write_text("X_1.jpg\n")
    with pytest.raises(InputError, match=r"none of its 1 names is in the data(.|\n)*C0_0"):
        split_lists(data, lists[0], tmp_path / "nothing.txt")
    with pytest.raises(InputError, match="cannot read the list"):
        split_lists(data, lists[0], tmp_path / "absent.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="not a text file"):
        split_lists(data, lists[0], tmp_path / "binary.txt")


def test_split_again(lists: list[Path]) -> None:
    data = dataset([10, 10])
    for split in (split_random(data, 5), split_spatial(data), split_all(data)):
        assert names(data, split_again(data, split.facts)) == names(data, split)
    listed = split_lists(data, *lists)
    assert names(data, split_again(data, listed.facts, lists)) == names(data, listed)
    with pytest.raises(InputError, match=r"missing or not the same(.|\n)*--split-lists train.txt val.txt test.txt"):
        split_again(data, listed.facts)
    lists[1].write_text("C0_3\n")
    with pytest.raises(InputError, match="missing or not the same"):
        split_again(data, listed.facts, lists)
    with pytest.raises(InputError, match="made on other data"):
        split_again(dataset([10, 11]), split_random(data, 5).facts)
