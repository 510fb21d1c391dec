"""`compare` on predictions: verdicts, exit codes, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skytrigger.cli.main import main
from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json
from skytrigger.learn.compare_accuracy import compare_accuracy
from skytrigger.learn.predictions import read_predictions
from skytrigger.report.comparison import matrices, write_comparison
from skytrigger.study.comparison import compare


def test_verdicts_and_exit_codes(answers: Any, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, same = answers.write("a", 0.10), answers.write("b", 0.04), answers.write("same", 0.10, seed=5)
    assert main(["compare", str(a), str(b)]) == 4
    assert "B is better" in capsys.readouterr().out
    assert main(["compare", str(b.parent), str(a.parent)]) == 3
    assert main(["compare", str(a), str(same), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    aspect = found["aspects"][0]
    assert aspect["verdict"] == "not established"
    assert aspect["images"] == 900
    assert any("equally accurate" in limit for limit in aspect["limits"])
    assert any("another seed" in limit for limit in aspect["limits"])


def test_a_network_against_itself_is_no_difference(answers: Any) -> None:
    a = answers.write("a", 0.1)
    found = compare(str(a), str(a))
    assert found["exit_code"] == 0
    assert found["aspects"][0]["p_value"] == 1.0
    assert found["aspects"][0]["flips"]["changed"] == 0
    assert found["aspects"][0]["smallest_difference_shown"] is None


def test_cells_and_flips_are_reported(answers: Any) -> None:
    a, b = answers.write("a", 0.02), answers.write("b", 0.15)
    aspect = compare(str(a), str(b))["aspects"][0]
    assert aspect["flips"]["right_to_wrong"] > 50
    cells = {(c["true"], c["predicted"]) for c in aspect["cells"]}
    assert ("Forest", "River") in cells
    assert ("Forest", "Road") not in cells
    for cell in aspect["cells"]:
        assert cell["low"] <= cell["change"] <= cell["high"]
        assert cell["p_holm"] <= 0.05


def test_margin(answers: Any, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = answers.write("a", 0.10), answers.write("b", 0.105, seed=3)
    assert main(["compare", str(a), str(b), "--margin", "5"]) == 0
    assert "non-inferior" in capsys.readouterr().out
    assert compare(str(a), str(b), margin=0.1)["aspects"][0]["non_inferior"] is False
    worse = answers.write("worse", 0.20)
    assert compare(str(a), str(worse), margin=5)["aspects"][0]["non_inferior"] is False
    with pytest.raises(InputError, match="margin"):
        compare(str(a), str(b), margin=-1)


def test_other_order_of_images_and_classes_is_aligned(answers: Any) -> None:
    a = answers.write("a", 0.1)
    order = np.random.default_rng(0).permutation(answers.n)
    logits = np.eye(3, dtype=np.float32)[answers.true]
    shuffled = answers.write(
        "shuffled", 0.0, ids=tuple(f"x_{i}" for i in order), true=(2 - answers.true)[order],
        logits=logits[order][:, ::-1], classes=("Road", "River", "Forest"),
    )  # fmt: skip
    found = compare(str(a), str(shuffled))
    assert found["exit_code"] == 4
    assert found["aspects"][0]["b"]["accuracy"]["estimate"] == 1.0


def test_only_common_images_are_compared_and_said_so(answers: Any) -> None:
    a = answers.write("a", 0.1)
    logits = np.eye(3, dtype=np.float32)[answers.true[:300]]
    part = answers.write("part", 0.0, ids=tuple(f"x_{i}" for i in range(300)), true=answers.true[:300], logits=logits)
    aspect = compare(str(a), str(part))["aspects"][0]
    assert aspect["images"] == 300
    assert "600 left out" in aspect["notes"][0]


def test_refused_pairs(answers: Any, tmp_path: Path) -> None:
    a = answers.write("a", 0.1)
    logits = np.eye(3, dtype=np.float32)[answers.true]
    with pytest.raises(InputError, match="no image in common"):
        compare(str(a), str(answers.write("ids", 0.1, ids=tuple(f"y_{i}" for i in range(answers.n)))))
    with pytest.raises(InputError, match="has classes"):
        compare(str(a), str(answers.write("classes", 0.1, classes=("Forest", "River", "Rail"))))
    with pytest.raises(InputError, match="calls it"):
        compare(str(a), str(answers.write("truth", 0.1, true=(answers.true + 1) % 3, logits=logits)))
    with pytest.raises(InputError, match="does not exist"):
        compare(str(a), str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nothing to compare"):
        compare(str(a), str(tmp_path / "empty"))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(InputError, match=r"bad\.parquet"):
        compare(str(a), str(tmp_path / "bad.parquet"))


def test_several_seeds_must_be_asked_for(answers: Any, tmp_path: Path) -> None:
    for seed in range(3):
        answers.write(f"a/seed{seed}", 0.10, seed=seed)
        answers.write(f"b/seed{seed}", 0.04, seed=10 + seed)
    with pytest.raises(InputError, match="3 predictions"):
        compare(str(tmp_path / "a"), str(tmp_path / "b"))
    aspect = compare(str(tmp_path / "a"), str(tmp_path / "b"), seeds=True)["aspects"][0]
    assert aspect["a"]["seeds"] == 3
    assert aspect["verdict"] == "better"
    assert not any("another seed" in limit for limit in aspect["limits"])


def test_one_lucky_seed_is_not_a_better_recipe(answers: Any, tmp_path: Path) -> None:
    """Each side's seeds spread far wider than the two recipes differ."""
    a = [answers.write(f"a{i}", wrong, seed=i) for i, wrong in enumerate((0.05, 0.15, 0.10))]
    b = [answers.write(f"b{i}", wrong, seed=9 + i) for i, wrong in enumerate((0.12, 0.04, 0.09))]
    assert compare_accuracy(a[1:2], b[1:2])["verdict"] == "better"
    assert compare_accuracy(a, b)["verdict"] == "not established"


