"""What EuroSAT is: its classes, its tile, its official archives."""

from __future__ import annotations

from dataclasses import dataclass

CLASSES = (
    "AnnualCrop",
    "Forest",
    "HerbaceousVegetation",
    "Highway",
    "Industrial",
    "Pasture",
    "PermanentCrop",
    "Residential",
    "River",
    "SeaLake",
)


@dataclass(frozen=True)
class Archive:
    """One downloadable file, with what its publisher says about it."""

    url: str
    bytes: int
    md5: str
    title: str


# Zenodo record 7711810 (doi:10.5281/zenodo.7711810), licence MIT.
ARCHIVES = {
    "eurosat": Archive(
        "https://zenodo.org/records/7711810/files/EuroSAT_MS.zip",
        2_065_402_329,
        "091174add3c8e680a49244acf185b9f0",
        "EuroSAT, 27,000 GeoTIFF tiles of 13 bands",
    ),
    "eurosat-rgb": Archive(
        "https://zenodo.org/records/7711810/files/EuroSAT_RGB.zip",
        94_658_721,
        "f46e308c4d50d4bf32fedad2d3d62f3b",
        "EuroSAT, 27,000 RGB JPEG tiles",
    ),
}
