"""What a meter is, and what a window of its readings comes to."""

from __future__ import annotations

import itertools
import statistics
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

MIN_WINDOW_S = 5.0
GOOD_WINDOW_S = 30.0
DISAGREEMENT = 0.05
LOST_SHARE = 0.10
STRETCHES = 20
BESIDES = ("utilisation", "temperature_c", "clock_mhz")  # what a reading may tell beside power


@dataclass(frozen=True)
class MeterFacts:
    """Where a meter's figures come from.

    Attributes
    ----------
    source
        ``nvml``, ``rapl``, ``hwmon``, ``external``, ``replay``.
    scope
        What is inside the figure: GPU board, CPU packages, a rail, the wall plug.
    resolution
        In words, with units, as the source documents it.
    counter_range_j
        Joules at which the energy counter starts again at zero, or None.
    """

    source: str
    scope: str
    resolution: str
    counter_range_j: float | None = None


@dataclass(frozen=True)
class Reading:
    """One reading; None for what the source does not have. `joules` is a running counter, `watts` of this moment."""

    time_s: float
    joules: float | None = None
    watts: float | None = None
    utilisation: float | None = None
    temperature_c: float | None = None
    clock_mhz: float | None = None


class Meter(Protocol):
    """Readings of a stretch of time."""

    facts: MeterFacts

    def start(self) -> None:
        """Begin a window."""

    def stop(self) -> list[Reading]:
        """End it and give its readings."""

    def close(self) -> None:
        """Give the sensor back."""


