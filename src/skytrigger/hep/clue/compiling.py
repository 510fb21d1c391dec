"""How the backend `cpu` is compiled: once a machine, with a word, and also where nothing can be kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit

from skytrigger.core.progress import say

# no reference counting: every array is the caller's, and counting those in tuples took a fifth of a call
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False, "_nrt": False}
_said: set[str] = set()


def compiled(function: Callable[..., Any]) -> Any:
    """Numba's `njit`, kept on disk where a folder for that can be written."""
    try:
        return njit(cache=True, **OPTIONS)(function)
    except RuntimeError as error:
        if "cache" not in str(error):
            raise
        _say_once("CLUE's compiled loops cannot be kept, as no folder is writable: set NUMBA_CACHE_DIR to one that is")
        return njit(**OPTIONS)(function)


@cache
def announce(function: Any) -> None:
    """Say what is going on before a first call that has to compile `function`."""
    folder = function.stats.cache_path
    name = f"{function.py_func.__module__.rpartition('.')[2]}.{function.py_func.__qualname__}-*.nbi"
    if not folder or not any(Path(folder).glob(name)):
        where = f", kept in {folder}" if folder else ""
        _say_once(f"compiling CLUE's loops for this machine, some 10 s{where} (skytrigger doctor --warm does it ahead)")


def _say_once(message: str) -> None:
    if message not in _said:
        _said.add(message)
        say(message)
