"""What a replay leaves in its folder: the tiles, the memory, the passes, the packets."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.files import atomic_path, write_json, write_text
from skytrigger.core.progress import track
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.onboard import tally
from skytrigger.onboard.facts import TILE_M
from skytrigger.onboard.place import window_grid, window_xy
from skytrigger.onboard.policies.base import Policy
from skytrigger.onboard.pool import tile as pixels_of
from skytrigger.onboard.spec import TIERS
from skytrigger.onboard.stream import DayStream
from skytrigger.onboard.tally import Tally

if TYPE_CHECKING:
    from skytrigger.onboard.mission import Day

MEMORY_ROWS = 5_000


def write_all(day: Day, stream: DayStream, run: Tally, out: Path, summary: dict[str, Any]) -> None:
    """Everything of the chosen policy's replay; summary.json is the last."""
    write_text(out / "spec.toml", day.spec.text)  # as it was given
    shutil.rmtree(out / "packets", ignore_errors=True)
    table = tile_table(day, stream, run)
    write_parquet(out / "tiles.parquet", table)
    write_parquet(out / "memory.parquet", memory_table(day, run))
    write_json(out / "passes.json", pass_list(day, run))
    write_packets(day, stream, run, table, out / "packets")
    write_json(out / "summary.json", summary)


def write_parquet(path: Path, columns: dict[str, Any]) -> None:
    """Columns by name."""
    import pyarrow as pa
    from pyarrow import parquet

    with atomic_path(path) as temporary:
        parquet.write_table(pa.table(columns), temporary)


def block_of_tiles(day: Day, stream: DayStream) -> NDArray[np.int64]:
    """(tiles,) the block that each really classified tile lies in."""
    slot = np.empty(len(stream.order), np.int64)
    slot[stream.order] = np.arange(len(stream.order))
    return slot[day.found.composition]


def scene_name(block: int) -> str:
    """A block's name, by its number in the day."""
    return f"S{block:05d}"


def tile_table(day: Day, stream: DayStream, run: Tally) -> dict[str, Any]:
    """Columns of tiles.parquet; rows are the really classified tiles."""
    f, classes, columns = day.found, day.classes, day.spec.stream.window[1]
    block = block_of_tiles(day, stream)
    row, column = np.divmod(f.place, columns)
    x, y = np.empty(len(f)), np.empty(len(f))
    crs = np.empty(len(f), object)
    for b in np.unique(block):
        epsg, bx, by = window_xy(day.spec, day.plan, int(b))
        of = block == b
        x[of], y[of], crs[of] = bx[f.place[of]], by[f.place[of]], f"EPSG:{epsg}"
    blocks = day.plan.blocks
    status = run.status.copy()
    status[blocks.live[block] < stream.window] = tally.LOST
    kind = f.probabilities.argmax(axis=1)
    alert = stream.worth.alerts(kind, f.probabilities.max(axis=1), f.cloud_seen)
    tier = [TIERS[t] if t >= 0 else "backlog" for t in run.tier]
    found = np.where(f.cloud_seen, "Cloud", np.array(classes)[kind])
    sent = np.isfinite(run.t_ground_s)
    return {
        "tile": [f"{scene_name(b)}/{r}/{c}" for b, r, c in zip(block, row, column, strict=True)],
        "scene": [scene_name(b) for b in block],
        "row": row,
        "col": column,
        "x_m": x,
        "y_m": y,
        "crs": list(crs),
        "t_sensed_s": blocks.t_s[block] - blocks.seconds[block] / 2,
        "class_name": found,
        "confidence": f.probabilities.max(axis=1),
        **{f"probability_{c}": f.probabilities[:, i] for i, c in enumerate(classes)},
        "true_class": np.where(f.cloudy, "Cloud", np.array(classes)[f.true]),
        "changed": f.change_seen & ~f.cloud_seen,
        "alert": alert,
        "value": run.value,
        "tier": tier,
        "bits": run.tile_bits,
        "status": [tally.STATUS[s] for s in status],
        "t_ground_s": [float(t) if ok else None for t, ok in zip(run.t_ground_s, sent, strict=True)],
        "pass": [int(p) if ok else None for p, ok in zip(run.in_pass, sent, strict=True)],
        "reason": _reasons(day, run, status, found, alert),
    }


