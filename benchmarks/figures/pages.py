"""Pages with marked figures."""

from __future__ import annotations

import re
from pathlib import Path

from figures import FIGURES

MARK = re.compile(r"<!-- fig (?P<words>[^>]*?) -->(?P<text>.*?)<!-- /fig -->", re.DOTALL)


def pages_of(root: Path) -> list[Path]:
    """README.md, docs/*.md and every README.md under results/."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md")), *sorted((root / "results").rglob("README.md"))]


def rendered(text: str, page: str) -> tuple[str, list[str], int]:
    """The page with every figure computed anew, what is wrong with it, and how many figures it has."""
    problems: list[str] = []
    count = 0

    def computed(match: re.Match[str]) -> str:
        nonlocal count
        count += 1
        name, *words = match["words"].split()
        if name not in FIGURES:
            problems.append(f"{page}: no figure is called {name}")
            return match[0]
        try:
            new = FIGURES[name](*words)
        except Exception as error:  # whatever is wrong with a record is told with the page and the figure
            problems.append(f"{page}: {match['words']}: {type(error).__name__}: {error}")
            return match[0]
        if "\n" in new:
            new = f"\n{new.strip()}\n"
        if new != match["text"]:
            problems.append(f"{page}: {match['words']}: the page says {match['text']!r}, the records {new!r}")
        return f"<!-- fig {match['words']} -->{new}<!-- /fig -->"

    after = MARK.sub(computed, text)
    if text.count("<!-- fig ") != count or text.count("<!-- /fig -->") != count:
        problems.append(
            f"{page}: {text.count('<!-- fig ')} marks begin, {text.count('<!-- /fig -->')} end, {count} fit"
        )
    return after, problems, count


# tables that other generators write and check
OTHERS = (
    re.compile(r"<!-- coverage: begin -->.*?<!-- coverage: end -->", re.DOTALL),  # tests/coverage
    re.compile(r"<!-- tiles: made by [^>]*? -->.*?<!-- end of tiles -->", re.DOTALL),  # tests/eo_data/formats_page.py
    re.compile(r"<!-- hits: made by [^>]*? -->.*?<!-- end of hits -->", re.DOTALL),  # tests/clue/test_formats.py
    re.compile(r"<!-- card: made by [^>]*? -->.*?<!-- end of card -->", re.DOTALL),  # gpu_card_page.py
)


def outside(text: str) -> list[tuple[int, str]]:
    """(line number, text) without figures, code, addresses and comments."""
    blank = MARK.sub(lambda m: "\n" * m[0].count("\n"), text)
    for other in OTHERS:
        blank = other.sub(lambda m: "\n" * m[0].count("\n"), blank)
    blank = re.sub(r"^```.*?^```", lambda m: "\n" * m[0].count("\n"), blank, flags=re.DOTALL | re.MULTILINE)
    blank = re.sub(r"<!--.*?-->", lambda m: "\n" * m[0].count("\n"), blank, flags=re.DOTALL)
    blank = re.sub(r"`[^`\n]*`", "`", blank)
    blank = re.sub(r"\]\([^)\n]*\)", "]", blank)
    return list(enumerate(blank.split("\n"), 1))
