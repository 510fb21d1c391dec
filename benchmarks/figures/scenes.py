"""Maps of whole scenes: rejection, decoding less, memory of a granule."""

from __future__ import annotations

from typing import Any

from figures import figure
from figures.text import loaded, percent, table
from skytrigger.core.files import sha256_file
from skytrigger.eo.packaged import packaged
from skytrigger.measure.stats import wilson

REDUCED = {"tiles as they are": "tiles as they are", "reduce 0": "written and read back", "reduce 1": "`--reduce 1`",
           "reduce 2": "`--reduce 2`"}  # fmt: skip


def _reject() -> dict[str, Any]:
    found: dict[str, Any] = loaded("scene/reject/reject.json")
    if found["model_sha256"] != sha256_file(packaged(found["model"])):
        raise ValueError("results/scene/reject is of another file than the shipped one")
    return found


@figure("scene.reject")
def reject_table() -> str:
    """Accuracy of test tiles that are kept and rejected."""
    found = _reject()
    test, n = found["test"], found["test_tiles"]
    kept = test["tiles_kept"]
    both = test["rejected_by_distance"] + test["rejected_by_confidence"] - (n - kept)
    whole = wilson(round(test["accuracy_all"] * n), n)
    by = f"{test['rejected_by_distance']} by distance, {test['rejected_by_confidence']} by confidence; {both} by both"
    rows = [
        ["all", str(n), percent(whole)],
        ["kept", f"{kept} ({100 * kept / n:.1f} %)", f"{100 * test['accuracy_kept']:.1f} %"],
        ["rejected", f"{n - kept} ({by})", f"{100 * test['accuracy_rejected']:.1f} %"],
    ]
    return table("| | tiles | accuracy |\n|---|---:|---:|", rows)


@figure("scene.tiles")
def tiles(part: str) -> str:
    """``training`` (with validation) or ``test`` tiles, or ``all``."""
    found = _reject()
    if part == "all":
        return f"{found['training_tiles'] + found['test_tiles']:,}"
    return f"{found[f'{part}_tiles']:,}"


@figure("scene.cloud")
def cloud() -> str:
    """How many cloud-free tiles are called Cloud."""
    found = _reject()
    called = sum(round(found["called_cloud"][p] * found[f"{p}_tiles"]) for p in ("training", "test"))
    return "None" if not called else str(called)


@figure("scene.reduce")
def reduce_table() -> str:
    """Accuracy at fewer decoded pixels."""
    found = loaded("scene/reduce.json")
    rows = []
    for row in found["rows"]:
        changed = "" if row["what"] == "tiles as they are" else str(row["decisions_changed"])
        rows.append([REDUCED[row["what"]], percent(wilson(row["correct"], found["tiles"])), changed])
    return table("| | accuracy | decisions changed |\n|---|---:|---:|", rows)


@figure("scene.memory")
def memory(kind: str) -> str:
    """Largest peak of a granule's runs."""
    return f"{max(run['peak_mb'] for run in loaded('scene/granule.json')['runs'][kind]) / 1000:.1f} GB"
