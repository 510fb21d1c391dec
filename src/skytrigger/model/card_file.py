"""A card that somebody writes for a model file which has none: TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError

_OPTIONS = ("layout", "normalise", "outputs", "application")


@dataclass(frozen=True)
class Statement:
    """What a card's file says beyond the card: how the graph takes tiles and what it gives.

    Attributes
    ----------
    layout
        ``nchw`` or ``nhwc``; empty: the one that the graph's shape fits.
    normalise
        Whether ``(x - mean) / std`` is put before the graph; False where the graph takes raw units itself.
    outputs
        ``logits`` or ``probabilities``.
    """

    card: ModelCard
    layout: str = ""
    normalise: bool = False
    outputs: str = "logits"


def read_card(path: str | Path) -> Statement:
    """The card in a TOML file: name, channels, classes, size, units, and mean and std where it normalises.

    Raises
    ------
    InputError
        No TOML, an entry that is missing, unknown or contradicts another.
    """
    try:
        raw = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, whole numbers of thousands of digits
        raise InputError(f"{path} is no TOML: {error}") from error
    known = ("name", "channels", "classes", "size", "units", "mean", "std", *_OPTIONS)
    if unknown := sorted(set(raw) - set(known)):
        raise InputError(f"{path} has the entry {unknown[0]!r}", expected=", ".join(known))
    if missing := [name for name in ("channels", "classes", "size", "units") if name not in raw]:
        raise InputError(f"{path} has no entry {missing[0]!r}", expected=", ".join(known))
    normalise = bool(raw.get("normalise", False))
    if normalise and not {"mean", "std"} <= set(raw):
        raise InputError(f"{path}: normalise needs mean and std of every channel")
    outputs, layout = str(raw.get("outputs", "logits")), str(raw.get("layout", ""))
    if outputs not in ("logits", "probabilities") or layout not in ("", "nchw", "nhwc"):
        raise InputError(f"{path}: outputs {outputs!r}, layout {layout!r}",
                         expected="logits or probabilities, nchw or nhwc")  # fmt: skip
    count = len(raw["channels"])
    try:
        height, width = map(int, raw["size"])
        card = ModelCard(
            name=str(raw.get("name", "adopted")),
            channels=tuple(map(str, raw["channels"])),
            classes=tuple(map(str, raw["classes"])),
            size=(height, width),
            mean=tuple(map(float, raw.get("mean", [0.0] * count))),
            std=tuple(map(float, raw.get("std", [1.0] * count))),
            units=str(raw["units"]),
            data_hash="",
            notes={"application": str(raw.get("application", "eurosat"))},
        )
        card.check()
    except (TypeError, ValueError, InputError) as error:
        raise InputError(f"{path}: not a valid card: {error}") from error
    return Statement(card, layout, normalise, outputs)
