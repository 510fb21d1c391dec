"""Every network the toolkit can build, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skytrigger.core.errors import InputError
from skytrigger.eo import networks as eo_networks
from skytrigger.optimize import students

if TYPE_CHECKING:
    from torch import nn


def build(name: str, channels: int, size: tuple[int, int], classes: int, **options: Any) -> nn.Module:
    """The untrained network called `name`; see the builders for its options."""
    if name in eo_networks.NAMES:
        return eo_networks.build(name, channels, size, classes, **options)
    if name == "student":
        return students.build(name, channels, size, classes, **options)
    raise InputError(f"no network called {name!r}", expected=", ".join(names()))


def names() -> tuple[str, ...]:
    """All network names."""
    return (*eo_networks.NAMES, "student")
