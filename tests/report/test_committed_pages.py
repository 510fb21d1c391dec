"""Pages made anew from the committed records show the figures they showed when `golden/` was frozen.

Regenerate deliberately, page by page, where a method has changed (``src`` and ``tests`` on the path):
``python tests/report/test_committed_pages.py [NAME ...]``; then read the diff: a line is a row or a paragraph.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from skytrigger.report.build import build_reports
from skytrigger.report.optimize_page import write_search_page

RESULTS = Path(__file__).parents[2] / "results"
GOLDEN = Path(__file__).parent / "golden"
SEARCHES = ("optimize", "optimize-rgb", "optimize-doublets")
PAGES: dict[str, tuple[str, ...]] = {
    "eurosat-ms": ("eurosat-ms",),
    "eurosat-rgb": ("eurosat-rgb",),
    "quick": ("quick",),
    "batch-size": ("batch-size",),
    "power": ("power",),
    "batch-size-power-quick": ("batch-size", "power", "quick"),
    "fast": ("fast/ms-2-streams", "fast/ms-2-threads", "fast/rgb-2-streams", "fast/rgb-2-threads"),
    "clue": ("clue",),
    "doublets-throughput": ("doublets/throughput_cnn", "doublets/throughput_small"),
    "doublets-gpu": ("doublets/gpu",),
    "optimize-stored": ("optimize/stored",),
    **{name: (name,) for name in SEARCHES},
}
NUMBER = re.compile(r"(?<![\w.])[+−-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
PICTURE = re.compile(r"^!\[.*\]\(.*\)$")


def figures(name: str, folder: Path) -> dict[str, Any]:
    """All numbers that a page shows, row by row and paragraph by paragraph, by section; and the data of its script."""
    if name in SEARCHES:
        source = RESULTS / name
        for file in ("optimize.json", "settings.json"):
            (folder / file).write_bytes((source / file).read_bytes())
        write_search_page(folder)
    else:
        build_reports([RESULTS / f for f in PAGES[name]], folder)
    sections: dict[str, list[str]] = {}
    rows = sections.setdefault("head", [])
    for line in (folder / "report.md").read_text().splitlines():
        if line.startswith("## "):
            rows = sections.setdefault(line[3:], [])
        elif not PICTURE.match(line) and (numbers := " ".join(NUMBER.findall(line))):
            rows.append(numbers)
    html = (folder / "report.html").read_text()
    data = json.loads(html.split('id="page-data">')[1].split("</script>")[0])
    return {"sections": sections, "script": {key: f"{_total(data[key]):.6g}" for key in ("charts", "confusion")}}


def _total(value: Any) -> float:
    """Sum of all numbers in a JSON value."""
    if isinstance(value, dict):
        return sum(map(_total, value.values()))
    if isinstance(value, list):
        return sum(map(_total, value))
    return float(value) if isinstance(value, (int, float)) else 0.0


@pytest.mark.parametrize("name", PAGES)
def test_a_page_made_anew_shows_the_same_figures(name: str, tmp_path: Path) -> None:
    assert figures(name, tmp_path) == json.loads((GOLDEN / f"{name}.json").read_text())


if __name__ == "__main__":
    import tempfile

    for page in sys.argv[1:] or PAGES:
        with tempfile.TemporaryDirectory() as temporary:
            shown = figures(page, Path(temporary))
        (GOLDEN / f"{page}.json").write_text(json.dumps(shown, indent=0, ensure_ascii=False) + "\n")
