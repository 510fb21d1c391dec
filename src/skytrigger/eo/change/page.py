"""change.html: before, after and what changed on one page that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.files import write_text
from skytrigger.eo.change.made_map import MadeMap
from skytrigger.eo.change.pictures import SIGN_COLOURS, changed_colours, colour_table
from skytrigger.eo.scene.legend import Entry
from skytrigger.eo.scene.page import byte_text, image_uri, whole_page

LAYERS = (("changed", "What changed"), ("before", "Before"), ("after", "After"))


def write_page(
    path: Path, first: MadeMap, second: MadeMap, called: NDArray[np.bool_], percent: NDArray[np.uint8],
    sign: NDArray[np.uint8], entries: Sequence[Entry], summary: dict[str, Any],
) -> None:  # fmt: skip
    """Write the page; `percent` is the probability of change, 255 where it is not known."""
    choices = "".join(
        f'<label><input type="radio" name="layer" value="{k}"{" checked" * (k == "changed")}> {title}</label> '
        for k, title in LAYERS
    )
    header = (
        f"<header><h1>Change: {escape(summary['before'])} to {escape(summary['after'])}</h1>"
        f"<p>{summary['cells_compared']:,} cells of {first.grid.pixel_m:,.0f} m compared · called changed where the "
        f"probability is at least {summary['limit']:g} · {_share(summary['false_alarm_rate'])} of unchanged ground is "
        f"called changed · model {escape(str(summary['model']))}</p></header>"
    )
    notes = "".join(f"<li>{escape(n)}</li>" for n in summary["notes"])
    main = (
        '<section class="map"><div id="stage" tabindex="0" role="img" aria-label="Map of change">'
        '<canvas id="canvas"></canvas><div id="tip" role="status" aria-live="polite" hidden></div></div>'
        f'<div class="controls">{choices}<button id="reset" type="button">Whole scene</button></div>'
        '<p class="hint">Wheel or + and - to zoom, drag or arrow keys to move, keys 1 to 3 for the layer, hover for a '
        f'cell. Changed cells have the colour of their new class; dots are signs.</p></section><section class="side">'
        f"<h2>Called changed, km²</h2>{_table(summary['transitions_km2'])}"
        f"<h2>Fitted under both maps' errors, km²</h2>{_table(summary['fitted_transitions_km2'])}"
        f"<h2>Signs, km²</h2>{_table({n: s['km2'] for n, s in summary['signs'].items()})}"
        f"<h2>Classes</h2><ul>{_legend(entries)}</ul><h2>Read this first</h2><ul>{notes}</ul></section>"
    )
    table = colour_table(entries)
    facts = {
        "rows": called.shape[0], "columns": called.shape[1],
        "pictures": {"before": image_uri(table[first.codes], "png"), "after": image_uri(table[second.codes], "png"),
                     "changed": image_uri(changed_colours(first, second, called, entries), "png")},
        "before": byte_text(first.codes), "after": byte_text(second.codes), "percent": byte_text(percent),
        "sign": byte_text(sign), "signs": {str(v): list(s) for v, s in SIGN_COLOURS.items()},
        "classes": [{"value": e.value, "title": e.title, "colour": e.colour} for e in entries],
    }  # fmt: skip
    script = resources.files("skytrigger.eo.change").joinpath("change.js").read_text("utf-8")
    write_text(path, whole_page(f"Change: {summary['before']} to {summary['after']}", header, main, script, facts))


def _share(rate: float) -> str:
    return f"{100 * rate:.2g} %"


def _table(values: dict[str, float], most: int = 12) -> str:
    """The largest of them."""
    shown = sorted(((v, k) for k, v in values.items() if v), reverse=True)
    if not shown:
        return '<p class="hint">None.</p>'
    rows = "".join(f"<tr><td>{escape(k)}</td><td class=n>{v:,.2f}</td></tr>" for v, k in shown[:most])
    more = f'<p class="hint">and {len(shown) - most} more in summary.json</p>' if len(shown) > most else ""
    return f"<table><tbody>{rows}</tbody></table>{more}"


def _legend(entries: Sequence[Entry]) -> str:
    """Colours are drawn by the script: the page allows no style of its own elements."""
    return "".join(f'<li data-value="{e.value}">{escape(e.title)}</li>' for e in entries)
