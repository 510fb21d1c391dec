"""Records as they are read here, and how figures are written."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.learn.predictions import Predictions, read_predictions
from skytrigger.measure.paired import Slot, compare_blocks
from skytrigger.measure.records import Record, read
from skytrigger.measure.stats import Interval

RESULTS = Path(__file__).parents[2] / "results"
MINUS = "−"


@cache
def records(folder: str) -> tuple[Record, ...]:
    """``records.jsonl`` of a results folder."""
    return tuple(read(RESULTS / folder / "records.jsonl"))


@cache
def loaded(file: str) -> Any:
    """A JSON or TOML file under results/."""
    text = (RESULTS / file).read_text(encoding="utf-8")
    return tomllib.loads(text) if file.endswith(".toml") else json.loads(text)


@cache
def lines_of(file: str) -> tuple[Any, ...]:
    """A JSON-lines file under results/."""
    return tuple(json.loads(line) for line in (RESULTS / file).read_text(encoding="utf-8").splitlines())


@cache
def predictions(file: str) -> Predictions:
    """A Parquet file of answers under results/."""
    return read_predictions(RESULTS / file)


def right(found: Predictions) -> NDArray[np.bool_]:
    """(n,) whether the first head's answer is the truth."""
    answer: NDArray[np.bool_] = found.logits.argmax(axis=1) == found.true
    return answer


def digits(value: float) -> str:
    """Three significant digits, never in powers of ten."""
    if value == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}"


def number(value: float, places: int, sign: bool = False) -> str:
    """With a real minus."""
    return f"{value:{'+' if sign else ''}.{places}f}".replace("-", MINUS)


def span(interval: Interval | dict[str, Any], factor: float = 1.0) -> str:
    """``20.1 (19.8 to 20.7)``, to three digits."""
    raw = interval if isinstance(interval, dict) else interval.to_json()
    if raw["low"] is None:
        return f"{digits(factor * raw['estimate'])} (no interval)"
    low, high = sorted((factor * raw["low"], factor * raw["high"]))
    return f"{digits(factor * raw['estimate'])} ({digits(low)} to {digits(high)})"


def percent(interval: Interval | dict[str, Any]) -> str:
    """``83.5 % (78.2 to 88.7)``."""
    raw = interval if isinstance(interval, dict) else interval.to_json()
    return f"{100 * raw['estimate']:.1f} % ({100 * raw['low']:.1f} to {100 * raw['high']:.1f})"


def points(interval: Interval | dict[str, Any], places: int = 1) -> str:
    """``+1.1 points (−3.1 to +5.4)``."""
    raw = interval if isinstance(interval, dict) else interval.to_json()
    low, high = (number(100 * raw[k], places, sign=True) for k in ("low", "high"))
    return f"{number(100 * raw['estimate'], places, sign=True)} points ({low} to {high})"


def inverse(interval: Interval) -> Interval:
    """Of a ratio: the other way round."""
    return Interval(1 / interval.estimate, 1 / interval.high, 1 / interval.low, interval.level, interval.n)


def times_of(slow: Sequence[Slot], fast: Sequence[Slot]) -> Interval:
    """How many times as long `slow` takes, of two arms of one run."""
    return inverse(compare_blocks(slow, fast, None).ratio)


def plain_slots(arm: dict[str, Any]) -> list[Slot]:
    """Slots of a benchmark's own JSON: `slots`, and what rejects a block."""
    return [
        Slot((value,), {"steal_s": steal, "wall_s": wall})
        for value, steal, wall in zip(arm["slots"], arm["steal_s"], arm["wall_s"], strict=True)
    ]


def table(head: str, rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table under the two lines of `head`."""
    return "\n".join([head.strip("\n"), *("| " + " | ".join(row) + " |" for row in rows)])
