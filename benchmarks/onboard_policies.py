"""Every policy on one stream, four missions: results/onboard/policies.json.

    python benchmarks/onboard_policies.py --data EuroSAT test tiles [--out results/onboard] [--seeds 5]

Without --data the tiles are generated, and the record says so. The missions differ in the link alone, and in one the
values: the same ground, clouds and classifier's errors in each.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from skytrigger.core.files import write_json
from skytrigger.core.host import host_facts
from skytrigger.onboard import metrics
from skytrigger.onboard.facts import STATIONS
from skytrigger.onboard.mission import Order, prepare, replay_order
from skytrigger.onboard.spec import Spec
from skytrigger.onboard.spec_file import load_spec
from skytrigger.onboard.summary import summary_of

POLICIES = ("fifo", "cloud-drop", "tile-filter", "elide", "change", "class", "value", "age", "deadline", "tiers")
KEPT = ("value_of_oracle", "value_per_Gbit", "target_recall", "kept_share", "sent_share", "sent_bit", "latency_p50_s",
        "latency_p90_s", "target_latency_p50_s", "memory_peak_bit", "evicted_tiles", "bits_per_km2", "joules_per_tile",
        "joules_per_value")  # fmt: skip


def missions(base: Spec) -> dict[str, Spec]:
    """Name -> spec."""
    m, v = base.mission, base.value
    everything = dict.fromkeys(v.classes, 1.0)
    return {
        "peak imaging, Matera": base,
        "peak imaging, Svalbard": replace(base, mission=replace(m, stations=("Svalbard",))),
        "mean imaging, four stations": replace(base, mission=replace(m, stations=tuple(STATIONS), imaging_s=978.0)),
        "peak imaging, Matera, every clear tile worth the same": replace(
            base, value=replace(v, classes=everything, unchanged=1.0, half_life_s={}, deadline_s={})
        ),
    }


def judged(spec: Spec, work: Path) -> dict[str, Any]:
    """What the record holds of one mission: all orders together, and each by itself."""
    day = prepare(spec, work)
    orders: list[Order] = [replay_order(day, POLICIES, seed, work) for seed in range(spec.seeds)]
    summary = summary_of(day, orders)
    gains = [o.metrics["value"]["value"] / o.metrics["fifo"]["value"] for o in orders]
    return {
        "policies": {name: {k: m[k] for k in KEPT} for name, m in summary["policies"].items()},
        "value_over_fifo": metrics.interval(gains),
        "orders": [
            {
                "policies": {name: {k: own[k] for k in KEPT} for name, own in o.metrics.items()},
                "oracle": o.best["value"],
                "regret": o.regret,
            }
            for o in orders
        ],
        **{k: summary[k] for k in ("oracle", "regret", "recall_at_tenth", "facts", "seeds", "synthetic")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="*", help="labelled tiles that the classifier was not trained on")
    parser.add_argument("--out", default="results/onboard")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--every", type=int, default=10)
    args = parser.parse_args()
    base = load_spec("sentinel2")
    tiles = tuple(args.data) if args.data else base.stream.tiles
    base = replace(base, seeds=args.seeds, stream=replace(base.stream, tiles=tiles, every=args.every))
    found = {}
    for name, spec in missions(base).items():
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as work:
            found[name] = {**judged(spec, Path(work)), "wall_s": round(time.perf_counter() - begun, 1)}
        print(name, found[name]["value_over_fifo"], found[name]["policies"]["value"]["value_of_oracle"], flush=True)
        record = {
            "what": "onboard policies",
            "tiles": [Path(t).name for t in tiles],
            "preset": "sentinel2",
            "where": host_facts(),
            "missions": found,
        }
        write_json(Path(args.out) / "policies.json", record)


if __name__ == "__main__":
    main()
