"""One band as lazily read rows: from anything GDAL opens, one handle a thread."""

from __future__ import annotations

import math
import os
import threading
import warnings
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.core.extras import require
from skytrigger.eo.scene.band_names import SCL, known_band
from skytrigger.eo.scene.jpeg2000 import REMOTE, archive_of, check_jpeg2000

Pixels = NDArray[np.uint16]

# GDAL's block cache would hold 5 % of the machine; blocks are read once each here, so little is enough
GDAL_OPTIONS: dict[str, Any] = {
    "GDAL_CACHEMAX": 1 << 26,  # bytes
    "GDAL_NUM_THREADS": 1,  # parallel over bands and blocks instead
    "GDAL_HTTP_MAX_RETRY": 4,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
    "GDAL_HTTP_TIMEOUT": 60,
    "VSI_CACHE": False,
}


class BandReader(Protocol):
    """What gives a band's pixels; `read` may be called from any thread.

    Attributes
    ----------
    width, height
        Pixels.
    block
        (rows, columns) that are decoded together.
    """

    width: int
    height: int
    block: tuple[int, int]

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> Pixels:
        """DN of [rows[0], rows[1]) x [columns[0], columns[1])."""

    def read_into(self, rows: tuple[int, int], columns: tuple[int, int], out: Pixels) -> None:
        """The same, to where it is wanted."""

    def sample(self, side: int) -> Pixels:
        """About side x side pixels of all over the band, as cheaply as the format allows."""

    def identity(self) -> list[Any]:
        """What tells this content from another, for resuming: path, size, time."""

    def close(self) -> None:
        """Free every handle."""


