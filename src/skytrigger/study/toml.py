"""Studies as TOML: the presets, a user's own files, and a spec written back."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path, PurePath
from typing import Any, get_args, get_origin, get_type_hints

from skytrigger.core.errors import InputError
from skytrigger.learn.recipe import Recipe
from skytrigger.study.spec import Measure, Spec, Sweep

PRESETS = ("quick", "eurosat", "batch-size", "power", "doublets")
LISTS = {"measure": Measure, "sweep": Sweep}


def load_spec(name: str, **changes: Any) -> Spec:
    """A preset by name or a TOML file, with `changes` (None = as it is) on top.

    Beside entries of `Spec` the changes may be ``seconds`` (of every measurement) and ``epochs`` (of every training).

    >>> load_spec("quick", models=("basic",)).models
    ('basic',)

    Raises
    ------
    InputError
        Not TOML, entries that are unknown or of the wrong type, or anything that could not be run.
    """
    if name in PRESETS:
        text = resources.files("skytrigger.study").joinpath(f"presets/{name}.toml").read_text()
    elif name.endswith(".toml"):
        try:
            text = Path(name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the study {name}: {error}") from error
    else:
        raise InputError(f"no preset called {name!r}", expected=f"{', '.join(PRESETS)} or a .toml file")
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # and whole numbers of thousands of digits
        raise InputError(f"{name} is not valid TOML: {error}") from error
    groups = {}
    for key, kind in LISTS.items():
        if key in raw:
            tables = raw.pop(key)
            if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
                raise InputError(f"{name}: {key} is not a list of tables", expected=f"[[{key}]]")
            groups[key] = tuple(_filled(kind, table, f"{name}, {key}") for table in tables)
    spec = replace(_filled(Spec, raw, name), **groups)
    for of, table in {"recipe": spec.recipe, **spec.recipe_of_model}.items():
        _require_typed(Recipe, table, f"{name}, {of}")
    return _changed(spec, **changes).check()


def _changed(spec: Spec, **changes: Any) -> Spec:
    if (seconds := changes.pop("seconds", None)) is not None:
        spec = replace(spec, measure=tuple(replace(m, seconds=seconds) for m in spec.measure))
    if (epochs := changes.pop("epochs", None)) is not None:
        own = {model: {k: v for k, v in r.items() if k != "epochs"} for model, r in spec.recipe_of_model.items()}
        spec = replace(
            spec, recipe={**spec.recipe, "epochs": epochs}, recipe_of_model={m: r for m, r in own.items() if r}
        )
    if (device := changes.get("device")) is not None:  # the axis is then this one device
        spec = replace(spec, sweep=tuple(replace(s, values=(device,)) if s.axis == "device" else s for s in spec.sweep))
    return replace(spec, **{k: v for k, v in changes.items() if v is not None})


def _filled(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    _require_typed(kind, table, where)
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()})
    except TypeError as error:
        raise InputError(f"{where}: {error}") from error


def _require_typed(kind: Any, table: Mapping[str, Any], where: str) -> None:
    """Raise InputError where `kind` has no such fields, or fields of other types."""
    known = get_type_hints(kind)
    if unknown := sorted(set(table) - set(known)):
        raise InputError(f"{where}: unknown entries {unknown}", expected=", ".join(sorted(known)))
    for name, value in table.items():
        if not _is(value, known[name]):
            raise InputError(f"{where}: {name} = {value!r}", expected=_said(known[name]))


def _is(value: Any, hint: Any) -> bool:
    """Whether a value from TOML is what a field of this type takes."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or (type(None) in inner and value is None):
        return True
    if origin is tuple:
        return isinstance(value, list) and all(_is(v, inner[0]) for v in value)
    if origin is dict:
        return isinstance(value, dict) and all(_is(v, inner[1]) for v in value.values())
    if inner:
        return any(_is(value, i) for i in inner)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _said(hint: Any) -> str:
    names = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        return "a list" if inner is Any else f"a list, each {names.get(inner, 'a table')}"
    return "a table" if get_origin(hint) is dict else names.get(hint, "a whole number")


def to_toml(spec: Mapping[str, Any]) -> str:
    """A spec as study.json holds it, as TOML; JSON's strings are TOML's too. Files stand without their folders."""

    def line(key: str, value: Any) -> str:
        if key in ("data", "split_lists"):
            value = [bare(str(v)) for v in value or []]
        if isinstance(value, dict):  # a table within a table is written inline
            return f"{key} = {{ {', '.join(line(k, v) for k, v in value.items() if v is not None)} }}"
        return f"{key} = {json.dumps(value)}"

    def body(table: Mapping[str, Any]) -> list[str]:
        return [line(k, v) for k, v in table.items() if v is not None]

    lines = body({k: v for k, v in spec.items() if not _tables(v)})
    for name, value in spec.items():
        for table in _tables(value):
            lines += ["", f"[[{name}]]" if isinstance(value, list) else f"[{name}]", *body(table)]
    return "\n".join(lines)


def bare(source: str) -> str:
    """A source of data without its folders, for pages that others read."""
    return source if source.startswith("synthetic") else PurePath(source).name or source


def _tables(value: Any) -> list[dict[str, Any]]:
    """The TOML tables that a value is written as."""
    if isinstance(value, dict):
        return [value]
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []
