"""In a process of little memory: what becomes of a JPEG 2000 file whose bits are flipped, one at a time.

In the byte ranges FIRST-LAST every third bit is flipped, so that all places in a byte come; counts are printed as JSON.

    python flipped.py FILE LIMIT_MB FIRST-LAST ...
"""

from __future__ import annotations

import collections
import json
import resource
import sys
from pathlib import Path

import numpy as np
import rasterio

from skytrigger.core.errors import InputError
from skytrigger.eo.scene.raster_band import GDAL_OPTIONS, RasterBand


def whole(path: Path) -> np.ndarray:
    band = RasterBand(str(path))
    try:
        return band.read((0, band.height), (0, band.width))
    finally:
        band.close()


def main() -> None:
    path, limit_mb = Path(sys.argv[1]), int(sys.argv[2])
    content = path.read_bytes()
    with rasterio.Env(**GDAL_OPTIONS):
        good = whole(path)
        pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (pages + (limit_mb << 20),) * 2)
        found: collections.Counter[str] = collections.Counter()
        for span in sys.argv[3:]:
            first, last = map(int, span.split("-"))
            for bit in range(8 * first, 8 * last, 3):
                hit = bytearray(content)
                hit[bit // 8] ^= 1 << bit % 8
                path.write_bytes(hit)
                try:
                    read = whole(path)
                except InputError as error:
                    found["refused" if path.name in str(error) else "nameless"] += 1
                    continue
                found["same" if read.shape == good.shape and (read == good).all() else
                      "pixels" if read.shape == good.shape else "shape"] += 1  # fmt: skip
    print(json.dumps(found))


main()
