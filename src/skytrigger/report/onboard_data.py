"""A replay's folder as its page needs it: every tile's story as columns, the passes, the memory; checked on reading."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json
from skytrigger.core.parquet import read_table
from skytrigger.eo.scene.legend import NO_DATA, legend
from skytrigger.eo.scene.write_vectors import to_lonlat
from skytrigger.onboard.received import Ground, receive

MOST_CELLS = 40_000  # on the page: a story each
GREY = "#888888"
STATUSES = {
    "sent": ("Sent", "#0072b2"), "waiting": ("Still on board", "#e6a93c"), "evicted": ("Evicted: no memory", "#c2452d"),
    "dropped": ("Dropped by the policy", "#8a8f98"), "lost": ("Lost", "#5b2a86"),
}  # fmt: skip
TIERS = {
    "alert": ("alert", 0.0), "class": ("class and confidence only", 0.0), "lossless": ("every bit (lossless)", 0.2),
    "lossy": ("lossy", 0.11), "backlog": ("raw samples", 0.2),
}  # fmt: skip
_COLUMNS = ("tile", "scene", "row", "col", "x_m", "y_m", "crs", "t_sensed_s", "class_name", "confidence", "true_class",
            "value", "tier", "status", "t_ground_s", "reason")  # fmt: skip


@dataclass(frozen=True)
class Replay:
    """A replay's folder, read.

    Attributes
    ----------
    tiles
        Columns of tiles.parquet as arrays.
    ground
        What the packets say.
    """

    folder: Path
    summary: dict[str, Any]
    passes: list[dict[str, Any]]
    tiles: dict[str, NDArray[Any]]
    memory: dict[str, NDArray[Any]]
    ground: Ground


def read_replay(folder: str | Path) -> Replay:
    """Read and check what a replay left.

    Raises
    ------
    InputError
        A file is missing or is not a replay's.
    """
    folder = Path(folder)
    summary = read_json(folder / "summary.json")
    passes = read_json(folder / "passes.json")
    tiles, memory = _columns(folder / "tiles.parquet"), _columns(folder / "memory.parquet")
    missing = [c for c in _COLUMNS if c not in tiles]
    missing += [c for c in ("t_s", "memory_bit", "queue_items", "battery_J", "imaging", "eclipse") if c not in memory]
    if missing or not isinstance(summary, dict) or not isinstance(passes, list):
        raise InputError(f"{folder} lacks {', '.join(missing) or 'a list of passes'}", expected="a replay's folder",
                         remedy="skytrigger onboard PRESET|SPEC.toml --out DIR")  # fmt: skip
    ground = receive(folder) if (folder / "packets").is_dir() else Ground()
    return Replay(folder, summary, passes, tiles, memory, ground)


def _columns(path: Path) -> dict[str, NDArray[Any]]:
    table = read_table(path)
    found = {}
    for name in table.column_names:
        column = table[name]
        found[name] = np.array(column.to_pylist(), object) if "dictionary" in str(column.type) else column.to_numpy()
    return found


def page_data(replay: Replay) -> dict[str, Any]:
    """What replay.js draws."""
    tiles = replay.tiles
    scenes, of_scene = np.unique(tiles["scene"].astype(str), return_inverse=True)
    shown = _shown(replay, scenes, of_scene)
    lonlat = _middles(replay, len(scenes), of_scene)
    passes = _passes(replay)
    arrays, reasons, placed = _cells(replay, scenes, of_scene, shown, passes)
    for s, entry in zip(shown, placed, strict=True):
        entry |= {"lon": lonlat[s][0], "lat": lonlat[s][1]}
    statuses, facts = _statuses(replay), replay.summary.get("facts", {})
    return {
        "passes": passes, "scenes": placed, "first": _fullest(replay, placed), "cells": arrays, "reasons": reasons,
        "world": _world(replay, scenes, of_scene, lonlat, passes), "classes": _looks(replay),
        "tiers": [{"title": title, "mark": mark} for title, mark in TIERS.values()],
        "statuses": [{"key": k, "shown": True} | dict(zip(("title", "colour"), STATUSES.get(k, (k, GREY)), strict=True))
                     for k in statuses],
        "waiting": statuses.index("waiting"), "memory": _memory(replay), "time_words": _time_words(replay),
        "memory_bit": facts.get("memory_bit"), "battery_J": facts.get("battery_J"),
    }  # fmt: skip


def _looks(replay: Replay) -> list[dict[str, Any]]:
    """Title and colour of each class, as the maps of scenes have them."""
    names = _class_names(replay)
    entries = legend(tuple(n for n in names if n.lower() not in ("cloud", "rejected")))
    look = {e.key: (e.title, e.colour) for e in entries}
    used = set(replay.tiles["class_name"].astype(str))
    found = [look.get(n) or look.get(n.lower(), (n, GREY)) for n in names]
    return [{"title": t, "colour": c, "shown": n in used} for n, (t, c) in zip(names, found, strict=True)]


def _fullest(replay: Replay, placed: list[dict[str, Any]]) -> int:
    """The scene to begin with: of which the ground has most."""
    count = Counter(scene for scene, _, _ in replay.ground.tiles)
    return max(range(len(placed)), key=lambda i: (count[placed[i]["name"]], -i), default=0)


def _shown(replay: Replay, scenes: NDArray[Any], of_scene: NDArray[Any]) -> list[int]:
    """Scenes on the page, in order of time: all, or those with the most value up to `MOST_CELLS` tiles."""
    counts = np.bincount(of_scene, minlength=len(scenes))
    value = np.bincount(of_scene, weights=np.nan_to_num(replay.tiles["value"].astype(float)), minlength=len(scenes))
    best = np.argsort(-value, kind="stable")
    kept = best[np.cumsum(counts[best]) <= MOST_CELLS] if len(best) else best
    time = np.full(len(scenes), np.inf)
    np.minimum.at(time, of_scene, replay.tiles["t_sensed_s"].astype(float))
    return [int(s) for s in kept[np.argsort(time[kept], kind="stable")]]


def _middles(replay: Replay, count: int, of_scene: NDArray[Any]) -> list[tuple[float | None, float | None]]:
    """Longitude and latitude of each scene's middle; None where its tiles have no place."""
    size = np.maximum(np.bincount(of_scene, minlength=count), 1)
    x, y = (
        np.bincount(of_scene, weights=replay.tiles[n].astype(float), minlength=count) / size for n in ("x_m", "y_m")
    )
    first = np.full(count, -1)
    first[of_scene[::-1]] = np.arange(len(of_scene))[::-1]
    crs = replay.tiles["crs"][first].astype(str) if count else np.empty(0, str)
    found: list[tuple[float | None, float | None]] = [(None, None)] * count
    for name in np.unique(crs):
        of = np.flatnonzero((crs == name) & np.isfinite(x) & np.isfinite(y))
        if name in ("None", "") or not len(of):
            continue
        for s, (lon, lat) in zip(of, to_lonlat(str(name), np.stack([x[of], y[of]], -1)).tolist(), strict=True):
            found[int(s)] = (round(lon, 4), round(lat, 4))
    return found


