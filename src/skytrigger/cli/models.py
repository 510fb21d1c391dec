"""skytrigger models"""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from skytrigger.cli.outcome import Outcome

WIDTH = 110


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
    return Outcome({"models": chosen}, "\n\n".join(_text(one) for one in chosen))


def _text(one: dict[str, Any]) -> str:
    from skytrigger.applications.models import figure_words

    answers = "; ".join(
        f"{len(head['names'])} classes" if head["kind"] == "classes" else f"{head['name']} in {head['unit']}"
        for head in one["heads"]
    )
    many = len(one["channels"])
    height, width = one["size"]
    figure = one["figure"]
    judged = f"{figure_words(figure)}: {figure['source']}" if figure else "no figure in the package"
    lines = [
        f"{one['name']}  ({one['title']}, {one['bytes'] / 1000:.0f} kB, {one['precision']}, {one['sha256'][:12]})",
        *_wrapped("takes", f"{many} channels ({', '.join(one['channels'])}) of {height}x{width}, {one['units']}"),
        *_wrapped("answers", answers),
        *_wrapped("judged", judged),
    ]
    lines += _wrapped("trained", one["trained_on"]) if one["trained_on"] else []
    for limit in one["limits"]:
        lines += _wrapped("limit", limit)
    return "\n".join(lines)


def _wrapped(word: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"  {word:<9}", subsequent_indent=" " * 11)
