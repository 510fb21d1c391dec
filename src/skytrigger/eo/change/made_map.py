"""A map that `skytrigger classify` made, read back from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json
from skytrigger.eo.scene.engine import model_for
from skytrigger.eo.scene.grid import Grid, grid_of_dataset
from skytrigger.eo.scene.indices import INDICES
from skytrigger.eo.scene.raster_band import open_quietly
from skytrigger.eo.scene.reject import scene_facts

SUMMARY, RASTER, CELLS = "summary.json", "landcover.tif", "landcover.parquet"


@dataclass(frozen=True)
class MadeMap:
    """Arrays are (rows, columns).

    Attributes
    ----------
    codes
        As in landcover.tif.
    valid
        Share of each cell with data.
    indices
        Spectral indices, NaN where there is no data.
    confusion
        Of the model on its test tiles.
    """

    folder: Path
    summary: dict[str, Any]
    grid: Grid
    codes: NDArray[np.uint8]
    valid: NDArray[np.float32]
    indices: dict[str, NDArray[np.float32]]
    classes: tuple[str, ...]
    confusion: NDArray[np.int64]


def is_map(path: Path) -> bool:
    """Whether a folder holds a finished map."""
    return all((path / name).is_file() for name in (SUMMARY, RASTER, CELLS))


def read_map(folder: Path, model: str) -> MadeMap:
    """Read a map's files.

    Raises
    ------
    InputError
        Not a map, made with another model than `model`, or a model whose confusion is not known.
    """
    import pyarrow.parquet as pq

    summary = read_json(folder / SUMMARY)
    file = model_for(model)
    if summary.get("model_sha256") != file.sha256:
        raise InputError(
            f"{folder} was made with {summary.get('model')!r}, not with {model!r}", remedy="--model, the same for both"
        )
    facts = scene_facts(file)
    if facts is None:
        raise InputError(
            f"{model}: its confusion on test tiles is not known, so change cannot be told from mistakes",
            expected=f"{file.path.with_suffix('.scene.json').name} beside the model file",
        )
    with open_quietly(str(folder / RASTER)) as dataset:
        grid = grid_of_dataset(dataset, str(folder / RASTER))
        codes = dataset.read(1)
    if grid is None:
        raise InputError(f"{folder / RASTER} has no georeference")
    table = pq.read_table(folder / CELLS)
    place = tuple(np.asarray(table[name]) for name in ("row", "column"))

    def spread(name: str) -> NDArray[np.float32]:
        out = np.full(codes.shape, np.nan, np.float32)
        out[place] = np.asarray(table[name], np.float32)
        return out

    indices = {name: spread(name) for name in INDICES if name in table.column_names}
    valid = np.nan_to_num(spread("valid_fraction"))
    return MadeMap(folder, summary, grid, codes, valid, indices, file.card.classes, facts.confusion)