def _class_names(replay: Replay) -> list[str]:
    """The model's in its order, then what else was answered or true."""
    names = [n.removeprefix("probability_") for n in replay.tiles if n.startswith("probability_")]
    others = {str(v) for c in ("class_name", "true_class") for v in replay.tiles[c] if v is not None}
    return [*names, *sorted(others - set(names))]


def _statuses(replay: Replay) -> list[str]:
    return [*STATUSES, *sorted(set(replay.tiles["status"].astype(str)) - set(STATUSES))]


def _passes(replay: Replay) -> list[dict[str, Any]]:
    """As passes.json has them, with how many tiles the ground knows after each."""
    brought = {p["pass"]: p["new_tiles"] for p in replay.ground.passes}
    arrived, found = 0, []
    for entry in replay.passes:
        arrived += brought.get(entry["pass"], 0)
        found.append(
            {k: entry.get(k) for k in ("pass", "station", "t_start_s", "t_end_s", "missed")} | {"arrived": arrived}
        )
    return found


def _cells(
    replay: Replay, scenes: NDArray[Any], of_scene: NDArray[Any], shown: list[int], passes: list[dict[str, Any]]
) -> tuple[dict[str, str], list[str], list[dict[str, Any]]]:
    """Columns of every cell of the scenes shown (base64), the reasons, and where each scene begins."""
    tiles, at, placed = replay.tiles, 0, []
    row, col = tiles["row"].astype(np.int64), tiles["col"].astype(np.int64)
    where = np.full(len(of_scene), -1)
    by_scene = np.split(
        np.argsort(of_scene, kind="stable"), np.cumsum(np.bincount(of_scene, minlength=len(scenes)))[:-1]
    )
    for s in shown:
        of = by_scene[s]
        rows, columns = int(row[of].max()) + 1, int(col[of].max()) + 1
        where[of] = at + row[of] * columns + col[of]
        placed.append({"name": str(scenes[s]), "rows": rows, "columns": columns, "at": at,
                       "t": float(tiles["t_sensed_s"][of].astype(float).min())})  # fmt: skip
        at += rows * columns
    of = np.flatnonzero(where >= 0)
    reasons, reason = np.unique(tiles["reason"][of].astype(str), return_inverse=True)
    index = {p["pass"]: i for i, p in enumerate(passes)}
    known = replay.ground.tiles
    in_pass = np.array([_first_pass(known, tiles, int(i), index) for i in of], np.int16)
    names, statuses = _class_names(replay), _statuses(replay)
    columns_of = {
        "board": (_coded(tiles["class_name"][of], names), NO_DATA, np.uint8),
        "truth": (_coded(tiles["true_class"][of], names), NO_DATA, np.uint8),
        "percent": (np.rint(100 * tiles["confidence"][of].astype(float)), 0, np.uint8),
        "status": (_coded(tiles["status"][of], statuses), NO_DATA, np.uint8),
        "tier": (np.minimum(_coded(tiles["tier"][of], list(TIERS)), len(TIERS) - 1), 0, np.uint8),
        "pass": (in_pass, -1, np.int16),
        "value": (tiles["value"][of].astype(float), 0, np.float32),
        "sensed": (tiles["t_sensed_s"][of].astype(float), 0, np.float32),
        "ground": (tiles["t_ground_s"][of].astype(float), np.nan, np.float32),
        "reason": (reason, 0, np.uint32),
    }  # fmt: skip
    return {n: _packed(where[of], at, *c) for n, c in columns_of.items()}, reasons.tolist(), placed


