"""A raster's place on the ground, as one immutable value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from skytrigger.core.errors import InputError

_SAME = 1e-3  # of a pixel: two corners nearer than this are one


@dataclass(frozen=True)
class Grid:
    """North-up grid: pixel (r, c) spans x = left + pixel_m [c, c + 1] and y = top - pixel_m [r, r + 1].

    Attributes
    ----------
    crs
        As ``EPSG:32633``, or WKT where there is no code.
    left, top
        Outer corner of the first pixel, metres in `crs`.
    pixel_m
        Side of the square pixels, metres.
    width, height
        Pixels.
    """

    crs: str
    left: float
    top: float
    pixel_m: float
    width: int
    height: int

    def __post_init__(self) -> None:
        place = (self.left, self.top, self.pixel_m)
        if not all(map(math.isfinite, place)) or self.pixel_m <= 0 or min(self.width, self.height) < 1:
            raise InputError(f"a grid of {self.describe()}", expected="pixels of some metres, somewhere on the ground")

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """(a, b, c, d, e, f) of x = a column + b row + c, y = d column + e row + f."""
        return (self.pixel_m, 0.0, self.left, 0.0, -self.pixel_m, self.top)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top), metres."""
        return (
            self.left,
            self.top - self.height * self.pixel_m,
            self.left + self.width * self.pixel_m,
            self.top,
        )

    def factor_to(self, fine: Grid) -> int:
        """How many pixels of `fine` one of these spans on a side; the grids nest.

        Raises
        ------
        InputError
            Another CRS, another corner, a ratio that is no whole number, or an extent other than ceil(fine / factor).
        """
        if self.crs != fine.crs:
            raise InputError(f"bands in {_short(self.crs)} and {_short(fine.crs)}", expected="one CRS for all bands")
        ratio = self.pixel_m / fine.pixel_m
        factor = round(ratio)
        shift = max(abs(self.left - fine.left), abs(self.top - fine.top)) / fine.pixel_m
        size = (math.ceil(fine.width / max(factor, 1)), math.ceil(fine.height / max(factor, 1)))
        if factor < 1 or abs(ratio - factor) > _SAME or shift > _SAME or size != (self.width, self.height):
            raise InputError(
                f"a grid of {self.describe()} does not nest with one of {fine.describe()}",
                expected="one upper left corner, pixel sizes in whole ratios, the same extent",
                remedy="cut all bands to the same multiple of their coarsest pixel",
            )
        return factor

    def describe(self) -> str:
        """Size, pixel and corner, for messages."""
        return f"{self.width} x {self.height} pixels of {self.pixel_m:g} m from ({self.left:g}, {self.top:g})"

    def coarser(self, factor: int) -> Grid:
        """The grid of cells of `factor` pixels, the last row and column partial: ceil(size / factor)."""
        return Grid(
            self.crs,
            self.left,
            self.top,
            self.pixel_m * factor,
            math.ceil(self.width / factor),
            math.ceil(self.height / factor),
        )


def _short(crs: str) -> str:
    return crs if len(crs) < 40 else f"{crs[:37]}..."


def grid_of_dataset(dataset: Any, where: str) -> Grid | None:
    """Grid of an open rasterio dataset, or None where the file has neither transform nor CRS.

    Raises
    ------
    InputError
        Rotated, not square, not in metres on the ground, or only one of transform and CRS.
    """
    t = dataset.transform
    if dataset.crs is None and t.is_identity:
        return None
    if dataset.crs is None or t.is_identity:
        lacks = "CRS" if dataset.crs is None else "geotransform"
        raise InputError(f"{where} has no {lacks}", remedy="gdal_edit.py -a_srs / -a_ullr, or the product as delivered")
    if t.b or t.d or t.a <= 0 or abs(t.a + t.e) > 1e-9 * t.a:
        raise InputError(f"{where}: transform {tuple(t)[:6]}", expected="north up, square pixels")
    if not dataset.crs.is_projected or abs(dataset.crs.linear_units_factor[1] - 1) > 1e-9 or _stretched(dataset.crs):
        raise InputError(
            f"{where} is in {_short(crs_name(dataset.crs))}, whose pixels have no size in metres on the ground",
            expected="UTM, as products have it",
            remedy="gdalwarp -t_srs EPSG:326nn -tr 10 10 -r cubic, or the product as delivered",
        )
    return Grid(crs_name(dataset.crs), t.c, t.f, t.a, dataset.width, dataset.height)


def _stretched(crs: Any) -> bool:
    """Mercator's metres are 1 / cos(latitude) too long."""
    return crs.to_dict().get("proj") in ("merc", "webmerc") or crs.to_epsg() == 3857


def crs_name(crs: Any) -> str:
    """``EPSG:n`` where the CRS has a code, else its WKT."""
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_wkt())
