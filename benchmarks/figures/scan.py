"""Numbers that look measured and stand outside every figure must be explained, each with its reason."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from figures.pages import outside

UNITS = (
    r"%|times|points?|ns|us|ms|s|seconds?|minutes?|hours?|bytes?|kB|MB|GB|KiB|MiB|GiB|mJ|J|W|GFLOP|[GT]FLOP/s|[GT]B/s|"
    r"images/s|tiles/s|hits|tiles|doublets|images|pixels|rows|networks|parameters|cm|e-|um"
)
NUMBER = r"[−+±-]?\d[\d,]*(?:\.\d+)?"
MEASURED = re.compile(
    rf"(?<![\w.])(?:{NUMBER}(?:\s?(?:to|and|±|/)\s?{NUMBER})*\s?(?:{UNITS})(?![\w])"  # a number with a unit
    r"|[−+±-]?\d+\.\d+(?![\w.])"  # decimals
    r"|\d{1,3}(?:,\d{3})+(?!\w))"  # thousands
)


def read_constants(path: Path) -> list[dict[str, Any]]:
    """``[[constant]]`` entries: ``text`` (a regular expression), ``pages`` (glob, default all) and ``why``."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["constant"]
    for entry in entries:
        if not entry.get("why") or not entry.get("text"):
            raise ValueError(f"{path}: {entry} needs text and why")
    return list(entries)


def unexplained(text: str, page: str, constants: list[dict[str, Any]]) -> tuple[list[str], set[int]]:
    """Sentences on numbers of the page that nothing explains, and the constants that explained others."""
    problems, used = [], set()
    patterns = [
        (number, re.compile(c["text"]))
        for number, c in enumerate(constants)
        if any(Path(page).match(p) for p in c.get("pages", ["*"]))
    ]
    for line, words in outside(text):
        spans = []
        for number, pattern in patterns:
            found = [m.span() for m in pattern.finditer(words)]
            if found:
                used.add(number)
                spans += found
        left = (m for m in MEASURED.finditer(words) if not any(a <= m.start() and m.end() <= b for a, b in spans))
        problems += [
            f"{page}:{line}: {m[0]!r} has no record: {words[max(0, m.start() - 40) : m.end() + 20]}" for m in left
        ]
    return problems, used
