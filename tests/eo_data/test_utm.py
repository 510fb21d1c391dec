"""UTM against PROJ's figures, against the meridian arc integrated by SciPy, and against itself by symmetry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from skytrigger.eo import utm

# zone, southern, easting, northing, longitude, latitude: PROJ 9 (EPSG:326zz / 327zz to EPSG:4326)
PROJ = [
    (30, False, 600895.0, 4327269.9, -1.8333781031840517, 39.08872159220404),
    (33, True, 333333.3, 6250941.0, 13.198110078660605, -33.86870309447686),
    (29, False, 199999.0, 7000000.0, -14.929973790442059, 63.00502696296195),
    (33, False, 500000.0, 0.0, 15.0, 0.0),
]


@pytest.mark.parametrize(("zone", "south", "east", "north", "longitude", "latitude"), PROJ)
def test_agrees_with_proj(zone: int, south: bool, east: float, north: float, longitude: float, latitude: float) -> None:
    found = utm.to_lonlat(east, north, zone, south=south)
    np.testing.assert_allclose(found, [longitude, latitude], rtol=0, atol=1e-11)  # 1e-11 degrees is a micrometre


@given(st.floats(0.01, 84.0), st.integers(1, 60))
def test_central_meridian_is_the_meridian_arc(latitude: float, zone: int) -> None:
    e2 = utm.FLATTENING * (2 - utm.FLATTENING)

    def radius(phi: float) -> float:
        return float(utm.SEMI_MAJOR_M * (1 - e2) / (1 - e2 * np.sin(phi) ** 2) ** 1.5)

    arc, _ = quad(radius, 0.0, np.radians(latitude), epsabs=1e-6, epsrel=1e-12)
    lon, lat = utm.to_lonlat(500_000.0, 0.9996 * arc, zone)
    assert lat == pytest.approx(latitude, abs=1e-10)
    assert lon == pytest.approx(6 * zone - 183, abs=1e-12)


@given(st.floats(0.0, 330_000.0), st.floats(0.0, 9_000_000.0), st.integers(1, 60))
def test_mirrors(offset: float, north: float, zone: int) -> None:
    east_side = utm.to_lonlat(500_000.0 + offset, north, zone)
    west_side = utm.to_lonlat(500_000.0 - offset, north, zone)
    centre = 6 * zone - 183
    assert east_side[0] - centre == pytest.approx(centre - west_side[0], abs=1e-10)
    assert east_side[1] == pytest.approx(west_side[1], abs=1e-12)
    southern = utm.to_lonlat(500_000.0 + offset, 10_000_000.0 - north, zone, south=True)
    assert southern[1] == pytest.approx(-east_side[1], abs=1e-10)


def test_arrays_and_codes() -> None:
    found = utm.to_lonlat([[500_000.0, 600_000.0]], [[0.0, 1e6]], 31)
    assert found.shape == (1, 2, 2)
    assert utm.utm_zone(32631) == (31, False)
    assert utm.utm_zone(32701) == (1, True)
    assert [utm.utm_zone(code) for code in (32600, 32661, 4326, 3857, 0)] == [None] * 5
