"""What a mission's spec may say. Every entry has its unit in its name; `check` says what cannot be."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skytrigger.onboard.codecs import TIERS as TIERS
from skytrigger.onboard.facts import CLASSIFIER_S, SENTINEL2, SENTINEL2A, TILE_BIT

FAULTS = ("missed_pass", "reset", "clock_jump")


class Wrong(Exception):
    """An entry that cannot be: its path in the spec, the problem, what was expected."""

    def __init__(self, path: tuple[str | int, ...], problem: str, expected: str = "") -> None:
        super().__init__(problem)
        self.path, self.problem, self.expected = path, problem, expected


def number(default: float, low: float = 0.0, high: float = float("inf")) -> Any:
    """A dataclass field with its range, both ends allowed."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Mission:
    """Orbit, instrument, memory and link. Defaults: Sentinel-2A."""

    start: datetime.datetime = datetime.datetime(2024, 7, 6, tzinfo=datetime.UTC)
    hours: float = number(24.0, 0.01, 24 * 60)
    elements: tuple[str, ...] = SENTINEL2A
    stations: tuple[str, ...] = ("Matera",)
    mask_deg: float = number(10.0, 0, 89)
    least_pass_s: float = number(0.0)
    memory_bit: float = number(SENTINEL2["memory_bit"].value, 1)
    downlink_bit_s: float = number(SENTINEL2["downlink_bit_s"].value)
    imaging_s: float = number(SENTINEL2["imaging_most_s"].value, 0, 6000)
    scene_s: float = number(SENTINEL2["scene_s"].value, 0.01)
    along_m: float = number(SENTINEL2["scene_along_m"].value, 640)
    swath_m: float = number(SENTINEL2["swath_m"].value, 640)
    tile_bit: float = number(TILE_BIT, 1)


@dataclass(frozen=True)
class StationEntry:
    """A ground station of one's own."""

    name: str
    latitude_deg: float = number(0.0, -90, 90)
    longitude_deg: float = number(0.0, -180, 180)


@dataclass(frozen=True)
class Stream:
    """What is sensed: tiles and how they are laid out.

    `tiles` is ``synthetic:COUNT:SEED`` or paths of labelled tiles, `scenes` whole products; of each block of
    `block_scenes` scenes every `every`-th has a window of `window` rows and columns that is really classified.
    """

    tiles: tuple[str, ...] = ("synthetic:400:7",)
    scenes: tuple[str, ...] = ()
    block_scenes: int = number(10, 1, 1000)
    every: int = number(10, 1, 100_000)
    window: tuple[int, ...] = (16, 20)
    cloud: float = number(0.55, 0, 1)
    changed: float = number(0.1, 0, 1)
    concentration: float = number(8.0, 0.1)
    classes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Device:
    """What classifies on board. `seconds_per_tile` is from the records; `power_W` is the user's."""

    model: str = "eurosat_ms"
    runtime: str = ""
    seconds_per_tile: float = number(CLASSIFIER_S.value)
    power_W: float = number(10.0)
    buffer_tiles: float = number(1e6)


@dataclass(frozen=True)
class Area:
    """An area of interest: tiles whose centre lies in a polygon of `geojson` are worth `factor` times as much."""

    geojson: str
    factor: float = number(1.0)


@dataclass(frozen=True)
class Alert:
    """Tiles of a class, sure enough, are announced before all else."""

    of: str
    confidence: float = number(0.9, 0, 1)


@dataclass(frozen=True)
class Value:
    """What a tile is worth: class x area x change, falling with age. Classes that are not named are worth 0.

    `half_life_s` and `deadline_s` are by class; a class without one keeps its value. `quota` is the largest share of a
    pass's bits for a class.
    """

    classes: Mapping[str, float] = field(default_factory=dict)
    unchanged: float = number(1.0)
    half_life_s: Mapping[str, float] = field(default_factory=dict)
    deadline_s: Mapping[str, float] = field(default_factory=dict)
    quota: Mapping[str, float] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    area: tuple[Area, ...] = ()
    alert: tuple[Alert, ...] = ()


@dataclass(frozen=True)
class Tiers:
    """Bits and worth of what may be sent of a tile, as shares of the whole tile's; `class_bit` is two bytes."""

    lossy_bit_share: float = number(0.25, 0, 1)
    lossy_worth: float = number(0.8, 0, 1)
    class_bit: float = number(16.0, 1)
    class_worth: float = number(0.05, 0, 1)


@dataclass(frozen=True)
class Power:
    """Battery and loads. `solar_W` flows in sunlight; below `reserve` of the battery nothing is sensed."""

    battery_J: float = number(9.6e6, 1)
    solar_W: float = number(1700.0)
    base_W: float = number(700.0)
    imaging_W: float = number(300.0)
    transmitter_W: float = number(150.0)
    reserve: float = number(0.2, 0, 1)
    start: float = number(1.0, 0, 1)


@dataclass(frozen=True)
class Choice:
    """Which policy's replay is kept in full, and which stand beside it (names, or ``file.py:Class``)."""

    chosen: str = "value"
    compare: tuple[str, ...] = ("fifo", "cloud-drop", "tile-filter", "class", "value", "age", "deadline", "change")
    passes_known: bool = True
    filter_confidence: float = number(0.5, 0, 1)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong: a pass by its number, or a moment."""

    kind: str
    contact: int = field(default=-1, metadata={"low": -1, "high": 1e9})
    at_s: float = number(0.0)
    lasts_s: float = number(60.0)
    by_s: float = field(default=0.0, metadata={"low": -1e9, "high": 1e9})


@dataclass(frozen=True)
class Spec:
    """A whole mission."""

    name: str = "mission"
    seed: int = field(default=0, metadata={"low": 0, "high": 2**31})
    seeds: int = field(default=3, metadata={"low": 1, "high": 1000})
    slice_s: float = number(20.0, 0.1)
    mission: Mission = Mission()
    station: tuple[StationEntry, ...] = ()
    stream: Stream = Stream()
    classifier: Device = Device()
    value: Value = Value()
    tiers: Tiers = Tiers()
    power: Power = Power()
    policy: Choice = Choice()
    fault: tuple[Fault, ...] = ()
    text: str = ""
    folder: str = "."
