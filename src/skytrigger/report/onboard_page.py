"""replay.html: a mission's replay on one page that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skytrigger import __version__
from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json, write_text
from skytrigger.report.content import (
    Block,
    Markup,
    Page,
    Prose,
    Section,
    span,
)
from skytrigger.report.html import document
from skytrigger.report.onboard_charts import FIRST_SHOWN, figure_of, metric_of, policy_title, shown, si
from skytrigger.report.onboard_data import MOST_CELLS, Replay, page_data, read_replay
from skytrigger.report.onboard_level1 import level1_page
from skytrigger.report.onboard_sections import (
    about_section,
    classes_section,
    dead_time_section,
    link_section,
    passes_section,
    policies_section,
)
from skytrigger.report.provenance import SYNTHETIC

_REPLAY = """<div id="replay"><div class="slider"><button id="play" type="button">Play</button>
<label for="pass">After pass</label><input id="pass" type="range" min="-1" max="{last}" value="{last}" step="1">
<output id="pass-words" for="pass"></output></div>
<div class="timeline" id="timeline"></div>
<ul class="key"><li><i class="k-night"></i>eclipse</li><li><i class="k-imaging"></i>imaging</li>
<li><i class="k-pass"></i>pass</li><li><i class="k-now"></i>the pass chosen (click on the time line to choose)</li></ul>
{map}</div>"""
_MAP = """<div class="views" role="group" aria-label="What the map shows">
<button type="button" data-view="received" aria-pressed="true">As the ground sees it</button>
<button type="button" data-view="board" aria-pressed="false">As classified on board</button>{truth}
<button type="button" data-view="status" aria-pressed="false">What became of each tile</button></div>
<ul class="key" id="legend"></ul>
<div class="ground"><div class="stage" id="stage" tabindex="0" role="img"><canvas id="map"></canvas>
<p id="stage-words"></p></div>
<div><div class="why" id="why" role="status" aria-live="polite"></div>
<div class="stage world"><canvas id="globe"></canvas>
<p>Scenes: filled as far as they are on the ground</p></div></div></div>
<h3>Scenes</h3><div class="thumbs" id="thumbs"></div>"""
_TRUTH = '<button type="button" data-view="truth" aria-pressed="false">In truth</button>'


def page(folder: str | Path) -> Path:
    """Write ``replay.html`` into a replay's folder: of a mission, or of the collider's preset.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        Not a replay's folder.
    """
    folder = Path(folder)
    summary = read_json(folder / "summary.json")
    collider = isinstance(summary, dict) and "curve" in summary
    replay = None if collider else read_replay(folder)
    try:
        text = document(_page(replay) if replay else level1_page(summary))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"{folder} is not a replay's folder: {error!r}", remedy="skytrigger onboard PRESET|SPEC.toml --out DIR"
        ) from error
    out = folder / "replay.html"
    write_text(out, text)
    return out


def _page(replay: Replay) -> Page:
    summary, data = replay.summary, page_data(replay)
    chosen = str(summary["policy"])
    found = [
        _replay_section(replay, data),
        policies_section(summary),
        dead_time_section(summary),
        passes_section(replay),
        classes_section(summary),
        link_section(replay),
        about_section(summary),
    ]
    badges = [SYNTHETIC] if summary.get("synthetic") else []
    kind = summary.get("oracle", {}).get("kind", "none")
    badges += [(f"policy: {policy_title(chosen)}", "plain"), (f"oracle: {kind}", "plain")]
    title = f"On board: {summary.get('preset', 'a mission')}"
    foot = f"skytrigger {__version__}. Figures are of summary.json and the tables beside this page."
    sections = [s for s in found if s is not None]
    shown_by = {"charts": {}, "confusion": {}, "replay": data}
    return Page(title, badges, _headline(replay, data), sections, foot, shown_by, ("replay",))


def _headline(replay: Replay, data: dict[str, Any]) -> list[tuple[str, str, str]]:
    summary = replay.summary
    of = summary["policies"][summary["policy"]]
    cards = []
    for name in FIRST_SHOWN[:2]:
        value = figure_of(of.get(name))
        if value is not None:
            metric = metric_of(name)
            cards.append((metric.title, f"{shown(value.estimate * metric.scale)} {metric.unit}".strip(),
                          span(value, "{:.3g}", metric.scale)))  # fmt: skip
    known, tiles = len(replay.ground.tiles), len(replay.tiles["tile"])
    cards.append(
        ("Classified tiles that the ground knows", f"{100 * known / max(1, tiles):.1f} %", f"{known:,} of {tiles:,}")
    )
    peak = replay.memory["memory_bit"].max() if len(replay.memory["memory_bit"]) else 0
    room = data["memory_bit"]
    cards.append(("Memory at its fullest", si(peak, "bit"), f"of {si(room, 'bit')}" if room else ""))
    faults = replay.ground.fault_counts()
    told = ", ".join(f"{n} {kind}" for kind, n in faults.items()) or "every packet arrived once and whole"
    cards.append(("Faults on the link", str(sum(faults.values())), told))
    return cards


def _replay_section(replay: Replay, data: dict[str, Any]) -> Section:
    blocks: list[Block] = []
    truth = any(v is not None for v in replay.tiles["true_class"])
    map_html = _MAP.format(truth=_TRUTH if truth else "") if data["scenes"] else ""
    scenes = len(set(replay.tiles["scene"].tolist()))
    if len(data["scenes"]) < scenes:
        blocks.append(Prose(
            f"{len(data['scenes'])} of {scenes} scenes are on this page, those with the most value (a page holds "
            f"{MOST_CELLS:,} tiles); tiles.parquet has all."
        ))  # fmt: skip
    if not data["scenes"]:
        blocks.append(Prose("No tile was classified."))
    blocks.append(Markup(_REPLAY.format(last=len(data["passes"]) - 1, map=map_html)))
    return Section("replay-section", "The mission, and what the ground has of it", blocks)
