"""Where the figures come from: data, hosts, states of the cells, and how to get them again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from skytrigger.core.host import host_label
from skytrigger.measure.records import Record
from skytrigger.report.content import Block, Code, Prose, Section, Table, Value, compact_bytes, number, words
from skytrigger.report.study_folder import StudyFolder
from skytrigger.study.study_file import entry
from skytrigger.study.toml import to_toml

SYNTHETIC = ("SYNTHETIC DATA: generated, recorded by no instrument", "warn")
HIDDEN = ("store", "path", "paths", "files", "folder")  # entries of a data source that tell where a user keeps files


def data_words(study: StudyFolder) -> str:
    """One sentence about the data."""
    data = study.file.data
    split = entry(data, "split")
    parts = ", ".join(f"{split[k]:,} {w}" for k, w in (("train", "for training"), ("val", "for validation"),
                      ("test", "for test")) if isinstance(split.get(k), int))  # fmt: skip
    kind = split.get("kind")
    channels, classes = (len(data[k]) if isinstance(data.get(k), list) else "?" for k in ("channels", "classes"))
    count = f"{data['images']:,}" if isinstance(data.get("images"), int) else "?"
    what = "generated (synthetic) images" if study.synthetic else "images"
    return f"{count} {what} of {channels} channels and {classes} classes; {parts}" + (
        f"; split {kind}, seed {split.get('seed')}" if kind and split.get("seed") is not None else ""
    )


def data_section(study: StudyFolder) -> Section:
    """The data's facts."""
    data = study.file.data
    rows = [[Value("images"), Value(data_words(study))]]
    source = data.get("source")
    if isinstance(source, dict):
        for name, value in source.items():
            if name not in HIDDEN:
                rows.append([Value(f"source: {name}"), Value(_short(value))])
    for name in ("channels", "classes"):
        listed = data.get(name)
        rows.append([Value(name), Value(", ".join(map(str, listed)) if isinstance(listed, list) else "–")])
    rows += [[Value("units"), words(data.get("units"))], [Value("content hash"), words(data.get("hash"))]]
    return Section("data", "Data", [Table(("fact", "value"), rows)])


def is_synthetic(record: Record) -> bool:
    """Whether the record says that its images were generated."""
    return (record.extra.get("data") or {}).get("kind") == "synthetic"


def records_data_section(records: Sequence[Record], studies: Sequence[StudyFolder]) -> Section | None:
    """The data that records of no study folder name; None where there are none."""
    own = {id(r) for s in studies for r in s.records}
    rows: dict[str, list[Value]] = {}
    for r in records:
        facts = r.extra.get("data")
        if isinstance(facts, dict) and "images" in facts and id(r) not in own:
            kind = "generated (synthetic)" if is_synthetic(r) else str(facts.get("kind") or "unknown")
            counts = [number(facts.get(k), "{:,d}") for k in ("images", "channels", "classes", "train", "val", "test")]
            hashed = str(r.what.get("data_hash"))
            rows.setdefault(hashed, [Value(kind), *counts, Value(hashed[:16])])
    if not rows:
        return None
    head = ("images from", "images", "channels", "classes", "training", "validation", "test", "content hash")
    return Section("records-data", "Data of the records", [Table(head, list(rows.values()))])


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 300 else text[:300] + " ..."


def cells_section(study: StudyFolder) -> Section:
    """States of all cells, and every one that did not end well, with its error."""
    states: dict[tuple[str, str], int] = {}
    for cell in study.file.cells:
        states[cell.kind, cell.status] = states.get((cell.kind, cell.status), 0) + 1
    order = ("done", "failed", "unavailable", "skipped", "open")
    kinds = list(dict.fromkeys(c.kind for c in study.file.cells))
    rows = [[words(k), *(number(states.get((k, s), 0), "{:d}") for s in order)] for k in kinds]
    blocks: list[Block] = [Table(("cells", *order), rows)]
    bad = [c for c in study.file.cells if c.status not in ("done", "open")]
    if bad:
        listed = [
            [words(c.kind), words(c.label), Value(c.status, c.status, "", "bad" if c.status == "failed" else "mute"),
             words(c.error)]
            for c in bad
        ]  # fmt: skip
        blocks.append(Table(("kind", "cell", "state", "error"), listed, "Cells without a result, and why."))
    blocks += [Prose(f"Could not be read: {p}", "bad") for p in study.problems]
    return Section("cells", "States of the study's cells", blocks)


