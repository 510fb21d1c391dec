"""What accuracy is left when JPEG 2000 bands are decoded at half or a quarter of their resolution (`--reduce 1`, `2`)?

Test tiles of EuroSAT, each framed by its own mirror images so that interpolation sees no neighbour, side by side in one
scene: bands brought back to 10, 20 and 60 m (block means), written as JPEG 2000 with the 5/3 wavelet, read back by the
stream of `classify_scene` at each reduction. The first figure is the tiles as they are, the second the way there and
back alone.

    python benchmarks/scene_reduce.py --test MS_TEST.zip [--model eurosat_ms] [--out results/scene/reduce.json]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from skytrigger.core.dataset import Dataset
from skytrigger.core.files import write_json
from skytrigger.core.host import cores_in_mask
from skytrigger.eo.bands import BY_NAME
from skytrigger.eo.load import load
from skytrigger.eo.scene.cells import Cells
from skytrigger.eo.scene.engine import Lanes, default_runtime, model_for
from skytrigger.eo.scene.opening import open_scene
from skytrigger.eo.scene.results import Parts
from skytrigger.eo.scene.stream import classify_rows
from skytrigger.measure.stats import wilson

TILE, FRAME = 64, 3  # cells a side of a framed tile


def framed(tiles: np.ndarray, across: int) -> np.ndarray:
    """One band of all tiles, each in the middle of its frame of mirror images, row by row."""
    rows = -(-len(tiles) // across)
    side = TILE * FRAME
    out = np.zeros((rows * side, across * side), tiles.dtype)
    for k, tile in enumerate(tiles):
        r, c = divmod(k, across)
        out[r * side : (r + 1) * side, c * side : (c + 1) * side] = np.pad(tile, TILE, mode="symmetric")
    return out


def write_scene(data: Dataset, folder: Path, across: int) -> None:
    for name in data.channels:
        factor = BY_NAME[name].resolution_m // 10
        band = framed(np.asarray(data.x[:, data.channels.index(name)]), across)
        h, w = (n // factor for n in band.shape)
        native = band.reshape(h, factor, w, factor).mean(axis=(1, 3)).round().astype(np.uint16)
        with rasterio.open(
            folder / f"{name}.jp2", "w", driver="JP2OpenJPEG", width=w, height=h, count=1, dtype="uint16", QUALITY=100,
            REVERSIBLE="YES", crs="EPSG:32633", transform=from_origin(499_980, 5_300_040, 10 * factor, 10 * factor),
        ) as target:  # fmt: skip
            target.write(native, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", nargs="+", required=True)
    parser.add_argument("--model", default="eurosat_ms")
    parser.add_argument("--across", type=int, default=17)
    parser.add_argument("--out", default="results/scene/reduce.json")
    args = parser.parse_args()
    model = model_for(args.model)
    data = load(args.test).select(model.card.channels)
    truth = np.array([model.card.classes.index(data.classes[k]) for k in data.y])
    lanes = Lanes(model, default_runtime(), cores_in_mask())
    plain = lanes.logits(0)(np.asarray(data.x, np.float32)).argmax(1)
    answers = {"tiles as they are": plain}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "scene").mkdir()
        write_scene(data, folder / "scene", args.across)
        for reduce in (0, 1, 2):
            scene = open_scene(folder / "scene", reduce=reduce)
            cells = Cells(scene.grid, TILE, TILE)
            parts = Parts(folder / f"parts{reduce}", "key")
            count = len(model.card.classes)
            rows, _, _ = classify_rows(scene, cells, model.card.channels, count, lanes, parts, lambda *_: None)
            middle = rows.logits[1::FRAME, 1::FRAME].argmax(-1)
            answers[f"reduce {reduce}"] = middle.reshape(-1)[: len(data)]
    result = {"model": args.model, "runtime": lanes.facts["runtime"], "tiles": len(data), "rows": []}
    for name, found in answers.items():
        right = int((found == truth).sum())
        interval = wilson(right, len(data))
        changed = int((found != plain).sum())
        result["rows"].append({"what": name, "correct": right, "accuracy": right / len(data), "low": interval.low,
                               "high": interval.high, "decisions_changed": changed})  # fmt: skip
        print(f"{name:18} {100 * right / len(data):5.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f}), "
              f"{changed} decisions other than on the tiles as they are")  # fmt: skip
    write_json(args.out, result)


if __name__ == "__main__":
    main()
