"""report.html and report.md of study folders and of folders that merely hold records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skytrigger import __version__
from skytrigger.core.errors import InputError
from skytrigger.core.heads import CLASSES, VALUES, Head
from skytrigger.core.host import host_id, host_label
from skytrigger.measure import records as record_files
from skytrigger.measure.records import Record
from skytrigger.report import batch_size, confusion, energy, head_figures, learning, origin, provenance, tables, timing
from skytrigger.report.content import Page, Section
from skytrigger.report.pareto import pareto_section
from skytrigger.report.speedups import Timing, timings
from skytrigger.report.study_folder import StudyFolder, read_study
from skytrigger.report.writing import write_page
from skytrigger.study.study_file import NAME, entry


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
        if (path / NAME).is_file():
            studies.append(read_study(path))
            records += studies[-1].records
        else:
            found = record_files.read(path)
            if not found:
                raise InputError(f"{path} holds neither {NAME} nor records*.jsonl", remedy=_remedy(path))
            records += found
    records = list({r.to_json(): r for r in records}.values())
    page = _page(studies, records, [p.resolve().name for p in paths])
    return [*write_page(page, out), *tables.write_tables(page.sections, records, Path(out))]


def _remedy(path: Path) -> str:
    """Where the pages come from, by what lies in a folder that has none."""
    if (path / "model.json").is_file():
        return (
            f"{path} is one trained network: a page is of timings (skytrigger bench) or of a study (skytrigger study)"
        )
    if (path / "metrics.json").is_file():
        return f"{path} is one evaluation: its figures are in metrics.json, its picture in confusion.png"
    return "skytrigger study --out DIR, or skytrigger bench --out DIR"


def _page(studies: Sequence[StudyFolder], records: Sequence[Record], names: Sequence[str]) -> Page:
    timed = timings(records)
    plain = [t for t in timed if not batch_size.of_study(t.record)]
    facts = [*(s.file.host for s in studies if s.file.host), *(r.where for r in records)]
    hosts = timing.host_names(facts)
    by_name = {name: next(f for f in facts if host_id(f) == key) for key, name in hosts.items()}
    labels = {name: host_label(facts) for name, facts in by_name.items()}
    learned: list[Section] = []
    last: list[Section] = []
    data: dict[str, Any] = {"charts": {}, "confusion": {}}
    for i, study in enumerate(studies):
        mark, prefix = (f"s{i + 1}-", f"{study.name}: ") if len(studies) > 1 else ("", "")
        parts, charts, matrices = _learned(study, timed, mark)
        data["charts"] |= charts
        data["confusion"] |= matrices
        ends = (provenance.cells_section(study), provenance.data_section(study), provenance.reproduce_section(study))
        for sections, own in ((learned, parts), (last, ends)):
            sections += [Section(mark + s.key, prefix + s.title, s.blocks) for s in own]
    about = (
        timing.timing_section(plain, hosts, studies) if plain or not timed else None,
        batch_size.batch_size_section(records, timed, hosts),
        energy.energy_section(records, timed, studies, hosts),
        origin.origin_section(timed, hosts, labels),
        timing.other_section([r for r in records if r.kind not in ("training", "ceilings")], hosts),
        provenance.records_data_section(records, studies),
    )
    sections = [*learned, *(s for s in about if s), *last, provenance.host_section(by_name)]
    titles = [str(s.file.spec.get("title") or s.name) for s in studies]
    title = titles[0] if len(titles) == 1 == len(names) else "Report on " + ", ".join(names)
    foot = (
        f"Made by skytrigger {__version__} from the files of {', '.join(names)}. Every figure is computed from raw "
        "predictions and samples when the report is written."
    )
    badges, headline = _badges(studies, records, by_name), _headline(studies, timed, records)
    return Page(title, badges, headline, sections, foot, data)


def _learned(
    study: StudyFolder, timed: Sequence[Timing], mark: str
) -> tuple[list[Section], dict[str, Any], dict[str, Any]]:
    """Sections about what was trained, curves and matrices for the page's script."""
    heads, matrices = study.heads, {}
    classed = [head for head in heads if head.kind == CLASSES]
    first = classed[0] if len(heads) > 1 and classed else None
    curves, charts = learning.curves_section(study, mark)
    sections: list[Section] = []
    changes: list[Section] = []
    if classed or not heads:
        pairs = confusion.pairs_of(study)
        matrix, matrices["confusion"] = confusion.confusion_section(study, pairs)
        sections = _named([learning.accuracy_section(study), confusion.pairs_section(pairs)], first)
        changes = _named([matrix], first)
    sections += [s for s in (head_figures.application_section(study),) if s]
    for head in (h for h in heads if h.kind == VALUES):
        sections += _named([head_figures.values_section(study, head)], head, tag=True)
    sections += [curves, learning.training_section(study), *changes]
    for head in classed[1:]:
        own = study.of_head(head)
        matrix, matrices[f"confusion-{head.name}"] = confusion.confusion_section(own, ())
        sections += _named([learning.accuracy_section(own), matrix], head, tag=True)
    front = pareto_section(study, timed)
    sections += [front] if front else []
    sections.append(Section("exports", "Exported model files", [timing.exports_table(study)]))
    return sections, charts, {mark + key: matrix for key, matrix in matrices.items() if matrix}


def _named(sections: Sequence[Section], head: Head | None, *, tag: bool = False) -> list[Section]:
    """Sections of one head of several say which; `tag` tells their keys apart, too."""
    if head is None:
        return list(sections)
    end = f"-{head.name}" if tag else ""
    return [Section(s.key + end, f"{s.title}: {head.name}", s.blocks) for s in sections]


def _badges(
    studies: Sequence[StudyFolder], records: Sequence[Record], hosts: dict[str, dict[str, Any]]
) -> list[tuple[str, str]]:
    synthetic = any(s.synthetic for s in studies) or any(provenance.is_synthetic(r) for r in records)
    badges = [provenance.SYNTHETIC] if synthetic else []
    states = [c.status for s in studies for c in s.file.cells]
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
        images = study.file.data.get("images")
        count = f"{images:,} images" if isinstance(images, int) else "?"
        cards.append(("Data", count, provenance.data_words(study)))
        seeds = sorted({r.seed for r in study.runs})
        trained = f"{len(study.networks)} networks × {len(seeds)} seed{'s' if len(seeds) != 1 else ''}"
        epochs = entry(study.file.spec, "recipe").get("epochs")
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
