"""`compare A B`: finds what the two hold, and says what can and cannot be claimed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skytrigger.bench.compare_times import TIMED, compare_times
from skytrigger.core.errors import InputError
from skytrigger.learn.compare_accuracy import compare_accuracy
from skytrigger.measure.records import Record, read

EXIT = {"not established": 0, "worse": 3, "better": 4}
SELECT = "::"


def compare(a: str, b: str, *, margin: float | None = None, seeds: bool = False) -> dict[str, Any]:
    """Compare two folders or files; each may end in ``::WORD[,WORD]``.

    The words pick records by what ran (``basic``, ``openvino``, ``batch32``) and predictions by the parts of their
    folders' names (``evaluate-basic-0`` has ``basic`` and ``0``).

    Parameters
    ----------
    margin
        Non-inferiority margin in percentage points of accuracy.
    seeds
        Several predictions on a side are seeds of one recipe.

    Returns
    -------
    dict
        ``verdict``, ``exit_code`` (0 none established, 3 B worse, 4 B better), ``aspects``.
    """
    predictions = [_predictions(side, seeds) for side in (a, b)]
    records = [_records(side, not held) for side, held in zip((a, b), predictions, strict=True)]
    aspects = []
    if all(predictions):
        aspects.append(compare_accuracy(predictions[0], predictions[1], margin))
    elif margin is not None:
        raise InputError("--margin is about accuracy", expected="predictions on both sides")
    if all(records):
        aspects.append(compare_times(records[0], records[1]))
    if not aspects:
        held = [f"{side}: {_held(p, r)}" for side, p, r in zip((a, b), predictions, records, strict=True)]
        raise InputError(
            "nothing to compare: " + "; ".join(held),
            expected="predictions.parquet on both sides, or timing records on both sides",
            remedy="skytrigger evaluate ... --out DIR, or skytrigger bench ... --out DIR",
        )
    verdicts = {x["verdict"] for x in aspects}
    verdict = "worse" if "worse" in verdicts else "better" if "better" in verdicts else "not established"
    return {"a": a, "b": b, "verdict": verdict, "exit_code": EXIT[verdict], "aspects": aspects}


def _path(side: str) -> Path:
    path = Path(side.partition(SELECT)[0])
    if not path.exists():
        raise InputError(f"{path} does not exist", expected="a folder, predictions.parquet or records.jsonl")
    return path


def _selected(side: str) -> list[str]:
    """The words after ``::``."""
    return [w for w in side.partition(SELECT)[2].split(",") if w]


def _predictions(side: str, seeds: bool) -> list[Path]:
    path, words = _path(side), _selected(side)
    if path.is_file():
        return [path] if path.suffix == ".parquet" and not words else []
    files = sorted(path.rglob("predictions*.parquet"))
    if words:
        files = [f for f in files if set(words) <= set(re.split(r"[-/\\]", str(f.parent.relative_to(path))))]
    if len(files) > 1 and not seeds:
        if (path / "predictions.parquet") in files:
            return [path / "predictions.parquet"]
        raise InputError(
            f"{side} holds {len(files)} predictions: {', '.join(str(f.relative_to(path)) for f in files[:5])}",
            remedy="name one of them, or --seeds if they are one recipe trained with several seeds",
        )
    return files


def _records(side: str, needed: bool) -> list[Record]:
    """Timing records that have all words; `needed`: there is nothing else on this side to compare."""
    path, words = _path(side), _selected(side)
    if path.is_file() and path.suffix == ".parquet":
        return []
    found = [r for r in read(path) if r.kind in TIMED]
    kept = [r for r in found if all(w in _words(r) for w in words)]
    if words and not kept and needed:
        labels = "; ".join(sorted({" ".join(sorted(_words(r))) for r in found}))
        raise InputError(f"nothing in {path} has all of {words}", expected=labels)
    return kept


def _words(record: Record) -> set[str]:
    """What a selector may name: network, runtime, precision, device, scenario, file stem, ``batch32``, ``threads2``."""
    what = record.what
    plain = {str(what[k]) for k in ("network", "runtime", "precision", "device", "scenario") if what.get(k)}
    stem = str(record.extra.get("label", "")).split(" ")[0]
    return plain | {f"batch{what.get('batch_size')}", f"threads{what.get('threads')}"} | ({stem} if stem else set())


def _held(predictions: Sequence[Path], records: Sequence[Record]) -> str:
    return f"{len(predictions)} predictions, {len(records)} timing records"


def as_text(result: dict[str, Any]) -> str:
    """The result in words."""
    lines = []
    for aspect in result["aspects"]:
        lines += _accuracy_lines(aspect) if aspect["aspect"] == "accuracy" else _time_lines(aspect)
        lines += [f"  can be claimed: {claim}" for claim in aspect["claims"] or ["nothing beyond these figures"]]
        lines += [f"  cannot be claimed: {limit}" for limit in aspect["limits"]]
    word = {"worse": "B is worse", "better": "B is better", "not established": "no difference established"}
    return "\n".join([*lines, word[result["verdict"]]])


def _accuracy_lines(x: dict[str, Any]) -> list[str]:
    lines = [f"accuracy on {x['images']} images ({x['method']})", *(f"  note: {n}" for n in x["notes"])]
    for side in "ab":
        s = x[side]
        seeds = (
            f", {s['seeds']} seeds, SD between seeds {100 * s['seed_sd']:.2f} points"
            if s["seed_sd"] is not None
            else ""
        )
        lines.append(
            f"  {side.upper()} {_percent(s['accuracy'])}{seeds}; calibration error {_percent(s['calibration_error'])}"
        )
    d = x["difference"]
    p = "" if x["p_value"] is None else f", exact McNemar p = {x['p_value']:.2g}"
    lines.append(f"  B - A {_points(d['estimate'])} ({_points(d['low'])} to {_points(d['high'])} points){p}")
    if "a_only_right" in x:
        lines.append(f"  only A right {x['a_only_right']}, only B right {x['b_only_right']}")
        shown = x["smallest_difference_shown"]
        text = f"{100 * shown:.2f} points" if shown is not None else "none: too few images on which they differ"
        lines.append(f"  smallest difference these images would have shown (power 80 %): {text}")
    f = x["flips"]
    first = " (first seed of each)" if x["a"]["seeds"] > 1 or x["b"]["seeds"] > 1 else ""
    lines.append(
        f"  decisions changed{first} {f['changed']}: right to wrong {f['right_to_wrong']}, wrong to right "
        f"{f['wrong_to_right']}, wrong to another wrong {f['wrong_to_other_wrong']}"
    )
    lines += [
        f"  cell {c['true']} -> {c['predicted']}: {c['a']} to {c['b']} images, {_points(c['change'])} points of the"
        f" class ({_points(c['low'])} to {_points(c['high'])}), p = {c['p_holm']:.2g} after Holm"
        for c in x["cells"]
    ]
    if not x["cells"]:
        lines.append("  no single confusion-matrix cell's change is established (Holm over all cells)")
    return lines


def _time_lines(x: dict[str, Any]) -> list[str]:
    lines = ["time per image, B relative to A"]
    for c in x["cells"]:
        r = c["ratio"]
        span = f"{r['low']:.3f} to {r['high']:.3f}" if r["low"] is not None else "no interval"
        lines.append(f"  {c['label']}: x{r['estimate']:.3f} ({span}): {c['verdict']}")
        lines += [f"    {text}" for text in [*c["reasons"], *c["notes"]]]
        if c["control_ratio"]:
            k = c["control_ratio"]
            lines.append(f"    A against itself in that run: x{k['estimate']:.3f} ({k['low']:.3f} to {k['high']:.3f})")
    return lines


def _percent(interval: dict[str, Any]) -> str:
    return f"{100 * interval['estimate']:.2f} % ({100 * interval['low']:.2f} to {100 * interval['high']:.2f})"


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.2f}"
