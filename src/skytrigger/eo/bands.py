"""Sentinel-2 MSI bands: wavelengths, resolutions, the one table of spellings, and the band order of EuroSAT's files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
    spellings
        Names that mean this band and no other: of STAC's ``eo:bands``, of catalogues and of exports.
    """

    name: str
    centre_nm: float
    resolution_m: int
    title: str
    spellings: tuple[str, ...] = ()


# In the order of EuroSAT's 13-band GeoTIFFs: B8A is LAST, not after B08 as in a Sentinel-2 product.
BANDS = (
    Band("B01", 442.7, 60, "coastal aerosol", ("coastal", "aerosol", "aerosols", "ultra blue")),
    Band("B02", 492.7, 10, "blue"),
    Band("B03", 559.8, 10, "green"),
    Band("B04", 664.6, 10, "red"),
    Band("B05", 704.1, 20, "red edge 1", ("re1", "rededge071", "vegetation red edge 1")),
    Band("B06", 740.5, 20, "red edge 2", ("re2", "rededge075", "vegetation red edge 2")),
    Band("B07", 782.8, 20, "red edge 3", ("re3", "rededge078", "vegetation red edge 3")),
    Band("B08", 832.8, 10, "near infrared", ("nir", "nir broad", "broad nir")),
    Band("B09", 945.1, 60, "water vapour", ("water vapor", "nir09")),
    Band("B10", 1373.5, 60, "cirrus", ("swir cirrus",)),
    Band("B11", 1613.7, 20, "short-wave infrared 1", ("swir1", "swir16", "shortwave infrared 1")),
    Band("B12", 2202.4, 20, "short-wave infrared 2", ("swir2", "swir22", "shortwave infrared 2")),
    Band(
        "B8A",
        864.7,
        20,
        "near infrared, narrow",
        ("nir narrow", "narrow nir", "narrow near infrared", "nir08", "nir2", "red edge 4", "re4"),
    ),
)
EUROSAT_ORDER = tuple(band.name for band in BANDS)
RGB = ("B04", "B03", "B02")
GREY = "grey"
BY_NAME = {band.name: band for band in BANDS}
# Layers that come beside the bands of level-2A products and exports: no reflectance.
EXTRAS = (
    "SCL", "AOT", "WVP", "QA10", "QA20", "QA60", "MSK_CLDPRB", "MSK_SNWPRB", "CLD", "SNW", "CLM", "CLP", "CLOUDPROB",
    "DATAMASK",
)  # fmt: skip

# EuroSAT's JPEGs are clip(DN / 2750) x 255 of red, green and blue, checked on tiles present in both sets.
RGB_WHITE_DN = 2750.0

_CODE = re.compile(r"(?<![a-z0-9])b(?:and)? ?0{0,2}(1[0-2]|[1-9]|8a)(?![a-z0-9])")
_WAVELENGTH = re.compile(r"(?<![a-z0-9.])(\d{3,4}(?:\.\d{1,3})?) ?nm(?![a-z0-9])|(?<![a-z0-9.])([0-2]\.\d{1,4}) ?um\b")
_TOLERANCE_NM = 15.0  # sources round a centre and differ by satellite; B08 and B8A lie 32 apart
_NUMBERED = re.compile(r"(?:b|band)[ _-]?([1-9]\d?)", re.IGNORECASE)
# words that say nothing about which band it is
_FILLING = {
    *("reflectance", "radiance", "surface", "toa", "boa", "sr", "top", "bottom", "of", "atmosphere", "dn"),
    *("sentinel", "s2", "s2a", "s2b", "msi", "l1c", "l2a", "band", "central", "wavelength", "vegetation"),
    *("resolution", "10m", "20m", "60m", "composite", "median"),
}
# what names several bands: right beside a code, worth nothing alone
_SEVERAL = {
    "rededge": ("B05", "B06", "B07", "B8A"),
    "edge": ("B05", "B06", "B07", "B8A"),
    "swir": ("B10", "B11", "B12"),
    "shortwaveinfrared": ("B10", "B11", "B12"),
    "nearinfrared": ("B08", "B8A"),
    "nir": ("B08", "B8A"),
    "infrared": ("B08", "B8A", "B10", "B11", "B12"),
}


