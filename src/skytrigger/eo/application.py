"""Tiles of land cover: the application record of EuroSAT and of any folders of tiles by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skytrigger.core.application import Application
from skytrigger.core.dataset import Dataset
from skytrigger.eo import networks
from skytrigger.eo.bands import BANDS
from skytrigger.eo.load import load
from skytrigger.eo.packaged import PACKAGED, packaged
from skytrigger.optimize import students


def load_tiles(
    sources: Sequence[str],
    *,
    bands: str = "all",
    skip_bad: bool = False,
    channels: int = 0,
    seed: int = 0,
    **stated: Any,
) -> Dataset:
    """`eo.load.load`; synthetic tiles have 13 bands whatever is asked for, and the seed that their own word names."""
    return load(sources, bands=bands, skip_bad=skip_bad, **stated)


EUROSAT = Application(
    name="eurosat",
    title="land-cover tiles",
    units=("DN", "rgb8", "reflectance", "float", "grey8", "rgb16", "grey16"),
    networks={**dict.fromkeys(networks.NAMES, networks.build), "student": students.build},
    load=load_tiles,
    reading=("band_names", "scale", "max_no_data", "labels"),
    packaged={name: packaged(name) for name in PACKAGED},
    factors={band.name: band.resolution_m // 10 for band in BANDS},
)
