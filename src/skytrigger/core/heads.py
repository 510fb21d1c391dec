"""Heads: what a network answers. One or more, each of classes or of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from skytrigger.core.errors import InputError

CLASSES, VALUES = "classes", "values"
ONLY = "logits"  # name of the head of a network that has one
LOSSES = {CLASSES: ("cross_entropy",), VALUES: ("mean_squared", "huber", "gaussian")}


@dataclass(frozen=True)
class Head:
    """One output of a network.

    Attributes
    ----------
    name
        Of the output in model files, of the answers of a session and of the column(s) of predictions.
    kind
        ``classes``: logits, one for each of `names`. ``values``: numbers, one for each of `names`, in `unit`.
    names
        Of the classes or of the values, in order.
    unit
        Of values: ``GeV``; empty for classes.
    loss, weight
        What training minimises for this head, and its share of the sum. ``gaussian`` takes two outputs a value: mean
        and log variance.
    """

    name: str = ONLY
    kind: str = CLASSES
    names: tuple[str, ...] = ()
    unit: str = ""
    loss: str = ""
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in LOSSES:
            raise InputError(f"head {self.name!r} of kind {self.kind!r}", expected=", ".join(LOSSES))
        if not self.loss:
            object.__setattr__(self, "loss", LOSSES[self.kind][0])
        if self.loss not in LOSSES[self.kind]:
            raise InputError(f"head {self.name!r}: loss {self.loss!r}", expected=", ".join(LOSSES[self.kind]))
        if not self.names or len(set(self.names)) != len(self.names):
            raise InputError(f"head {self.name!r} names {self.names}", expected="at least one name, all different")
        if not self.weight >= 0:
            raise InputError(f"head {self.name!r}: weight {self.weight}", expected="0 or more")

    @property
    def outputs(self) -> int:
        """Numbers that the network gives for one image."""
        return len(self.names) * (2 if self.loss == "gaussian" else 1)

    def to_json(self) -> dict[str, Any]:
        """For cards."""
        return asdict(self)

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> Head:
        """Back from `to_json`."""
        return Head(**{**raw, "names": tuple(raw["names"])})


def one_head(classes: tuple[str, ...]) -> tuple[Head, ...]:
    """The only head of a classifier."""
    return (Head(ONLY, CLASSES, tuple(classes)),)


def heads_of(heads: tuple[Head, ...], classes: tuple[str, ...]) -> tuple[tuple[Head, ...], tuple[str, ...]]:
    """Heads and class names that agree.

    `classes` decide where there is one head, of classes, called ``logits`` (or none is given); everywhere else `heads`
    do, and the class names are those of the first head that has any.
    """
    if not heads:
        return one_head(classes), tuple(classes)
    if len({head.name for head in heads}) != len(heads):
        raise InputError(f"heads called {', '.join(head.name for head in heads)}", expected="all different")
    if [(head.name, head.kind) for head in heads] == [(ONLY, CLASSES)]:
        names = tuple(classes or heads[0].names)
        return (replace(heads[0], names=names),), names
    return tuple(heads), next((head.names for head in heads if head.kind == CLASSES), ())


def outputs_of(heads: tuple[Head, ...]) -> int | tuple[int, ...]:
    """What builders are told: numbers of the one head, or of each of several, in order."""
    return heads[0].outputs if len(heads) == 1 else tuple(head.outputs for head in heads)
