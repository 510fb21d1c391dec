"""The part of a card's page on whole scenes; see `gpu_steps.scenes` for what the arms are."""

from __future__ import annotations

import numpy as np

from skytrigger.measure.records import Record

ARMS = {"whole": "whole, to the last file", "stream": "stages that overlap", "decode": "decoding alone",
        "device": "the card alone"}  # fmt: skip
GOAL = 20_000


def paces(record: Record) -> np.ndarray:
    """Tiles a second of each visit."""
    call = record.samples["call"]
    found: np.ndarray = call.items / np.array(call.values)
    return found


def spread(record: Record) -> str:
    """Median with extremes."""
    v = paces(record)
    return f"{np.median(v):,.0f} ({v.min():,.0f} to {v.max():,.0f})"


def scene_goals(records: list[Record]) -> list[tuple[str, str, bool]]:
    """The goal for scenes, by form, with the fastest packaged network."""
    return [
        (f"a granule from {r.what['form']}, `{r.what['network']}`: {GOAL:,} tiles/s to the last file", spread(r),
         bool(np.median(paces(r)) >= GOAL))
        for r in records if r.what.get("scenario") == "whole" and r.what["network"] == "eurosat_ms_fast"
    ]  # fmt: skip


def scenes_section(records: list[Record]) -> list[str]:
    """Paces and agreement."""
    timed = [r for r in records if r.samples]
    if not timed:
        return []
    lines = ["## Whole scenes", "",
             f"A synthetic granule, tiles/s, {timed[0].what['threads']} threads that decode, `torch` in float16, tiles "
             "resampled on the card; a scene among many (everything open and warm). `the card alone`: copies, "
             "resampling, measures and network of rows that lie in page-locked memory.", "",
             "| | network | form | tiles/s |", "|---|---|---|--:|"]  # fmt: skip
    for arm, title in ARMS.items():
        lines += [f"| {title} | {r.what['network'] or ''} | {r.what['form']} | {spread(r)} |"
                  for r in timed if r.what["scenario"] == arm]  # fmt: skip
    lines.append("")
    for r in records:
        if r.what.get("scenario") == "agreement":
            e = r.extra
            int8 = f", {e['int8_file_decisions']} from the INT8 file's" if "int8_file_decisions" in e else ""
            lines.append(f"`{r.what['network']}`, {e['tiles']} tiles: {100 * e['dn_differ']:.2g} % of the pixels "
                         f"differ from the CPU's, by {e['dn_largest']:.0f} DN at most; {e['float32_cpu_decisions']} "
                         f"decisions differ from float32 on the CPU{int8}.")  # fmt: skip
    return [*lines, ""]
