"""The page of the collider's preset: efficiency against the accepted rate, and dead time."""

from __future__ import annotations

from typing import Any

from skytrigger import __version__
from skytrigger.measure.stats import Interval
from skytrigger.report.charts import Trace, traces
from skytrigger.report.content import Figure, Page, Prose, Section, Table, number, words
from skytrigger.report.onboard_charts import figure_of, policy_title
from skytrigger.report.onboard_sections import about_section, dead_time_section, told
from skytrigger.report.palette import FIRST, OTHER, SECOND
from skytrigger.report.provenance import SYNTHETIC

_TONES = (SECOND, OTHER, FIRST)


def level1_page(summary: dict[str, Any]) -> Page:
    """Of the summary of ``skytrigger onboard l1``."""
    rows = summary["curve"]
    policies = list(dict.fromkeys(str(r["policy"]) for r in rows))
    drawn = [
        Trace(policy_title(p), [(r["accept_hz"] / 1e3, _share(r)) for r in rows if r["policy"] == p], _TONES[i % 3])
        for i, p in enumerate(policies)
    ]
    seeds = summary.get("seeds", "several")
    caption = f"Means over {seeds} orders of the events with their 95 % intervals. Events are generated: no physics."
    chart = traces("", drawn, x_unit="accepted at most, kHz", log=False, percent=True)
    curve = Figure([("Efficiency for signal", chart)], caption)
    head = ("policy", "accepted at most, kHz", "accepted, kHz", "efficiency, %")
    table = Table(head, [[words(policy_title(r["policy"])), number(r["accept_hz"] / 1e3, "{:,.0f}"),
                          told(figure_of(r["accepted_hz"]), 1e-3), told(_share(r), 100)] for r in rows])  # fmt: skip
    about = Prose(
        "The replay's stream, queue and policies on events instead of tiles: the pipeline is the memory, the accepted "
        "rate the link, the time in which a decision must be there the deadline. The score of an event is that of its "
        "largest CLUE cluster."
    )
    sections = [Section("efficiency", "Efficiency against the accepted rate", [about, curve, table]),
                dead_time_section(summary, "events"), about_section(summary)]  # fmt: skip
    badges = [SYNTHETIC] if summary.get("synthetic") else []
    cards = (
        [("Area under the curve of the score", f"{summary['auc']:.3f}", "clustered events")] if "auc" in summary else []
    )
    foot = f"skytrigger {__version__}. Figures are of summary.json beside this page."
    return Page(f"On board: {summary['preset']}", badges, cards, [s for s in sections if s is not None], foot)


def _share(row: dict[str, Any]) -> Interval:
    """Efficiency with its interval kept within 0 and 1."""
    found = figure_of(row["efficiency"]) or Interval(0.0, float("nan"), float("nan"))
    return Interval(found.estimate, max(0.0, found.low), min(1.0, found.high)) if found.known else found
