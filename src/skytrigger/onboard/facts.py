"""Facts of missions as constants, each with where it is from. SI units: bit, s, W, J, m, degrees."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """A published figure: its value, unit and source."""

    value: float
    unit: str
    source: str


_GASCON = "Gascon et al. 2017, Remote Sensing 9(6) 584, and ESA's Sentinel-2 user handbook (2015)"
_ORIGIN = "mission figures of the project's origin; ESA SP-1322/2 'Sentinel-2' (2012)"

SENTINEL2 = {
    "memory_bit": Fact(2.4e12, "bit", _ORIGIN),
    "downlink_bit_s": Fact(560e6, "bit/s", _ORIGIN),
    "raw_bit_s": Fact(1.15e9, "bit/s", _ORIGIN),
    "compressed_bit_s": Fact(0.40e9, "bit/s", _ORIGIN),
    "scene_s": Fact(3.48, "s", "23 km along the track at the ground speed of a 786 km orbit, 6.6 km/s"),
    "scene_along_m": Fact(23_000.0, "m", _GASCON),
    "swath_m": Fact(290_000.0, "m", _GASCON),
    "imaging_mean_s": Fact(16.3 * 60, "s an orbit", _ORIGIN),
    "imaging_most_s": Fact(31.0 * 60, "s an orbit", _ORIGIN),
    "orbits_a_day": Fact(14.3, "1/day", "143 orbits in 10 days: " + _GASCON),
    "altitude_m": Fact(786_000.0, "m", _GASCON),
}
TILE_M = 640.0  # 64 pixels of 10 m: EuroSAT's tile, Helber et al. 2019


def tiles_of_scene(along_m: float, swath_m: float, tile_m: float = TILE_M) -> int:
    """Tiles that a scene's area holds.

    >>> tiles_of_scene(23_000, 290_000)
    16284
    """
    return int(along_m * swath_m / tile_m**2)


SCENE_TILES = tiles_of_scene(SENTINEL2["scene_along_m"].value, SENTINEL2["swath_m"].value)
TILE_BIT = SENTINEL2["compressed_bit_s"].value * SENTINEL2["scene_s"].value / SCENE_TILES  # about 85.5 kbit


@dataclass(frozen=True)
class Station:
    """A ground station: degrees north and east."""

    name: str
    latitude_deg: float
    longitude_deg: float


# Places of the antennas to about a kilometre, from the stations' published descriptions (KSAT, ASI, INTA). The fourth
# stands for the second high northern one that Sentinel-2 is sent to (Alaska).
STATIONS = {
    s.name: s
    for s in (
        Station("Svalbard", 78.230, 15.390),
        Station("Matera", 40.650, 16.704),
        Station("Maspalomas", 27.763, -15.634),
        Station("Alaska", 64.860, -147.850),
    )
}

# A public element set of Sentinel-2A (NORAD 40697), epoch 2024-07-05; used within two weeks of its epoch.
SENTINEL2A = (
    "1 40697U 15028A   24187.21454778  .00000211  00000-0  96982-4 0  9994",
    "2 40697  98.5684 261.2278 0001234  95.4779 264.6545 14.30817758471926",
)
# Rules of others that are followed on the same stream
PHISAT1_SAVED = Fact(0.30, "share not sent", "PhiSat-1: images whose cloud covers 70 % or more are dropped")
UNIBAP_SENT = Fact(0.223, "share sent", "the KTH/Unibap study of tile filtering: 22.3 % transmitted")
EARTHPLUS_TIMES = Fact(3.3, "times less sent", "Du et al. 2024, Earth+: change against on-board references")
KODAN_GAIN = Fact(0.97, "more value per bit", "Denby et al. 2023, Kodan (ASPLOS)")

# One image of the packaged eurosat_ms on one core, CPU time: results/fast, records of packaged_speed
CLASSIFIER_S = Fact(151e-6, "s a tile", "results/fast: eurosat_ms, OpenVINO, one thread, batch 64")
