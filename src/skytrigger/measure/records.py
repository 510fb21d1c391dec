"""Records: one JSON line per measurement, raw samples inside, statistics computed on reading."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.files import append_line, read_lines

SCHEMA = 2
ENERGY_LABELS = ("measured", "estimated", "unavailable")
NO_ENERGY: dict[str, Any] = {"label": "unavailable", "source": None, "scope": None, "resolution": None}


@dataclass(frozen=True)
class Samples:
    """Raw samples of one quantity, in the order they were taken.

    `items` is how many images (events, ...) one sample stands for: for seconds per call, the batch size.
    """

    unit: str
    values: tuple[float, ...]
    items: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(float(v) for v in self.values))
        if not all(math.isfinite(v) for v in self.values):
            raise ValueError(f"samples in {self.unit} hold values that are not finite")
        if self.items < 1:
            raise ValueError(f"a sample stands for {self.items} items")


@dataclass(frozen=True)
class Record:
    """One measurement.

    Attributes
    ----------
    kind
        What was measured: ``latency``, ``throughput``, ``frame-rate``, ``streams``, ``cold-start``, ``power``,
        ``training``, ``accuracy``, ``ceilings``, ``control``.
    what
        What ran: ``network``, ``runtime``, ``precision``, ``batch_size``, ``threads``, ``streams``, ``device``,
        ``scenario``, and the hashes ``data_hash``, ``model_hash``, ``engine_hash`` (None where there is none).
    where
        `core.host.host_facts()` of the machine that measured.
    samples
        Name -> raw samples. Time per call is always called ``call``, in seconds.
    energy
        ``label`` (measured, estimated, unavailable), ``source``, ``scope``, ``resolution``, and where there is a
        figure ``joules_gross``, ``joules_net``, ``seconds``, ``items``.
    conditions
        `measure.conditions.Watch.taken()` over the measured stretch.
    extra
        Anything else worth keeping (warm-up, the run's id, session facts, metrics).
    when
        UTC, ISO 8601, to the second.
    """

    kind: str
    what: dict[str, Any]
    where: dict[str, Any]
    samples: dict[str, Samples] = field(default_factory=dict)
    energy: dict[str, Any] = field(default_factory=lambda: dict(NO_ENERGY))
    conditions: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    when: str = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.energy.get("label") not in ENERGY_LABELS:
            raise ValueError(f"energy label {self.energy.get('label')!r}, expected one of {ENERGY_LABELS}")

    def to_json(self) -> str:
        """One line of JSON. NaN and infinity are refused."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @staticmethod
    def from_json(text: str, where: str = "record") -> Record:
        """Parse one line of any schema so far; `where` is named in errors."""
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: not valid JSON: {error}") from error
        return from_dict(raw, where)


def from_dict(raw: Any, where: str = "record") -> Record:
    """A record from its parsed JSON, migrated from the schema it was written in."""
    if not isinstance(raw, dict):
        raise InputError(f"{where}: not a JSON object")
    try:
        raw = migrate(raw, where)
        raw["samples"] = {str(name): Samples(**s) for name, s in raw["samples"].items()}
        for name in ("what", "where", "energy", "conditions", "extra"):
            if not isinstance(raw[name], dict):
                raise TypeError(f"{name} is not an object")
        return Record(**raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{where}: not a valid record: {error}") from error


def _from_1(raw: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 had one nameless series: `samples` a list, `unit` beside it, the batch size in `what`."""
    items = int(raw.get("what", {}).get("batch_size") or 1)
    values = raw.pop("samples", [])
    samples = {"call": {"unit": raw.pop("unit", "s"), "values": values, "items": items}} if values else {}
    energy = raw.get("energy") or dict(NO_ENERGY)
    return {"conditions": {}, "extra": {}, "when": "", **raw, "samples": samples, "energy": energy}


MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}


def migrate(raw: dict[str, Any], where: str) -> dict[str, Any]:
    """`raw` step by step up to the present schema."""
    schema = raw.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or not 1 <= schema <= SCHEMA:
        raise InputError(f"{where}: record schema {schema!r}", expected=f"1 to {SCHEMA}", remedy="update skytrigger")
    raw = dict(raw)
    while raw["schema"] < SCHEMA:
        raw = {**MIGRATIONS[raw["schema"]](dict(raw)), "schema": raw["schema"] + 1}
    return raw


def append(path: str | Path, record: Record) -> None:
    """Add one record to a JSON-lines file, flushed to disk."""
    append_line(path, record.to_json())


def read(paths: Iterable[str | Path] | str | Path) -> list[Record]:
    """All records of files and folders (every ``*.jsonl`` named ``records*`` below a folder), several hosts' together.

    The same line in two files counts once.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    records: list[Record] = []
    seen: set[str] = set()
    for path in map(Path, paths):
        files = sorted(path.rglob("records*.jsonl")) if path.is_dir() else [path]
        for file in files:
            for number, raw in enumerate(read_lines(file), 1):
                record = from_dict(raw, f"{file}, record {number}")
                line = record.to_json()
                if line not in seen:
                    seen.add(line)
                    records.append(record)
    return records
