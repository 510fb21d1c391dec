"""report.html and report.md of a search for the fastest engine: what was chosen, and why nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger import __version__
from skytrigger.core.errors import InputError
from skytrigger.core.files import atomic_path, read_json, write_text
from skytrigger.core.host import host_label
from skytrigger.measure.pareto import on_front
from skytrigger.report import html, markdown, svg
from skytrigger.report.content import (
    Block,
    Figure,
    Prose,
    Section,
    Table,
    Value,
    compact_bytes,
    estimate,
    interval_of,
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
from skytrigger.report.provenance import host_section
from skytrigger.report.speedups import TONES


def write_page(folder: str | Path) -> list[Path]:
    """Write report.html, report.md and front.png of the search in `folder`.

    Raises
    ------
    InputError
        No finished search there, or a file that is not one's.
    """
    folder = Path(folder)
    found = read_json(folder / "optimize.json")
    try:
        return _write(folder, found)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"{folder / 'optimize.json'} is not a search's result: {error!r}", remedy="skytrigger optimize again"
        ) from error


def _write(folder: Path, found: dict[str, Any]) -> list[Path]:
    points = timed_rows(found)
    sections = [
        choice_section(found),
        front_section(found, points),
        ratio_section(found),
        candidates_section(found),
        quantisation_section(found),
        search_section(found),
        data_section(found),
        host_section({host_label(found["host"]): found["host"]}),
        reproduce_section(),
    ]
    network, drop = found["problem"]["network"], found["settings"]["max_drop"]
    title = f"The fastest engine for {network} that loses at most {drop:g} points"
    badges = []
    if found["problem"]["source"].get("kind") == "synthetic":
        badges.append(("SYNTHETIC DATA: generated images, not real ones", "warn"))
    badges.append((host_label(found["host"]), "plain"))
    foot = (
        f"Made by skytrigger {__version__}. Times from records/records.jsonl; choices were made on validation images, "
        "the test images were read once, after the choice."
    )
    picture = folder / "front.png"
    draw_front(found, points, picture)
    pages = [folder / "report.html", folder / "report.md"]
    headline = cards(found)
    data: dict[str, Any] = {"charts": {}, "confusion": {}}
    write_text(pages[0], html.page(title, badges, headline, sections, data, foot))
    write_text(pages[1], markdown.document(title, badges, headline, sections, [("front", picture.name)], foot))
    return [*pages, picture]


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


def front_section(found: dict[str, Any], points: Sequence[dict[str, Any]]) -> Section:
    """Accuracy against time of all that held the floor and was timed."""
    metric = found["problem"]["metric"]
    if not points:
        return Section("front", "Accuracy against time", [Prose("Nothing was timed.")])
    on = front_of(points, metric)
    spots = [
        svg.Spot(f"{short_name(row)}", interval_of(row["ms_per_image"]), interval_of(row[metric]),
                 TONES.get(row["runtime"], "c7"), best, row["sentence"])
        for row, best in zip(points, on, strict=True)
    ]  # fmt: skip
    drawing = svg.scatter("Accuracy and time", "ms/image (logarithmic)", metric, spots)
    rows = [
        [words(row["name"]), words(engine_words(row, row)),
         estimate(interval_of(row[metric]), "{:.2f}", 100), change_value(row),
         estimate(interval_of(row["ms_per_image"])), Value(compact_bytes(row["bytes"]), row["bytes"]), joules(row),
         Value("last" if row["timed"] == "final" else "coarse"), Value("yes" if best else "no", "a" if best else "b")]
        for row, best in zip(points, on, strict=True)
    ]  # fmt: skip
    head = ("network", "engine", f"validation {metric}", "change to the given network", "ms/image", "size",
            "J/image", "timed in", "on the front")  # fmt: skip
    note = (
        "95 % intervals. Figures of one comparison (last, or coarse) were taken side by side; the choice was made "
        "among those of the last. Filled points: nothing measured is both better and faster."
    )
    return Section(
        "front",
        "Accuracy against time",
        [Figure([("", drawing)], "Up and left is better. Lines: 95 % intervals.", wide=True), Table(head, rows, note)],
    )


def front_of(points: Sequence[dict[str, Any]], metric: str) -> list[bool]:
    """Which rows nothing beats in both, by the estimates."""
    goals = np.array([[_ms(row), -row[metric]["estimate"]] for row in points])
    return [bool(b) for b in on_front(goals)]


def draw_front(found: dict[str, Any], points: Sequence[dict[str, Any]], out: Path) -> None:
    """The front as a picture for Markdown."""
    from matplotlib.figure import Figure as Drawing

    metric = found["problem"]["metric"]
    drawing = Drawing(figsize=(7, 4), dpi=120, layout="constrained")
    axes = drawing.subplots()
    for row, best in zip(points, front_of(points, metric) if points else [], strict=True):
        y, x = interval_of(row[metric]), interval_of(row["ms_per_image"])
        axes.plot([x.estimate, x.estimate], [100 * y.low, 100 * y.high], color="0.75", lw=1, zorder=1)
        axes.scatter(x.estimate, 100 * y.estimate, s=40, zorder=2, facecolor="#0072b2" if best else "none",
                     edgecolor="#0072b2")  # fmt: skip
        if best:
            axes.annotate(
                short_name(row), (x.estimate, 100 * y.estimate), xytext=(5, 5), textcoords="offset points", size=7
            )
    floor = 100 * found["given"][metric]["estimate"] - found["settings"]["max_drop"]
    axes.axhline(floor, color="#d55e00", ls="--", lw=1)
    axes.set_xscale("log")
    axes.set_xlabel("ms/image")
    axes.set_ylabel(f"validation {metric}, %")
    axes.set_title("Filled: nothing is both better and faster; dashed: the floor", fontsize=9)
    with atomic_path(out) as temporary:
        drawing.savefig(temporary, format="png")