def _reasons(day: Day, run: Tally, status: Any, found: Any, alert: Any) -> list[str]:
    policy: Policy = day.policy(day.spec.policy.chosen)
    passes, words = day.plan.passes, []
    for i, s in enumerate(status):
        why = f"found {found[i]} ({day.found.probabilities[i].max():.0%}), value {run.value[i]:.3g}"
        if alert[i]:
            why += ", an alert"
        if s == tally.SENT:
            number = int(run.in_pass[i])
            why += f": its turn in pass {number} over {passes[number].station}"
        elif s == tally.EVICTED:
            why += ": memory was full, and nothing in it ranked lower"
        elif s == tally.DROPPED:
            why += f": dropped, {policy.why_dropped}"
        elif s == tally.LOST:
            why = "sensed while the device could not take it: never classified"
        else:
            why += ": the passes ended before its turn"
        words.append(why)
    return words


def memory_table(day: Day, run: Tally) -> dict[str, Any]:
    """Columns of memory.parquet: at most 5,000 moments."""
    marks = run.memory[: run.marks]
    keep = np.unique(np.linspace(0, len(marks) - 1, min(len(marks), MEMORY_ROWS)).astype(np.int64))
    marks = marks[keep]
    flight, plan = day.plan.flight, day.plan
    at = np.clip(np.searchsorted(flight.t_s, marks[:, 0]), 0, len(flight.t_s) - 1)
    number = np.full(len(marks), -1)
    for i, one in enumerate(plan.passes):
        if i not in plan.missed:
            number[(marks[:, 0] >= one.start_s) & (marks[:, 0] <= one.end_s)] = i
    return {
        "t_s": marks[:, 0],
        "memory_bit": marks[:, 1],
        "queue_items": marks[:, 2].astype(np.int64),
        "battery_J": plan.battery.energy_J[at],
        "imaging": plan.imaging[at].astype(np.int8),
        "eclipse": (~flight.sunlit[at]).astype(np.int8),
        "pass": number,
    }


def pass_list(day: Day, run: Tally) -> list[dict[str, Any]]:
    """passes.json."""
    rate = day.spec.mission.downlink_bit_s
    return [
        {
            "pass": i,
            "station": p.station,
            "t_start_s": p.start_s,
            "t_end_s": p.end_s,
            "capacity_bit": (p.end_s - p.start_s) * rate,
            "sent_bit": float(run.pass_bit[i]),
            "sent_items": int(run.pass_items[i]),
            "missed": i in day.plan.missed,
        }
        for i, p in enumerate(day.plan.passes)
    ]


def write_packets(day: Day, stream: DayStream, run: Tally, table: dict[str, Any], out: Path) -> None:
    """CCSDS packets of the really classified tiles, a file a pass, in the order they were sent."""
    from skytrigger.onboard.codecs import encode
    from skytrigger.onboard.packets import Item, PacketWriter

    frames = _frames(day, stream)
    state: dict[str, int] | None = None
    noise = [day.model.card.std[day.model.card.channels.index(b)] for b in EUROSAT_ORDER]
    draws = day.found.draws()
    sent = np.flatnonzero(run.status == tally.SENT)
    sent = sent[np.lexsort((sent, run.t_ground_s[sent], run.in_pass[sent]))]
    with track("packets", float(max(1, len(sent)))) as advance:
        for number in range(len(day.plan.passes)):
            of = sent[run.in_pass[sent] == number]
            if not len(of):
                continue
            with PacketWriter(
                out / f"pass_{number:03d}.bin", classes=[*day.classes, "Cloud"], frames=frames, state=state
            ) as writer:
                for i in of:
                    tier = table["tier"][i]
                    payload = (
                        b"" if tier == "class" else encode(pixels_of(day.pool, draws, int(i)), tier, noise_dn=noise)
                    )
                    writer.add(
                        Item(
                            table["tile"][i], tier, str(table["class_name"][i]), float(table["confidence"][i]),
                            float(table["t_sensed_s"][i]), payload,
                        )
                    )  # fmt: skip
                    advance()
            state = writer.state


def _frames(day: Day, stream: DayStream) -> list[Any]:
    from skytrigger.onboard.packets import Frame

    rows, columns = day.spec.stream.window[0], day.spec.stream.window[1]
    frames = []
    for b in np.unique(block_of_tiles(day, stream)):
        epsg, left, top = window_grid(day.spec, day.plan, int(b))
        when = day.spec.mission.start + datetime.timedelta(seconds=float(day.plan.blocks.t_s[b]))
        stamp = when.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        frames.append(Frame(scene_name(int(b)), f"EPSG:{epsg}", left, top, TILE_M, rows, columns, stamp))
    return frames