def _first_pass(
    known: dict[tuple[str, int, int], Any], tiles: dict[str, NDArray[Any]], i: int, index: dict[int, int]
) -> int:
    found = known.get((str(tiles["scene"][i]), int(tiles["row"][i]), int(tiles["col"][i])))
    return index.get(found.first_pass, -1) if found is not None else -1


def _coded(values: NDArray[Any], names: list[str]) -> NDArray[np.int64]:
    code = {name: i for i, name in enumerate(names)}
    return np.array([code.get(str(v), NO_DATA) if v is not None else NO_DATA for v in values], np.int64)


def _packed(where: NDArray[Any], size: int, values: NDArray[Any], empty: float, kind: Any) -> str:
    out = np.full(size, empty, kind)
    out[where] = values
    return base64.b64encode(out.astype(np.dtype(kind).newbyteorder("<")).tobytes()).decode()


def _world(
    replay: Replay, scenes: NDArray[Any], of_scene: NDArray[Any], lonlat: list[Any], passes: list[dict[str, Any]]
) -> list[Any]:
    """For each scene with a place: longitude, latitude, tiles, and what each pass brought of it."""
    index = {p["pass"]: i for i, p in enumerate(passes)}
    counts = np.bincount(of_scene, minlength=len(scenes))
    brought: dict[str, dict[int, int]] = {}
    for (scene, _, _), known in replay.ground.tiles.items():
        by = brought.setdefault(scene, {})
        at = index.get(known.first_pass, len(passes))
        by[at] = by.get(at, 0) + 1
    return [
        [*lonlat[s], int(counts[s]), [list(p) for p in sorted(brought.get(str(name), {}).items())]]
        for s, name in enumerate(scenes)
        if lonlat[s][0] is not None
    ]


def _memory(replay: Replay) -> dict[str, list[Any]]:
    m = replay.memory
    return {
        "t": np.round(m["t_s"].astype(float), 1).tolist(), "bit": m["memory_bit"].astype(float).round().tolist(),
        "items": m["queue_items"].astype(int).tolist(), "joule": m["battery_J"].astype(float).round(1).tolist(),
        "imaging": m["imaging"].astype(int).tolist(), "eclipse": m["eclipse"].astype(int).tolist(),
    }  # fmt: skip


def _time_words(replay: Replay) -> str:
    m = replay.memory
    if not len(m["t_s"]):
        return "No samples of the memory"
    hours = (m["t_s"][-1] - m["t_s"][0]) / 3600
    return (
        f"Memory and battery over {hours:.1f} hours with {len(replay.passes)} passes: memory at most "
        f"{m['memory_bit'].max():.3g} bit, battery at least {m['battery_J'].min():.3g} J"
    )
