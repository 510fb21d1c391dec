"""Lists of names as other people write them: every name finds its own image, or is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.core.split import split_again, split_by

IDS = (*(f"{label}/{n:03}" for label in ("Forest", "River") for n in range(3)), "River/003")
DATA = Dataset(
    np.zeros((7, 3, 4, 4), np.uint8), np.array([0] * 3 + [1] * 4), IDS, ("B04", "B03", "B02"), ("Forest", "River"),
    "hash", "rgb8", source={"kind": "tiles"},
)  # fmt: skip
GOOD = "Forest/000.png,train\nRiver/000.png,train\nForest/001.png,val\nRiver/002.png,test\n"


def divided(folder: Path, content: str) -> dict[str, list[str]]:
    (folder / "s.csv").write_text(content)
    split = split_by(DATA, [folder / "s.csv"])
    return {part: [IDS[k] for k in split.part(part)] for part in ("train", "val", "test")}


@pytest.mark.parametrize("write", [
    lambda text: "filename,split\n" + text,
    lambda text: "filename;split\n" + text.replace(",", ";"),
    lambda text: "Split,File_Name\n" + "".join(",".join(reversed(line.split(","))) + "\n" for line in text.split()),
    lambda text: "filename,split\n" + text.replace("Forest", "/data/Forest").replace("train", "TRAIN"),
    lambda text: "filename,split\n" + text.replace("/", "\\"),
    lambda text: '"filename","split"\n' + text + text,
])  # fmt: skip
def test_one_table(tmp_path: Path, write: object) -> None:
    expected = {"train": ["Forest/000", "River/000"], "val": ["Forest/001"], "test": ["River/002"]}
    assert divided(tmp_path, write(GOOD)) == expected  # type: ignore[operator]


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ("filename,split\n" + GOOD + "River/002.png,train\n", "River/002 is in train and in test"),
        ("filename,split\n000.png,train\n", "'000' is the name of Forest/000 and of River/000"),
        ("filename,split\n" + GOOD + "River/001.png,\n", "line 6: part ''"),
        ("filename,split\nForest/000.png,0\n", "line 2: part '0'"),
        ("filename,split,split\nForest/000.png,train,test\n", "two columns are called 'split'"),
        ("filename,label\nForest/000.png,Forest\n", "none says which part"),
        ("n,split\n1,train\n", "no column of image names"),
        ("filename,split\nx.png,train\n", "none of its names of train is in the data"),
    ],
)
def test_tables_that_are_wrong(tmp_path: Path, content: str, seen: str) -> None:
    with pytest.raises(InputError, match=seen):
        divided(tmp_path, content)


def test_names_that_are_not_in_the_data_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # 003 is a river: a list's Forest/003 is not that image
    found = divided(tmp_path, "filename,split\n" + GOOD + "Forest/003.png,test\nother/003.png,val\n")
    assert (found["test"], found["val"]) == (["River/002"], ["Forest/001", "River/003"])
    assert "1 of its 6 names are not in the data, such as Forest/003" in capsys.readouterr().err


def test_a_model_that_does_not_say_how_data_were_divided(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not say how its data were divided"):
        split_again(DATA, {})
    (tmp_path / "s.csv").write_text("filename,split\n" + GOOD)
    assert isinstance(split_again(DATA, {}, [tmp_path / "s.csv"]), Split)
