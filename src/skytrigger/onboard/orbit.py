"""Where the satellite is: two-line elements through SGP4, with Skyfield's built-in timescale (nothing is fetched)."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.onboard.facts import Station
from skytrigger.onboard.sun import in_sunlight, sun_direction, sun_elevation

Floats = NDArray[np.float64]
STEP_S = 10.0
OLD_DAYS = 14.0  # SGP4's error grows by some kilometres a day, seconds of a pass: Vallado et al. 2006, AIAA 2006-6753


@dataclass(frozen=True)
class Ephemeris:
    """A stretch of flight on a grid of time; all arrays (n,).

    Attributes
    ----------
    t_s
        Seconds from the start, every `STEP_S`.
    latitude_deg, longitude_deg
        Of the point below; longitude is unwrapped, so that it can be interpolated.
    sun_deg
        The sun's elevation there.
    sunlit
        Whether the satellite is in the sun.
    elevation_deg
        Station -> the satellite's elevation over its horizon.
    notes
        What a reader should know, such as an old element set.
    """

    t_s: Floats
    latitude_deg: Floats
    longitude_deg: Floats
    sun_deg: Floats
    sunlit: NDArray[np.bool_]
    elevation_deg: dict[str, Floats]
    notes: tuple[str, ...] = ()

    def place(self, t_s: Any) -> tuple[Floats, Floats, Floats]:
        """Latitude, longitude (-180 to 180) and heading (from north, clockwise), degrees, at any times within."""
        latitude = np.interp(t_s, self.t_s, self.latitude_deg)
        longitude = np.interp(t_s, self.t_s, self.longitude_deg)
        north = np.interp(t_s, self.t_s, np.gradient(self.latitude_deg))
        east = np.interp(t_s, self.t_s, np.gradient(self.longitude_deg)) * np.cos(np.radians(latitude))
        return latitude, (longitude + 180) % 360 - 180, np.degrees(np.arctan2(east, north))


def satellite(elements: Sequence[str]) -> Any:
    """Skyfield's satellite of two lines.

    Raises
    ------
    InputError
        Not two lines of elements, or a line whose checksum is wrong.
    """
    lines = [line.rstrip() for line in elements]
    if len(lines) != 2 or any(len(line) != 69 or line[0] != str(i) for i, line in enumerate(lines, 1)):
        raise InputError("the element set is not two lines of 69 characters", expected="lines that begin with 1 and 2")
    for line in lines:
        total = sum(int(c) if c.isdigit() else c == "-" for c in line[:68]) % 10
        if str(total) != line[68]:
            raise InputError(f"line {line[0]} of the element set ends in {line[68]}", expected=f"its checksum, {total}")
    api = require("skyfield.api", why="contacts with ground stations")
    return api.EarthSatellite(*lines, ts=api.load.timescale(builtin=True))


def fly(
    elements: Sequence[str], start: datetime.datetime, seconds: float, stations: Sequence[Station] = ()
) -> Ephemeris:
    """The satellite from `start` (UTC) on.

    Raises
    ------
    InputError
        Elements that are wrong, or that SGP4 cannot carry to that time.
    """
    craft = satellite(elements)
    api = require("skyfield.api")
    framelib = require("skyfield.framelib")
    t_s = np.arange(0.0, seconds + STEP_S, STEP_S)
    ts = api.load.timescale(builtin=True)
    utc = start.astimezone(datetime.UTC)
    times = ts.utc(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second + t_s)
    at = craft.at(times)
    if any(at.message or ()):
        raise InputError(f"SGP4 cannot carry the elements to {start:%Y-%m-%d}: {next(filter(None, at.message))}")
    position = np.asarray(at.frame_xyz(framelib.true_equator_and_equinox_of_date).m).T
    sun = sun_direction(times.tt)
    ground = api.wgs84.geographic_position_of(at)
    elevations = {}
    for station in stations:
        here = api.wgs84.latlon(station.latitude_deg, station.longitude_deg)
        elevations[station.name] = np.asarray((craft - here).at(times).altaz()[0].degrees)
    days = abs(float(times.tt[0]) - float(craft.epoch.tt))
    notes: tuple[str, ...] = ()
    if days > OLD_DAYS:
        notes = (f"the element set is {days:.0f} days from the start: more than two weeks, passes may be seconds off",)
    return Ephemeris(
        t_s,
        np.asarray(ground.latitude.degrees),
        np.degrees(np.unwrap(np.radians(ground.longitude.degrees))),
        sun_elevation(position, sun),
        in_sunlight(position, sun),
        elevations,
        notes,
    )
