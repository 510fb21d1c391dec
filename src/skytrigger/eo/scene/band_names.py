"""Which band a file, an asset or an array holds, by its name; nothing is taken by position."""

from __future__ import annotations

import re

from skytrigger.eo.bands import BY_NAME

# STAC's common names as Sentinel-2 catalogues use them for asset keys (Element 84's earth-search v1)
COMMON_NAMES = {
    "coastal": "B01",
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "rededge1": "B05",
    "rededge2": "B06",
    "rededge3": "B07",
    "nir": "B08",
    "nir08": "B8A",
    "nir09": "B09",
    "cirrus": "B10",
    "swir16": "B11",
    "swir22": "B12",
}
_IN_FILE = re.compile(r"(?:^|[_\-. ])B(0?[1-9]|1[0-2]|0?8A)(?=$|[_\-. ])", re.IGNORECASE)
_SCL = re.compile(r"(?:^|[_\-. ])SCL(?=$|[_\-. ])", re.IGNORECASE)
SCL = "SCL"


def known_band(text: str) -> str | None:
    """``b2``, ``B02``, ``B8a``, ``b08a``, ``SCL`` as the band's full name; None for anything else."""
    word = text.strip().upper()
    if word == SCL:
        return SCL
    match = re.fullmatch(r"B0?(\d{1,2}|8A)", word)
    if not match:
        return None
    number = match.group(1)
    name = "B8A" if number == "8A" else f"B{int(number):02d}"
    return name if name in BY_NAME else None


def bands_in(stem: str) -> set[str]:
    """Bands that a file's name (without suffix) mentions: ``T19UDP_20170729T153101_B8A_20m`` -> {``B8A``}."""
    found = {known_band(f"B{match.group(1)}") for match in _IN_FILE.finditer(stem)}
    if _SCL.search(stem):
        found.add(SCL)
    return {name for name in found if name}
