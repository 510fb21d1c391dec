"""A dataset from what is named on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from skytrigger.core.dataset import HELD, Dataset
from skytrigger.core.errors import InputError
from skytrigger.core.files import cache_folder, sha256_file, sha256_json
from skytrigger.core.progress import say
from skytrigger.core.synthetic import Synthetic, synthetic
from skytrigger.eo.bad_tiles import refuse_skipped
from skytrigger.eo.bands import EUROSAT_ORDER, EXTRAS, GREY, select_bands
from skytrigger.eo.hashes import source_hashes
from skytrigger.eo.pack import pack_key, pack_listing
from skytrigger.eo.reading import Reading, names_of
from skytrigger.eo.sources import list_sources
from skytrigger.eo.store import is_store, open_store, save_store


def load(
    paths: Sequence[str],
    *,
    bands: str = "all",
    skip_bad: bool = False,
    workers: int | None = None,
    band_names: str | Sequence[str] = (),
    scale: float | None = None,
    max_no_data: float = 0.5,
    labels: bool = True,
) -> Dataset:
    """Open tiles, packing them first where they are not packed yet.

    Parameters
    ----------
    paths
        Each a folder, zip or tar of tiles in class folders at any depth, a folder inside an archive
        (``x.zip/EuroSAT``), or a packed store (the union is opened); or the one word ``synthetic``
        (``synthetic:COUNT``, ``synthetic:COUNT:SEED``).
    bands
        ``all``, ``rgb`` or a list such as ``B02,B03,B04``; matched by name.
    skip_bad
        Leave bad tiles out and list them on stderr, instead of refusing.
    workers
        Processes that pack; the machine's cores when None.
    band_names, scale, max_no_data, labels
        What is stated about the files: see `eo.reading.Reading`.

    Returns
    -------
    Dataset
        ``x`` (n, c, h, w) in the files' own type, memory-mapped; tiles in order of class and number, so that the same
        tiles from a folder and from a zip are the same dataset, hash included.

    Raises
    ------
    InputError
        A path is unusable, tiles are bad (all in one error), a store is damaged, a band is missing.
    """
    texts = [str(path) for path in paths]
    if not texts:
        raise InputError("no data given", expected="a folder or zip of tiles, a packed store, or synthetic")
    reading = Reading(names_of(band_names), scale, max_no_data, labels)
    asked = bands.strip().lower() not in ("all", "rgb")
    if asked and not reading.band_names and not any(is_store(Path(text)) for text in texts):
        select_bands(bands, (*EUROSAT_ORDER, *EXTRAS, GREY))  # a misspelt band is refused before hours of packing
    made_up = [made for text in texts if (made := synthetic(text))]
    if made_up:
        if len(texts) > 1:
            raise InputError(f"{' '.join(texts)}: generated tiles are not mixed with others")
        data = _synthetic(made_up[0])
    elif len(texts) == 1 and is_store(Path(texts[0])):
        if stated := reading.stated():
            raise InputError(
                f"{texts[0]} is packed: {' and '.join(stated)} cannot be stated any more", remedy="pack the files again"
            )
        data = open_store(Path(texts[0]))
        refuse_skipped(data.source.get("skipped", ()), True)
    else:
        data = _packed(texts, skip_bad, workers, reading)
    chosen = data.select(select_bands(bands, data.channels))
    if len(chosen.channels) == len(data.channels):
        return chosen
    return replace(chosen, source={**chosen.source, HELD: list(data.channels)})


def _packed(paths: Sequence[str], skip_bad: bool, workers: int | None, reading: Reading) -> Dataset:
    """The union of `paths`, from the cache where the same content was packed before."""
    listing = list_sources(paths, labels=reading.labels)
    hashes = source_hashes(listing)
    out = cache_folder() / "tiles" / pack_key(listing, hashes, reading)[:32]
    if not is_store(out):
        return pack_listing(listing, hashes, out, skip_bad=skip_bad, workers=workers, reading=reading)
    data = open_store(out)
    refuse_skipped(data.source["skipped"], skip_bad)
    return data


def _synthetic(made: Synthetic) -> Dataset:
    """Generated tiles, kept in the cache: making 800 takes seconds, opening them none."""
    from skytrigger.eo import synthetic as maker

    arguments = {name: number for name, number in asdict(made).items() if number is not None}
    sources = sorted(Path(maker.__file__).parent.glob("*.py"))
    key = sha256_json([arguments, np.__version__, *(sha256_file(path) for path in sources)])
    out = cache_folder() / "synthetic" / key[:32]
    if not is_store(out):
        say("generating synthetic tiles")
        save_store(maker.make(**arguments), out)
    return open_store(out)
