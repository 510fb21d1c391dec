"""The classifiers that come with the package, trained on real tiles; their metadata say on which and how well."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

PACKAGED = ("eurosat_ms", "eurosat_rgb")


def packaged(name: str) -> Path:
    """Model file of ``eurosat_ms`` (13 bands, DN) or ``eurosat_rgb`` (8 bits), INT8, at most 300 kB.

    Raises
    ------
    KeyError
        There is none of this name.
    """
    stem = name.removesuffix(".onnx")
    if stem not in PACKAGED:
        raise KeyError(name)
    return Path(str(resources.files("skytrigger.eo"))) / "models" / f"{stem}.onnx"
