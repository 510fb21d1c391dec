"""Where and in which precision training runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.core.extras import require
from skytrigger.core.host import cores_in_mask

if TYPE_CHECKING:
    from torch import device as Device


def resolve_device(name: str) -> Device:
    """``cpu``, ``cuda``, ``cuda:1`` or ``auto`` (a GPU if there is one); what is missing raises."""
    torch = require("torch", why="training")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device: Device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"no device called {name!r}", expected="cpu, cuda, cuda:N or auto") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device {name!r} is not supported", expected="cpu, cuda, cuda:N or auto")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UnavailableError(f"device {name!r}: no CUDA GPU is usable here", remedy="--device cpu")
        if device.index is not None and device.index >= torch.cuda.device_count():
            raise UnavailableError(f"device {name!r}: this machine has {torch.cuda.device_count()} GPU(s)")
    return device


def has_bf16(device: Device) -> bool:
    """Whether the device multiplies bfloat16 in hardware (emulation is slower than float32)."""
    torch = require("torch", why="training")
    if device.type == "cuda":
        return bool(torch.cuda.get_device_capability(device) >= (8, 0))
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in checks)


def resolve_precision(name: str, device: Device) -> str:
    """``fp32`` or ``bf16``; ``auto`` takes bf16 where the device has it."""
    if name == "auto":
        return "bf16" if has_bf16(device) else "fp32"
    if name == "bf16" and not has_bf16(device):
        raise UnavailableError(f"{device} has no bfloat16 hardware", remedy="--precision fp32 or auto")
    return name


def use_threads(threads: int | None) -> int:
    """Set torch's CPU threads (default: every core of this process's mask) and return their number."""
    torch = require("torch", why="training")
    available = cores_in_mask()
    if threads is None:
        threads = int(os.environ.get("OMP_NUM_THREADS", 0)) or available
    if not 1 <= threads <= available:
        raise InputError(f"threads = {threads}", expected=f"1 to {available}, the cores this process may use")
    torch.set_num_threads(threads)
    return threads
