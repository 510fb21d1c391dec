"""Where the time from a tile's file to its class goes, for one session."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.tiles import decode
from skytrigger.measure.stages import Stages

LEAD_IN = 3


def stage_split(session: Any, inputs: Sequence[NDArray[np.float32]], calls: int) -> dict[str, Any]:
    """Seconds per batch of decode, prepare, compute and post, as series of a record.

    Decode reads 13-band GeoTIFF (or JPEG, for ``rgb8``) from memory with the project's own decoder; other kinds of
    data have no decode stage. Prepare picks the channels, stacks and converts to what the engine takes; post takes the
    most likely class. The copies to and from a GPU lie inside a session's compute stage.
    """
    card = session.model.card
    encode, channels = _encoder(card)
    dtype = np.uint8 if card.units == "rgb8" else np.uint16
    stages = Stages(session.synchronize)
    for i in range(calls + LEAD_IN):
        if i == LEAD_IN:
            stages.seconds.clear()
        raw = [tile.astype(dtype) for tile in inputs[i % len(inputs)]]
        if encode is not None:
            files, name = encode(raw)
            with stages("decode"):
                raw = [decode(file, name).pixels for file in files]
        with stages("prepare"):
            batch = np.stack([tile[channels] for tile in raw]).astype(session.facts["input_type"])
        with stages("compute"):
            logits = session.run(batch)
        with stages("post"):
            logits.argmax(axis=1)
    items = len(inputs[0])
    return {
        name: {"unit": s.unit, "values": [round(v, 9) for v in s.values], "items": s.items}
        for name, s in stages.samples(items).items()
    }


Encode = Callable[[list[NDArray[Any]]], tuple[list[bytes], str]]


def _encoder(card: Any) -> tuple[Encode | None, Any]:
    """How tiles of this model are written to files, and which of a file's channels the model wants."""
    if card.units == "rgb8" and len(card.channels) == 3:
        return _jpeg, slice(None)
    if card.units == "DN" and set(card.channels) <= set(EUROSAT_ORDER):
        place = [EUROSAT_ORDER.index(c) for c in card.channels]
        return partial(_tiff, place), place
    return None, slice(None)


def _tiff(place: list[int], tiles: list[NDArray[Any]]) -> tuple[list[bytes], str]:
    import tifffile

    files = []
    for tile in tiles:
        bands = np.zeros((*tile.shape[1:], len(EUROSAT_ORDER)), np.uint16)
        bands[..., place] = tile.transpose(1, 2, 0)
        file = io.BytesIO()
        tifffile.imwrite(file, bands, planarconfig="contig", photometric="minisblack")
        files.append(file.getvalue())
    return files, "tile.tif"


def _jpeg(tiles: list[NDArray[Any]]) -> tuple[list[bytes], str]:
    from PIL import Image

    files = []
    for tile in tiles:
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(tile.transpose(1, 2, 0))).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files, "tile.jpg"
