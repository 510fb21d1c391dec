"""What an opened scene is: bands by name, each on its own grid, with what its numbers mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.eo.scene.grid import Grid
from skytrigger.eo.scene.radiometry import NO_DATA, SATURATED, Radiometry
from skytrigger.eo.scene.raster_band import BandReader, Pixels

NATIVE_M = 10.0  # what EuroSAT's tiles, and so the networks, were made at


@dataclass(frozen=True)
class SceneBand:
    """One band, read when asked for.

    Attributes
    ----------
    name
        ``B01`` ... ``B12``, ``B8A``, or ``SCL``.
    """

    name: str
    grid: Grid
    radiometry: Radiometry
    reader: BandReader

    def dn(self, rows: tuple[int, int] | None = None, columns: tuple[int, int] | None = None) -> Pixels:
        """(rows, columns) uint16 as the product stores them: 0 is no data, 65535 saturated."""
        return self.reader.read(rows or (0, self.grid.height), columns or (0, self.grid.width))

    def reflectance(
        self, rows: tuple[int, int] | None = None, columns: tuple[int, int] | None = None
    ) -> NDArray[np.float32]:
        """(rows, columns) float32, dimensionless, also below zero; NaN where there is no data, inf where saturated."""
        dn = self.dn(rows, columns)
        r = self.radiometry
        values: NDArray[np.float32] = ((dn.astype(np.float32) + r.offset) / r.quantification).astype(np.float32)
        values[dn == NO_DATA] = np.nan
        values[dn == SATURATED] = np.inf
        return values


@dataclass(frozen=True)
class Scene:
    """A product's bands.

    Attributes
    ----------
    name
        Product name, or the folder's.
    source
        Where it was opened from.
    kind
        ``SAFE``, ``band files``, ``raster``, ``EOPF Zarr``, ``STAC item``.
    level
        ``L1C``, ``L2A``, or empty where nothing says.
    time
        Sensing time, ISO 8601 with Z, or empty.
    reduce
        Resolution levels left out in decoding.
    notes
        What else a reader should know, for summary and page.
    """

    name: str
    source: str
    kind: str
    level: str
    bands: dict[str, SceneBand]
    time: str = ""
    reduce: int = 0
    baseline: str = ""
    notes: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def grid(self) -> Grid:
        """The finest grid among the bands, before any reduction: that of the tiles."""
        finest = min((b.grid for n, b in self.bands.items() if n != "SCL"), key=lambda g: g.pixel_m)
        return self.facts.get("full_grid", finest) if self.reduce else finest

    @property
    def off_scale(self) -> bool:
        """Whether pixels are not the 10 m that the networks were trained at."""
        return abs(self.grid.pixel_m - NATIVE_M) > 1e-6

    def factors(self) -> dict[str, int]:
        """Pixels of the scene's grid on a side of a pixel of each band.

        Raises
        ------
        InputError
            Grids that do not nest; the band is named.
        """
        found = {}
        for name, band in self.bands.items():
            try:
                found[name] = band.grid.factor_to(self.grid)
            except InputError as error:
                raise InputError(
                    f"{self.source}, band {name}: {error.problem}", expected=error.expected, remedy=error.remedy
                ) from error
        return found

    def to_xarray(self) -> Any:
        """xarray.Dataset of reflectance (float32, NaN for no data), read now, coordinates at pixel centres in metres.

        Bands of one resolution share dimensions ``y_10m``, ``x_10m``.

        Raises
        ------
        UnavailableError
            xarray is not installed.
        """
        xarray = require("xarray", why="Scene.to_xarray")
        variables = {}
        for name, band in self.bands.items():
            g = band.grid
            y, x = f"y_{g.pixel_m:g}m", f"x_{g.pixel_m:g}m"
            coordinates = {
                y: g.top - g.pixel_m * (np.arange(g.height) + 0.5),
                x: g.left + g.pixel_m * (np.arange(g.width) + 0.5),
            }
            values = band.dn() if name == "SCL" else band.reflectance()
            variables[name] = xarray.DataArray(values, dims=(y, x), coords=coordinates, attrs={"crs": g.crs})
        return xarray.Dataset(variables, attrs={"name": self.name, "level": self.level, "crs": self.grid.crs})

    def close(self) -> None:
        """Free every file handle."""
        for band in self.bands.values():
            band.reader.close()

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
