"""Bad tiles: found, grouped, told in one error or left out."""

from __future__ import annotations

from collections.abc import Sequence

from skytrigger.core.errors import InputError
from skytrigger.core.progress import say
from skytrigger.eo.shards import Plan
from skytrigger.eo.sources import Listing

NAMED_IN_ERROR = 20
_ONE_LINE = 3  # from so many on, tiles that are bad for one reason are one line


def refuse_skipped(bad: Sequence[Sequence[str]], skip_bad: bool, *, everything: bool = False) -> None:
    """One error that names the bad tiles, or, with `skip_bad`, one line each on stderr.

    Where `everything` is bad, and for one reason, that is one line.
    """
    lines = [f"{place}: {reason}" for place, reason in bad[:NAMED_IN_ERROR]]
    if len(bad) > NAMED_IN_ERROR:
        lines.append(f"... and {len(bad) - NAMED_IN_ERROR} more")
    reasons = {reason for _, reason in bad}
    if everything and len(reasons) == 1 and len(bad) >= _ONE_LINE:
        lines = [f"every tile for one reason, such as {bad[0][0]}: {bad[0][1]}"]
    if bad and not skip_bad:
        raise InputError(
            f"{len(bad)} bad tiles:\n    " + "\n    ".join(lines),
            remedy="" if everything else "repair or remove them, or leave them out with --skip-bad",
        )
    if bad:
        say(f"left out {len(bad)} bad tiles:\n    " + "\n    ".join(lines))


def find_duplicates(plan: Plan, listing: Listing, hashes: Sequence[str], bad: dict[int, str]) -> None:
    """The second and later of equal names are bad, and of equal pixels where tiles are to be learnt from."""
    names: dict[str, int] = {}
    contents: dict[str, int] = {}
    for index, candidate in enumerate(plan.candidates):
        if index in bad:
            continue
        both = ((names, candidate.stem, "name"), (contents, hashes[index], "pixels"))
        for seen, value, what in both if listing.labels else both[:1]:
            first = seen.setdefault(value, index)
            if first != index:
                bad[index] = f"a duplicate: the same {what} as {listing.place(plan.candidates[first])}"
                break
