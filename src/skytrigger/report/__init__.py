"""Pages from what studies, searches and benches left on disk: HTML that loads nothing, Markdown, PNG, CSV.

>>> from skytrigger.measure.stats import Interval
>>> from skytrigger.report import Trace, svg, traces
>>> points = [(1, Interval(2.0, 1.9, 2.1, n=20)), (64, Interval(1.5, 1.4, 1.6, n=20))]
>>> drawn = traces("ms/image", [Trace("basic", points, "t-first")])
>>> drawn.label
'ms/image over batch size; the table below holds the same figures'
>>> svg(drawn)[:31]
'<svg viewBox="0 0 340 240" role'

``build_report("runs/quick")`` writes a study's page into its folder.
"""

from skytrigger.core.faces import face

_NAMES = {
    "Bar": "charts", "Drawing": "drawing", "Spot": "charts", "Trace": "charts", "build_report": "build",
    "build_reports": "build", "confusion_png": "comparison", "intervals": "charts", "matrix": "charts",
    "scatter": "charts", "svg": "drawing", "traces": "charts", "write_comparison": "comparison",
    "write_png": "drawing", "write_search_page": "optimize_page",
}  # fmt: skip
__all__ = list(_NAMES)
__getattr__ = face(__name__, _NAMES)
