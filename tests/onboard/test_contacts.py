"""Contacts, the sun, imaging: against published figures and an ephemeris."""

from __future__ import annotations

import datetime
from itertools import pairwise

import numpy as np
import pytest

from skytrigger.core.errors import InputError

pytest.importorskip("skyfield")

from skytrigger.onboard.contacts import contact_s, contacts, crossings, imaging
from skytrigger.onboard.facts import SCENE_TILES, SENTINEL2, SENTINEL2A, STATIONS, TILE_BIT
from skytrigger.onboard.orbit import Ephemeris, fly
from skytrigger.onboard.sun import EARTH_RADIUS_M, in_sunlight, sun_direction

START = datetime.datetime(2024, 7, 6, tzinfo=datetime.UTC)
DAYS = 5


@pytest.fixture(scope="module")
def flight() -> Ephemeris:
    return fly(SENTINEL2A, START, DAYS * 86400, list(STATIONS.values()))


def only(flight: Ephemeris, *names: str) -> Ephemeris:
    from dataclasses import replace

    return replace(flight, elevation_deg={n: flight.elevation_deg[n] for n in names})


@pytest.mark.parametrize(
    ("names", "tbit"), [(tuple(STATIONS), 8.06), (("Svalbard",), 3.58), (("Matera",), 1.14)]
)  # the origin's figures, to the two digits or so that a choice of days leaves
def test_a_day_of_contacts_carries_the_published_bits(flight, names, tbit):
    a_day = contact_s(contacts(only(flight, *names), 10.0)) / DAYS
    assert a_day * SENTINEL2["downlink_bit_s"].value / 1e12 == pytest.approx(tbit, rel=0.03)


def test_four_stations_give_about_14400_seconds_and_563_gbit_an_orbit(flight):
    a_day = contact_s(contacts(flight, 10.0)) / DAYS
    assert a_day == pytest.approx(14_400, rel=0.02)
    assert a_day * 0.56 / SENTINEL2["orbits_a_day"].value == pytest.approx(563, rel=0.02)


def test_one_transmitter_serves_one_station_at_a_time(flight):
    passes = contacts(flight, 5.0)
    assert all(a.end_s <= b.start_s for a, b in pairwise(passes))
    assert all(p.end_s > p.start_s for p in passes)


def test_a_lower_mask_never_shortens_contact(flight):
    seconds = [contact_s(contacts(flight, mask)) for mask in (0, 5, 10, 20, 40)]
    assert seconds == sorted(seconds, reverse=True)


def test_passes_agree_with_skyfields_own_search(flight):
    from skyfield.api import EarthSatellite, load, wgs84

    ts = load.timescale(builtin=True)
    craft, here = EarthSatellite(*SENTINEL2A, ts=ts), wgs84.latlon(40.650, 16.704)
    times, kinds = craft.find_events(here, ts.utc(2024, 7, 6), ts.utc(2024, 7, 8), altitude_degrees=10.0)
    start = ts.utc(2024, 7, 6).tt
    rises = [(t.tt - start) * 86400 for t, k in zip(times, kinds, strict=True) if k == 0]
    found = [p.start_s for p in contacts(only(flight, "Matera"), 10.0) if p.start_s < 2 * 86400]
    assert found == pytest.approx(rises, abs=0.6)


def test_scene_facts_belong_together():
    assert SCENE_TILES == 16_284
    assert SCENE_TILES / SENTINEL2["scene_s"].value == pytest.approx(4_680, abs=2)
    assert pytest.approx(86e3, rel=0.01) == TILE_BIT
    assert SENTINEL2["raw_bit_s"].value * SENTINEL2["scene_s"].value == pytest.approx(4e9, rel=0.01)


def test_imaging_is_by_day_and_as_long_as_asked(flight):
    stretches = imaging(flight, 978.0)
    assert len(stretches) / DAYS == pytest.approx(14.3, abs=0.3)
    whole = [b - a for a, b in stretches if a > 0 and b < DAYS * 86400]
    assert whole == pytest.approx([978.0] * len(whole))
    for a, b in stretches:
        assert (flight.sun_deg[(flight.t_s > a) & (flight.t_s < b)] > 20).all()


def test_old_elements_are_said_to_be():
    assert fly(SENTINEL2A, START, 60.0).notes == ()
    late = fly(SENTINEL2A, START + datetime.timedelta(days=20), 60.0)
    assert "more than two weeks" in late.notes[0]


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (("1 40697U", "2 40697"), "69 characters"),
        ((SENTINEL2A[0], SENTINEL2A[1][:-1] + "0"), "checksum"),
        ((SENTINEL2A[1], SENTINEL2A[0]), "69 characters"),
    ],
)
def test_wrong_elements_are_named(lines, word):
    with pytest.raises(InputError, match=word):
        fly(lines, START, 60.0)


def test_the_sun_agrees_with_an_ephemeris():
    """Within the 0.01 degree that the formula promises; de421 of PyPI, without a download."""
    de421 = pytest.importorskip("de421", reason="pip install de421: the ephemeris that the formula is checked against")
    ephem = pytest.importorskip("jplephem.ephem")
    from skyfield.api import load
    from skyfield.framelib import true_equator_and_equinox_of_date
    from skyfield.positionlib import Astrometric

    planets = ephem.Ephemeris(de421)
    ts = load.timescale(builtin=True)
    for year in (2000, 2012, 2024, 2040):
        for month in (1, 4, 7, 10):
            t = ts.tt(year, month, 15)
            earth = planets.position("earthmoon", t.tt) - planets.position("moon", t.tt) * planets.earth_share
            sun = (planets.position("sun", t.tt) - earth).ravel()
            of_date = Astrometric(sun / 149_597_870.7, t=t).frame_xyz(true_equator_and_equinox_of_date).au
            angle = np.degrees(np.arccos(np.clip(sun_direction(t.tt) @ of_date / np.linalg.norm(of_date), -1, 1)))
            assert angle < 0.02  # the formula's 0.01 and the light's way of 8 minutes, 0.006


def test_the_sun_stands_over_the_tropics_at_the_solstices():
    day = sun_direction(2_460_482.369)  # 2024-06-20 20:51 UT
    assert np.degrees(np.arcsin(day[2])) == pytest.approx(23.44, abs=0.01)
    assert np.linalg.norm(day) == pytest.approx(1.0)


def test_shadow_is_behind_the_earth_only():
    sun = np.array([[1.0, 0, 0]] * 3)
    places = np.array([[-7e6, 0, 0], [-7e6, EARTH_RADIUS_M + 1, 0], [7e6, 0, 0]])
    assert in_sunlight(places, sun).tolist() == [False, True, True]


def test_a_sun_synchronous_orbit_is_in_shadow_for_a_third(flight):
    assert 0.30 < 1 - flight.sunlit.mean() < 0.37


def test_crossings_begin_and_end_between_samples():
    t = np.arange(5.0)
    assert crossings(t, np.array([-1.0, 1, 1, -1, -1])) == [(0.5, 2.5)]
    assert crossings(t, np.array([1.0, 1, -1, -1, 1])) == [(0.0, 1.5), (3.5, 4.0)]
