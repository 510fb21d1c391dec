"""Sections as Markdown: the same facts as the page, to read anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from skytrigger.report.content import Block, Code, Figure, Markup, Page, Prose, Table, Value


def document(page: Page, pictures: Mapping[str, str]) -> str:
    """The whole document; `pictures` are file names by the key of their section."""
    parts = [f"# {plain(page.title)}", " · ".join(f"**{plain(text)}**" for text, _ in page.badges)]
    cards = [f"- {plain(name)}: **{plain(figure)}** ({plain(basis)})" for name, figure, basis in page.headline]
    parts.append("\n".join(cards))
    for section in page.sections:
        parts.append(f"## {plain(section.title)}")
        parts += [f"![{plain(section.title)}]({pictures[section.key]})"] if section.key in pictures else []
        parts += [text for block in section.blocks if (text := _block(block))]
    return "\n\n".join(p for p in [*parts, plain(page.foot)] if p) + "\n"


def plain(text: str) -> str:
    """Text that Markdown, and the HTML inside it, takes for text."""
    flat = " ".join(text.replace("\n", "; ").split())
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", flat)


def _block(block: Block) -> str:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Prose):
        return plain(block.text)
    if isinstance(block, Code):
        longest = max((len(run) for run in re.findall(r"`+", block.text)), default=0)
        fence = "`" * max(3, longest + 1)
        return f"{fence}\n{block.text}\n{fence}"
    if isinstance(block, Figure):
        return ""
    if isinstance(block, Markup):
        return "\n\n".join(_block(b) for b in block.plain)
    raise TypeError(f"no such block: {type(block).__name__}")


def _table(table: Table) -> str:
    numeric = [any(r[i].numeric for r in table.rows) for i in range(len(table.head))]
    lines = [_row([plain(h) for h in table.head]), _row(["---:" if n else "---" for n in numeric])]
    lines += [_row([_cell(v) for v in row]) for row in table.rows]
    return "\n".join(lines) + (f"\n\n{plain(table.caption)}" if table.caption else "")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(value: Value) -> str:
    return plain(f"{value.text} ({value.small})" if value.small else value.text)