class LiveMeter(ABC):
    """A meter that is read at an interval by a thread that otherwise sleeps."""

    facts: MeterFacts

    def __init__(self, interval_s: float = 0.1) -> None:
        self.interval_s = interval_s
        self._readings: list[Reading] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @abstractmethod
    def read(self) -> Reading:
        """Ask the sensor now."""

    def start(self) -> None:
        """Read now, and then at every interval."""
        self._readings = [self.read()]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._ended.wait(self.interval_s):
            self._readings.append(self.read())

    def stop(self) -> list[Reading]:
        """Last reading, and all of the window."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._readings.append(self.read())
        return self._readings

    def close(self) -> None:  # noqa: B027 - most sensors are plain files
        """Nothing to give back."""


@dataclass(frozen=True)
class WindowEnergy:
    """Energy of one window. `joules` is None where the readings cannot tell; `flags` says why, or what to doubt.

    `stretches` are the mean watts of up to 20 stretches of the window in order, for an interval of its mean power;
    `ranges` the smallest and largest reading of `BESIDES`.
    """

    joules: float | None
    seconds: float
    flags: tuple[str, ...] = ()
    watts_mean: float | None = None
    watts_min: float | None = None
    watts_max: float | None = None
    utilisation: float | None = None
    temperature_c: float | None = None
    clock_mhz: float | None = None
    stretches: tuple[float, ...] = ()
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    def without(self, flag: str) -> WindowEnergy:
        """The same window judged useless for a reason."""
        return replace(self, joules=None, flags=(*self.flags, flag))


def window_energy(readings: Sequence[Reading], facts: MeterFacts) -> WindowEnergy:
    """Joules between the first and the last reading.

    The energy counter is taken where there is one and cross-checked with the integrated power (more than 5 % apart is
    flagged); power alone is integrated by trapezoids. A sensor that stands still, a clock that runs backwards, a
    counter that falls without a known range, and power readings with more than 10 % of the window missing give no
    figure.
    """
    if len(readings) < 2:
        return WindowEnergy(None, 0.0, ("fewer than two readings",))
    times = [r.time_s for r in readings]
    seconds = times[-1] - times[0]
    if any(later <= before for before, later in itertools.pairwise(times)):
        return WindowEnergy(None, max(0.0, seconds), ("the clock ran backwards or stood still",))
    counted, flags = _counted(readings, facts)
    integrated, more = _integrated(readings, alone=counted is None)
    flags += more
    joules = integrated if counted is None else counted
    if counted and integrated and abs(integrated - counted) > DISAGREEMENT * counted:
        flags.append(f"counter {counted:.4g} J and integrated power {integrated:.4g} J disagree by more than 5 %")
    stretches = () if joules is None else _stretches(readings, facts, counted is not None)
    watts = [r.watts for r in readings if r.watts is not None] or stretches
    mean = joules / seconds if joules is not None else None
    told = {name: [v for v in (getattr(r, name) for r in readings) if v is not None] for name in BESIDES}
    return WindowEnergy(
        joules, seconds, tuple(flags), mean, min(watts, default=mean), max(watts, default=mean),
        **{name: statistics.fmean(values) if values else None for name, values in told.items()},
        stretches=stretches, ranges={name: (min(values), max(values)) for name, values in told.items() if values},
    )  # fmt: skip


def _stretches(readings: Sequence[Reading], facts: MeterFacts, counted: bool) -> tuple[float, ...]:
    """Mean watts of each of up to 20 stretches of at least two steps."""
    name = "joules" if counted else "watts"
    points = [(r.time_s, getattr(r, name)) for r in readings if getattr(r, name) is not None]
    steps = []
    for (t0, before), (t1, now) in itertools.pairwise(points):
        joules = now - before if counted else (t1 - t0) * (before + now) / 2
        steps.append((t1 - t0, joules + (facts.counter_range_j or 0.0) if counted and joules < 0 else joules))
    parts = min(STRETCHES, len(steps) // 2)
    ends = [round(i * len(steps) / parts) for i in range(parts + 1)] if parts else []
    cut = [steps[a:b] for a, b in itertools.pairwise(ends)]
    return tuple(sum(j for _, j in part) / sum(t for t, _ in part) for part in cut)


def _counted(readings: Sequence[Reading], facts: MeterFacts) -> tuple[float | None, list[str]]:
    counts = [r.joules for r in readings if r.joules is not None]
    if len(counts) < 2:
        return None, []
    total = 0.0
    for before, now in itertools.pairwise(counts):
        step = now - before
        if step < 0:
            if facts.counter_range_j is None or now > 0.5 * facts.counter_range_j:
                return None, ["the energy counter fell (a reset)"]
            step += facts.counter_range_j
        total += step
    return (total, []) if total > 0 else (None, ["the energy counter stood still"])


def _integrated(readings: Sequence[Reading], alone: bool) -> tuple[float | None, list[str]]:
    """Trapezoid sum of the power readings; `alone`: there is no counter to fall back on."""
    points = [(r.time_s, r.watts) for r in readings if r.watts is not None]
    if len(points) < 2:
        return None, []
    steps = [b[0] - a[0] for a, b in itertools.pairwise(points)]
    usual = statistics.median(steps)
    span = readings[-1].time_s - readings[0].time_s
    lost = sum(s - usual for s in steps if s > 3 * usual) + span - (points[-1][0] - points[0][0])
    flags = []
    if lost > LOST_SHARE * span:
        return None, [f"{lost / span:.0%} of the power readings are missing"]
    if lost > 0.01 * span:
        flags.append(f"{lost / span:.0%} of the power readings are missing")
    if len(points) >= 10 and len({w for _, w in points}) == 1:
        flags.append("the power sensor stood still")
        return None, flags
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points)), flags


def energy_entry(
    facts: MeterFacts, work: WindowEnergy, idle: Sequence[WindowEnergy], items: int, work_s: float
) -> dict[str, Any]:
    """The `energy` of a record from a loaded window and idle windows before and after it.

    Gross is the window's mean power times the `work_s` seconds in which the `items` were done (a meter's first and
    last readings never fall on their ends); net takes off the mean idle power, and is missing without an idle figure.
    """
    flags = list(work.flags)
    entry: dict[str, Any] = {
        "label": "measured" if work.joules is not None else "unavailable",
        "source": facts.source, "scope": facts.scope, "resolution": facts.resolution, "flags": flags,
    }  # fmt: skip
    if work.joules is None or work.watts_mean is None:
        return entry
    if work_s < MIN_WINDOW_S:
        flags.append(f"a window of {work_s:.1f} s; at least {MIN_WINDOW_S:g} s, better {GOOD_WINDOW_S:g} s")
        entry["label"] = "estimated"
    quiet = [w.watts_mean for w in idle if w.joules is not None and w.watts_mean is not None]
    if len(quiet) == 2 and abs(quiet[0] - quiet[1]) > DISAGREEMENT * max(quiet):
        flags.append(f"idle power before ({quiet[0]:.3g} W) and after ({quiet[1]:.3g} W) differ by more than 5 %")
    idle_w = statistics.fmean(quiet) if quiet else None
    return entry | {
        "joules_gross": work.watts_mean * work_s,
        "joules_net": None if idle_w is None else (work.watts_mean - idle_w) * work_s,
        "seconds": work_s,
        "items": items,
        "idle_watts": quiet,
        "watts_stretches": [round(w, 6) for w in work.stretches],
        **{n: getattr(work, n) for n in ("watts_mean", "watts_min", "watts_max", *BESIDES)},
        **{f"{n}_min": low for n, (low, _) in work.ranges.items()},
        **{f"{n}_max": high for n, (_, high) in work.ranges.items()},
    }  # fmt: skip
