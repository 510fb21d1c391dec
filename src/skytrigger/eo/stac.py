"""Band names from a STAC item: what the item says of the asset that holds the tile's bands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json
from skytrigger.eo.bands import extra_name, spelt


def item_bands(path: str | Path) -> tuple[str, ...]:
    """Names in order, from ``eo:bands`` (``name``, ``common_name``) or ``bands`` of the one asset that has several.

    Raises
    ------
    InputError
        No STAC item; no asset of several bands, or several that differ; a band whose names say nothing, or two things.
    """
    item = read_json(path)
    if not isinstance(item, dict) or not isinstance(item.get("assets", {}), dict):
        raise InputError(f"{path} is no STAC item", expected="JSON with assets")
    places = [*item.get("assets", {}).values(), item.get("properties", {})]
    lists = [bands for place in places if isinstance(place, dict) if len(bands := _bands(place)) > 1]
    found = list(dict.fromkeys(tuple(_name(band, path) for band in bands) for bands in lists))
    if len(found) != 1:
        raise InputError(
            f"{path} has {f'{len(found)} lists of bands that differ' if found else 'no list of several bands'}",
            expected="eo:bands or bands of one asset",
            remedy="state the names: --band-names B01,B02,...",
        )
    return found[0]


def _bands(place: dict[str, Any]) -> list[Any]:
    bands = place.get("eo:bands", place.get("bands"))
    return bands if isinstance(bands, list) else []


def _name(band: Any, path: str | Path) -> str:
    keys = ("name", "common_name", "eo:common_name") if isinstance(band, dict) else ()
    texts = [str(band[key]) for key in keys if band.get(key)]
    names = dict.fromkeys(name for text in texts if (name := spelt(text) or extra_name(text)))
    if len(names) == 1:
        return next(iter(names))
    if not names and texts:
        return texts[0]
    raise InputError(f"{path}: a band called {' and '.join(map(repr, texts)) or 'nothing'}",
                     expected="names that say one band")  # fmt: skip
