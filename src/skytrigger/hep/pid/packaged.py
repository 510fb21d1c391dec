"""The network that comes with the package, trained on simulated showers."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

NAME = "hgcal_pid"
PACKAGED = {NAME: Path(str(resources.files("skytrigger.hep.pid"))) / f"{NAME}.onnx"}
"""`pid_small`, float32, at most 300 kB."""
