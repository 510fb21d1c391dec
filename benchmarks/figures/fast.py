"""The fast packaged classifiers taken to pieces: what was tried, and where the time goes (`code_writing.py`)."""

from __future__ import annotations

from typing import Any

from figures import figure
from figures.engines import arm_ms
from figures.text import digits, inverse, loaded, plain_slots, span, table, times_of
from skytrigger.core.host import host_label

NAMES, KINDS = ("eurosat_ms_fast", "eurosat_rgb_fast"), ("float32", "stored")
SHIPPED, BEFORE = "as shipped", "all by the engine"
WORDS = {
    BEFORE: "as before: OpenVINO reads the tiles",
    "codes by the engine": "the mean by pooling alone",
    "mean by ReduceMean": "the codes alone",
    SHIPPED: "**both: as shipped**",
    "control": "the same once more",
    "codes in planes": "codes in planes, which OpenVINO turns",
    "blocks not filled up": "blocks not filled up to whole 64 bytes",
    "one thread writes": "one thread writes all codes",
    "all threads write": "all threads write, however few the codes",
    "not pinned": "OpenVINO's threads not pinned to cores",
    "a stream each": "two streams of a thread that share the batch",
    "no rounding before the sum": "no rounding to 8 bits before the residual sum (another network)",
}


def _run(name: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = loaded(f"fast/tried/{name}-{kind}.json")
    return found


@figure("fast.tried")
def tried() -> str:
    """Microseconds an image, and how many times as long as the shipped way, of every way."""
    rows = []
    for arm, words in WORDS.items():
        row = [words]
        for name in NAMES:
            for kind in KINDS:
                arms = _run(name, kind)["arms"]
                if arm not in arms:
                    row.append("")
                    continue
                time = digits(1e3 * arm_ms(arms[arm]).estimate)
                more = span(times_of(plain_slots(arms[arm]), plain_slots(arms[SHIPPED])))
                row.append(time if arm == SHIPPED else f"{time}; {more}")
        rows.append(row)
    columns = [f"`{name}`, {_run(name, kind)['tiles']}" for name in NAMES for kind in KINDS]
    return table(f"| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}", rows)


@figure("fast.gain")
def gain(name: str, kind: str) -> str:
    """How many times as fast as before."""
    arms = _run(name, kind)["arms"]
    return f"{span(times_of(plain_slots(arms[BEFORE]), plain_slots(arms[SHIPPED])))} times"


@figure("fast.inner")
def inner(name: str) -> str:
    """What leaving out one rounding would take, and how many tiles change their class."""
    arms = _run(name, "float32")["arms"]
    arm = arms["no rounding before the sum"]
    part = span(inverse(times_of(plain_slots(arms[SHIPPED]), plain_slots(arm))))
    return f"{part} of the time; {arm['other_classes']} of {arm['tiles']} tiles get another class"


@figure("fast.layers")
def layers(name: str, kind: str) -> str:
    """Microseconds an image of each layer by OpenVINO's counters, before and as shipped."""
    run = _run(name, kind)
    rows: list[list[str]] = []
    for arm in (BEFORE, SHIPPED):
        counted = run["layers"][arm]
        each = ", ".join(f"{what} {digits(1e6 * seconds)}" for what, _, seconds in counted)
        whole = 1e6 * sum(seconds for *_, seconds in counted)
        rows.append([WORDS[arm].strip("*"), each, digits(whole), digits(1e3 * arm_ms(run["arms"][arm]).estimate)])
    return table("| | layers in their order | sum | whole call |\n|---|---|---:|---:|", rows)


@figure("fast.same")
def same() -> str:
    """Tiles whose logits are bit for bit the same in all ways but the one that is another network."""
    runs = [_run(name, kind) for name in NAMES for kind in KINDS]
    arms = [arm for run in runs for key, arm in run["arms"].items() if not key.startswith("no rounding")]
    if any(arm["logits_max"] for arm in arms):
        raise ValueError("logits differ")
    return f"{sum(run['arms'][SHIPPED]['tiles'] for run in runs):,} random tiles"


@figure("fast.host")
def host() -> str:
    """Where that ran."""
    return host_label(_run("eurosat_ms_fast", "float32")["host"])
