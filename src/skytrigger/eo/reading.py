"""What a user states about files that do not say it themselves; nothing of it is ever guessed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from skytrigger.core.errors import InputError
from skytrigger.eo.bands import extra_name, spelt

LEFT_OUT = "-"
DN_SCALE = 1e-4  # reflectance of one DN of a Sentinel-2 product (its quantification value is 10,000)
_NAME_LENGTH = 40


@dataclass(frozen=True)
class Reading:
    """How files are to be read.

    Attributes
    ----------
    band_names
        Of a TIFF's bands in the file's order, ``-`` for one to leave out; empty: as the file says.
    scale
        Reflectance of one stored count, or None where nobody said.
    max_no_data
        Share of a tile's values that may be no-data; beyond it the tile is bad.
    labels
        False for tiles without class folders, to be predicted.
    """

    band_names: tuple[str, ...] = ()
    scale: float | None = None
    max_no_data: float = 0.5
    labels: bool = True

    def __post_init__(self) -> None:
        names = tuple(_stated(name) for name in self.band_names)
        object.__setattr__(self, "band_names", names)
        kept = [name for name in names if name != LEFT_OUT]
        if names and not kept:
            raise InputError("--band-names leaves every band out")
        if twice := [name for name in kept if kept.count(name) > 1]:
            raise InputError(f"--band-names: {twice[0]} is named twice")
        if self.scale is not None and not (self.scale > 0 and math.isfinite(self.scale)):
            raise InputError(f"--scale {self.scale}", expected="reflectance of one stored count, such as 1e-4")
        if not 0 <= self.max_no_data <= 1:
            raise InputError(f"--max-no-data {self.max_no_data}", expected="a share of a tile's values, 0 to 1")

    def units(self, dtype: np.dtype[Any]) -> str:
        """Units of a TIFF's values.

        ``DN`` for whole numbers and wherever a count is 1e-4 of reflectance, ``reflectance`` where it is 1,
        ``reflectance/S`` at any other scale S (multiply by S), and ``float`` for floats of which nobody said.
        """
        if self.scale is None:
            return "DN" if dtype.kind in "iu" else "float"
        if math.isclose(self.scale, DN_SCALE, rel_tol=1e-9):
            return "DN"
        return "reflectance" if self.scale == 1 else f"reflectance/{self.scale:g}"

    def stated(self) -> dict[str, Any]:
        """What the user said, for the facts of a store."""
        found: dict[str, Any] = {}
        if self.band_names:
            found["band_names"] = list(self.band_names)
        if self.scale is not None:
            found["scale"] = self.scale
        return found

    def to_json(self) -> dict[str, Any]:
        """For plans and keys."""
        return {**asdict(self), "band_names": list(self.band_names)}

    @staticmethod
    def from_json(raw: dict[str, Any]) -> Reading:
        """Back from `to_json`."""
        return Reading(**{**raw, "band_names": tuple(raw["band_names"])})


def _stated(text: str) -> str:
    """The band's full name where the user's word is one of its spellings; any other plain name as it is."""
    name = text.strip()
    if name == LEFT_OUT:
        return name
    if not name or len(name) > _NAME_LENGTH or not name.isprintable():
        raise InputError(f"--band-names has the name {text!r}", expected="B01,B02,... or - for a band to leave out")
    return spelt(name) or extra_name(name) or name


def names_of(text: str | Sequence[str] | None) -> tuple[str, ...]:
    """``B01,B02,-`` as a tuple; ``item.json`` is a STAC item whose bands are meant."""
    if not text:
        return ()
    if isinstance(text, str) and text.lower().endswith(".json"):
        from skytrigger.eo.stac import item_bands

        return item_bands(text)
    return tuple(text.split(",")) if isinstance(text, str) else tuple(text)
