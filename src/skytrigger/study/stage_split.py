"""Where the time from a tile's file to its class goes, for one session."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.measure.stages import Stages

LEAD_IN = 3


def stage_split(session: Any, inputs: Sequence[NDArray[np.float32]], calls: int) -> dict[str, Any]:
    """Seconds per batch of decode, prepare, compute and post, as series of a record.

    Decode reads GeoTIFF (or JPEG, for ``rgb8``) from memory with the project's own decoder; other kinds of data have
    no decode stage. Prepare stacks and converts to float32; post takes the most likely class. The copies to and from
    a GPU lie inside a session's compute stage.
    """
    card = session.model.card
    encode = _encoder(card.units)
    dtype = np.uint8 if card.units == "rgb8" else np.uint16
    stages = Stages(session.synchronize)
    for i in range(calls + LEAD_IN):
        if i == LEAD_IN:
            stages.seconds.clear()
        raw = [tile.astype(dtype) for tile in inputs[i % len(inputs)]]
        if encode is not None:
            from skytrigger.eo.tiles import decode

            files, name = encode(raw)
            with stages("decode"):
                raw = [decode(file, name).pixels for file in files]
        with stages("prepare"):
            batch = np.stack(raw).astype(np.float32)
        with stages("compute"):
            logits = session.run(batch)
        with stages("post"):
            logits.argmax(axis=1)
    items = len(inputs[0])
    return {
        name: {"unit": s.unit, "values": [round(v, 9) for v in s.values], "items": s.items}
        for name, s in stages.samples(items).items()
    }


def _encoder(units: str) -> Callable[[list[NDArray[Any]]], tuple[list[bytes], str]] | None:
    if units == "rgb8":
        return _jpeg
    return _tiff if units == "DN" else None


def _tiff(tiles: list[NDArray[Any]]) -> tuple[list[bytes], str]:
    import tifffile

    files = []
    for tile in tiles:
        file = io.BytesIO()
        tifffile.imwrite(file, tile.transpose(1, 2, 0), planarconfig="contig", photometric="minisblack")
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
