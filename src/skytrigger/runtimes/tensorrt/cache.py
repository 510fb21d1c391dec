"""Engines on disk: `X.engine`, the plan as the library wrote it, and `X.engine.json`, what it is.

An entry counts only where its JSON names the same key and the hash of the plan; the JSON is written last. Both
files of an engine that was built elsewhere can be laid into the cache folder: it is found by its key, not its name.
A plan is compiled code, so no other place is searched.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.files import cache_folder, read_json, sha256_json, write_bytes, write_json
from skytrigger.core.progress import say
from skytrigger.model.file import ModelFile
from skytrigger.runtimes.tensorrt.build import Target, build_engine, check_capabilities, library, prepared, settings
from skytrigger.runtimes.tensorrt.layers import precision_of_layers, summary

SUFFIX = ".engine"
SCHEMA = 1


@dataclass(frozen=True)
class Engine:
    """A serialised engine.

    Attributes
    ----------
    record
        The JSON beside it: ``key``, ``plan_sha256``, ``bytes``, ``build_s``, ``rewritten``, ``warnings``,
        ``inspector`` and ``precision_run`` (both None where only a GPU can tell).
    source
        ``built`` or ``cache``.
    note
        Why an entry of the cache was not used, else empty.
    """

    plan: bytes
    record: dict[str, Any]
    source: str
    note: str = ""


def folder() -> Path:
    """Where engines are kept."""
    return cache_folder() / "engines"


def engine_key(content: bytes, target: Target) -> dict[str, Any]:
    """All that decides what an engine computes and how fast: graph, library, GPU, precision, profile, settings."""
    trt = library(target.runtime)
    return {
        "schema": SCHEMA,
        "onnx_sha256": hashlib.sha256(content).hexdigest(),
        "runtime": target.runtime,
        "version": str(trt.__version__),
        "capabilities": sorted(target.capabilities, key=lambda c: [int(p) for p in c.split(".")]),
        "gpu": target.gpu,
        "precision": target.precision,
        "profile": [1, target.batch_size, target.batch_size],
        "settings": settings(trt, target),
    }


def engine_for(model: ModelFile, target: Target, *, fresh: bool = False) -> Engine:
    """The engine of `model` for `target`, from the cache or built and kept there.

    Parameters
    ----------
    fresh
        Build even where the cache has it (its entry was refused by the library).
    """
    check_capabilities(target.runtime, target.capabilities)
    content, rewritten = prepared(model, target.precision)
    key = engine_key(content, target)
    path = folder() / f"{sha256_json(key)}{SUFFIX}"
    note = ""
    if not fresh:
        found, note = _look_up(key, path)
        if found is not None:
            return found
        if note:
            say(f"skytrigger: {note}")
    timings = folder() / f"timing-{target.runtime}-{key['version']}-{_slug(target.gpu)}.cache"
    built = build_engine(content, model.card, target, timings)
    layers = list(built.layers)
    record = {
        "key": key,
        "plan_sha256": hashlib.sha256(built.plan).hexdigest(),
        "bytes": len(built.plan),
        "build_s": built.build_s,
        "rewritten": rewritten,
        "warnings": list(built.warnings),
        "inspector": summary(layers) if layers else None,
        "precision_run": precision_of_layers(layers, key["settings"]["tf32"]) if layers else None,
    }
    write_pair(path, built.plan, record)
    return Engine(built.plan, record, "built", note)


def write_pair(path: Path, plan: bytes, record: dict[str, Any]) -> None:
    """Write the plan, then the JSON that makes it count."""
    write_bytes(path, plan)
    write_json(_json_of(path), record)


def kernels_path(engine: Engine, gpu: str) -> Path:
    """File for the kernels that `tensorrt_rtx` compiles from this engine on this GPU (it checks the rest itself)."""
    return folder() / f"{engine.record['plan_sha256'][:32]}-{_slug(gpu)}.kernels"


def _look_up(key: dict[str, Any], path: Path) -> tuple[Engine | None, str]:
    """An entry that fits `key`, or why the one at `path` does not (empty: there is none)."""
    note = ""
    others = sorted(p for p in path.parent.glob(f"*{SUFFIX}") if p != path)
    for candidate in [path, *others]:
        if not candidate.exists() and not _json_of(candidate).exists():
            continue
        try:
            found = _read(candidate, key)
        except InputError as error:
            if candidate == path:
                note = f"engine cache: {error.problem}; built again"
            continue
        if found is not None:
            return found, ""
    return None, note


def _read(path: Path, key: dict[str, Any]) -> Engine | None:
    """The engine at `path`, or None where it is another one's; InputError where it is damaged."""
    record = read_json(_json_of(path))
    if not isinstance(record, dict) or not isinstance(record.get("key"), dict):
        raise InputError(f"{_json_of(path).name} is not the record of an engine")
    if not _fits(record["key"], key):  # before the plan is read: a full cache holds many
        return None
    try:
        plan = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({error.strerror})") from error
    if record.get("plan_sha256") != hashlib.sha256(plan).hexdigest():
        raise InputError(f"{path.name} is damaged (its hash is not the recorded one)")
    return Engine(plan, record, "cache")


def _fits(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Same key, but for an engine of more capabilities than are wanted."""
    have, need = found.get("capabilities"), wanted["capabilities"]
    if not isinstance(have, list) or not set(need) <= set(have):
        return False
    return {**found, "capabilities": need} == wanted


def _json_of(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _slug(name: str | None) -> str:
    return "".join(c if c.isalnum() or c in ".-" else "-" for c in name or "any")
