"""report.html and report.md of study folders and of folders that merely hold records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skytrigger import __version__
from skytrigger.core.errors import InputError
from skytrigger.core.files import write_text
from skytrigger.core.host import host_id, host_label
from skytrigger.measure import records as record_files
from skytrigger.measure.records import Record
from skytrigger.report import (
    batch_size,
    confusion,
    energy,
    figures,
    html,
    learning,
    markdown,
    more_figures,
    origin,
    provenance,
    tables,
    timing,
)
from skytrigger.report.content import Section
from skytrigger.report.pareto import pareto_section
from skytrigger.report.speedups import Timing, timings
from skytrigger.report.study_folder import StudyFolder, read_study


def build_report(folder: str | Path) -> list[Path]:
    """Write report.html, report.md and the pictures of one folder into it.

    Returns
    -------
    list of Path
        report.html and report.md first.
    """
    return build_reports([folder], folder)


def build_reports(folders: Sequence[str | Path], out: str | Path) -> list[Path]:
    """One report on several folders (studies, or records of one or several hosts), written to `out`.

    Raises
    ------
    InputError
        A folder that is missing or holds neither a study nor records, or whose files are corrupt.
    """
    paths = [Path(f) for f in folders]
    studies, records = [], []
    for path in paths:
        if not path.is_dir():
            raise InputError(f"{path} is not a folder", expected="a study's folder, or one with records*.jsonl")
        if (path / "study.json").is_file():
            studies.append(read_study(path))
            records += studies[-1].records
        else:
            found = record_files.read(path)
            if not found:
                raise InputError(
                    f"{path} holds neither study.json nor records*.jsonl",
                    remedy="skytrigger study --out DIR, or skytrigger bench --out DIR",
                )
            records += found
    records = list({r.to_json(): r for r in records}.values())
    return _write(studies, records, Path(out), [p.resolve().name for p in paths])


def _write(studies: Sequence[StudyFolder], records: Sequence[Record], out: Path, names: Sequence[str]) -> list[Path]:
    timed = timings(records)
    grid = [t for t in timed if batch_size.of_study(t.record)]
    plain = [t for t in timed if t not in grid]
    facts = [*(s.host for s in studies if s.host), *(r.where for r in records)]
    hosts = timing.host_names(facts)
    by_name = {name: next(f for f in facts if host_id(f) == key) for key, name in hosts.items()}
    sections: list[Section] = []
    data: dict[str, Any] = {"charts": {}, "confusion": {}}
    for i, study in enumerate(studies):
        mark = f"s{i + 1}-" if len(studies) > 1 else ""
        parts, charts, matrix = _learned(study, timed, mark)
        if matrix:
            data["confusion"][f"{mark}confusion"] = matrix
        prefix = f"{study.path.resolve().name}: " if mark else ""
        sections += [Section(mark + s.key, prefix + s.title, s.blocks) for s in parts]
        data["charts"] |= charts
    labels = {name: host_label(facts) for name, facts in by_name.items()}
    sections += [timing.timing_section(plain, hosts, studies)] if plain or not grid else []
    more = (
        batch_size.batch_size_section(records, timed, hosts),
        energy.energy_section(records, timed, studies, hosts),
        origin.origin_section(timed, hosts, labels),
        timing.other_section([r for r in records if r.kind not in ("training", "ceilings")], hosts),
        provenance.records_data_section(records, studies),
    )
    sections += [s for s in more if s]
    for i, study in enumerate(studies):
        mark = f"s{i + 1}-" if len(studies) > 1 else ""
        last = (provenance.cells_section(study), provenance.data_section(study), provenance.reproduce_section(study))
        prefix = f"{study.path.resolve().name}: " if mark else ""
        sections += [Section(mark + s.key, prefix + s.title, s.blocks) for s in last]
    sections.append(provenance.host_section(by_name))
    title = _title(studies, records, names)
    badges, headline = _badges(studies, records, by_name), _headline(studies, timed, records)
    foot = (
        f"Made by skytrigger {__version__} from the files of {', '.join(names)}. Every figure is computed from raw "
        "predictions and samples when the report is written."
    )
    pictures = figures.write_pictures(studies, plain, out) + more_figures.write_pictures(records, timed, out)
    pages = [out / "report.html", out / "report.md"]
    write_text(pages[0], html.page(title, badges, headline, sections, data, foot))
    keys = {"curves.png": "curves", "confusion.png": "confusion", "speed.png": "timing",
            "batch_size.png": "batch-size", "power.png": "power"}  # fmt: skip
    shown = [(keys[p.name], p.name) for p in pictures]
    write_text(pages[1], markdown.document(title, badges, headline, sections, shown, foot))
    return [*pages, *pictures, *tables.write_tables(sections, records, out)]


def _learned(
    study: StudyFolder, timed: Sequence[Timing], mark: str
) -> tuple[list[Section], dict[str, Any], dict[str, Any]]:
    """Sections about what was trained, curves and matrices for the page's script."""
    pairs = confusion.pairs_of(study)
    curves, charts = learning.curves_section(study, mark)
    matrices, matrix = confusion.confusion_section(study, pairs)
    sections = [learning.accuracy_section(study), confusion.pairs_section(pairs), curves]
    sections += [learning.training_section(study), matrices]
    front = pareto_section(study, timed)
    sections += [front] if front else []
    sections.append(Section("exports", "Exported model files", [timing.exports_table(study)]))
    return sections, charts, matrix


