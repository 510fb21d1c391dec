"""Optional packages, imported at first use; a missing one gets the exact install command."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from skytrigger.core.errors import UnavailableError

# module -> extra of pyproject.toml that brings it. The one copy; `doctor` reads it too.
EXTRA_OF = {
    "torch": "train",
    "onnxscript": "train",
    "openvino": "openvino",
    "tensorrt": "tensorrt",
    "tensorrt_rtx_bindings": "tensorrt-rtx",
    "pynvml": "gpu",
    "numba_cuda": "gpu",
    "cuda": "gpu",
    "numba": "hep",
    "h5py": "hep",
    "sklearn": "hep",
    "uproot": "root",
    "awkward": "root",
    "dask": "dask",
    "distributed": "dask",
    "skyfield": "onboard",
    "sgp4": "onboard",
    "spacepackets": "onboard",
    "imagecodecs": "onboard",
    "rasterio": "geo",
    "zarr": "geo",
    "omnicloudmask": "clouds",
}


def install_command(module: str) -> str:
    """The command that adds `module` to this environment."""
    return f"pip install 'skytrigger[{EXTRA_OF[module]}]'"


def require(module: str, *, why: str = "") -> Any:
    """Import `module` (dotted names allowed) or raise `UnavailableError` with the install command."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        root = module.split(".")[0]
        need = f" (needed for {why})" if why else ""
        raise UnavailableError(
            f"the package {root!r} is not installed or does not load{need}: {error}",
            remedy=install_command(root) if root in EXTRA_OF else f"pip install {root}",
        ) from error


def find(module: str) -> ModuleType | None:
    """`module` imported, or None where it is missing or broken."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError):
        return None
