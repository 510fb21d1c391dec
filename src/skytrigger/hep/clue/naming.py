"""Which column is what: one table of names that people use, and no guessing beyond it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from skytrigger.core.errors import InputError

ALIASES = {
    "x": ("x", "x0", "position.x", "position_x", "pos_x", "posx"),
    "y": ("y", "x1", "position.y", "position_y", "pos_y", "posy"),
    "z": ("z", "x2", "position.z", "position_z", "pos_z", "posz"),
    "layer": ("layer", "layerid", "layer_id", "cluster_layer_id", "layernumber", "layer_number", "lay"),
    "weight": ("weight", "energy", "e", "w", "edep", "energydeposit", "deposited_energy"),
    "event": ("event", "eventid", "event_id", "eventnumber", "event_number", "evt", "evtnum", "ievent"),
    "truth": ("truth", "truth_id", "truthid"),
    "noise": ("noise", "sigmanoise", "sigma_noise", "noise_sigma"),
}
"""Role -> names, in lower case and without a unit in brackets; before each may stand a collection's name, with a dot or
an underscore (`ECalHits.position.x`, `RecHitHGC_energy`): EDM4hep, NanoAOD, TICL ntuples, CLUEstering, k4Clue."""
RESULTS = ("index", "rho", "delta", "nh", "isseed", "clusterid")
"""Columns that `write_clusters` adds; nobody's."""
_UNIT = re.compile(r"\s*[(\[]([^()\[\]]*)[)\]]\s*$|,\s*(\w+)\s*$")
OPTION = "--columns x=NAME,y=NAME,weight=NAME,layer=NAME"


@dataclass(frozen=True)
class Choice:
    """Columns by role, what was assumed where there is none, and what was left unread."""

    columns: dict[str, str]
    assumed: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def parse_columns(text: str) -> dict[str, str]:
    """``x=lcX,y=lcY,weight=none`` as a mapping."""
    stated: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        role, equals, name = part.partition("=")
        if not equals or not name or role.strip() not in ALIASES:
            raise InputError(f"--columns {part}", expected="ROLE=NAME, with a role of " + ", ".join(ALIASES))
        stated[role.strip()] = name.strip()
    return stated


def plain(name: str) -> str:
    """Lower case, dots for slashes, and without a unit in brackets behind."""
    return _UNIT.sub("", name).strip().lower().replace("/", ".")


def unit_of(name: str) -> str:
    """The unit in brackets, or behind a comma."""
    found = _UNIT.search(name)
    return (found[1] or found[2] or "").strip() if found else ""


def _recognise(name: str) -> tuple[str, str] | None:
    """(collection, role) of a column, by the longest alias that it ends with."""
    text = plain(name)
    best: tuple[int, str, str] | None = None
    for role, aliases in ALIASES.items():
        for alias in aliases:
            rest = text.removesuffix(alias)
            collection = rest[:-1] if rest.endswith((".", "_")) else rest
            long_enough = len(alias) > 2 or len(alias) == 1  # x0 and the like stand alone
            fits = rest == "" or (rest != text and rest.endswith((".", "_")) and long_enough)
            if fits and (best is None or len(alias) > best[0]):
                best = len(alias), collection, role
    return None if best is None else (best[1], best[2])


