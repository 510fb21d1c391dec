"""Tiles as people have them, written by rasterio and Pillow, none by the product."""

from __future__ import annotations

import io
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("Forest", "River")
Build = Callable[[Path], None]


def planes(seed: int, bands: int, dtype: str = "uint16", shape: tuple[int, int] = (32, 32)) -> np.ndarray:
    """(bands, h, w); band k lies about 200 k, 20 k for bytes, 0.02 k for floats."""
    random = np.random.default_rng(seed)
    values = np.arange(bands)[:, None, None] + random.random((bands, *shape))
    scale = {"uint8": 20, "float32": 0.02}.get(dtype, 200)
    return (scale * values).astype(dtype)


def tif(path: Path, values: np.ndarray, names: list[str] | None = None, **options: Any) -> None:
    """A TIFF by rasterio."""
    import rasterio

    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        count, height, width = values.shape
        with rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype, **options
        ) as out:
            out.write(values)
            for k, name in enumerate(names or (), 1):
                out.set_band_description(k, name)


def picture(path: Path, seed: int, mode: str = "RGB", shape: tuple[int, int] = (32, 32), **options: Any) -> None:
    """A PNG or JPEG by Pillow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    if mode == "I;16":
        Image.fromarray(random.integers(0, 65536, shape).astype(np.uint16)).save(path, **options)
        return
    image = Image.fromarray(random.integers(0, 256, (*shape, 3)).astype(np.uint8))
    if mode == "P":
        image = image.quantize(16)
    elif mode != "RGB":
        image = image.convert(mode)
    image.save(path, **options)


def each(write: Callable[[Path, int], None], name: str = "{label}_{n}", count: int = 3, ending: str = "tif") -> Build:
    """Class folders of `count` tiles."""

    def build(root: Path) -> None:
        for k, label in enumerate(CLASSES):
            for n in range(1, count + 1):
                write(root / label / f"{name.format(label=label, low=label.lower(), n=n)}.{ending}", 100 * k + n)

    return build


def tifs(bands: int, names: list[str] | None = None, **options: Any) -> Build:
    """Class folders of TIFF tiles."""
    dtype, shape = options.pop("dtype", "uint16"), options.pop("shape", (32, 32))
    return each(lambda path, seed: tif(path, planes(seed, bands, dtype, shape), names, **options))


def pngs(mode: str = "RGB", **options: Any) -> Build:
    """Class folders of PNG tiles with names that start anew in each."""
    return each(lambda path, seed: picture(path, seed, mode, **options), "{n:03}", ending="png")


def holes(share: float) -> Build:
    """uint16 tiles with a no-data tag of 0, and zeros in the first rows."""

    def write(path: Path, seed: int) -> None:
        values = planes(seed, 3) + np.uint16(1)
        values[:, : round(32 * share)] = 0
        tif(path, values, ["B02", "B03", "B04"], nodata=0)

    return each(write)


def parted(root: Path) -> None:
    """train, val and test, each with class folders."""
    for part, shift in (("train", 0), ("val", 1000), ("test", 2000)):
        each(lambda path, seed, shift=shift: picture(path, seed + shift), "{n}", ending="png")(root / part)


def archived(kind: str) -> Build:
    """PNG tiles below a folder EuroSAT of an archive."""

    def build(root: Path) -> None:
        pngs()(root / "made" / "EuroSAT")
        files = sorted(path for path in (root / "made").rglob("*") if path.is_file())
        if kind == "zip":
            with zipfile.ZipFile(root / "x.zip", "w") as out:
                for path in files:
                    out.write(path, path.relative_to(root / "made").as_posix())
        else:
            with tarfile.open(root / f"x.{kind}", "w:gz" if kind.endswith("gz") else "w") as out:
                for path in files:
                    out.add(path, path.relative_to(root / "made").as_posix())

    return build


def shard(root: Path) -> None:
    """A WebDataset shard: pictures and classes side by side."""
    with tarfile.open(root / "shard-000000.tar", "w") as out:
        for n in range(6):
            picture(root / "x.png", n)
            for ending, content in (("png", (root / "x.png").read_bytes()), ("cls", str(n % 2).encode())):
                info = tarfile.TarInfo(f"{n:06}.{ending}")
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))


def alike(*labels: str) -> Build:
    """Class folders of these names."""

    def build(root: Path) -> None:
        for k, label in enumerate(labels):
            picture(root / label / "1.png", k)

    return build


def others(root: Path) -> None:
    """A folder without tiles."""
    root.mkdir(exist_ok=True)
    for name in ("a.jp2", "b.jp2", "labels.csv"):
        (root / name).write_bytes(b"x")


def trailing(root: Path) -> None:
    """JPEG tiles with bytes after their end, as phones write."""
    each(lambda path, seed: picture(path, seed), ending="jpg")(root)
    for path in root.rglob("*.jpg"):
        path.write_bytes(path.read_bytes() + b"SEFHe\0\0\0 made by a phone")


def rgb16(path: Path, seed: int) -> None:
    """A PNG of three colours of 16 bits."""
    import rasterio

    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", driver="PNG", count=3, height=32, width=32, dtype="uint16") as out:
            out.write(planes(seed, 3) * np.uint16(50))
