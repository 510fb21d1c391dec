"""The model card: `model.json` of a run folder and the metadata of a model file, one contract."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.heads import CLASSES, Head, heads_of, one_head


@dataclass(frozen=True)
class ModelCard:
    """All that is needed to run a model and to refuse the wrong input.

    Attributes
    ----------
    name
        Network name, e.g. ``basic``.
    channels
        Of the input, in order.
    classes
        Names of the first head of classes, in order; empty where a network gives values only.
    size
        (h, w) in pixels.
    mean, std
        Per-channel normalisation in the data's own units: ``(x - mean) / std``.
    units
        Units of the input: ``DN``, ``rgb8``, ``ADC``.
    options
        Builder options of the network, e.g. widths of a student.
    heads
        What the network answers; by default one head of `classes`. A card of one such head is written without, as
        cards always were.
    """

    name: str
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    units: str
    data_hash: str
    split: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    precision: str = "fp32"
    versions: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    heads: tuple[Head, ...] = ()

    def __post_init__(self) -> None:
        heads, classes = heads_of(self.heads, self.classes)
        object.__setattr__(self, "heads", heads)
        object.__setattr__(self, "classes", classes)

    def head(self, name: str) -> Head:
        """The head called `name`."""
        for head in self.heads:
            if head.name == name:
                return head
        raise InputError(f"{self.name} has no head called {name!r}", expected=", ".join(h.name for h in self.heads))

    def refuse_strangers(self, channels: Sequence[str], what: str) -> None:
        """Raise InputError where `what`, of these channels, is by its channels not of the kind that the model takes.

        ``notes["refuses"]``: channel -> why data that hold it are others, e.g. B10, which only Level-1C has, of a
        network for Level-2A: the other channels have the same names there and other levels.
        """
        for channel, why in dict(self.notes.get("refuses", {})).items():
            if channel in channels:
                raise InputError(f"{what} has {channel}: {why}", remedy="another model (skytrigger models lists some)")

    def to_json(self) -> str:
        """Canonical JSON text."""
        raw = asdict(self)
        del raw["heads" if self.classes and self.heads == one_head(self.classes) else "classes"]
        return json.dumps(raw, sort_keys=True, allow_nan=False)

    @staticmethod
    def from_json(text: str, where: str) -> ModelCard:
        """Parse and check; `where` (a file name) is named in every error."""
        try:
            raw = json.loads(text)
            if not isinstance(raw, dict):
                raise TypeError("not an object")
            if "heads" in raw:
                raw = {"classes": (), **raw, "heads": tuple(Head.from_json(head) for head in raw["heads"])}
            for key in ("channels", "classes", "size", "mean", "std"):
                raw[key] = tuple(raw[key])
            card = ModelCard(**raw)
            card.check()
        except (InputError, ValueError, AttributeError, TypeError, KeyError, RecursionError) as error:
            raise InputError(f"{where}: not a valid model card: {error}") from error
        return card

    def check(self) -> None:
        """Raise ValueError where the fields contradict each other."""
        if not (len(self.channels) == len(self.mean) == len(self.std) > 0):
            raise ValueError("channels, mean and std differ in length")
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"bad size {self.size}")
        if any(head.kind == CLASSES and len(head.names) < 2 for head in self.heads):
            raise ValueError("fewer than two classes")
        if not all(s > 0 for s in self.std):
            raise ValueError("a std is not positive")
