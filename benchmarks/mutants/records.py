"""What is to be tried (modules.toml), and what was found: a journal while it runs, a record when it is done."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutants.making import Mutant
from mutants.trying import ROOT, WORK

RESULTS = ROOT / "results" / "mutants"
SEEN = ("killed", "timeout")
NO_PYTHON = "no Python"


@dataclass(frozen=True)
class Plan:
    """One row of modules.toml."""

    name: str
    path: Path
    tests: tuple[str, ...]
    seed: int
    sample: int | None = None
    plain: bool = False
    without: tuple[str, ...] = ()

    def drawn(self, mutants: list[Mutant]) -> list[Mutant]:
        """The sample: those with the smallest hashes, so that a change of one function draws no others anew."""
        if self.sample is None or self.sample >= len(mutants):
            return mutants
        chosen = sorted(mutants, key=lambda m: hashlib.sha256(f"{self.seed} {m.key}".encode()).digest())[: self.sample]
        return sorted(chosen, key=lambda m: m.line)

    def tests_hash(self) -> str:
        """Of the files of the tests."""
        files = sorted({ROOT / t.split("::")[0] for t in self.tests})
        files = [f for file in files for f in (sorted(file.rglob("*.py")) if file.is_dir() else [file])]
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

    @property
    def file(self) -> Path:
        """The record."""
        return RESULTS / f"{self.name}.json"

    def record(self) -> dict[str, Any]:
        """The last whole run; empty where there is none."""
        return dict(json.loads(self.file.read_text(encoding="utf-8"))) if self.file.exists() else {}

    @property
    def journal(self) -> Path:
        """One line a mutant that was tried since the last record."""
        return WORK / f"{self.name}.jsonl"


def table() -> dict[str, Any]:
    """modules.toml."""
    return tomllib.loads((Path(__file__).parent / "modules.toml").read_text(encoding="utf-8"))


def plans() -> list[Plan]:
    """All rows."""
    raw = table()
    return [
        Plan(
            name,
            ROOT / "src" / "skytrigger" / row["file"],
            tuple(row["tests"]),
            raw["seed"],
            row.get("sample"),
            row.get("plain", False),
            tuple(row.get("without", ())),
        )
        for name, row in raw["modules"].items()
    ]


def known(plan: Plan) -> dict[str, dict[str, Any]]:
    """By key, what need not be tried again."""
    record, now = plan.record(), plan.tests_hash()
    found = {key: {"status": "killed"} for key in record.get("killed", [])}
    if record.get("tests_sha256") == now:
        found |= {m["key"]: m for m in record["left"]}
    else:
        found |= {m["key"]: m for m in record.get("left", []) if m["status"] in SEEN}
    for entry in _journal(plan):
        if entry["status"] in (*SEEN, NO_PYTHON) or entry["tests"] == now:
            found[entry["key"]] = entry
    return found


def sha256_of(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _journal(plan: Plan) -> list[dict[str, Any]]:
    """Whole lines; one that a kill has torn is none."""
    lines = plan.journal.read_text(encoding="utf-8").splitlines(keepends=True) if plan.journal.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}\n")]


def note(plan: Plan, mutant: Mutant, status: str, by: str) -> None:
    """One line more in the journal."""
    entry = {"key": mutant.key, "status": status, "by": by, "tests": plan.tests_hash()}
    with plan.journal.open("a", encoding="utf-8") as out:
        out.write(json.dumps(entry) + "\n")


def keep(plan: Plan, made: int, tried: list[tuple[Mutant, str]]) -> None:
    """Write the record, whole, and drop the journal."""
    tried = [(m, status) for m, status in tried if status != NO_PYTHON]
    left = [
        {"key": m.key, "status": status, "line": m.line, "scope": m.scope, "was": m.was, "now": m.now}
        for m, status in tried
        if status != "killed"
    ]
    content = {
        "module": plan.path.relative_to(ROOT / "src").as_posix(),
        "sha256": sha256_of(plan.path),
        "tests": list(plan.tests),
        "without": list(plan.without),
        "tests_sha256": plan.tests_hash(),
        "plain": plan.plain,
        "made": made,
        "tried": len(tried),
        "seed": plan.seed if len(tried) < made else None,
        "counts": dict(sorted(Counter(status for _, status in tried).items())),
        "left": left,
        "killed": sorted(m.key for m, status in tried if status == "killed"),
    }
    plan.file.parent.mkdir(parents=True, exist_ok=True)
    temporary = plan.file.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(plan.file)
    plan.journal.unlink(missing_ok=True)