def _squeezed(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


SPELLINGS = {_squeezed(word): band.name for band in BANDS for word in (band.name, band.title, *band.spellings)}


def spelt(text: str) -> str | None:
    """The band that `text` names beyond doubt, or None: ``B8``, ``B08 (842 nm)``, ``Band 8A``, ``NIR narrow``, ``red``.

    Every part must agree: a code with another band's colour or wavelength, two codes, or a word that is not known
    (``B04 mask``) name none.
    """
    plain = text.strip().lower().replace("µ", "u").replace("μ", "u")
    waves = [float(nm) if nm else 1000 * float(um) for nm, um in _WAVELENGTH.findall(plain)]
    plain = re.sub(r"[^a-z0-9]+", " ", _WAVELENGTH.sub(" ", plain)).strip()
    plain = re.sub(r"\bsentinel ?2[abc]?\b", " ", plain)
    codes = {f"B{code.zfill(2)}".upper() for code in _CODE.findall(plain)}
    words = [word for word in _CODE.sub(" ", plain).split() if word not in _FILLING]
    rest = "".join(words)
    named = {SPELLINGS[rest]} if rest in SPELLINGS else set()
    if codes:
        allowed = set(_SEVERAL.get(rest, ())) | named
        if len(codes) != 1 or (rest and not codes <= allowed):
            return None
        named = codes
    if len(named) != 1:
        return None
    (name,) = named
    return name if all(abs(wave - BY_NAME[name].centre_nm) <= _TOLERANCE_NM for wave in waves) else None


def extra_name(text: str) -> str | None:
    """The name of a layer that is no reflectance (``SCL``, ``QA60`` ...), or None."""
    squeezed = _squeezed(text)
    return next((name for name in EXTRAS if _squeezed(name) == squeezed), None)


def mere_numbers(texts: Sequence[str]) -> bool:
    """Whether a file's bands are only counted: ``B1``, ``B2`` ... to the last, or ``Band 1``, ``Band 2`` ..."""
    numbers = [found[1] if (found := _NUMBERED.fullmatch(text)) else "" for text in texts]
    return numbers == [str(k + 1) for k in range(len(texts))]


def described_bands(descriptions: Mapping[int, str], count: int) -> tuple[str, ...]:
    """Channel names of a file's `count` bands from the text that describes each (0-based).

    Raises
    ------
    InputError
        A band without a text, a text that names no band, a band twice, or mere numbers (``Band 1``, ``Band 2`` ...):
        those count the file's bands and do not say which they are.
    """
    if lacking := [k + 1 for k in range(count) if not descriptions.get(k, "").strip()]:
        raise InputError(f"band {lacking[0]} of {count} has no description, others have")
    texts = [descriptions[k].strip() for k in range(count)]
    if mere_numbers(texts):
        raise InputError(f"bands called {texts[0]!r} to {texts[-1]!r}: numbers in the file, not names")
    names = [spelt(text) or extra_name(text) for text in texts]
    if unknown := [f"{k + 1} {text!r}" for k, (text, name) in enumerate(zip(texts, names, strict=True)) if not name]:
        raise InputError(f"descriptions that name no band: {', '.join(unknown)[:150]}")
    known = tuple(name for name in names if name)
    if twice := [name for name in known if known.count(name) > 1]:
        raise InputError(f"two bands are described as {twice[0]}")
    return known


def band_name(text: str) -> str:
    """The band's full name: ``b2``, ``B2``, ``B02`` and ``blue`` are the same band.

    Raises
    ------
    InputError
        Sentinel-2 has no such band.
    """
    name = spelt(text)
    if name is None:
        raise InputError(f"no Sentinel-2 band called {text!r}", expected=", ".join(sorted(BY_NAME)))
    return name


def select_bands(text: str, channels: Sequence[str]) -> tuple[str, ...]:
    """Channel names that ``--bands`` asks for: ``all``, ``rgb`` or a list such as ``B02,B03``.

    Raises
    ------
    InputError
        A name is no band, comes twice, or is not among `channels`; ``all`` where layers that are no reflectance
        (SCL, QA60 ...) lie among them: they are kept or left out only by name.
    """
    word = text.strip().lower()
    if word == "all":
        if extra := [name for name in channels if name in EXTRAS]:
            bands = ",".join(name for name in channels if name not in EXTRAS)
            raise InputError(
                f"{', '.join(extra)} beside the bands: no reflectance, left out only when told",
                remedy=f"--bands {bands} (with {extra[0]} in the list it stays)",
            )
        return tuple(channels)
    names = RGB if word == "rgb" else tuple(_channel(part, channels) for part in text.split(","))
    if len(set(names)) != len(names):
        raise InputError(f"--bands {text}: a band is named twice")
    missing = [name for name in names if name not in channels]
    if missing:
        raise InputError(
            f"--bands {text}: {', '.join(missing)} not in the data",
            expected=f"some of {', '.join(channels)}",
        )
    return names


def _channel(text: str, channels: Sequence[str]) -> str:
    """A channel by its own name, or a band by any spelling."""
    name = text.strip()
    return name if name in channels else extra_name(name) or band_name(name)
