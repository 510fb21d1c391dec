"""Steps of a search on disk: each is done once, under a name made from all that decides its result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json, sha256_json, write_json

STEP = "step.json"


class Store:
    """``<folder>/work/<kind>-<hash>/``: what a step left, and ``step.json`` with its key and result, written last.

    A killed search finds its finished steps again and goes on with the first unfinished one; training goes on inside
    its own folder.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = folder
        settings = folder / "settings.json"
        if settings.is_file():
            found = read_json(settings)
            other = sorted(k for k in {*found, *identity} if found.get(k) != identity.get(k))
            if other:
                told = ", ".join(f"{k}: {_short(found.get(k))} there, {_short(identity.get(k))} here" for k in other)
                raise InputError(f"{folder} holds another search ({told})", remedy="another --out, or the same options")
        elif folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty and holds no search", remedy="another --out")
        else:
            write_json(settings, identity)
        self._root = sha256_json(identity)

    def once(self, kind: str, key: dict[str, Any], make: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """`make(folder)`'s result, from disk where it was made before."""
        digest = sha256_json({"search": self._root, "kind": kind, "key": key})[:16]
        folder = self.folder / "work" / f"{kind}-{digest}"
        file = folder / STEP
        if file.is_file():
            found: dict[str, Any] = read_json(file)["result"]
            return found
        folder.mkdir(parents=True, exist_ok=True)
        result = make(folder)
        write_json(file, {"kind": kind, "key": key, "result": result})
        return result


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
