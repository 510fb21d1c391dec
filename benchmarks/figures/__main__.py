"""``python -m figures [--write]``: check, or write, every figure of README.md, docs/ and the results' pages."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path, PurePath

from figures import (  # noqa: F401 (they register their figures)
    card,
    clue,
    comparisons,
    doublets,
    engines,
    fast,
    gpu,
    models,
    mutants,
    onboard,
    onboard_ground,
    pid,
    scenes,
    searches,
    tiles,
    trainings,
)
from figures.pages import pages_of, rendered
from figures.scan import read_constants, unexplained

ROOT = Path(__file__).parents[2]


def main() -> int:
    """0 where every page agrees with the records, else 1."""
    parser = argparse.ArgumentParser(prog="figures", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the figures into the pages")
    args = parser.parse_args()
    constants = read_constants(Path(__file__).parent / "constants.toml")
    problems: list[str] = []
    used: set[int] = set()
    checked = 0
    names = [page.relative_to(ROOT).as_posix() for page in pages_of(ROOT)]
    for page in pages_of(ROOT):
        name = page.relative_to(ROOT).as_posix()
        before = page.read_text(encoding="utf-8")
        after, found, count = rendered(before, name)
        checked += count
        problems += found
        if args.write and after != before:
            page.write_text(after, encoding="utf-8")
        left, explained = unexplained(after if args.write else before, name, constants)
        problems += left
        used |= explained
        if not args.write and after != before and not found:
            problems.append(f"{name}: differs from the records (make figures WRITE=1)")
    for number, constant in enumerate(constants):
        meant = [page for page in names if any(PurePath(page).match(p) for p in constant.get("pages", ["*"]))]
        if number not in used and meant:
            problems.append(f"constants.toml: {constant['text']!r} stands on no page any more")
    print("\n".join(problems) or f"{checked} figures agree with their records; all other numbers are explained")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