def test_predictions_of_a_study_are_picked_by_name(answers: Any, tmp_path: Path) -> None:
    for seed in range(2):
        answers.write(f"cells/evaluate-basic-{seed}-abc", 0.12, seed=seed)
        answers.write(f"cells/evaluate-from64_basic-{seed}-abd", 0.05, seed=seed)
    aspect = compare(f"{tmp_path}::basic", f"{tmp_path}::from64_basic", seeds=True)["aspects"][0]
    assert (aspect["a"]["seeds"], aspect["b"]["seeds"]) == (2, 2)
    one = compare(f"{tmp_path}::basic,0", f"{tmp_path}::basic,1")["aspects"][0]
    assert (one["a"]["seeds"], one["verdict"]) == (1, "not established")
    with pytest.raises(InputError, match="has all of"):
        compare(f"{tmp_path}::basic,0", f"{tmp_path}::no_such")


def test_out_holds_what_was_found_and_the_matrices(answers: Any, tmp_path: Path) -> None:
    a, b = answers.write("a", 0.30), answers.write("b", 0.10, seed=1)
    result = compare(str(a), str(b))
    files = write_comparison(result, tmp_path / "out")
    assert [f.name for f in files] == ["compare.json", "compare.txt", "confusion_change.png"]
    assert read_json(files[0]) == result
    assert files[1].read_text().endswith("B is better\n")
    classes, first, second = matrices(result["aspects"][0])
    for counts, file in ((first, a), (second, b)):
        found = read_predictions(file)
        pairs = zip(found.true, found.logits.argmax(axis=1), strict=True)
        oracle = Counter((found.classes[t], found.classes[p]) for t, p in pairs)
        drawn = {(classes[i], classes[j]): counts[i, j] for i, j in np.argwhere(counts)}
        assert drawn == oracle
    established = result["aspects"][0]["cells"]
    assert established
    for cell in established:
        i, j = classes.index(cell["true"]), classes.index(cell["predicted"])
        assert (first[i, j], second[i, j]) == (cell["a"], cell["b"])
