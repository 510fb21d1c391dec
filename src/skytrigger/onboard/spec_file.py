"""A mission's spec from TOML: presets and a user's own; a mistake is named with its line."""

from __future__ import annotations

import dataclasses
import datetime
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from skytrigger.core.errors import InputError
from skytrigger.onboard.facts import STATIONS
from skytrigger.onboard.spec import FAULTS, Spec, Wrong

MISSIONS, LEVEL1 = ("sentinel2", "cubesat"), "l1"
PRESETS = (*MISSIONS, LEVEL1)
MOST = 1e300  # of any number: what is larger only overflows later
_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?")
_KEY = re.compile(r"^\s*(\"[^\"]+\"|'[^']+'|[\w-]+)\s*(?:\.\s*[\w-]+\s*)*=")


def load_spec(name: str | Path) -> Spec:
    """A preset by name or a TOML file.

    Raises
    ------
    InputError
        Not TOML, entries that are unknown or of the wrong type, values that cannot be; the line is named.
    """
    text, folder = spec_text(name)
    return parse(text, str(name), folder)


def spec_text(name: str | Path) -> tuple[str, str]:
    """The TOML text of a preset or a file, and the folder that its paths start from."""
    if str(name) in PRESETS:
        return resources.files("skytrigger.onboard").joinpath(f"presets/{name}.toml").read_text(), "."
    path = Path(name)
    if path.suffix != ".toml":
        raise InputError(f"no preset called {str(name)!r}", expected=f"{', '.join(PRESETS)} or a .toml file")
    try:
        return path.read_text(), str(path.parent)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the mission {path}: {error}") from error


def parse(text: str, name: str = "spec", folder: str = ".") -> Spec:
    """A spec from TOML text; see `load_spec`."""
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # and whole numbers of thousands of digits
        raise InputError(f"{name} is not valid TOML: {error}") from error
    try:
        spec: Spec = fill(Spec, {k: v for k, v in raw.items() if k not in ("text", "folder")}, ())
        check(spec)
    except Wrong as wrong:
        where = f"{name}, line {line_of(text, wrong.path)}"
        raise InputError(f"{where}: {wrong.problem}", expected=wrong.expected) from wrong
    return dataclasses.replace(spec, text=text, folder=folder)


def fill(kind: Any, table: Any, path: tuple[str | int, ...]) -> Any:
    """A dataclass from a TOML table, every entry typed and within its range."""
    if not isinstance(table, Mapping):
        raise Wrong(path, f"{_said(path)} is {table!r}", "a table")
    hints, fields = get_type_hints(kind), {f.name: f for f in dataclasses.fields(kind)}
    known = [n for n in fields if not (kind is Spec and n in ("text", "folder"))]
    for key in table:
        if key not in known:
            raise Wrong((*path, key), f"unknown entry {key!r}", ", ".join(sorted(known)))
    given = {k: _value(v, hints[k], fields[k].metadata, (*path, k)) for k, v in table.items()}
    for f in fields.values():
        if f.name not in given and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise Wrong(path, f"{_said(path)} has no {f.name!r}", f"{f.name} = ...")
    return kind(**given)


def _value(value: Any, hint: Any, limits: Mapping[str, Any], path: tuple[str | int, ...]) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is tuple:
        if not isinstance(value, list):
            raise Wrong(path, f"{_said(path)} = {value!r}", "a list")
        return tuple(_value(v, inner[0], limits, (*path, i)) for i, v in enumerate(value))
    if origin is not None:  # a mapping of names to numbers
        if not isinstance(value, Mapping):
            raise Wrong(path, f"{_said(path)} = {value!r}", "a table of names and numbers")
        return {k: _value(v, float, {"low": 0.0, "high": float("inf")}, (*path, k)) for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return fill(hint, value, path)
    if hint is datetime.datetime:
        if not isinstance(value, datetime.datetime):
            raise Wrong(path, f"{_said(path)} = {value!r}", "a time such as 2024-07-06T00:00:00Z")
        return value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
    if hint in (int, float):
        return _number(value, hint, limits, path)
    if not isinstance(value, hint):
        raise Wrong(path, f"{_said(path)} = {value!r}", {str: "a string", bool: "true or false"}[hint])
    return value


def _number(value: Any, hint: Any, limits: Mapping[str, Any], path: tuple[str | int, ...]) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole or (hint is float and isinstance(value, float))) or value != value:
        raise Wrong(path, f"{_said(path)} = {value!r}", "a whole number" if hint is int else "a number")
    low, high = limits.get("low", float("-inf")), limits.get("high", float("inf"))
    if not low <= value <= high or abs(value) > MOST:
        shown = value if abs(value) < MOST else "a number without end"
        raise Wrong(path, f"{_said(path)} = {shown}", f"{low:g} to {high:g}")
    return hint(value)


