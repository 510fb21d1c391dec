"""Scenes through a network on native pixels against the same network on whole bands at 10 m: answers and CPU time.

The network is the packaged one with its weights in float32. Scenes: the real granule's pixels (a 160 m grid) as if they
were of 10 m, its bands of 20 and 60 m as means of their blocks, so that tiles of real ground have all resolutions,
coast, cloud and missing data; and a synthetic granule. ONNX Runtime, one lane, both ways in turn.

    python benchmarks/native_scene.py REAL_BANDS SYNTHETIC [--out results/scene/native_scene.json]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin

from skytrigger.core.files import write_json
from skytrigger.core.host import host_facts
from skytrigger.eo.bands import BY_NAME
from skytrigger.eo.packaged import packaged
from skytrigger.eo.scene.cells import Cells
from skytrigger.eo.scene.engine import Lanes, ModelFile
from skytrigger.eo.scene.opening import open_scene
from skytrigger.eo.scene.raster_band import GDAL_OPTIONS
from skytrigger.eo.scene.results import Parts
from skytrigger.eo.scene.stream import classify_rows
from skytrigger.model.export import write_model
from skytrigger.model.file import read_model
from skytrigger.model.native import with_native_inputs
from skytrigger.model.unquantise import float_model

SIDE = 684  # the largest multiple of 6 within the real granule


def mixed(source: Path, folder: Path) -> Path:
    """The real granule's bands at 10, 20 and 60 m; a block with any missing pixel is missing."""
    with open_scene(source) as scene:
        for name, band in scene.bands.items():
            factor = BY_NAME[name].resolution_m // 10
            dn = band.dn((0, SIDE), (0, SIDE)).reshape(SIDE // factor, factor, SIDE // factor, factor)
            values = np.where((dn == 0).any(axis=(1, 3)), 0, np.maximum(np.rint(dn.mean(axis=(1, 3))), 1))
            with rasterio.open(
                folder / f"{name}.tif", "w", driver="GTiff", width=values.shape[1], height=values.shape[0], count=1,
                dtype="uint16", crs="EPSG:32619", transform=from_origin(500_000, 5_300_040, 10 * factor, 10 * factor),
                compress="deflate", tiled=True, blockxsize=256, blockysize=256,
            ) as target:  # fmt: skip
                target.write(values.astype(np.uint16), 1)
    return folder


def rows_of(source: Path, model: ModelFile) -> tuple[Any, float]:
    """All cells, and CPU seconds of preparing and inferring."""
    with open_scene(source) as scene, tempfile.TemporaryDirectory() as out:
        cells = Cells(scene.grid, 64, 64)
        lanes = Lanes(model, "onnxruntime", 1, codes=False)
        start = time.process_time()
        rows, _, times = classify_rows(scene, cells, model.card.channels, 10, lanes, Parts(Path(out), "k"),
                                       lambda *a: None)  # fmt: skip
        taken = time.process_time() - start - times.decode
        lanes.close()
    return rows, taken


def compared(source: Path, plain: ModelFile, native: ModelFile, rounds: int) -> dict[str, Any]:
    """Where answers differ, and what both cost."""
    taken: dict[str, list[float]] = {"plain": [], "native": []}
    for k in range(rounds):
        for name, model in (("plain", plain), ("native", native))[:: 1 if k % 2 == 0 else -1]:
            rows, seconds = rows_of(source, model)
            taken[name].append(seconds)
            if name == "plain":
                expected = rows
            else:
                found = rows
    seen = expected.seen >= 0.5
    outer = np.ones_like(seen)
    outer[1:-2, 1:-2] = False  # the last cell is partial; what borders on it looks over the edge, too
    spread = float(expected.logits[seen].std())
    away = np.abs(found.logits - expected.logits).max(-1) / spread
    other = found.logits.argmax(-1) != expected.logits.argmax(-1)
    kinds = {"inside, whole": seen & ~outer & (expected.seen == 1), "with gaps": seen & (expected.seen < 1),
             "outermost": seen & outer & (expected.seen == 1)}  # fmt: skip
    facts = {
        kind: {"tiles": int(k.sum()), "decisions_changed": int(other[k].sum()),
               "largest_difference_in_std": float(away[k].max()) if k.any() else 0.0}
        for kind, k in kinds.items()
    }  # fmt: skip
    return {"tiles": int(seen.size), "kinds": facts, "cpu_s": taken}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", default="results/scene/native_scene.json")
    args = parser.parse_args()
    plain = float_model(read_model(packaged("eurosat_ms")), bounded=False)
    with tempfile.TemporaryDirectory() as folder, rasterio.Env(**GDAL_OPTIONS):
        path = Path(folder) / "native.onnx"
        factors = [BY_NAME[c].resolution_m // 10 for c in plain.card.channels]
        write_model(with_native_inputs(plain.graph(), factors), plain.card, path)
        native = read_model(path)
        (Path(folder) / "real").mkdir()
        sources = {"real ground": mixed(args.real, Path(folder) / "real"), "synthetic granule": args.synthetic}
        found = {name: compared(source, plain, native, args.rounds) for name, source in sources.items()}
    print(found)
    write_json(args.out, {"host": host_facts(), "runs": found})


if __name__ == "__main__":
    main()