def choose_columns(kinds: Mapping[str, str], stated: Mapping[str, str], group: str | None, where: str) -> Choice:
    """Columns of a table by role.

    Parameters
    ----------
    kinds
        Column -> ``f`` (numbers), ``i`` (whole numbers) or another letter.
    stated
        Role -> column, or ``none``.
    group
        Collection to read, where several have x and y.

    Raises
    ------
    InputError
        No x or y, several columns or collections that could be meant, or columns left that might be the weight or the
        layer: never a guess.
    """
    for role, name in stated.items():
        if name != "none" and name not in kinds:
            raise InputError(f"{where} has no column {name} for {role}", expected=_listed(kinds))
    found: dict[str, dict[str, list[str]]] = {}
    for name in kinds:
        hit = _recognise(name)
        if hit and name not in stated.values():
            found.setdefault(hit[0], {}).setdefault(hit[1], []).append(name)
    collection = _collection(found, stated, group, kinds, where)
    own, outside = found.get(collection, {}), found.get("", {}) if collection else {}
    columns = {role: name for role, name in stated.items() if name != "none"}
    for role in ALIASES:
        names = own.get(role) or (outside.get(role) if role in ("event", "truth") else None)
        if names and role not in stated:
            columns[role] = _only(role, names, where)
    _check_chosen(columns, where)
    used = set(columns.values())
    rest = [n for n in kinds if n not in used and plain(n).startswith(collection)]
    strange = [n for n in rest if _recognise(n) is None and plain(n) not in RESULTS and kinds[n] in "fiu"]
    assumed = []
    for role, text, doubtful in (
        ("weight", "all weights 1", strange),
        ("layer", "one layer", [n for n in strange if kinds[n] in "iu"]),
    ):
        if role in columns:
            continue
        if doubtful and role not in stated:
            raise InputError(
                f"{where}: no column is known to be the {role}, and it has {_listed(doubtful)}",
                expected=f"a column called {' or '.join(ALIASES[role][:3])}",
                remedy=f"state it: --columns {role}=NAME, or {role}=none for {text}",
            )
        assumed.append(f"no {role}: {text}")
    return Choice(columns, assumed, sorted(set(kinds) - used))


def _check_chosen(columns: Mapping[str, str], where: str) -> None:
    """A column for each role, and one unit for all coordinates."""
    for name in columns.values():
        roles = [role for role, other in columns.items() if other == name]
        if len(roles) > 1:
            raise InputError(f"{where}: {name} is named for {' and '.join(roles)}", expected="a column for each")
    units = {unit: columns[role] for role in ("x", "y", "z") if role in columns and (unit := unit_of(columns[role]))}
    if len(units) > 1:
        raise InputError(
            f"{where}: {' and '.join(units.values())} are in different units", expected="one unit for all coordinates"
        )


def _listed(names: Mapping[str, str] | list[str]) -> str:
    every = list(names)
    return ", ".join(every[:12]) + (f" and {len(every) - 12} more" if len(every) > 12 else "") or "none"


def _only(role: str, names: list[str], where: str) -> str:
    """The one column of a role: of several the one that has its very name."""
    exact = [n for n in names if re.search(rf"(^|[._]){role}$", plain(n))]
    if len(names) == 1 or len(exact) == 1:
        return (exact or names)[0]
    raise InputError(f"{where}: {' and '.join(names)} could each be the {role}", remedy=f"--columns {role}=NAME")


def _collection(
    found: Mapping[str, Mapping[str, list[str]]],
    stated: Mapping[str, str],
    group: str | None,
    kinds: Mapping[str, str],
    where: str,
) -> str:
    """The collection whose x and y are meant; an empty name for none."""
    if {"x", "y"} <= set(stated):
        own = [hit[0] for hit in (_recognise(stated[role]) for role in ("x", "y")) if hit]
        return group.lower() if group else own[0] if len(set(own)) == 1 else ""
    complete = [c for c, roles in found.items() if all(r in roles or r in stated for r in ("x", "y"))]
    if group is not None:
        complete = [c for c in complete if c == plain(group)]
    elif "" in complete:
        return ""
    complete = [c for c in complete if not any(c.startswith((f"{other}.", f"{other}_")) for other in complete)]
    if len(complete) == 1:
        return complete[0]
    if complete:
        raise InputError(f"{where} has x and y of {', '.join(complete)}", remedy="choose one with --group")
    missing = [r for r in ("x", "y") if r not in stated and not any(r in roles for roles in found.values())]
    raise InputError(
        f"{where} has no column {', '.join(missing) or 'x with its y'}; it has {_listed(kinds)}",
        expected="x, y and, optionally, " + ", ".join(list(ALIASES)[2:]),
        remedy=f"name them: {OPTION}",
    )
