"""What the small readers do not read, by GDAL: compressed TIFF, PNG of 16 bits a colour. Needs the extra ``geo``."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.extras import require


def read_all(content: bytes, driver: str) -> NDArray[Any]:
    """All bands (c, h, w) of a file in memory, read by this one driver of GDAL's: no other format, no other file.

    Raises
    ------
    UnavailableError
        rasterio is not installed.
    """
    rasterio = require("rasterio", why="compressed TIFF and PNG of 16 bits a colour")
    memory = require("rasterio.io").MemoryFile
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)  # the error that is raised says it
    quiet = rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO")
    with quiet, memory(content) as file, file.open(driver=driver) as opened:
        return np.asarray(opened.read())
