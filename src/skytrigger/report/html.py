"""Sections as one self-contained HTML page: nothing is loaded, every text is escaped, scripts and styles by hash."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib import resources
from typing import Any

from skytrigger.report.content import Block, Code, Figure, Markup, Page, Prose, Section, Table, Value
from skytrigger.report.drawing import svg
from skytrigger.report.palette import css


def document(page: Page) -> str:
    """The whole page."""
    style, script = ("".join(map(_resource, (f"{n}.{e}" for n in ("page", *page.more)))) for e in ("css", "js"))
    style = css() + style
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    links = "".join(f'<a href="#{escape(s.key)}">{escape(s.title)}</a>' for s in page.sections)
    marks = "".join(f'<span class="badge {escape(tone)}">{escape(text)}</span>' for text, tone in page.badges)
    cards = "".join(
        f'<div class="card"><dt>{escape(name)}</dt><dd>{escape(figure)}<small>{escape(basis)}</small></dd></div>'
        for name, figure, basis in page.headline
    )
    body, title = "".join(_section(s) for s in page.sections), escape(page.title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{title}</title><style>{style}</style></head>\n<body>"
        f'<a class="skip" href="#content">Skip to the content</a><header><h1>{title}</h1>'
        f'<p class="badges">{marks}</p><dl class="cards">{cards}</dl>'
        f'<nav aria-label="Contents">{links}</nav></header>\n'
        f'<main id="content">{body}</main>\n<footer><p>{escape(page.foot)}</p></footer>'
        f'<div id="tip" role="status" aria-live="polite" hidden></div>'
        f'<script type="application/json" id="page-data">{_json(page.data)}</script>'
        f"<script>{script}</script></body></html>\n"
    )


def _resource(name: str) -> str:
    return resources.files("skytrigger.report").joinpath(name).read_text("utf-8")


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _json(data: dict[str, Any]) -> str:
    """JSON that cannot end its script element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _section(section: Section) -> str:
    key = escape(section.key)
    body = "".join(_block(b) for b in section.blocks)
    head = f'<h2 id="{key}-title">{escape(section.title)}</h2>'
    return f'<section id="{key}" aria-labelledby="{key}-title">{head}{body}</section>\n'


def _block(block: Block) -> str:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Prose):
        return f'<p class="prose {escape(block.tone)}">{escape(block.text)}</p>'
    if isinstance(block, Code):
        return f'<div class="scroll"><pre tabindex="0">{escape(block.text)}</pre></div>'
    if isinstance(block, Figure):
        return _figure(block)
    if isinstance(block, Markup):
        return block.html
    raise TypeError(f"no such block: {type(block).__name__}")


def _figure(figure: Figure) -> str:
    panels, opened = [], False
    for heading, drawn in figure.panels:  # panels without a heading go on with the one before
        if heading:
            panels.append(("</div>" if opened else "") + f'<div class="panel"><h3>{escape(heading)}</h3>')
            opened = True
        panels.append(svg(drawn))
    body = "".join(panels) + ("</div>" if opened else "")
    kind = "scroll wide" if figure.wide else "panels"
    return f'<figure><div class="{kind}">{body}</div><figcaption>{escape(figure.caption)}</figcaption></figure>'


def _table(table: Table) -> str:
    numeric = [any(r[i].numeric for r in table.rows) for i in range(len(table.head))]
    sortable = len(table.rows) > 1 and len(table.head) > 2
    head = "".join(_head(name, n, sortable) for name, n in zip(table.head, numeric, strict=True))
    rows = "".join(
        "<tr>" + "".join(_cell(v, n, i == 0) for i, (v, n) in enumerate(zip(row, numeric, strict=True))) + "</tr>"
        for row in table.rows
    )
    css = "sortable" if sortable else "facts" if len(table.head) == 2 else ""
    caption = f'<p class="caption">{escape(table.caption)}</p>' if table.caption else ""
    return (
        f'<div class="scroll" tabindex="0"><table class="{css}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>'
        f"</table></div>{caption}"
    )


def _head(name: str, numeric: bool, sortable: bool) -> str:
    said = f"<button>{escape(name)}</button>" if sortable else escape(name)
    return f'<th scope="col" class="{"n" if numeric else ""}">{said}</th>'


def _cell(value: Value, numeric: bool, first: bool) -> str:
    tag = 'th scope="row"' if first else "td"
    long = "long" if len(value.text) > 40 else "short" if len(value.text) < 24 else ""
    css = " ".join(c for c in ("n" if numeric else "", value.tone, long) if c)
    order = "" if value.order is None else f' data-order="{escape(str(value.order))}"'
    small = f"<small>{escape(value.small)}</small>" if value.small else ""
    return f'<{tag} class="{css}"{order}>{escape(value.text)}{small}</{tag.split()[0]}>'
