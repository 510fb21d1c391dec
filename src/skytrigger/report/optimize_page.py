"""report.html and report.md of a search for the fastest engine: what was chosen, and why nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from skytrigger import __version__
from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json
from skytrigger.core.host import host_label
from skytrigger.measure.pareto import on_front
from skytrigger.report import charts, writing
from skytrigger.report.content import (
    Block,
    Columns,
    Figure,
    Page,
    Prose,
    Section,
    Value,
    compact_bytes,
    estimate,
    interval_of,
    table,
    words,
)
from skytrigger.report.optimize_sections import (
    candidates_section,
    change_value,
    data_section,
    engine_words,
    joules,
    quantisation_section,
    ratio_section,
    reproduce_section,
    search_section,
    short_name,
)
from skytrigger.report.palette import tone_of
from skytrigger.report.provenance import SYNTHETIC, host_section


def write_search_page(folder: str | Path) -> list[Path]:
    """Write report.html, report.md and front.png of the search in `folder`.

    Raises
    ------
    InputError
        No finished search there, or a file that is not one's.
    """
    folder = Path(folder)
    found = read_json(folder / "optimize.json")
    try:
        page = _page(found)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"{folder / 'optimize.json'} is not a search's result: {error!r}", remedy="skytrigger optimize again"
        ) from error
    return writing.write_page(page, folder)


def _page(found: dict[str, Any]) -> Page:
    sections = [
        choice_section(found),
        front_section(found),
        ratio_section(found),
        candidates_section(found),
        quantisation_section(found),
        search_section(found),
        data_section(found),
        host_section({host_label(found["host"]): found["host"]}),
        reproduce_section(found),
    ]
    problem, drop = found["problem"], found["settings"]["max_drop"]
    network = problem.get("given", "student") if problem["network"] == "student" else problem["network"]
    title = f"The fastest engine for {network} that loses at most {drop:g} points"
    badges = [SYNTHETIC] if found["problem"]["source"].get("kind") == "synthetic" else []
    badges.append((host_label(found["host"]), "plain"))
    foot = (
        f"Made by skytrigger {__version__}. Times from records/records.jsonl; choices were made on validation images, "
        "the test images were read once, after the choice."
    )
    return Page(title, badges, cards(found), sections, foot)


def timed_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The fastest layout of each judged engine that was timed."""
    best: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in found["engines"]:
        if row.get("ms_per_image"):
            key = (row["file"], row["runtime"], row["precision"])
            if key not in best or _ms(row) < _ms(best[key]):
                best[key] = row
    return sorted(best.values(), key=_ms)


def _ms(row: dict[str, Any]) -> float:
    return float(row["ms_per_image"]["estimate"])


def _images(layout: dict[str, Any]) -> int:
    """Images in flight."""
    return int(layout["batch_size"] * layout["streams"])