def open_quietly(path: str, **options: Any) -> Any:
    """An open rasterio dataset, without warnings on missing georeference.

    Raises
    ------
    InputError
        GDAL cannot open it, it is not what its name says, or it is damaged JPEG 2000.
    """
    rasterio = require("rasterio", why="scenes")
    check_jpeg2000(path, shown(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        # beside a remote file nothing is looked for: each miss would be a request
        near = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"} if path.startswith(REMOTE) else {}
        try:
            with rasterio.Env(**near):
                dataset = rasterio.open(path, **options)
        except rasterio.errors.RasterioError as error:
            raise InputError(
                f"{shown(path)} cannot be opened: {error}", expected="a JPEG 2000, GeoTIFF or COG file, whole"
            ) from error
    suffix = path.lower().rsplit(".", 1)[-1]
    expected = {"jp2": ("JP2OpenJPEG",), "tif": ("GTiff", "COG"), "tiff": ("GTiff", "COG")}.get(suffix)
    if expected and dataset.driver not in expected:
        driver = dataset.driver
        dataset.close()
        raise InputError(f"{shown(path)} is a {driver} file", expected=f"what its name says, .{suffix}")
    return dataset


def one_band(dataset: Any, name: str, where: str) -> None:
    """Raise InputError unless a file holds one band, and does not describe itself as another."""
    if dataset.count != 1:
        raise InputError(f"{where} has {dataset.count} bands", expected=f"one, {name}")
    described = known_band(dataset.descriptions[0] or "")
    if described and described != name:
        raise InputError(f"{where} is taken for {name}, and describes itself as {described}", expected="one name")


def shown(path: str) -> str:
    """A GDAL path as its user wrote it."""
    member = archive_of(path)
    if member:
        return "/".join(map(str, member))
    path = path.removeprefix("/vsicurl/")
    return f"s3://{path.removeprefix('/vsis3/')}" if path.startswith("/vsis3/") else path


def band_reader(name: str, path: str, index: int = 1, reduce: int = 0) -> RasterBand:
    """Of a band by its name: classes are not averaged, so SCL is read at full resolution."""
    return RasterBand(path, index, 0 if name == SCL else reduce, coded=name == SCL)


class RasterBand:
    """A band of a raster file, at full resolution or one of its reduced ones.

    Parameters
    ----------
    path, index
        GDAL's path and the band's number there, from 1.
    reduce
        0 for full resolution, 1 for half, 2 for a quarter: JPEG 2000's own resolution levels, or overviews.
    coded
        Codes, which may have 8 bits, not DN.
    """

    def __init__(self, path: str, index: int = 1, reduce: int = 0, *, coded: bool = False) -> None:
        self.path, self.index, self.reduce = path, index, reduce
        self._local = threading.local()
        self._opened: list[Any] = []
        self._lock = threading.Lock()
        dataset = self._dataset()
        self.width, self.height = int(dataset.width), int(dataset.height)
        tall, wide = dataset.block_shapes[index - 1]
        self.block = (int(tall), int(wide))
        self._no_data = dataset.nodatavals[index - 1]
        kind = dataset.dtypes[index - 1]
        if kind != "uint16" and not (coded and kind == "uint8"):
            raise InputError(
                f"{shown(path)}: pixels of {kind}",
                expected="uint16 DN, reflectance x 10000",
                remedy="the product as delivered; a picture of 8 bits cannot be turned back"
                if kind == "uint8"
                else "gdal_translate -ot UInt16 (reflectance: with -scale 0 1 0 10000)",
            )

    def _dataset(self) -> Any:
        """This thread's own handle."""
        dataset = getattr(self._local, "dataset", None)
        if dataset is None:
            options = {"overview_level": self.reduce - 1} if self.reduce else {}
            if self.reduce:
                with open_quietly(self.path) as full:
                    self._check_overview(full)
            dataset = open_quietly(self.path, sharing=False, **options)
            self._local.dataset = dataset
            with self._lock:
                self._opened.append(dataset)
        return dataset

    def _check_overview(self, full: Any) -> None:
        factors = full.overviews(self.index)
        if len(factors) < self.reduce or factors[self.reduce - 1] != 2**self.reduce:
            raise InputError(
                f"--reduce {self.reduce}: {shown(self.path)} has resolutions 1/{', 1/'.join(map(str, [1, *factors]))}",
                remedy="--reduce 0",
            )

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> Pixels:
        """See `BandReader` and `read_into`."""
        out = np.empty((rows[1] - rows[0], columns[1] - columns[0]), np.uint16)
        self.read_into(rows, columns, out)
        return out

    def read_into(self, rows: tuple[int, int], columns: tuple[int, int], out: Pixels) -> None:
        """See `BandReader`.

        Raises
        ------
        InputError
            The file is damaged there.
        SkytriggerError
            The connection broke.
        """
        rasterio = require("rasterio", why="scenes")
        window = rasterio.windows.Window(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0])
        try:
            self._dataset().read(self.index, window=window, out=out)
        except rasterio.errors.RasterioError as error:
            problem = f"{shown(self.path)}: rows {rows[0]} to {rows[1]} cannot be read: {error.__cause__ or error}"
            if self.path.startswith(REMOTE):
                raise SkytriggerError(
                    f"{problem}\n  remedy: check the connection; the same command goes on where it was"
                ) from error
            raise InputError(problem, expected="a whole file", remedy="download it again") from error
        if self._no_data:
            out[out == self._no_data] = 0

    def _as_dn(self, pixels: NDArray[Any]) -> Pixels:
        """uint16, with 0 for the file's own no-data value."""
        if self._no_data:
            pixels = np.where(pixels == self._no_data, 0, pixels)
        return pixels.astype(np.uint16, copy=False)

    def sample(self, side: int) -> Pixels:
        """See `BandReader`: a reduced resolution where there is one, else the whole of small bands or 16 windows."""
        factors = self._dataset().overviews(self.index)
        fitting = [i for i, f in enumerate(factors) if self.width / f >= side] or ([0] if factors else [])
        if fitting and not self.reduce:
            with open_quietly(self.path, overview_level=fitting[-1]) as small:
                return self._as_dn(small.read(self.index))
        if self.width * self.height <= 1 << 23:
            step = max(1, self.width // side)
            return self.read((0, self.height), (0, self.width))[::step, ::step]
        return sample_windows(self, side)

    def identity(self) -> list[Any]:
        """See `BandReader`."""
        member = archive_of(self.path)
        file = str(member[0]) if member else self.path
        facts = os.stat(file) if os.path.exists(file) else None
        return [self.path, self.index, self.reduce, *([facts.st_size, facts.st_mtime_ns] if facts else [])]

    def close(self) -> None:
        """See `BandReader`."""
        with self._lock:
            for dataset in self._opened:
                dataset.close()
            self._opened.clear()
        self._local = threading.local()


def sample_windows(band: BandReader, side: int) -> Pixels:
    """Sixteen windows spread over the band, side by side."""
    size = max(1, side // 4)
    parts = []
    for i in range(4):
        top = math.floor((i + 0.5) * band.height / 4) - size // 2
        lefts = [math.floor((j + 0.5) * band.width / 4) - size // 2 for j in range(4)]
        parts.append(np.hstack([band.read((top, top + size), (left, left + size)) for left in lefts]))
    return np.vstack(parts)
