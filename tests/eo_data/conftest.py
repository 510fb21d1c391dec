"""Small tiles written as the real ones are: GeoTIFF by tifffile, JPEG by Pillow."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")


def pixels(seed: int, bands: int = 13, size: int = 64) -> np.ndarray[Any, Any]:
    """(h, w, bands) uint16; band k lies in 1000 k .. 1000 k + 99, so a wrong band shows."""
    random = np.random.default_rng(seed)
    return (1000 * np.arange(bands) + random.integers(0, 100, (size, size, bands))).astype(np.uint16)


def geo_tags(easting: float, northing: float, epsg: int = 32633) -> list[tuple[Any, ...]]:
    """GeoTIFF tags of a tile whose upper left corner lies there, 10 m pixels."""
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, epsg)
    return [
        (33550, "d", 3, (10.0, 10.0, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, easting, northing, 0.0), True),
        (34735, "H", len(keys), keys, True),
    ]


def tiff(image: np.ndarray[Any, Any], **options: Any) -> bytes:
    """A GeoTIFF, bands interleaved by pixel as in EuroSAT."""
    stream = io.BytesIO()
    options.setdefault("planarconfig", "contig")
    options.setdefault("metadata", None)
    tifffile.imwrite(stream, image, photometric="minisblack", **options)
    return stream.getvalue()


def tile(seed: int, **options: Any) -> bytes:
    """A good 13-band tile with a place."""
    options.setdefault("extratags", geo_tags(400_000.0 + 1000 * seed, 5_500_000.0))
    return tiff(pixels(seed), **options)


def jpeg(seed: int, size: int = 64, mode: str = "RGB") -> bytes:
    """A good RGB tile."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (8, 8, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((size, size)).convert(mode).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def small_set(per_class: int = 3, classes: tuple[str, ...] = ("Forest", "River"), make: Any = tile) -> dict[str, bytes]:
    """Member name -> content, ``<Class>/<Class>_<n>``."""
    suffix = "tif" if make is tile else "jpg"
    return {
        f"{name}/{name}_{n}.{suffix}": make(100 * k + n)
        for k, name in enumerate(classes)
        for n in range(1, per_class + 1)
    }


def write_folder(root: Path, members: Mapping[str, bytes]) -> Path:
    """The members as files."""
    for name, content in members.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def write_zip(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """The members as an archive."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The builders above, for tests that cannot import this file."""
    functions: tuple[Callable[..., Any], ...] = (
        pixels, geo_tags, tiff, tile, jpeg, small_set, write_folder, write_zip,
    )  # fmt: skip
    return SimpleNamespace(BANDS=BANDS, **{function.__name__: function for function in functions})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SKYTRIGGER_CACHE", str(folder))
    return folder
