"""Confusion matrices, their change between two networks, and which differences in accuracy are real."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import combinations
from typing import Any

import numpy as np

from skytrigger.core.errors import InputError
from skytrigger.learn.compare_accuracy import LEVEL, compare_accuracy
from skytrigger.measure.accuracy import holm
from skytrigger.report import charts
from skytrigger.report.content import NOTHING, Columns, Markup, Prose, Section, Table, Value, number, table
from skytrigger.report.study_folder import Run, StudyFolder

MOST_CLASSES = 40


def pairs_of(study: StudyFolder) -> list[dict[str, Any]]:
    """`compare_accuracy` of every two networks, with both names; Holm's correction where there are p values."""
    held = {name: [r for r in runs if r.predictions_file] for name, runs in study.networks.items()}
    names = [name for name, runs in held.items() if runs]
    found = []
    for a, b in combinations(names, 2):
        files = [[r.predictions_file for r in held[name] if r.predictions_file] for name in (a, b)]
        try:
            epochs = [max((len(r.history) for r in held[name]), default=0) for name in (a, b)]
            found.append({"first": a, "second": b, "epochs": epochs, **compare_accuracy(files[0], files[1])})
        except InputError as error:
            study.problems.append(f"{a} against {b}: {error}")
    tested = [x for x in found if x["p_value"] is not None]
    if tested:
        for x, p in zip(tested, holm(np.array([x["p_value"] for x in tested])), strict=True):
            x["p_holm"] = float(p)
            if p > 1 - LEVEL:
                x["verdict"] = "not established"
    return found


def pairs_section(pairs: Sequence[dict[str, Any]]) -> Section:
    """Differences in accuracy and flips, pair by pair."""
    title = "Which differences in accuracy are real"
    if not pairs:
        return Section("pairs", title, [Prose("Fewer than two networks have been evaluated.")])
    several = any(x["p_value"] is None for x in pairs)

    def difference(x: dict[str, Any]) -> Value:
        d = x["difference"]
        return Value(f"{100 * d['estimate']:+.2f}", d["estimate"], f"{100 * d['low']:+.2f} to {100 * d['high']:+.2f}")

    def verdict(x: dict[str, Any]) -> Value:
        p = "" if x["p_value"] is None else f"p = {x['p_value']:.2g}, {x['p_holm']:.2g} after Holm"
        tone = {"better": "good", "worse": "bad"}.get(x["verdict"], "mute")
        word = {"better": "second more accurate", "worse": "second less accurate"}.get(x["verdict"], x["verdict"])
        if len(set(x["epochs"])) > 1 and tone != "mute":  # the network is not to blame
            word, tone = f"{word}; trained for different numbers of epochs", "mute"
        return Value(word, word, p, tone)

    def smallest(x: dict[str, Any]) -> Value:
        shown = x["smallest_difference_shown"]
        return NOTHING if shown is None else number(100 * shown, "{:.2f}")

    def images(x: dict[str, Any]) -> Value:
        seeds = min(x["a"]["seeds"], x["b"]["seeds"])
        return number(x["images"], "{:d}", f"{seeds} seed{'s' if seeds > 1 else ''}")

    columns: Columns[dict[str, Any]] = [
        ("first", lambda x: Value(x["first"], x["first"])),
        ("second", lambda x: Value(x["second"], x["second"])),
        ("second − first (points)", difference),
        ("verdict", verdict),
        None if several else ("smallest difference these images show (points)", smallest),
        ("decisions changed", lambda x: number(x["flips"]["changed"], "{:d}")),
        ("wrong to right", lambda x: number(x["flips"]["wrong_to_right"], "{:d}")),
        ("right to wrong", lambda x: number(x["flips"]["right_to_wrong"], "{:d}")),
        ("images", images),
    ]
    caption = "Paired on the same images; below the difference its 95 % interval. " + (
        "Several seeds: the interval holds seeds and images, each pair for itself, not corrected for their number. "
        if several
        else f"Exact McNemar test, corrected after Holm for {len(pairs)} pairs; Tango's score interval. Smallest "
        "difference: what the discordant images would have shown with power 80 %. "
    )
    return Section("pairs", title, [table(pairs, columns, caption + "Changed decisions are those of the first seed.")])


