"""The classifiers that come with the package, trained on real tiles; their metadata say on which and how well."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

PACKAGED = ("eurosat_ms", "eurosat_rgb", "eurosat_ms_fast", "eurosat_rgb_fast", "eurosat_l2a")


def packaged(name: str) -> Path:
    """Model file of a packaged classifier, INT8, at most 300 kB.

    ``eurosat_ms`` and ``eurosat_ms_fast`` take all 13 bands of Level-1C in DN, ``eurosat_l2a`` the 12 of Level-2A,
    ``eurosat_rgb`` and ``eurosat_rgb_fast`` 8 bits.

    Raises
    ------
    KeyError
        There is none of this name.
    """
    stem = name.removesuffix(".onnx")
    if stem not in PACKAGED:
        raise KeyError(name)
    return Path(str(resources.files("skytrigger.eo"))) / "models" / f"{stem}.onnx"
