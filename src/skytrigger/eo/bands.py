"""Sentinel-2 MSI bands: names, wavelengths, resolutions, and the one copy of the band order of EuroSAT's files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skytrigger.core.errors import InputError


@dataclass(frozen=True)
class Band:
    """One spectral band.

    Attributes
    ----------
    name
        ``B01`` ... ``B12``, ``B8A``.
    centre_nm
        Central wavelength on Sentinel-2A, nanometres, as its products state (Spectral_Information).
    resolution_m
        Ground sampling distance of the instrument, metres.
    title
        What the band is for.
    """

    name: str
    centre_nm: float
    resolution_m: int
    title: str


# In the order of EuroSAT's 13-band GeoTIFFs: B8A is LAST, not after B08 as in a Sentinel-2 product.
BANDS = (
    Band("B01", 442.7, 60, "coastal aerosol"),
    Band("B02", 492.7, 10, "blue"),
    Band("B03", 559.8, 10, "green"),
    Band("B04", 664.6, 10, "red"),
    Band("B05", 704.1, 20, "red edge 1"),
    Band("B06", 740.5, 20, "red edge 2"),
    Band("B07", 782.8, 20, "red edge 3"),
    Band("B08", 832.8, 10, "near infrared"),
    Band("B09", 945.1, 60, "water vapour"),
    Band("B10", 1373.5, 60, "cirrus"),
    Band("B11", 1613.7, 20, "short-wave infrared 1"),
    Band("B12", 2202.4, 20, "short-wave infrared 2"),
    Band("B8A", 864.7, 20, "near infrared, narrow"),
)
EUROSAT_ORDER = tuple(band.name for band in BANDS)
RGB = ("B04", "B03", "B02")
BY_NAME = {band.name: band for band in BANDS}

# EuroSAT's JPEGs are clip(DN / 2750) x 255 of red, green and blue, checked on tiles present in both sets.
RGB_WHITE_DN = 2750.0


def band_name(text: str) -> str:
    """The band's full name: ``b2``, ``B2`` and ``B02`` are the same band.

    Raises
    ------
    InputError
        Sentinel-2 has no such band.
    """
    name = text.strip().upper()
    if len(name) == 2 and name[0] == "B":
        name = f"B0{name[1]}"
    if name not in BY_NAME:
        raise InputError(f"no Sentinel-2 band called {text!r}", expected=", ".join(sorted(BY_NAME)))
    return name


def select_bands(text: str, channels: Sequence[str]) -> tuple[str, ...]:
    """Channel names that ``--bands`` asks for: ``all``, ``rgb`` or a list such as ``B02,B03``.

    Raises
    ------
    InputError
        A name is no band, comes twice, or is not among `channels`.
    """
    word = text.strip().lower()
    if word == "all":
        return tuple(channels)
    names = RGB if word == "rgb" else tuple(band_name(part) for part in text.split(","))
    if len(set(names)) != len(names):
        raise InputError(f"--bands {text}: a band is named twice")
    missing = [name for name in names if name not in channels]
    if missing:
        raise InputError(
            f"--bands {text}: {', '.join(missing)} not in the data",
            expected=f"some of {', '.join(channels)}",
        )
    return names