def cards(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The headline."""
    winner, metric = found["winner"], found["problem"]["metric"]
    value, given = interval_of(winner[metric]), interval_of(found["given"][metric])
    ms = interval_of(winner["ms_per_image"])
    told = [
        ("Chosen", winner["name"], engine_words(winner, winner["layout"])),
        ("Time per image", f"{ms.estimate:.4g} ms", f"{_images(winner['layout'])} images in flight; "
                                                    f"{ms.low:.4g} to {ms.high:.4g}, {ms.n} samples"),
        ("Size", compact_bytes(winner["bytes"]), "best.onnx, all that is needed to run it"),
        (f"Validation {metric}", f"{100 * value.estimate:.2f}", f"{100 * value.low:.2f} to {100 * value.high:.2f}; "
         f"given network {100 * given.estimate:.2f}; the choice was made on these"),
    ]  # fmt: skip
    if found["test"].get("change"):
        change = interval_of(found["test"]["change"])
        told.append((f"Test {metric}, change", f"{100 * change.estimate:+.2f} points",
                     f"{100 * change.low:+.2f} to {100 * change.high:+.2f} on {found['test']['images']} images that "
                     "chose nothing"))  # fmt: skip
    for row in found["ratios"][:1]:
        times = interval_of(row["times"])
        basis = f"than {row['against']}; " + (
            f"{times.low:.1f} to {times.high:.1f}, {times.n} pairs" if times.known else "too few pairs for an interval"
        )
        told.append(("Faster", f"{times.estimate:.1f} times", basis))
    return told


def choice_section(found: dict[str, Any]) -> Section:
    """The rule, and what it came to."""
    settings, winner = found["settings"], found["winner"]
    rule = "only what the interval establishes" if settings["strict"] else "what is not below it by the estimate"
    blocks: list[Block] = [
        Prose(f"The floor: the given network's {found['problem']['metric']} on the same images less "
              f"{settings['max_drop']:g} points, fixed beforehand. Accepted was {rule}; of the accepted the fastest in "
              "the last comparison was chosen."),
        Prose(f"Validation: {winner['sentence']}.", _tone(winner["verdict"])),
        Prose(f"Test, read once: {found['test']['sentence']}.", _tone(found["test"]["verdict"])),
    ]  # fmt: skip
    if found.get("leakage"):
        blocks.append(Prose("Leakage: " + "; ".join(found["leakage"]) + ".", "bad"))
    if found.get("levels"):
        blocks.append(Prose("Levels: " + found["levels"] + ".", "bad"))
    if settings.get("stored"):
        blocks.append(
            Prose("Times begin at tiles as the data stores them: what an engine does not take so is cast first.")
        )
    if winner["name"] == "given":
        blocks.append(
            Prose("No smaller network held the floor faster: the given network stays, on its fastest engine.")
        )
    if winner["verdict"] == "not established":
        blocks.append(Prose(
            f"These validation images could exclude a drop of {100 * winner['smallest_margin']:.2f} points at the "
            "smallest, had both networks been equally good. A smaller drop is neither shown nor excluded; more "
            "validation images decide it."))  # fmt: skip
    return Section("choice", "The choice", blocks)


def _tone(verdict: str) -> str:
    return "bad" if verdict == "below" else ""


def front_section(found: dict[str, Any]) -> Section:
    """Accuracy against time of all that held the floor and was timed."""
    metric, rows = found["problem"]["metric"], timed_rows(found)
    if not rows:
        return Section("front", "Accuracy against time", [Prose("Nothing was timed.")])
    goals = np.array([[_ms(row), -row[metric]["estimate"]] for row in rows])
    points = [(row, bool(best)) for row, best in zip(rows, on_front(goals), strict=True)]
    spots = [
        charts.Spot(short_name(row), interval_of(row["ms_per_image"]), interval_of(row[metric]),
                    tone_of(row["runtime"]), best, row["sentence"])
        for row, best in points
    ]  # fmt: skip
    floor = found["given"][metric]["estimate"] - found["settings"]["max_drop"] / 100
    drawing = charts.scatter("Accuracy and time", "ms/image (logarithmic)", metric, spots, floor=(floor, "the floor"))
    columns: Columns[tuple[dict[str, Any], bool]] = [
        ("network", lambda p: words(p[0]["name"])),
        ("engine", lambda p: words(engine_words(p[0], p[0]))),
        (f"validation {metric}", lambda p: estimate(interval_of(p[0][metric]), "{:.2f}", 100)),
        ("change to the given network", lambda p: change_value(p[0])),
        ("ms/image", lambda p: estimate(interval_of(p[0]["ms_per_image"]))),
        ("size", lambda p: Value(compact_bytes(p[0]["bytes"]), p[0]["bytes"])),
        ("J/image", lambda p: joules(p[0])),
        ("timed in", lambda p: Value("last" if p[0]["timed"] == "final" else "coarse")),
        ("on the front", lambda p: Value("yes" if p[1] else "no", "a" if p[1] else "b")),
    ]
    note = (
        "95 % intervals. Figures of one comparison (last, or coarse) were taken side by side; the choice was made "
        "among those of the last. Filled points: nothing measured is both better and faster."
    )
    said = "Up and left is better. Lines: 95 % intervals; dashed: the floor."
    blocks: list[Block] = [Figure([("", drawing)], said, wide=True), table(points, columns, note)]
    return Section("front", "Accuracy against time", blocks)
