"""Everything that times an engine: side by side, each in a process of its own, or any callable by one loop.

>>> from skytrigger.bench import visit
>>> slot = visit(lambda: sum(range(1000)), calls=50, lead_in=1)
>>> len(slot.seconds), 0 < slot.value_s < 1
(50, True)

Engines: ``bench([EngineSpec("model.onnx"), EngineSpec("model.onnx", "openvino")], Options(seconds=4))`` gives records;
`bench.compare_times` says which of two sets is faster, and whether that is established.
"""

from skytrigger.core.faces import face

_NAMES = {
    "Bench": "options", "Options": "options", "bench": "run",
    "concurrent": "streams", "energy_windows": "power_window", "frame_rate": "frames", "stage_split": "stages",
    "visit": "loop", "WarmUp": "warmup",
}  # fmt: skip
__all__ = list(_NAMES)
__getattr__ = face(__name__, _NAMES)
