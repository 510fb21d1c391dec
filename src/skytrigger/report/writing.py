"""A page on disk: report.html, report.md and the pictures that Markdown shows, one for each section that draws."""

from __future__ import annotations

import re
from pathlib import Path

from skytrigger.core.files import write_text
from skytrigger.report import html, markdown
from skytrigger.report.content import Page
from skytrigger.report.drawing import write_png

FILES = {"timing": "speed", "batch-size": "batch_size"}  # of others: the section's own key


def write_page(page: Page, out: str | Path) -> list[Path]:
    """Write it into the folder `out`; report.html and report.md come first in the list."""
    out = Path(out)
    marks = "; ".join(text for text, _ in page.badges)
    pictures = {}
    for section in page.sections:
        if section.panels:
            mark, key = re.fullmatch(r"(s\d+-)?(.*)", section.key).groups("")  # type: ignore[union-attr]
            pictures[section.key] = f"{mark}{FILES.get(key, key)}.png"
            write_png(section.panels, out / pictures[section.key], f"{section.title}\n{marks}")
    pages = [out / "report.html", out / "report.md"]
    write_text(pages[0], html.document(page))
    write_text(pages[1], markdown.document(page, pictures))
    return [*pages, *(out / name for name in pictures.values())]
