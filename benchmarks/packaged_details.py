"""What `skytrigger models NAME` tells beyond card and limits: written from the records, by each file's SHA-256.

    PYTHONPATH=benchmarks:src python benchmarks/packaged_details.py

Classes found and taken for others from ``results/packaged``, CPU time from ``results/fast``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from figures.engines import arm_ms, fastest_engine, packaged_timed, title
from figures.models import confused
from figures.text import loaded
from figures.tiles import NAMES
from skytrigger.applications.models import DETAILS, facts_of
from skytrigger.core.files import write_json
from skytrigger.core.host import host_label
from skytrigger.eo.packaged import packaged
from skytrigger.model.file import read_model


def details(name: str) -> dict[str, Any]:
    """Of one packaged classifier."""
    judged, timed = loaded(f"packaged/{NAMES[name]}-test/metrics.json"), packaged_timed(name)
    engine = fastest_engine(name)
    return {
        "name": name,
        "judged": {
            "record": f"results/packaged/{NAMES[name]}-test", "images": judged["images"],
            "calibration_error": judged["expected_calibration_error"],
            "classes": {k: {"images": v["images"], "recall": v["recall"], "precision": v["precision"],
                            "interval": v["recall_interval_95"]} for k, v in judged["per_class"].items()},
            "confused": confused(judged["classes"], judged["confusion"]),
        },
        "time": {"record": f"results/fast/{name}.json", "engine": title(engine), "threads": timed["threads"],
                 "batch": timed["arms"][f"model {engine}"]["images"], "host": host_label(timed["host"]),
                 "cpu_ms": arm_ms(timed["arms"][f"model {engine}"]).to_json()},
    }  # fmt: skip


def main() -> None:
    found = {}
    for name in NAMES:
        sha256 = read_model(packaged(name)).sha256
        if loaded(f"packaged/{NAMES[name]}-test/metrics.json")["model_hash"] != sha256:
            raise SystemExit(f"results/packaged judged another file than the shipped {name}")
        facts_of(packaged(name), sha256)
        found[sha256] = details(name)
    write_json(Path(packaged("eurosat_ms")).with_name(DETAILS), found)


if __name__ == "__main__":
    main()
