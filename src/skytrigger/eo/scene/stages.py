"""What the ways through a scene share: CPU seconds of their stages, and which chunks they still have to do."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

Span = tuple[int, int]


@dataclass
class StageTimes:
    """CPU seconds of each stage, added over its threads.

    Attributes
    ----------
    infer
        What the process used besides decoding and preparing: engines have threads of their own, which nothing counts
        apart, and little else runs meanwhile.
    """

    decode: float = 0.0
    prepare: float = 0.0
    infer: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, prepare: float) -> None:
        """From any lane."""
        with self._lock:
            self.prepare += prepare


def stretches(plan: list[Span]) -> list[list[Span]]:
    """Chunks that follow one another."""
    groups: list[list[Span]] = []
    for span in plan:
        if groups and groups[-1][-1][1] == span[0]:
            groups[-1].append(span)
        else:
            groups.append([span])
    return groups
