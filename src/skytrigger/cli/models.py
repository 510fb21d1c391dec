"""skytrigger models"""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from skytrigger.cli.outcome import Outcome

WIDTH = 110
PAIRS = 6  # of confused classes that are told


def configure(parser: argparse.ArgumentParser) -> None:
    """Names to show; all by default."""
    parser.add_argument("name", nargs="*", metavar="NAME", help="only these (default: all)")


def run(args: argparse.Namespace) -> Outcome:
    """Read the packaged files' cards and the facts beside them."""
    from skytrigger.applications.models import described
    from skytrigger.core.errors import InputError

    found = described()
    names = [one["name"] for one in found]
    if unknown := [name for name in args.name if name.removesuffix(".onnx") not in names]:
        raise InputError(f"no packaged model called {unknown[0]!r}", expected=", ".join(names))
    wanted = {name.removesuffix(".onnx") for name in args.name} or set(names)
    chosen = [one for one in found if one["name"] in wanted]
    return Outcome({"models": chosen}, "\n\n".join(_text(one, bool(args.name)) for one in chosen))


def _text(one: dict[str, Any], whole: bool) -> str:
    from skytrigger.applications.models import figure_words

    answers = "; ".join(
        f"{len(head['names'])} classes" if head["kind"] == "classes" else f"{head['name']} in {head['unit']}"
        for head in one["heads"]
    )
    many = len(one["channels"])
    height, width = one["size"]
    figure, level = one["figure"], f" of {one['level']}" if one["level"] else ""
    judged = f"{figure_words(figure)}: {figure['source']}" if figure else "no figure in the package"
    takes = f"{many} channels ({', '.join(one['channels'])}) of {height}x{width}, {one['units']}{level}"
    lines = [
        f"{one['name']}  ({one['title']}, {one['bytes'] / 1000:.0f} kB, {one['precision']}, {one['sha256'][:12]})",
        *_wrapped("takes", takes),
        *_wrapped("answers", answers),
        *_wrapped("judged", judged),
    ]
    lines += _wrapped("trained", one["trained_on"]) if one["trained_on"] else []
    lines += _details(one) if whole else _wrapped("weak", _weak(one)) if "judged" in one else []
    for limit in one["limits"]:
        lines += _wrapped("limit", limit)
    return "\n".join(lines)


def _details(one: dict[str, Any]) -> list[str]:
    """What only a model that was asked for tells: its classes, its cost, its lists, where it lies."""
    lines = []
    if judged := one.get("judged"):
        classes = "; ".join(f"{name} {_share(v['recall'])} of {v['images']}" for name, v in judged["classes"].items())
        lines += _wrapped("found", classes)
        lines += _wrapped("confused", _pairs(judged["confused"]) or "no two classes in more than single images")
        error = f"expected calibration error {100 * judged['calibration_error']:.1f} % ({judged['record']})"
        lines += _wrapped("calibr.", error)
    if time := one.get("time"):
        ms = time["cpu_ms"]
        words = (
            f"{ms['estimate']:#.3g} ms ({ms['low']:#.3g} to {ms['high']:#.3g}) of CPU an image: {time['engine']}, "
            f"{time['threads']} thread, batch {time['batch']}, {time['host']} ({time['record']})"
        )
        lines += _wrapped("time", words)
    lines += _wrapped("seen", one["seen"])
    lines += _wrapped("recipe", one["recipe"]) if one["recipe"] else []
    return [*lines, *_wrapped("file", one["file"])]


def _weak(one: dict[str, Any]) -> str:
    """Where it fails most, in one line."""
    return _pairs(one["judged"]["confused"][:2]) or "no two classes in more than single images"


def _pairs(pairs: list[dict[str, Any]]) -> str:
    told = [f"{p['true']} taken for {p['taken_for']} ({p['images']} of {p['of']})" for p in pairs[:PAIRS]]
    return "; ".join([*told, *([f"{len(pairs) - PAIRS} more pairs (--json)"] if len(pairs) > PAIRS else [])])


def _share(recall: float | None) -> str:
    return "-" if recall is None else f"{100 * recall:.0f} %"


def _wrapped(word: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"  {word:<9}", subsequent_indent=" " * 11)