def first_seed(study: StudyFolder) -> dict[str, Run]:
    """The run of each network whose confusion matrix is shown: its first seed."""
    found = {}
    for name, runs in study.networks.items():
        run = next((r for r in runs if r.found), None)
        if run is not None:
            found[name] = run
    return found


def confusion_section(study: StudyFolder, pairs: Sequence[dict[str, Any]]) -> tuple[Section, dict[str, Any]]:
    """Matrix of a chosen network and change between two chosen ones; the data for the page's script."""
    title = "Confusion matrices and their change"
    chosen = first_seed(study)
    if not chosen:
        return Section("confusion", title, [Prose("No network has been evaluated yet.")]), {}
    classes = next(iter(chosen.values())).found["classes"]  # type: ignore[index]
    chosen = {name: r for name, r in chosen.items() if r.found and r.found["classes"] == classes}
    if len(classes) > MOST_CLASSES:
        return Section("confusion", title, [Prose(f"Not drawn: {len(classes)} classes.")]), {}
    counts = {name: np.array(r.found["confusion"]) for name, r in chosen.items() if r.found}
    names = list(counts)
    data = {
        "classes": classes,
        "networks": [{"name": n, "seed": chosen[n].seed, "counts": counts[n].tolist()} for n in names],
        "pairs": [_pair_data(x, names, classes) for x in pairs if x["first"] in counts and x["second"] in counts],
    }
    blocks: list[Markup | Prose] = [_matrix_block(names, counts, classes, chosen)]
    if len(names) > 1:
        blocks.append(_change_block(names, counts, classes, pairs))
    return Section("confusion", title, blocks), data


