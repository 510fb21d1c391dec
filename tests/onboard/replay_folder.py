"""A small made-up replay folder as the contract between replay, ground and page has it; its packets are real ones.

python tests/onboard/replay_folder.py FOLDER
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skytrigger.onboard.codecs import TIERS, Alert, encode, encode_alert
from skytrigger.onboard.packets import Frame, Item, PacketWriter

CLASSES = ("Forest", "Industrial", "Pasture", "Residential", "River", "SeaLake", "cloud")
VALUE = {"Industrial": 5.0, "River": 4.0, "SeaLake": 3.0, "Residential": 2.0, "Forest": 1.0, "Pasture": 0.5, "cloud": 0}
ROWS, COLUMNS = 10, 14
SENT_IN = {0: 1, 1: 2, 2: 4}  # scene -> pass that brings most of it


def frames() -> list[Frame]:
    return [
        Frame(f"T3{i}UMA_2024060{i + 1}", f"EPSG:3263{i + 1}", 399_960.0 + 8960 * i, 5_300_040.0, 640.0, ROWS, COLUMNS,
              f"2024-06-0{i + 1}T10:10:00Z")
        for i in range(3)
    ]  # fmt: skip


def tile_of(rng: np.random.Generator, side: int = 16) -> np.ndarray:
    """A smooth tile of 13 bands."""
    y, x = np.mgrid[0:side, 0:side]
    waves = [np.sin(x / rng.uniform(2, 9) + rng.uniform(0, 6)) * np.cos(y / rng.uniform(2, 9)) for _ in range(13)]
    return (1500 + 400 * np.stack(waves) + rng.normal(0, 10, (13, side, side))).clip(1).astype(np.uint16)


def rows_of(seed: int = 0) -> list[dict]:
    """A row for each tile, the more valuable ones in better tiers and earlier passes."""
    rng = np.random.default_rng(seed)
    rows = []
    for i, frame in enumerate(frames()):
        middle = rng.uniform(2, 8, 2)
        for r in range(ROWS):
            for c in range(COLUMNS):
                near = math.hypot(r - middle[0], (c - middle[1]) / 2) + rng.normal(0, 0.6)
                name = CLASSES[int(np.clip(near, 0, 6))] if rng.random() > 0.08 else "Industrial"
                confidence = float(rng.uniform(0.5, 1))
                value = VALUE[name] * confidence
                tier = "alert" if value > 4.6 else "lossless" if value > 2.6 else "lossy" if value > 1.3 else "class"
                tier = "backlog" if name == "Forest" and rng.random() < 0.05 else tier
                late = SENT_IN[i] + (2 if tier in ("lossy", "backlog") else 0)
                late += late == 3  # that one was missed
                status, reason = "sent", f"value {value:.2f} above the queue's least when pass {late} began"
                if name == "cloud":
                    status, reason = "dropped", "cloudy: more than half of the pixels"
                elif late > 5:
                    status, reason = "waiting", "no pass had room for its tier any more"
                elif tier == "lossy" and rng.random() < 0.2:
                    status, reason = "evicted", "memory was full and every other item was worth more a bit"
                elif rng.random() < 0.03:
                    status, reason = "lost", "its packets did not arrive"
                sent = status in ("sent", "lost")
                t_sensed = 6000.0 * i + 0.1 * r
                probability = np.full(len(CLASSES), (1 - confidence) / (len(CLASSES) - 1))
                probability[CLASSES.index(name)] = confidence
                rows.append({
                    "tile": f"{frame.scene}/{r}/{c}", "scene": frame.scene, "row": r, "col": c,
                    "x_m": frame.left + 640 * (c + 0.5), "y_m": frame.top - 640 * (r + 0.5), "crs": frame.crs,
                    "t_sensed_s": t_sensed, "class_name": name, "confidence": confidence,
                    **{f"probability_{n}": float(p) for n, p in zip(CLASSES, probability, strict=True)},
                    "true_class": name if i == 0 else None, "value": value, "tier": tier, "bits": 0, "status": status,
                    "t_ground_s": passes()[late]["t_end_s"] if status == "sent" else None,
                    "pass": late if sent else None, "reason": reason,
                })  # fmt: skip
    return rows


def passes() -> list[dict]:
    return [
        {"pass": n, "station": "Svalbard" if n % 2 else "Matera", "t_start_s": 3000.0 + 4800 * n,
         "t_end_s": 3600.0 + 4800 * n, "capacity_bit": 40e6, "sent_bit": 0, "sent_items": 0, "missed": n == 3}
        for n in range(6)
    ]  # fmt: skip


def payload_of(row: dict, rng: np.random.Generator) -> bytes:
    if row["tier"] == "alert":
        return encode_alert(Alert(9.0 + rng.uniform(0, 1), 47.8, 640, row["class_name"]))
    return encode(tile_of(rng), row["tier"]) if row["tier"] != "class" else b""


def write_packets(folder: Path, rows: list[dict], flown: list[dict], seed: int = 0) -> None:
    """Every pass that was not missed; classes of all tiles of a scene go with its first pass, as runs."""
    rng = np.random.default_rng(seed)
    state = None
    for entry in flown:
        if entry["missed"]:
            continue
        path = folder / "packets" / f"pass_{entry['pass']:03d}.bin"
        with PacketWriter(path, classes=CLASSES, frames=frames(), state=state, packet_bytes=2048) as writer:
            for row in (r for r in rows if r["pass"] == entry["pass"] and r["status"] == "sent"):
                item = Item(row["tile"], row["tier"], row["class_name"], row["confidence"], row["t_sensed_s"],
                            payload_of(row, rng))  # fmt: skip
                row["bits"] = writer.add(item)
                entry["sent_items"] += 1
            entry["sent_bit"] = writer.bits + writer.closing_bits
        state = writer.state


def write_memory(folder: Path) -> None:
    t = np.arange(0, 33_000, 30.0)
    imaging = ((t % 6000) < 900) & (t < 18_900)
    flown = np.full(len(t), -1)
    for entry in passes():
        if not entry["missed"]:
            flown[(t >= entry["t_start_s"]) & (t < entry["t_end_s"])] = entry["pass"]
    memory, battery = np.zeros(len(t)), np.zeros(len(t))
    level, charge = 0.0, 1.4e5
    for i in range(len(t)):
        level = min(80e6, max(0.0, level + 70_000 * 30 * imaging[i] * 1.2 - 30 * 60_000 * (flown[i] >= 0)))
        charge = float(np.clip(charge + 30 * (12 * ((t[i] % 6000) < 3900) - 6 - 4 * imaging[i]), 0, 1.5e5))
        memory[i], battery[i] = level, charge
    eclipse = ((t % 6000) >= 3900).astype(np.int8)
    table = {"t_s": t, "memory_bit": memory, "queue_items": (memory / 280e3).astype(np.int64), "battery_J": battery,
             "imaging": imaging.astype(np.int8), "eclipse": eclipse, "pass": flown}  # fmt: skip
    pq.write_table(pa.table(table), folder / "memory.parquet")


def summary_of(rows: list[dict]) -> dict:
    def figure(value: float, width: float) -> dict:
        return {"value": value, "low": value - width, "high": value + width}

    names = {"fifo": 0.21, "clear_fifo": 0.33, "tile_filter": 0.46, "class_priority": 0.74, "value_per_bit": 0.93}
    policies = {
        name: {
            "value_recovered": figure(v, 0.03), "target_recall": figure(min(0.97, v + 0.05), 0.04),
            "latency_p50_s": figure(9000 - 6000 * v, 400), "evictions": figure(round(40 * (1 - v)), 3),
        }
        for name, v in names.items()
    }  # fmt: skip
    points = [{"offered_tiles_per_s": r, "kept_share": min(1.0, 1200 / r)} for r in (300, 600, 1200, 2400, 4800, 9600)]
    return {
        "preset": "made_up", "synthetic": True, "seconds": 1.5, "policy": "value_per_bit", "policies": policies,
        "oracle": {"kind": "bound", "value": 371.5}, "facts": {"memory_bit": 80e6, "battery_J": 1.5e5},
        "dead_time": {"device": "made-up device", "points": points},
    }  # fmt: skip


def make(folder: Path, seed: int = 0) -> Path:
    """Write the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, flown = rows_of(seed), passes()
    write_packets(folder, rows, flown, seed)
    pq.write_table(pa.Table.from_pylist(rows), folder / "tiles.parquet")
    write_memory(folder)
    (folder / "passes.json").write_text(json.dumps(flown))
    (folder / "summary.json").write_text(json.dumps(summary_of(rows)))
    (folder / "spec.toml").write_text('# made up for a test\nname = "made_up"\n')
    return folder


if __name__ == "__main__":
    print(make(Path(sys.argv[1])), len(TIERS))
