"""Pages from what studies, searches and benches left on disk: HTML without scripts from elsewhere, Markdown, PNG, CSV.

>>> from skytrigger import report
>>> drawn = report.traces("ms/image", [report.Trace("basic", [(1, report.Interval(2.0, 1.9, 2.1, n=20))], "t-first")])
>>> report.svg(drawn)[:43]
'<svg viewBox="0 0 340 240" role="img" aria-'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skytrigger.measure.stats import Interval
    from skytrigger.report.build import build_report, build_reports
    from skytrigger.report.charts import Trace, traces
    from skytrigger.report.comparison import confusion_png, write_comparison
    from skytrigger.report.drawing import svg, write_png
    from skytrigger.report.optimize_page import write_page as write_search_page

_HOME = {
    "Interval": "skytrigger.measure.stats:Interval",
    "build_report": "skytrigger.report.build:build_report",
    "build_reports": "skytrigger.report.build:build_reports",
    "Trace": "skytrigger.report.charts:Trace",
    "traces": "skytrigger.report.charts:traces",
    "confusion_png": "skytrigger.report.comparison:confusion_png",
    "write_comparison": "skytrigger.report.comparison:write_comparison",
    "svg": "skytrigger.report.drawing:svg",
    "write_png": "skytrigger.report.drawing:write_png",
    "write_search_page": "skytrigger.report.optimize_page:write_page",
}
__all__ = ["Interval", "Trace", "build_report", "build_reports", "confusion_png", "svg", "traces", "write_comparison",
           "write_png", "write_search_page"]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"{__name__} has no {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(import_module(module), attribute)
