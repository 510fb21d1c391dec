"""Surface reflectance of what the ground is made of, at the thirteen bands.

Every row is drawn by hand to follow a publicly known shape, named beside it; no table of a spectral
library is copied. The shapes are those of introductory texts (e.g. Jensen, "Remote Sensing of the
Environment", 2007, chapters 11 to 14): chlorophyll absorbs at 443 to 492 nm and 665 nm, the red edge
rises between 704 and 783 nm, leaf water absorbs at 1.6 and 2.2 um, soils rise steadily and darken when
wet, water is black beyond 900 nm unless it carries particles.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skytrigger.eo.bands import EUROSAT_ORDER

# Order of the columns below: by wavelength. `SPECTRA` has them in the order of EuroSAT's files, by name.
_COLUMNS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")

_PERCENT: dict[str, tuple[float, ...]] = {
    # --- green vegetation: green peak, red edge, plateau, two water absorptions (Gates et al. 1965;
    #     Jacquemoud & Baret 1990, PROSPECT). Denser canopy: darker red, higher plateau, drier-looking SWIR lower.
    "crop_green": (2.4, 2.8, 6.4, 2.8, 10.5, 36, 46, 48, 49, 46, 20, 22, 10.0),
    "crop_young": (3.2, 3.8, 8.2, 5.4, 13.0, 28, 34, 36, 37, 36, 20, 25, 14.0),
    "meadow": (2.8, 3.4, 7.6, 4.2, 12.0, 31, 39, 41, 42, 40, 20, 24, 12.0),
    # forest canopies are darker than crops of the same chlorophyll: crowns shade one another (Li & Strahler 1985)
    "broadleaf": (1.6, 1.9, 4.6, 2.0, 7.6, 25, 33, 34, 35.5, 34, 12, 15.5, 6.4),
    "conifer": (1.3, 1.5, 3.0, 1.7, 4.8, 14, 18, 19, 20, 19, 7, 8.6, 3.6),
    "canopy_shade": (0.8, 0.9, 1.5, 0.9, 2.4, 8, 10.5, 11, 11.5, 11, 4, 4.6, 1.9),
    "shrub": (2.8, 3.3, 5.8, 4.8, 9.0, 19, 23, 24.5, 25.5, 25, 14, 19, 10.5),
    # vineyard and orchard foliage: green, with soil and own shade between the leaves of a row
    "orchard": (2.2, 2.6, 5.4, 3.0, 8.6, 28, 37, 39, 40, 38, 14, 18, 8.4),
    # --- dry vegetation: no red absorption, no red edge; cellulose at 2.1 um (Nagler et al. 2000)
    "dry_grass": (5.6, 7.4, 11.5, 15.0, 18.0, 22.5, 25, 27, 28.5, 29, 22, 33, 22),
    "ripe_cereal": (6.4, 8.6, 13.5, 18.5, 21.5, 26.5, 29.5, 32, 33.5, 34, 24, 37, 25),
    # --- soils: monotone rise, iron below 600 nm, clay at 2.2 um, water darkens all (Baumgardner et al. 1985)
    "soil_bright": (8.5, 10.8, 15.8, 21.0, 23.2, 25.0, 26.6, 28.2, 29.4, 30.5, 28, 37, 31.5),
    "soil_red": (5.2, 6.4, 10.8, 18.5, 21.0, 22.8, 24.2, 25.4, 26.4, 27.4, 25, 34, 28),
    "soil_dark": (5.0, 6.0, 8.6, 11.6, 13.0, 14.2, 15.3, 16.4, 17.4, 18.4, 17, 24.5, 21),
    "soil_wet": (3.6, 4.2, 6.0, 8.0, 8.8, 9.6, 10.2, 10.8, 11.2, 11.4, 8, 12.5, 9.6),
    "sand": (12, 15.5, 21.5, 27.5, 30, 31.5, 33, 34.5, 35.5, 36.5, 32, 42, 39),
    # --- man-made (Herold et al. 2004, urban materials): nearly flat asphalt, brighter and warmer concrete,
    #     tiles with the red edge of iron oxide, bright flat metal and membranes
    "asphalt": (7.4, 8.0, 8.8, 9.2, 9.4, 9.6, 9.8, 10.0, 10.2, 10.4, 10, 11.6, 11.2),
    "concrete": (13, 15.5, 19, 21.5, 22.8, 23.6, 24.4, 25.2, 25.8, 26.4, 25, 29, 27),
    "gravel": (10.5, 12.2, 15.4, 18.2, 19.6, 20.8, 21.8, 22.8, 23.4, 24.2, 23, 28, 26),
    "roof_tile": (5.2, 6.2, 9.6, 17.5, 20.5, 22.0, 23.0, 24.2, 25.2, 26.2, 26, 31, 27),
    "roof_slate": (6.6, 7.2, 8.2, 8.8, 9.4, 10.0, 10.6, 11.2, 11.6, 12.0, 12, 14.5, 13.5),
    "roof_white": (38, 45, 49, 50.5, 51, 51, 51, 51, 50.5, 48, 40, 42, 36),
    "roof_metal": (26, 28.5, 30, 31, 31.5, 31.5, 32, 32, 32, 32, 30, 35, 33),
    "roof_dark": (4.2, 4.6, 5.2, 5.8, 6.2, 6.6, 7.0, 7.4, 7.8, 8.2, 8, 11, 10.5),
    # --- water: absorption by water itself beyond 700 nm; sediment lifts green to near infrared, algae make a
    #     green peak and a shoulder at 704 nm (Bukata et al. 1995)
    "water_clear": (3.2, 2.8, 1.6, 0.7, 0.5, 0.4, 0.35, 0.3, 0.3, 0.2, 0.1, 0.15, 0.1),
    "water_lake": (3.4, 3.6, 3.8, 2.0, 1.6, 0.9, 0.9, 0.7, 0.6, 0.3, 0.1, 0.3, 0.2),
    "water_algae": (3.0, 4.2, 9.0, 4.6, 5.8, 2.6, 2.6, 2.2, 2.0, 0.8, 0.2, 0.5, 0.3),
    "water_turbid": (5.0, 6.6, 9.8, 9.4, 8.6, 4.2, 4.2, 3.4, 2.8, 1.0, 0.2, 0.5, 0.3),
}

# name -> (13,) surface reflectance (1 = all), in the band order of EuroSAT's files
SPECTRA: dict[str, NDArray[np.float64]] = {
    name: np.array([percent[_COLUMNS.index(band)] for band in EUROSAT_ORDER]) / 100.0
    for name, percent in _PERCENT.items()
}
