"""Model files on engines: one description of an engine, one row a runtime, one session, one feed.

>>> from skytrigger.runtimes import RUNTIMES, EngineSpec, Feed
>>> spec = EngineSpec("runs/basic/model.onnx", "openvino", "int8", batch_size=8, threads=2)
>>> spec.label, RUNTIMES[spec.runtime].install
('basic openvino int8, batch 8, 2 threads', "pip install 'skytrigger[openvino]'")
>>> out = []
>>> fed = Feed(range(5), [lambda x: x * x], lambda item, result: out.append(result), prepare=lambda x: x + 1).run()
>>> fed.items, out
(5, [1, 4, 9, 16, 25])

A session is opened by ``open_session("model.onnx", spec)``; ``session.run(tiles)`` gives what a network of one head
answers, ``session.answers(tiles)`` an array for each head.
"""

from skytrigger.core.faces import face

_NAMES = {
    "EngineSpec": "spec", "Fed": "feed", "Feed": "feed", "RUNTIMES": "registry", "Runtime": "registry",
    "Session": "session", "executed_kernels": "kernels", "open_session": "open", "runtime_of": "registry",
    "runtime_offers": "offers",
}  # fmt: skip
__all__ = list(_NAMES)
__getattr__ = face(__name__, _NAMES)