def host_section(hosts: dict[str, dict[str, Any]]) -> Section:
    """Facts of every machine, by its name on this page."""
    blocks: list[Block] = []
    for name, facts in hosts.items():
        cpu = entry(facts, "cpu")
        memory = facts.get("memory_bytes")
        isa = cpu.get("isa") if isinstance(cpu.get("isa"), list) else []
        packages = entry(facts, "packages")
        gpus = facts.get("gpus") if isinstance(facts.get("gpus"), list) else []
        rows = [
            ("machine", host_label(facts)),
            ("CPU", f"{cpu.get('model')}, {cpu.get('architecture')}"),
            ("cores", f"{cpu.get('cores_in_mask')} of {cpu.get('logical_cores')} logical, quota "
                      f"{cpu.get('quota_cores') or 'none'}, SMT {_known(cpu.get('smt'))}"),
            ("vector units", ", ".join(map(str, isa or [])) or "–"),
            ("clock and governor", f"{_known(cpu.get('mhz'))} MHz when asked, governor "
                                   f"{_known(cpu.get('governor'))}, boost {_known(cpu.get('boost'))}"),
            ("memory", compact_bytes(memory) if isinstance(memory, int) else "–"),
            ("GPU", "; ".join(f"{g.get('name')}, driver {g.get('driver')}" for g in gpus or [] if isinstance(g, dict))
                    or "none"),
            ("virtual machine", str(facts.get("hypervisor") or "none found")),
            ("system", f"{facts.get('os')}, {facts.get('kernel')}, {facts.get('python')}"),
            ("packages", ", ".join(f"{k} {v}" for k, v in packages.items())),
            ("thread variables", ", ".join(f"{k}={v}" for k, v in entry(facts, "environment").items()) or "none set"),
        ]  # fmt: skip
        values = [[Value(k), Value(v)] for k, v in rows]
        blocks.append(Table((name, "value"), values))
    return Section("hosts", "Host" if len(hosts) == 1 else "Hosts", blocks)


def _known(fact: Any) -> str:
    return {True: "on", False: "off", None: "unknown"}.get(fact, str(fact))


def reproduce_section(study: StudyFolder) -> Section:
    """The command that gives this study again, and what must be equal for it."""
    spec = study.file.spec
    versions = entry(study.file.host, "packages")
    seeds = spec.get("seeds") or []
    facts = [
        ("data hash", str(study.file.data.get("hash", "–"))),
        ("seeds", ", ".join(map(str, seeds)) or "–"),
        ("version", f"skytrigger {versions.get('skytrigger', '?')}, {study.file.host.get('python', '?')}"),
        ("libraries", ", ".join(f"{k} {v}" for k, v in versions.items() if k != "skytrigger") or "–"),
    ]
    if study.file.command:
        how: list[Block] = [Prose("The same study on the same data (file names without their folders):"),
                            Code(study.file.command)]  # fmt: skip
    else:
        how = [Prose("Save this as study.toml (file names without their folders), then run the command below it:"),
               Code(to_toml(spec)), Code("skytrigger study study.toml --out runs/again")]  # fmt: skip
    facts_table = Table(("must be equal", "value"), [[Value(k), Value(v)] for k, v in facts])
    note = (
        "Accuracy comes out the same up to rounding on the same libraries; times depend on the machine and what else "
        "runs on it."
    )
    return Section("reproduce", "How to reproduce", [*how, facts_table, Prose(note)])
