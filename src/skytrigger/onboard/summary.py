"""summary.json of a replay: what all orders of the scenes came to, and what that rests on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skytrigger.core.errors import InputError
from skytrigger.onboard import metrics
from skytrigger.onboard.device import work_off
from skytrigger.onboard.facts import tiles_of_scene
from skytrigger.onboard.spec import Spec

if TYPE_CHECKING:
    from skytrigger.onboard.mission import Day, Order

# what the chosen policy's regret is against: a replay that knows this
REGRET = {"misclassification": "true", "miscalibration": "calibrated"}


def summary_of(day: Day, orders: list[Order]) -> dict[str, Any]:
    """What summary.json says of all orders."""
    spec, plan, f = day.spec, day.plan, day.found
    clear = ~f.cloudy
    right = f.probabilities.argmax(axis=1)[clear] == f.true[clear]
    sensed = int(plan.blocks.tiles.sum())
    return {
        "preset": spec.name,
        "synthetic": day.pool.synthetic,
        "policy": spec.policy.chosen,
        "policies": {name: metrics.over_seeds([o.metrics[name] for o in orders]) for name in orders[0].metrics},
        "oracle": {
            "kind": orders[0].best["kind"],
            **metrics.interval([o.best["value"] for o in orders]),
            "tiers": "whole tiles",
        },
        "regret": {cause: metrics.interval([o.regret[cause] for o in orders]) for cause in REGRET},
        "recall_at_tenth": metrics.recall_at(day.stream(0)),
        "dead_time": _dead_time(spec),
        "seeds": spec.seeds,
        "facts": {
            "hours": spec.mission.hours,
            "tiles_sensed": sensed,
            "tiles_not_sensed_for_power": plan.unsensed,
            "tiles_lost_to_dead_time": sensed - int(plan.blocks.live.sum()),
            "tiles_classified": len(f),
            "accuracy_clear": float(right.mean()) if len(right) else None,
            "cloud_found": _mean(f.cloud_seen[f.cloudy]),
            "cloud_false": _mean(f.cloud_seen[clear]),
            "change_found": _mean(f.change_seen[f.changed & clear]),
            "change_false": _mean(f.change_seen[~f.changed & clear]),
            "passes": len(plan.passes),
            "passes_missed": sorted(plan.missed),
            "contact_s": sum(p.end_s - p.start_s for p in plan.passes),
            "sensed_bit": sensed * spec.mission.tile_bit,
            "capacity_bit": plan.capacity_bit(spec.mission.downlink_bit_s),
            "memory_bit": spec.mission.memory_bit,
            "battery_J": spec.power.battery_J,
            "battery_least_J": float(plan.battery.energy_J.min()),
            "model": spec.classifier.model,
            "model_hash": day.model.sha256,
            "truth": "the network's own answers: its errors are not counted" if day.pool.self_labelled else "labels",
            "tiles_hash": day.pool.content_hash,
            "clouds_and_references": "drawn: synthetic in every case",
            "notes": [*plan.notes, *day.pool.notes],
        },
    }


def _dead_time(spec: Spec) -> dict[str, Any]:
    """What the classifier's device keeps up with; tiles come as a scene at a time, so in a row."""
    d = spec.classifier
    name = f"{d.model}, {d.seconds_per_tile * 1e6:g} us a tile"
    if not d.seconds_per_tile:
        return {"device": name, "points": []}
    full = 1 / d.seconds_per_tile
    each = tiles_of_scene(spec.mission.along_m, spec.mission.swath_m)
    points = []
    for load in (0.25, 0.5, 0.75, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0):
        scenes = max(10, round(spec.mission.imaging_s * load * full / each))
        at = (np.arange(scenes) + 1) * each / (load * full)
        kept = work_off(at, np.full(scenes, each), d.seconds_per_tile, d.buffer_tiles)
        points.append({"offered_tiles_per_s": load * full, "kept_share": float(kept.live.sum() / (scenes * each))})
    return {"device": name, "points": points}


def _mean(flags: Any) -> float | None:
    return float(np.mean(flags)) if len(flags) else None


def read_summary(folder: str | Path) -> dict[str, Any]:
    """summary.json of a finished replay.

    Raises
    ------
    InputError
        The folder holds none.
    """
    path = Path(folder) / "summary.json"
    if not path.exists():
        raise InputError(f"{folder} holds no finished replay", remedy="skytrigger onboard PRESET|SPEC.toml --out DIR")
    result: dict[str, Any] = json.loads(path.read_text())
    return result