def _said(path: tuple[str | int, ...]) -> str:
    return ".".join(str(p) for p in path if isinstance(p, str)) or "the spec"


def check(spec: Spec) -> None:
    """What no single entry shows."""
    own = {s.name for s in spec.station}
    for i, name in enumerate(spec.mission.stations):
        if name not in own and name not in STATIONS:
            raise Wrong(("mission", "stations", i), f"no station called {name!r}", ", ".join([*own, *STATIONS]))
    if len(spec.stream.window) != 2 or min(spec.stream.window) < 1:
        raise Wrong(("stream", "window"), f"window = {list(spec.stream.window)}", "[rows, columns]")
    rows, columns = scene_shape(spec)
    if spec.stream.window[0] > rows or spec.stream.window[1] > columns:
        raise Wrong(("stream", "window"), f"window = {list(spec.stream.window)}", f"at most [{rows}, {columns}]")
    if spec.stream.classes and abs(sum(spec.stream.classes.values()) - 1) > 1e-6:
        total = sum(spec.stream.classes.values())
        raise Wrong(("stream", "classes"), f"the shares of the classes add up to {total:g}", "1")
    for i, fault in enumerate(spec.fault):
        if fault.kind not in FAULTS:
            raise Wrong(("fault", i, "kind"), f"no fault called {fault.kind!r}", ", ".join(FAULTS))
        if fault.kind == "missed_pass" and fault.contact < 0:
            raise Wrong(("fault", i), "a missed pass without its number", "contact = 0, 1, ...")
    for name, share in spec.value.quota.items():
        if share > 1:
            raise Wrong(("value", "quota", name), f"value.quota.{name} = {share:g}", "a share, 0 to 1")


def check_classes(spec: Spec, classes: tuple[str, ...], name: str = "spec") -> None:
    """Every class that the spec names is one of the classifier's.

    Raises
    ------
    InputError
        With the line.
    """
    value = spec.value
    named: list[tuple[tuple[str | int, ...], str]] = [(("stream", "classes", c), c) for c in spec.stream.classes]
    for part in ("classes", "half_life_s", "deadline_s", "quota"):
        named += [(("value", part, c), c) for c in getattr(value, part)]
    named += [(("value", "targets", i), c) for i, c in enumerate(value.targets)]
    named += [(("value", "alert", i, "of"), a.of) for i, a in enumerate(value.alert)]
    for path, one in named:
        if one not in classes:
            where = f"{name}, line {line_of(spec.text, path)}"
            raise InputError(f"{where}: no class called {one!r}", expected=", ".join(classes))


def scene_shape(spec: Spec, tile_m: float = 640.0) -> tuple[int, int]:
    """Rows (along the track) and columns (across) of a scene's tiles."""
    return round(spec.mission.along_m / tile_m), round(spec.mission.swath_m / tile_m)


def line_of(text: str, path: tuple[str | int, ...]) -> int:
    """The line, from 1, where an entry of TOML stands; its table's line, or 1, where it is not written.

    >>> line_of("[a]\\nb = 1\\n", ("a", "b"))
    2
    """
    table: list[str | int] = []
    counts: dict[tuple[str | int, ...], int] = {}
    best, deepest = 1, 0
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            names = [n.strip().strip("\"'") for n in header[2].split(".")]
            table = list(names)
            if header[1] == "[[":
                counts[tuple(names)] = counts.get(tuple(names), -1) + 1
                table.append(counts[tuple(names)])
            here = tuple(table)
        elif key := _KEY.match(line):
            here = (*table, *(part.strip().strip("\"'") for part in line[: line.index("=")].split(".")))
            del key
        else:
            continue
        depth = len(here)
        if here == path[:depth] and depth > deepest:
            best, deepest = number, depth
    return best