def _pair_data(pair: dict[str, Any], names: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    place = {name: i for i, name in enumerate(classes)}
    cells = [[place[c["true"]], place[c["predicted"]], c["low"], c["high"], c["p_holm"]] for c in pair["cells"]]
    return {"a": names.index(pair["first"]), "b": names.index(pair["second"]), "cells": cells, "flips": pair["flips"],
            "images": pair["images"]}  # fmt: skip


def _options(names: Sequence[str], chosen: int) -> str:
    return "".join(
        f'<option value="{i}"{" selected" if i == chosen else ""}>{escape(n)}</option>' for i, n in enumerate(names)
    )


def matrix_html(key: str, classes: Sequence[str], cells: Sequence[Sequence[tuple[str, str, str]]]) -> str:
    """An HTML table of (text, CSS class, hint) cells."""
    head = "".join(f'<th scope="col"><span>{escape(c)}</span></th>' for c in classes)
    body = []
    for name, row in zip(classes, cells, strict=True):
        tds = "".join(f'<td class="{css}" title="{escape(hint)}">{escape(said)}</td>' for said, css, hint in row)
        body.append(f'<tr><th scope="row">{escape(name)}</th>{tds}</tr>')
    return (
        f'<div class="scroll" tabindex="0"><table class="matrix" data-role="{key}"><thead><tr>'
        f'<td class="corner">true \\ predicted</td>{head}'
        f"</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _matrix_block(names: Sequence[str], counts: Any, classes: Sequence[str], chosen: dict[str, Run]) -> Markup:
    shown = counts[names[0]]
    total = np.maximum(shown.sum(axis=1, keepdims=True), 1)
    cells = [
        [
            (
                str(n) if n else "",
                charts.cell_tone(n, i == j, n / total[i, 0]),
                f"{classes[i]} taken for {classes[j]}: {n} of {shown[i].sum()}",
            )
            for j, n in enumerate(row)
        ]
        for i, row in enumerate(shown.tolist())
    ]
    html = (
        '<div class="pick"><label>Network <select data-role="network">' + _options(names, 0) + "</select></label>"
        '<label>Show <select data-role="matrix-share"><option value="0">images</option>'
        '<option value="1">% of the true class</option></select></label></div>'
        + matrix_html("matrix", classes, cells)
        + '<p class="caption">Rows: true class; columns: predicted class. Blue: right; orange: wrong; darker: a larger '
        f"share of the true class. First seed of each network (seed {chosen[names[0]].seed}). "
        '<noscript>Without JavaScript the first network is shown; report.md holds all of them.</noscript></p>'
    )  # fmt: skip
    plain: list[Table | Prose] = []
    for name in names:
        rows = [[Value(c, c), *(number(n, "{:d}") for n in row)] for c, row in zip(classes, counts[name].tolist(),
                                                                                     strict=True)]  # fmt: skip
        plain += [Prose(f"**{name}**, seed {chosen[name].seed}; rows true, columns predicted:")]
        plain += [Table(("true \\ predicted", *classes), rows)]
    drawn = charts.matrix(f"{names[0]}, seed {chosen[names[0]].seed}", classes, shown)
    return Markup(html, plain, [("", drawn)])


def _default_pair(names: Sequence[str]) -> tuple[int, int]:
    """`basic` against `regularized` where both are there: the overtraining and its cure."""
    if "basic" in names and "regularized" in names:
        return names.index("basic"), names.index("regularized")
    return 0, 1


def _change_block(names: Sequence[str], counts: Any, classes: Sequence[str], pairs: Sequence[dict[str, Any]]) -> Markup:
    a, b = _default_pair(names)
    change = counts[names[b]] - counts[names[a]]
    total = np.maximum(counts[names[a]].sum(axis=1, keepdims=True), 1)
    pair = next((p for p in pairs if (p["first"], p["second"]) == (names[a], names[b])), None)
    firm = {(c["true"], c["predicted"]) for c in pair["cells"]} if pair else set()
    cells = [
        [
            (
                f"{n:+d}" if n else "",
                charts.cell_tone(n, i == j, n / total[i, 0]) + (" firm" if (classes[i], classes[j]) in firm else ""),
                f"{classes[i]} taken for {classes[j]}: {counts[names[a]][i, j]} to {counts[names[b]][i, j]}",
            )
            for j, n in enumerate(row)
        ]
        for i, row in enumerate(change.tolist())
    ]
    f = pair["flips"] if pair else None
    flips = f'{f["changed"]} decisions of {pair["images"]} changed: {f["wrong_to_right"]} wrong to right, {f["right_to_wrong"]} right to wrong, {f["wrong_to_other_wrong"]} from one wrong class to another.' if f and pair else ""  # noqa: E501  # fmt: skip
    html = (
        '<h3>Change from one network to another</h3><div class="pick"><label>From <select data-role="from">'
        + _options(names, a) + '</select></label><label>to <select data-role="to">' + _options(names, b)
        + '</select></label><label>Show <select data-role="change-share"><option value="0">images</option>'
        '<option value="1">% of the true class</option></select></label></div>'
        f'<p data-role="said" role="status">{escape(flips)} {len(firm)} cells changed beyond chance.</p>'
        + matrix_html("change", classes, cells)
        + '<p class="caption">Cell by cell: images more (+) or fewer (−) than in the first network. Blue: for the '
        "better (more right, fewer confused); orange: for the worse. A frame marks a change that is established: exact "
        "sign test of the images that moved in or out, corrected after Holm over all cells; all others may be chance. "
        "First seed of each network.</p>"
        '<div data-role="cells">' + _firm_list(pair) + "</div>"
    )  # fmt: skip
    place = {name: i for i, name in enumerate(classes)}
    framed = frozenset((place[true], place[predicted]) for true, predicted in firm)
    title = f"{names[b]} − {names[a]}; framed: established"
    drawn = charts.matrix(title, classes, change, of=counts[names[a]], firm=framed)
    return Markup(html, [_pairs_plain(pairs)], [("", drawn)])


def _firm_list(pair: dict[str, Any] | None) -> str:
    if not pair or not pair["cells"]:
        return "<p>No single cell's change is established.</p>"
    items = "".join(f"<li>{escape(_cell_words(c))}</li>" for c in pair["cells"])
    return f"<ul>{items}</ul>"


def _cell_words(c: dict[str, Any]) -> str:
    return (
        f"{c['true']} → {c['predicted']}: {c['a']} to {c['b']} images, {100 * c['change']:+.1f} points of the class "
        f"({100 * c['low']:+.1f} to {100 * c['high']:+.1f}), p = {c['p_holm']:.2g} after Holm"
    )


def _pairs_plain(pairs: Sequence[dict[str, Any]]) -> Table:
    rows = []
    for x in pairs:
        said = "; ".join(map(_cell_words, x["cells"])) or "none"
        rows.append([Value(x["first"]), Value(x["second"]), Value(said)])
    return Table(("first", "second", "cells whose change is established"), rows, "First seed of each network.")
