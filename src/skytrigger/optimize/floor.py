"""The accuracy floor: paired non-inferiority against the given network, and one look at the test part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.core.files import read_json, write_json
from skytrigger.measure.stats import Interval
from skytrigger.optimize.metric import Answer, Metric

HOLDS, OPEN, BELOW = "holds", "not established", "below"
MARKER, RESULT = "test_marker.json", "test.json"


@dataclass(frozen=True)
class Verdict:
    """How a candidate stands to the floor ``given - margin``; all figures are fractions.

    `word` is ``holds`` (the whole interval of the difference lies above ``-margin``), ``below`` (the estimate itself
    lies under it) or ``not established`` (the estimate is above, the interval reaches under it).
    """

    word: str
    change: Interval
    margin: float
    smallest_margin: float
    images: int
    discordant: int | None = None

    def accepted(self, strict: bool = False) -> bool:
        """Whether it may be chosen: ``holds``, or (unless `strict`) an open verdict whose estimate is above."""
        return self.word == HOLDS or (self.word == OPEN and not strict)

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "verdict": self.word, "change": self.change.to_json(), "margin": self.margin, "images": self.images,
            "smallest_margin": self.smallest_margin, "discordant": self.discordant,
        }  # fmt: skip

    def sentence(self, part: str = "validation") -> str:
        """In words, in points."""
        low = f"{100 * self.change.low:+.2f} to {100 * self.change.high:+.2f}"
        text = f"{100 * self.change.estimate:+.2f} points ({low}) on {self.images} {part} images: "
        if self.word == HOLDS:
            return text + f"a drop of more than {100 * self.margin:g} points is excluded"
        if self.word == BELOW:
            return text + f"below the floor of {-100 * self.margin:g} points"
        return text + (
            f"not below the floor of {-100 * self.margin:g} points, but not established either: with so many "
            f"differing answers these images can exclude no drop smaller than {100 * self.smallest_margin:.2f} points"
        )


def judge(
    metric: Metric,
    given: Answer,
    candidate: Answer,
    true: NDArray[Any],
    rows: NDArray[np.int64],
    margin: float,
) -> Verdict:
    """Judge `candidate` against `given` on the same images; `margin` is a fraction, fixed beforehand."""
    if not len(true):
        raise InputError("the floor cannot be judged: no images", remedy="a split with a validation part")
    found = metric.difference(given, candidate, true, rows)
    # rounding of k / n must not decide: half an image's worth is no drop
    if found.change.estimate < -margin - 1e-12:
        word = BELOW
    elif found.change.low > -margin:
        word = HOLDS
    else:
        word = OPEN
    return Verdict(word, found.change, margin, found.smallest_margin, len(true), found.discordant)


def confirm_once(folder: Path, candidate: dict[str, Any], look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The test part's verdict on the one `candidate` that was chosen; `look` reads the test part, once.

    A marker that names the candidate is written first. A second call for the same candidate returns what was found; one
    for another candidate is refused: after a look, the test part would have chosen.

    Raises
    ------
    SkytriggerError
        The test part of this folder's search was already read for another candidate.
    """
    marker, result = folder / MARKER, folder / RESULT
    if marker.is_file():
        read_for = read_json(marker)
        if read_for != candidate:
            raise SkytriggerError(
                f"the test part was already read for {read_for.get('name')}, and {candidate.get('name')} is chosen now"
                f"\n  {marker} says so: test data confirms one choice and makes none"
                "\n  remedy: test images that no choice has seen, and another --out"
            )
        if result.is_file():
            found: dict[str, Any] = read_json(result)
            return found
    write_json(marker, candidate)
    found = look()
    write_json(result, found)
    return found
