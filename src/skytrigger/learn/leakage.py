"""Images that a network learned from must not judge what is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.core.seen import EXAMPLES, Seen, seen_of

TITLES = {"train": "training", "val": "validation", "test": "test"}
# what another network learned from may not judge here, and what chose its epochs may not be the test
FORBIDDEN = (("train", "val"), ("train", "test"), ("val", "test"))
UNKNOWN = "{name}: not known which images it has seen (its card keeps no list)"


@dataclass(frozen=True)
class Source:
    """A network that another one learns from, by the name it was given as."""

    name: str
    card: ModelCard

    @property
    def seen(self) -> Seen | None:
        """What it has seen, and all before it."""
        return seen_of(self.card.notes, self.name)

    def leaks(self, dataset: Dataset, split: Split) -> list[str]:
        """Validation and test images of `split` that it has seen, a sentence for each kind."""
        seen = self.seen
        if seen is None:
            return []
        found = []
        for theirs, here in FORBIDDEN:
            rows = split.part(here)
            names = seen.among(dataset, rows, theirs)
            if names:
                of = f"{len(rows)} {TITLES[here]} images here"
                known = "" if seen.share == 1 else f" (its file lists one of {seen.share}, so about so many times more)"
                found.append(
                    f"{self.name}: {len(names)} of {of} are among its {TITLES[theirs]} images{known}, "
                    f"such as {', '.join(names[:EXAMPLES])}"
                )
        return found


def require_unseen(sources: Sequence[Source], dataset: Dataset, split: Split, allow: bool = False) -> tuple[str, ...]:
    """What must be said of networks that are learned from: lists that are missing, and leaks that were allowed.

    Raises
    ------
    InputError
        One of them has seen images that judge here, and that was not allowed.
    """
    leaks = [sentence for source in sources for sentence in source.leaks(dataset, split)]
    if leaks and not allow:
        raise InputError(
            "; ".join(leaks),
            expected="a network that saw none of the images it will be judged by",
            remedy="another split (--split-lists), or --allow-seen: every figure on these images is then marked",
        )
    unknown = [UNKNOWN.format(name=source.name) for source in sources if source.seen is None]
    carried = [w for source in sources if source.seen is not None for w in source.seen.warnings]
    return tuple(dict.fromkeys([*leaks, *unknown, *carried]))


def seen_after(dataset: Dataset, split: Split, sources: Sequence[Source], warnings: Sequence[str]) -> dict[str, Any]:
    """The note of a network that was trained on `split` and learned from `sources`."""
    seen = Seen.of(dataset, split)
    for source in sources:
        seen = seen.joined(source.seen)
    return Seen(seen.train, seen.val, seen.share, tuple(dict.fromkeys((*seen.warnings, *warnings)))).note()


def judged_images(card: ModelCard, name: str, dataset: Dataset, rows: NDArray[np.int64]) -> Mapping[str, Any]:
    """How many of the images that judge a network it has learned from; ``known`` False where its card keeps no list."""
    seen = seen_of(card.notes, name)
    if seen is None:
        return {"known": False, "images": None, "of": len(rows), "examples": [], "share": None, "warnings": []}
    names = seen.among(dataset, rows)
    return {"known": True, "images": len(names), "of": len(rows), "examples": names[:EXAMPLES], "share": seen.share,
            "warnings": list(seen.warnings)}  # fmt: skip