def _title(studies: Sequence[StudyFolder], records: Sequence[Record], names: Sequence[str]) -> str:
    titles = [str(s.spec.get("title") or name) for s, name in zip(studies, names, strict=False)]
    return titles[0] if len(titles) == 1 and len(names) == 1 else "Report on " + ", ".join(names)


def _badges(
    studies: Sequence[StudyFolder], records: Sequence[Record], hosts: dict[str, dict[str, Any]]
) -> list[tuple[str, str]]:
    synthetic = any(s.synthetic for s in studies) or any(provenance.is_synthetic(r) for r in records)
    badges = [("SYNTHETIC DATA: generated images, not satellite images", "warn")] if synthetic else []
    states = [c.status for s in studies for c in s.cells]
    for word, tone in (("failed", "bad"), ("open", "mute")):
        if word in states:
            badges.append((f"{states.count(word)} of {len(states)} cells {word}", tone))
    return badges + [(host_label(facts), "plain") for facts in hosts.values()]


def _headline(
    studies: Sequence[StudyFolder], timed: Sequence[Timing], records: Sequence[Record]
) -> list[tuple[str, str, str]]:
    """(name, figure, what stands behind it)."""
    cards = []
    for study in studies:
        cards.append(("Data", f"{study.data.get('images', '?'):,} images" if isinstance(study.data.get("images"), int)
                      else "?", provenance.data_words(study)))  # fmt: skip
        seeds = sorted({r.seed for r in study.runs})
        trained = f"{len(study.networks)} networks × {len(seeds)} seed{'s' if len(seeds) != 1 else ''}"
        recipe = study.spec.get("recipe")
        epochs = recipe.get("epochs") if isinstance(recipe, dict) else None
        cards.append(("Trained", trained, f"{epochs} epochs; " + ", ".join(study.networks)))
        found = [(name, i) for name, runs in study.networks.items() if (i := learning.accuracy_of(runs)) is not None]
        if found:
            name, best = max(found, key=lambda x: x[1].estimate)
            basis = f"{name}; 95 % interval {100 * best.low:.1f} to {100 * best.high:.1f}" if best.known else name
            basis += f", {learning.part_name(study)}; chosen for being highest, so rather too high than too low"
            cards.append(("Highest accuracy", f"{100 * best.estimate:.1f} %", basis))
    firm = [t for t in timed if t.verdict == "faster" and t.speedup is not None]
    if firm:
        top = max(firm, key=lambda t: t.speedup.low if t.speedup else 0.0)
        if top.speedup:
            what = f"{top.network}, {top.engine}, batch {top.setting[0]}"
            basis = f"{what}; {top.speedup.low:.2f} to {top.speedup.high:.2f}, {top.speedup.n} pairs"
            cards.append(("Largest speed-up over torch fp32", f"{top.speedup.estimate:.2f}×", basis))
    elif timed:
        cards.append(("Speed-up over torch fp32", "not established", f"{len(timed)} timings"))
    if records:
        cards.append(("Measurements", str(len(records)), "records with raw samples, A/A controls included"))
    return cards
