"""From a product's digital numbers (DN) to those the networks know: reflectance x 10,000, 0 for no data.

Since processing baseline 04.00 products hold DN = reflectance x quantification - offset with an offset of -1000
(``RADIO_ADD_OFFSET``, ``BOA_ADD_OFFSET``); EuroSAT's tiles have none. Whether a product has it is read from its
metadata, for each band, and never guessed from the date: products of before 2022 are reprocessed with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from skytrigger.core.errors import InputError

MODEL_QUANTIFICATION = 10_000.0
NO_DATA, SATURATED = 0, 65_535


@dataclass(frozen=True)
class Radiometry:
    """reflectance = (DN + offset) / quantification, for one band.

    Attributes
    ----------
    quantification
        DN of reflectance 1.
    offset
        Added to the DN first; 0 or -1000 in products known today.
    stated_by
        What says so: ``MTD_MSIL1C.xml``, ``GeoTIFF tags``, ``raster:bands``, ``--offset``, or empty: nothing does.
    """

    quantification: float = MODEL_QUANTIFICATION
    offset: float = 0.0
    stated_by: str = ""

    @property
    def plausible(self) -> bool:
        """1000 was the quantification of the first products, 10000 is that of all since."""
        return 1000.0 <= self.quantification <= 100_000.0 and -20_000 <= self.offset <= 20_000

    def check(self) -> None:
        """Raise InputError where nothing can be meant by it."""
        if not self.plausible:
            raise InputError(
                f"{self.stated_by or 'radiometry'}: reflectance = (DN {self.offset:+g}) / {self.quantification:g}",
                expected="a quantification of about 10000, and an offset of 0 or -1000",
                remedy="--offset -1000 or --offset none, if DN are reflectance x 10000 with that offset",
            )

    def overridden(self, offset: float, word: str) -> Radiometry:
        """With the offset that the user states; a quantification that nothing can be meant by goes, too."""
        known = self.quantification if self.plausible else MODEL_QUANTIFICATION
        return Radiometry(known, offset, f"--offset {word}")

    @property
    def gain(self) -> float:
        """Model DN a product DN."""
        return MODEL_QUANTIFICATION / self.quantification

    @property
    def shift(self) -> float:
        """Model DN added: model DN = gain x DN + shift."""
        return self.gain * self.offset

    @property
    def stated(self) -> bool:
        """Whether anything says so."""
        return bool(self.stated_by)


def from_scale_offset(scale: float, offset: float, where: str) -> Radiometry:
    """Of reflectance = scale x DN + offset, as GeoTIFF tags, STAC and Zarr write it.

    A scale of 1 leaves DN what they are: then the offset is one of DN, as some tools write it.
    """
    if not scale > 0:
        raise InputError(f"{where}: scale {scale:g}", expected="above 0, such as 0.0001")
    if scale == 1.0:
        return Radiometry(MODEL_QUANTIFICATION, offset, where)
    return Radiometry(round(1.0 / scale, 6), round(offset / scale, 6), where)


def parse_offset(text: str) -> float | None:
    """``metadata`` (None), ``none`` (0) or a number of DN such as ``-1000``.

    Raises
    ------
    InputError
        Anything else.
    """
    word = text.strip().lower()
    if word == "metadata":
        return None
    if word == "none":
        return 0.0
    try:
        value = float(word)
    except ValueError:
        raise InputError(f"--offset {text}", expected="metadata, none, or DN to add such as -1000") from None
    if not -20_000 <= value <= 20_000:
        raise InputError(f"--offset {text}", expected="0 or -1000 in products known today")
    return value
