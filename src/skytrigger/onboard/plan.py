"""A day before any tile is seen: passes, blocks of scenes with their places, the battery, the device."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skytrigger.onboard.area import Polygon, inside, read_areas
from skytrigger.onboard.contacts import Pass, contacts, imaging
from skytrigger.onboard.device import work_off
from skytrigger.onboard.facts import STATIONS, Station, tiles_of_scene
from skytrigger.onboard.orbit import Ephemeris, fly
from skytrigger.onboard.power import Battery, battery
from skytrigger.onboard.spec import Spec, StationEntry

Floats = NDArray[np.float64]
DEGREE_M = 111_195.0  # of latitude, on a sphere of the Earth's mean radius
LATTICE = (24, 64)  # points along and across a block at which areas of interest are looked up


@dataclass(frozen=True)
class Blocks:
    """Blocks of consecutive scenes; all arrays (n,), `area_share` (n, levels).

    Attributes
    ----------
    t_s
        When the last of a block was sensed.
    tiles, live
        How many were sensed, and how many of them the device works on.
    ready_s
        When the device is done with them.
    area_share
        Share of the tiles at each level of `Plan.area_levels`.
    """

    t_s: Floats
    seconds: Floats
    tiles: NDArray[np.int64]
    live: NDArray[np.int64]
    ready_s: Floats
    latitude_deg: Floats
    longitude_deg: Floats
    area_share: Floats


@dataclass(frozen=True)
class Plan:
    """Times in seconds from the mission's start; `missed` are passes that do not take place."""

    flight: Ephemeris
    passes: tuple[Pass, ...]
    missed: frozenset[int]
    blocks: Blocks
    unsensed: int
    battery: Battery
    imaging: NDArray[np.bool_]
    sending: NDArray[np.bool_]
    area_levels: Floats
    areas: tuple[tuple[list[Polygon], float], ...]
    notes: tuple[str, ...]

    def capacity_bit(self, rate_bit_s: float) -> float:
        """Of all passes that take place."""
        return rate_bit_s * sum(p.end_s - p.start_s for i, p in enumerate(self.passes) if i not in self.missed)


def make_plan(spec: Spec) -> Plan:
    """From orbit and spec; nothing here depends on a policy or a seed.

    Raises
    ------
    InputError
        Elements or areas that cannot be read.
    """
    m = spec.mission
    flight = fly(m.elements, m.start, m.hours * 3600, stations_of(spec))
    passes = tuple(contacts(flight, m.mask_deg, m.least_pass_s))
    missed = frozenset(f.contact for f in spec.fault if f.kind == "missed_pass")
    stretches = imaging(flight, m.imaging_s)
    t = flight.t_s
    wanted = _flags(t, stretches)
    sending = _flags(t, [(p.start_s, p.end_s) for i, p in enumerate(passes) if i not in missed])
    held = battery(spec.power, spec.classifier.power_W, t, flight.sunlit, wanted, sending)
    areas = tuple((read_areas(_path(spec, a.geojson)), a.factor) for a in spec.value.area)
    levels = np.array(sorted({1.0, *(f for _, f in areas)}))
    blocks, unsensed = _blocks(spec, flight, stretches, held, areas, levels)
    return Plan(
        flight, passes, missed, blocks, unsensed, held, wanted & held.allowed, sending, levels, areas, flight.notes
    )


def stations_of(spec: Spec) -> list[Station]:
    """The spec's stations: its own and the built-in ones."""
    own: dict[str, StationEntry] = {s.name: s for s in spec.station}
    return [
        Station(n, own[n].latitude_deg, own[n].longitude_deg) if n in own else STATIONS[n]
        for n in spec.mission.stations
    ]


def _path(spec: Spec, name: str) -> str:
    from pathlib import Path

    return str(Path(spec.folder) / name)


def _flags(t: Floats, stretches: list[tuple[float, float]]) -> NDArray[np.bool_]:
    flags = np.zeros(len(t), bool)
    for a, b in stretches:
        flags |= (t >= a) & (t < b)
    return flags


def _blocks(
    spec: Spec,
    flight: Ephemeris,
    stretches: list[tuple[float, float]],
    held: Battery,
    areas: tuple[tuple[list[Polygon], float], ...],
    levels: Floats,
) -> tuple[Blocks, int]:
    m, per = spec.mission, spec.stream.block_scenes
    begins, scenes = [], []
    for a, b in stretches:
        whole = int((b - a) / m.scene_s)
        begins += [a + m.scene_s * k for k in range(0, whole, per)]
        scenes += [min(per, whole - k) for k in range(0, whole, per)]
    begin, count = np.array(begins, np.float64), np.array(scenes, np.int64)
    end = begin + count * m.scene_s
    powered = held.allowed[np.clip(np.searchsorted(flight.t_s, end) - 1, 0, len(flight.t_s) - 1)]
    tiles_each = tiles_of_scene(m.along_m, m.swath_m)
    unsensed = int((count * tiles_each)[~powered].sum())
    begin, count, end = begin[powered], count[powered], end[powered]
    tiles = count * tiles_each
    d = spec.classifier
    kept = work_off(end, tiles, d.seconds_per_tile, d.buffer_tiles)
    live = kept.live.copy()
    for fault in spec.fault:
        if fault.kind == "reset":  # what is sensed while the computer starts again is never classified
            live[(end >= fault.at_s) & (end < fault.at_s + fault.lasts_s)] = 0
    latitude, longitude, heading = flight.place((begin + end) / 2)
    shares = np.zeros((len(end), len(levels)))
    for i in range(len(end) if areas else 0):
        lat, lon = _lattice(latitude[i], longitude[i], heading[i], count[i] * m.along_m, m.swath_m)
        shares[i] = area_shares(factor_at(areas, lon, lat), levels)
    if not areas:
        shares[:, 0] = 1.0
    blocks = Blocks(end, end - begin, tiles, live, kept.ready_s, latitude, longitude, shares)
    return blocks, unsensed


def _lattice(
    latitude: float, longitude: float, heading: float, along_m: float, across_m: float
) -> tuple[Floats, Floats]:
    """Points over a block's rectangle, which lies along the track: latitude, longitude in degrees."""
    a, c = ((np.arange(n) + 0.5) / n - 0.5 for n in LATTICE)
    along, across = np.meshgrid(a * along_m, c * across_m, indexing="ij")
    turn = np.radians(heading)
    north = along * np.cos(turn) - across * np.sin(turn)
    east = along * np.sin(turn) + across * np.cos(turn)
    lat = latitude + north / DEGREE_M
    lon = longitude + east / (DEGREE_M * max(0.05, np.cos(np.radians(latitude))))
    return lat, (lon + 180) % 360 - 180


def factor_at(areas: tuple[tuple[list[Polygon], float], ...], longitude: Floats, latitude: Floats) -> Floats:
    """The factor of the areas at points: the largest of those that hold a point, 1 outside of all."""
    factor = np.full(np.shape(longitude), np.nan)
    for polygons, value in areas:
        factor = np.where(inside(polygons, longitude, latitude), np.fmax(factor, value), factor)
    return np.where(np.isnan(factor), 1.0, factor)


def area_shares(factor: Floats, levels: Floats) -> Floats:
    """Share of points at each level."""
    return np.array([float(np.mean(factor == level)) for level in levels])


def without(plan: Plan, passes: frozenset[int]) -> Plan:
    """The same day with other passes missed."""
    return replace(plan, missed=passes)
