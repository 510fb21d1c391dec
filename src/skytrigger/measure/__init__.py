"""What figures are made of: records with raw samples, intervals, paired comparisons, power meters, ceilings.

>>> from skytrigger.measure import Record, Samples, time_summary
>>> samples = {"call": Samples("s", (0.010, 0.011, 0.010, 0.012, 0.010, 0.011, 0.010), items=8)}
>>> summary = time_summary(Record("throughput", {"network": "basic"}, {}, samples))
>>> f"{summary.ms_per_item.estimate:.2f} ms an image, {summary.items_per_s.estimate:.0f} images/s"
'1.25 ms an image, 800 images/s'
"""

from skytrigger.core.faces import face

_NAMES = {
    "Interval": "stats", "Record": "records", "Samples": "records", "Slot": "paired", "compare_blocks": "paired",
    "energy_summary": "summary", "markdown": "tables", "measure_ceilings": "roofline", "median_interval": "stats",
    "read": "records", "rows": "tables", "run_blocks": "paired", "time_summary": "summary", "wilson": "stats",
}  # fmt: skip
__all__ = list(_NAMES)
__getattr__ = face(__name__, _NAMES)
