"""Codes and colours of a map's classes."""

from __future__ import annotations

from dataclasses import dataclass

NO_DATA = 255
REJECTED_TITLE, CLOUD_TITLE = "None of these", "Cloud"
# EuroSAT's classes; neighbours in meaning are neighbours in hue, told apart by lightness
COLOURS = {
    "AnnualCrop": "#e3c35a",
    "Forest": "#1f6b3a",
    "HerbaceousVegetation": "#9bbf65",
    "Highway": "#6a6a75",
    "Industrial": "#8e4585",
    "Pasture": "#c9dd8b",
    "PermanentCrop": "#b5762a",
    "Residential": "#d1495b",
    "River": "#4aa3df",
    "SeaLake": "#1d4f91",
}
REJECTED_COLOUR, CLOUD_COLOUR = "#3b3b3b", "#f2f2f2"
_OTHERS = ("#7f3c8d", "#11a579", "#3969ac", "#f2b701", "#e73f74", "#80ba5a", "#e68310", "#008695", "#cf1c90", "#f97b72")


@dataclass(frozen=True)
class Entry:
    """One value of the map: `key` in files, `title` for people."""

    value: int
    key: str
    title: str
    colour: str

    @property
    def rgb(self) -> tuple[int, int, int]:
        """0 to 255."""
        return tuple(int(self.colour[i : i + 2], 16) for i in (1, 3, 5))  # type: ignore[return-value]


def legend(classes: tuple[str, ...]) -> tuple[Entry, ...]:
    """The model's classes 0 ... n - 1, then what is none of them, then clouds."""
    entries = [
        Entry(i, name, _spaced(name), COLOURS.get(name, _OTHERS[i % len(_OTHERS)])) for i, name in enumerate(classes)
    ]
    n = len(classes)
    return (
        *entries,
        Entry(n, "rejected", REJECTED_TITLE, REJECTED_COLOUR),
        Entry(n + 1, "cloud", CLOUD_TITLE, CLOUD_COLOUR),
    )


def _spaced(name: str) -> str:
    """``AnnualCrop`` -> ``Annual crop``."""
    words = "".join(f" {c.lower()}" if c.isupper() and i else c for i, c in enumerate(name))
    return {"Sea lake": "Sea, lake"}.get(words, words)
