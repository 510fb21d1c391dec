"""What changes where a packaged INT8 network runs as a float one on tiles made on its device: answers and tiles.

Test tiles: accuracy of the INT8 file (ONNX Runtime), of the float networks that `classify --device cuda` makes of it
(float16 there; float32 in tests), all on the CPU. A few rows of a granule: tiles as Numba makes them on the CPU and as
torch does on a device, here also the CPU.

    python benchmarks/scene_device.py GRANULE --test MS_TEST.zip [--out results/scene/device.json]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skytrigger.core.files import write_json
from skytrigger.eo.load import load
from skytrigger.eo.scene.cells import Cells, mirrored
from skytrigger.eo.scene.device_tiles import DeviceTiles
from skytrigger.eo.scene.engine import model_for
from skytrigger.eo.scene.native_rows import ChunkReader, chunk_plan
from skytrigger.eo.scene.opening import open_scene
from skytrigger.eo.scene.tile_maker import TileMaker
from skytrigger.model.unquantise import float_model
from skytrigger.runtimes.open import open_session

MODELS = ("eurosat_ms", "eurosat_ms_fast")


class Kept:
    """A network on the CPU that keeps the tiles it is given."""

    device, stream = torch.device("cpu"), None

    def __init__(self) -> None:
        self.tiles: list[np.ndarray] = []

    def forward(self, tiles: Any) -> Any:
        self.tiles.append(tiles.numpy().copy())
        return torch.zeros(len(tiles), 2)


def answers(name: str, paths: list[str]) -> dict[str, Any]:
    """Right answers of the test tiles, and decisions and logits beside the INT8 file's."""
    model = model_for(name)
    data = load(paths).select(model.card.channels)
    classes = tuple(model.card.classes)
    truth = np.array([classes.index(data.classes[k]) for k in data.y])
    tiles = np.asarray(data.x, np.float32)
    int8 = open_session(model, "onnxruntime", "int8", 64, 1).run(tiles)
    found: dict[str, Any] = {"tiles": len(truth), "int8": {"right": int((int8.argmax(1) == truth).sum())}}
    for precision in ("fp32", "fp16"):
        logits = open_session(float_model(model, precision), "torch", precision, 64, 1).run(tiles)
        found[precision] = {
            "right": int((logits.argmax(1) == truth).sum()),
            "decisions_changed": int((logits.argmax(1) != int8.argmax(1)).sum()),
            "largest_difference": float(np.abs(logits - int8).max()), "logits_std": float(int8.std()),
        }  # fmt: skip
    return found


def both_ways(source: Path, rows: int) -> dict[str, Any]:
    """Tiles of the first rows of cells, made in both ways."""
    channels = model_for("eurosat_ms").card.channels
    with open_scene(source) as scene:
        cells, kept = Cells(scene.grid, 64, 64), Kept()
        there, here = DeviceTiles(scene, cells, channels, kept), TileMaker(scene, cells, channels, "float32")
        reader = ChunkReader(scene, here.names, cells, chunk_plan(scene, here.names, cells)[:1], 2)
        (chunk,) = list(reader)
        reader.close()
        low, high = cells.needed_rows(chunk.first, chunk.last)
        with torch.inference_mode():
            there.rows(there.upload(chunk, low, high), low, high, chunk.first, chunk.first + rows)
        tiles = np.concatenate(kept.tiles)
        columns = np.arange(cells.columns)
        own = [here.numbers(chunk, mirrored(cells.row_window(chunk.first + r), cells.grid.height), columns)
               for r in range(rows)]  # fmt: skip
    away = np.abs(tiles - np.concatenate(own)[:, : len(channels)])
    return {"tiles": len(tiles), "numbers": int(away.size), "differ": int((away > 0).sum()),
            "largest": float(away.max())}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("granule", type=Path)
    parser.add_argument("--test", nargs="+", required=True)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--out", default="results/scene/device.json")
    args = parser.parse_args()
    found = {"answers": {name: answers(name, args.test) for name in MODELS}, "ways": both_ways(args.granule, args.rows)}
    print(found)
    write_json(args.out, found)


if __name__ == "__main__":
    main()
