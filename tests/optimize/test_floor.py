"""The floor decides as it says, and the test part is read once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.measure.stats import Interval
from skytrigger.optimize.floor import BELOW, HOLDS, OPEN, confirm_once, judge
from skytrigger.optimize.metric import ACCURACY, bootstrapped


def answers(n: int, wrong: slice) -> tuple[np.ndarray, np.ndarray]:
    """Logits of two classes that err on the images `wrong`, and the truth."""
    true = np.arange(n) % 2
    said = true.copy()
    said[wrong] = 1 - said[wrong]
    return np.eye(2, dtype=np.float32)[said], true


def verdict(n: int, given: slice, candidate: slice, margin: float):
    a, true = answers(n, given)
    b, _ = answers(n, candidate)
    return judge(ACCURACY, a, b, true, np.arange(n), margin)


@pytest.mark.parametrize(
    ("n", "given", "candidate", "margin", "word"),
    [
        (5000, slice(0, 100), slice(0, 100), 0.002, HOLDS),  # equal answers, many images
        (100, slice(0, 5), slice(0, 5), 0.002, OPEN),  # equal answers, but 100 images exclude no drop of 0.2 points
        (5000, slice(0, 100), slice(0, 200), 0.002, BELOW),  # 2 points worse
        (5000, slice(0, 100), slice(0, 200), 0.05, HOLDS),  # the same with a margin of 5 points
        (5000, slice(0, 100), slice(0, 110), 0.002, OPEN),  # exactly the margin worse: not below, nothing established
        (5000, slice(0, 100), slice(0, 111), 0.002, BELOW),
        (1000, slice(0, 100), slice(0, 10), 0.0, HOLDS),  # better: even a margin of zero holds
        (1000, slice(0, 10), slice(0, 10), 0.0, OPEN),
    ],
)
def test_known_verdicts(n: int, given: slice, candidate: slice, margin: float, word: str) -> None:
    found = verdict(n, given, candidate, margin)
    assert found.word == word
    assert found.accepted() == (word != BELOW)
    assert found.accepted(strict=True) == (word == HOLDS)


def test_what_too_few_images_could_have_shown_is_said() -> None:
    found = verdict(200, slice(0, 10), slice(0, 10), 0.002)
    # nothing differs: Tango's limit is z^2 / (n + z^2)
    assert found.smallest_margin == pytest.approx(3.8415 / (200 + 3.8415), rel=1e-3)
    assert "not established" in found.sentence()
    assert f"{100 * found.smallest_margin:.2f} points" in found.sentence()
    at_that = verdict(200, slice(0, 10), slice(0, 10), found.smallest_margin * 1.001)
    assert at_that.word == HOLDS


def test_any_metric_with_an_interval() -> None:
    change = Interval(-0.001, -0.004, 0.002, 0.95, 50)
    metric = bootstrapped("auc", lambda *_: Interval(0.9, 0.8, 1.0), lambda *_: change)
    a, true = answers(50, slice(0, 5))
    assert judge(metric, a, a, true, np.arange(50), 0.005).word == HOLDS
    assert judge(metric, a, a, true, np.arange(50), 0.003).word == OPEN
    assert judge(metric, a, a, true, np.arange(50), 0.0005).word == BELOW
    assert judge(metric, a, a, true, np.arange(50), 0.003).smallest_margin == pytest.approx(0.003)


def test_no_images() -> None:
    none = np.zeros((0, 2), np.float32)
    with pytest.raises(InputError, match="validation part"):
        judge(ACCURACY, none, none, np.zeros(0, np.int64), np.zeros(0, np.int64), 0.1)


def test_the_test_part_is_read_once(tmp_path: Path) -> None:
    looks = []

    def look() -> dict:
        looks.append(1)
        return {"verdict": "holds"}

    assert confirm_once(tmp_path, {"name": "a"}, look) == {"verdict": "holds"}
    assert confirm_once(tmp_path, {"name": "a"}, look) == {"verdict": "holds"}
    assert len(looks) == 1
    with pytest.raises(SkytriggerError, match="already read for a"):
        confirm_once(tmp_path, {"name": "b"}, look)
    assert len(looks) == 1


def test_a_look_that_was_cut_off_may_be_finished_for_the_same_candidate_only(tmp_path: Path) -> None:
    def killed() -> dict:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        confirm_once(tmp_path, {"name": "a"}, killed)
    with pytest.raises(SkytriggerError):
        confirm_once(tmp_path, {"name": "b"}, lambda: {})
    assert confirm_once(tmp_path, {"name": "a"}, lambda: {"verdict": "holds"}) == {"verdict": "holds"}
