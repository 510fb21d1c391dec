"""The packaged models of every application, described: what they take and answer, how well, and where that ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skytrigger.applications.registry import applications
from skytrigger.core.application import Application
from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import HELD, Dataset
from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json
from skytrigger.core.seen import seen_of
from skytrigger.model.file import read_model

SUFFIX = ".facts.json"  # beside the model file: what its card does not say
DETAILS = "details.json"  # beside all of them, by SHA-256: where each fails and what it costs, from the records
LEVELS = {True: "Level-1C, top of the atmosphere", False: "Level-2A, surface"}


def described() -> list[dict[str, Any]]:
    """Of each packaged model: file, input, heads, the figure on images that trained and chose nothing, limits.

    Raises
    ------
    InputError
        A model file or the facts beside it are not valid.
    """
    return [
        {"name": name, "application": one.name, "title": one.title, **describe(path)}
        for one in applications().values()
        for name, path in one.packaged.items()
    ]


def fitting(application: Application, dataset: Dataset) -> list[str]:
    """Names of the application's packaged models that take these images: units, size and channels."""
    found = []
    for name, path in application.packaged.items():
        card = read_model(path).card
        held = dataset.source.get(HELD, dataset.channels)
        strange = any(channel in held for channel in card.notes.get("refuses", {}))
        same = (card.units, tuple(card.size)) == (dataset.units, tuple(dataset.x.shape[2:]))
        if same and not strange and set(card.channels) <= set(dataset.channels):
            found.append(name)
    return found


def describe(path: Path) -> dict[str, Any]:
    """Of one model file, from its card and the facts beside it."""
    model = read_model(path)
    card, facts = model.card, facts_of(path, model.sha256)
    heads = [
        {"name": h.name, "kind": h.kind, "names": list(h.names), **({"unit": h.unit} if h.unit else {})}
        for h in card.heads
    ]
    return {
        "file": str(path), "bytes": len(model.content), "sha256": model.sha256, "precision": card.precision,
        "channels": list(card.channels), "units": card.units, "size": list(card.size), "heads": heads,
        "figure": facts.get("figure") or figure_of(card), "trained_on": facts.get("trained_on") or trained_on(card),
        "recipe": facts.get("recipe"), "limits": facts.get("limits", []), "level": level_of(card),
        "seen": seen_words(card), **details_of(path, model.sha256),
    }  # fmt: skip


def level_of(card: ModelCard) -> str | None:
    """Of a network for DN of Sentinel-2's bands: B10 is in Level-1C alone; None where its channels do not tell."""
    refused = "B10" in card.notes.get("refuses", {})
    return LEVELS["B10" in card.channels] if card.units == "DN" and (refused or "B10" in card.channels) else None


def seen_words(card: ModelCard) -> str:
    """Which list the card keeps of the images that it and all before it have learned from."""
    seen = seen_of(card.notes, card.name)
    if seen is None:
        return "no list: leakage cannot be found"
    share = "all" if seen.share == 1 else f"one of {seen.share}"
    return f"{share} of the names it learned from ({len(seen.train):,}) and that chose it ({len(seen.val):,})"


def details_of(path: Path, sha256: str) -> dict[str, Any]:
    """``judged`` (calibration error, each class, which is taken for which) and ``time``; empty of another file."""
    file = path.with_name(DETAILS)
    found = read_json(file).get(sha256, {}) if file.is_file() else {}
    return {key: found[key] for key in ("judged", "time") if key in found}


def facts_of(path: Path, sha256: str) -> dict[str, Any]:
    """``NAME.facts.json`` beside the model file; nothing where there is none.

    Raises
    ------
    InputError
        It is not valid, or of another model file.
    """
    file = path.with_suffix(SUFFIX)
    if not file.is_file():
        return {}
    found = read_json(file)
    if not isinstance(found, dict) or not isinstance(found.get("limits"), list):
        raise InputError(f"{file} is not valid", expected="an object with a list called limits")
    if found.get("model_sha256") != sha256:
        raise InputError(f"{file} is of another model file than {path}")
    return found


def figure_of(card: ModelCard) -> dict[str, Any] | None:
    """The figure that a card of a packaged classifier carries; None where it has none."""
    if "test" in card.notes:
        test = card.notes["test"]
        low, high = test["interval_95"]
        return {"metric": "accuracy", "value": test["accuracy"], "low": low, "high": high, "n": test["images"],
                "source": test["what"], "engine": test["engine"]}  # fmt: skip
    if "test_part" in card.notes:
        test = card.notes["test_part"]
        low, high = test["intervals_95"]["auc"]
        return {"metric": "auc", "value": test["auc"], "low": low, "high": high, "n": test["n"],
                "source": test["what"]}  # fmt: skip
    return None


def trained_on(card: ModelCard) -> str:
    """In words, as the card says; empty where it does not."""
    return str(card.notes.get("trained_on") or card.notes.get("source_of_data") or "")


def figure_words(figure: dict[str, Any] | None) -> str:
    """``accuracy 94.2 % (90.8 to 96.4) of 276``; of an area under the curve its own value."""
    if figure is None:
        return "no figure"
    value, low, high = (figure[key] for key in ("value", "low", "high"))
    if figure["metric"] == "auc":
        return f"AUC {value:.3f} ({low:.3f} to {high:.3f}) of {figure['n']:,}"
    return f"{figure['metric']} {100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f}) of {figure['n']:,}"
