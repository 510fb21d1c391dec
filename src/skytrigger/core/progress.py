"""Progress on stderr, so that stdout stays clean for results."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

Advance = Callable[..., None]  # advance(step=1, note="")


@contextlib.contextmanager
def track(label: str, total: float) -> Iterator[Advance]:
    """Show a bar with time left on stderr (a plain line at start and end where it is no terminal).

    Yields `advance(step=1, note="")`.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not sys.stderr.isatty():
        done, last = 0.0, 0

        def advance_plain(step: float = 1, note: str = "") -> None:
            nonlocal done, last
            done += step
            tenth = int(10 * done / total) if total else 10
            if tenth > last:
                last = tenth
                print(f"{label}: {min(100, 10 * tenth)} % {note}".rstrip(), file=sys.stderr, flush=True)

        yield advance_plain
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(label, total=total, note="")

        def advance(step: float = 1, note: str = "") -> None:
            progress.update(task, advance=step, note=note)

        yield advance


def say(message: str) -> None:
    """One line on stderr."""
    print(message, file=sys.stderr, flush=True)
