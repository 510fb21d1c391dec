"""The word ``synthetic``, where it stands for data on the command line."""

from __future__ import annotations

from dataclasses import dataclass

from skytrigger.core.errors import InputError

WORD = "synthetic"


@dataclass(frozen=True)
class Synthetic:
    """How many are to be made and by which seed; None: the maker's own choice."""

    count: int | None = None
    seed: int | None = None


def synthetic(source: str, least: int = 1, most: int = 999_999_999) -> Synthetic | None:
    """``synthetic``, ``synthetic:COUNT`` or ``synthetic:COUNT:SEED``; None where `source` is something else.

    >>> synthetic("synthetic:100")
    Synthetic(count=100, seed=None)

    Raises
    ------
    InputError
        Anything else after the word, or a count below `least` or above `most`.
    """
    word, *numbers = str(source).split(":")
    if word != WORD:
        return None
    if len(numbers) > 2 or not all(number.isdecimal() and len(number) < 10 for number in numbers):
        raise InputError(f"{source!r} is no set of data", expected=f"{WORD}, {WORD}:COUNT or {WORD}:COUNT:SEED")
    made = Synthetic(*map(int, numbers))
    if made.count is not None and not least <= made.count <= most:
        raise InputError(f"{source!r}", expected=f"{WORD}:COUNT with COUNT from {least} to {most}")
    return made
