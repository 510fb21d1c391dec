"""What a bench is asked for, and what it hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.measure.meters.protocol import MIN_WINDOW_S
from skytrigger.measure.paired import DEFAULT_BLOCKS, MIN_PAIRS
from skytrigger.measure.records import Record
from skytrigger.runtimes.spec import EngineSpec

SCENARIOS = ("auto", "single-stream", "offline", "frame-rate", "streams", "cold-start", "stages")
CONTROL = "control"


@dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes
    ----------
    scenario
        ``auto``: single-stream for batch 1, offline otherwise.
    seconds
        Timed seconds aimed at for each cell, shared out over its visits.
    min_blocks, max_blocks
        Blocks of two visits to every cell; as many as the seconds allow. Under 10 blocks (20 pairs) `compare` makes no
        claim; with less than 3 seconds a cell the least is 4, else 10.
    control
        Open the first cell twice: the A/A control that gives the noise floor.
    together
        Cells alive (and compared) at once; more are measured in several groups.
    flush
        Empty the caches before each timed call.
    tiles
        A .npy of tiles (n, c, h, w); without it tiles are drawn with the model's own statistics.
    stored
        Type in which tiles lie in memory; what an engine does not take as it is, is cast on the clock. None: tiles lie
        there as the engine takes them.
    codec
        For ``stages``: ``module:function``, which gives a model card's `stages.Codec` or None.
    data_hash
        Of the dataset that `tiles` came from.
    frame_rates_hz, deadline_s
        For ``frame-rate``; the deadline is a frame's length unless given.
    starts
        Fresh processes for ``cold-start``.
    ceilings
        Measure the machine's own ceilings (matrix product, copy) before and after, for the roofline.
    energy_seconds, meter_csv
        Loaded power window of each cell (0: none; at least 5, better 30), and an external meter's file.
    """

    scenario: str = "auto"
    seconds: float = 4.0
    min_blocks: int | None = None
    max_blocks: int = DEFAULT_BLOCKS
    control: bool = True
    together: int = 8
    flush: bool = False
    tiles: str | None = None
    stored: str | None = None
    codec: str | None = None
    data_hash: str | None = None
    frame_rate_hz: float = 10.0
    deadline_s: float | None = None
    starts: int = 5
    ceilings: bool = False
    energy_seconds: float = 0.0
    meter_csv: str | None = None
    seed: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def least_blocks(self) -> int:
        """`min_blocks`, or what the seconds suggest."""
        return self.min_blocks or (MIN_PAIRS // 2 if self.seconds >= 3 else 4)

    def offline(self, spec: EngineSpec) -> bool:
        """Whether `spec` is measured as throughput."""
        return self.scenario == "offline" or (self.scenario == "auto" and spec.images > 1)

    def check(self) -> None:
        """Raise InputError for what cannot be measured."""
        if self.scenario not in SCENARIOS:
            raise InputError(f"no scenario called {self.scenario!r}", expected=", ".join(SCENARIOS))
        if self.stored and self.scenario == "stages":
            raise InputError("stored tiles in the scenario stages", expected="its own stages, the cast is in prepare")
        if not 0 < self.seconds <= 3600:
            raise InputError(f"seconds = {self.seconds}", expected="more than 0, at most 3600")
        if not 1 <= self.least_blocks <= self.max_blocks:
            raise InputError(
                f"blocks {self.least_blocks} to {self.max_blocks}", expected="1 <= min_blocks <= max_blocks"
            )
        if self.energy_seconds and not MIN_WINDOW_S <= self.energy_seconds <= 3600:
            raise InputError(
                f"a power window of {self.energy_seconds} s", expected=f"{MIN_WINDOW_S:g} to 3600 s, better 30 s"
            )
        if not 0 < self.frame_rate_hz <= 1e5:
            raise InputError(f"frame rate {self.frame_rate_hz}", expected="more than 0, at most 100,000 Hz")


@dataclass
class Bench:
    """What a bench gave: records, and why some cells have none."""

    records: list[Record] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
