"""What native inputs cost and change: networks on resampled tiles against the same with the upsampling folded in.

Networks: the packaged classifier as a float one (`model.unquantise`), and model files that are named. Tiles: cells of a
synthetic granule, all with data; the reference is what `classify` gives the network: whole bands brought to 10 m and
rounded to whole DN. One thread, blocks interleaved.

    python benchmarks/native_stems.py GRANULE [--models basic.onnx ...] [--out results/scene/native.json]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import rasterio

from skytrigger.core.files import write_json
from skytrigger.core.host import host_facts
from skytrigger.eo.scene.cells import Cells, mirrored
from skytrigger.eo.scene.engine import model_for
from skytrigger.eo.scene.native_rows import ChunkReader, chunk_plan
from skytrigger.eo.scene.opening import open_scene
from skytrigger.eo.scene.raster_band import GDAL_OPTIONS
from skytrigger.eo.scene.tile_maker import TileMaker
from skytrigger.model.native import native_groups, with_native_inputs
from skytrigger.model.unquantise import float_model

BATCH = 29


def cells_of(source: Path, channels: tuple[str, ...], rows: int) -> tuple[Any, list[tuple[int, int]], dict[str, Any]]:
    """Reference tiles, where they begin, and the native rows that they lie in."""
    scene = open_scene(source)
    cells = Cells(scene.grid, 64, 64)
    maker = TileMaker(scene, cells, channels, "float32")
    plan = chunk_plan(scene, maker.names, cells)[:1]
    with rasterio.Env(**GDAL_OPTIONS):
        reader = ChunkReader(scene, maker.names, cells, plan, 2)
        (chunk,) = list(reader)
        reader.close()
    columns = np.arange(1, cells.columns - 2)
    tiles, starts = [], []
    for row in range(1, 1 + rows):
        ys = mirrored(cells.row_window(row), cells.grid.height)
        tiles.append(maker.numbers(chunk, ys, columns)[:, : len(channels)])
        starts += [(row * 64, int(c) * 64) for c in columns]
    bands = {n: (chunk.rows[n], scene.bands[n].radiometry.shift) for n in channels}
    return np.concatenate(tiles), starts, {"bands": bands, "factors": [maker.factors[n] for n in channels]}


def native_batches(
    changed: onnx.ModelProto, found: dict[str, Any], channels: tuple[str, ...], starts: list
) -> tuple[list[dict[str, Any]], list[list[int]]]:
    """Inputs by phase, and which tiles they are."""
    groups = native_groups(changed)
    by_phase: dict[tuple, list[int]] = {}
    for i, (top, left) in enumerate(starts):
        by_phase.setdefault(tuple((g.window(top)[2], g.window(left)[2]) for g in groups), []).append(i)
    batches, members = [], []
    for phase, tiles in by_phase.items():
        for k in range(0, len(tiles), BATCH):
            part = tiles[k : k + BATCH]
            inputs: dict[str, Any] = {}
            for g, p in zip(groups, phase, strict=True):
                cuts = np.empty((len(part), len(g.channels), g.side, g.side), np.float32)
                for a, i in enumerate(part):
                    (y0, y1, _), (x0, x1, _) = g.window(starts[i][0]), g.window(starts[i][1])
                    for b, c in enumerate(g.channels):
                        rows, shift = found["bands"][channels[c]]
                        cuts[a, b] = rows.pixels[y0 - rows.first : y1 - rows.first, x0:x1] + np.float32(shift)
                inputs[g.input] = cuts
                if g.phases > 1:
                    inputs["phase"] = np.array(p, np.int64)
            batches.append(inputs)
            members.append(part)
    return batches, members


def session(model: onnx.ModelProto) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def compare(name: str, model: onnx.ModelProto, channels: tuple[str, ...], data: tuple, rounds: int) -> dict[str, Any]:
    tiles, starts, found = data
    changed = with_native_inputs(model, found["factors"])
    plain, native = session(model), session(changed)
    batches, members = native_batches(changed, found, channels, starts)
    reference = np.concatenate(
        [plain.run(None, {"tiles": tiles[k : k + BATCH]})[0] for k in range(0, len(tiles), BATCH)]
    )
    logits = np.empty_like(reference)
    for inputs, part in zip(batches, members, strict=True):
        logits[part] = native.run(None, inputs)[0]
    whole = [k for k in range(len(batches)) if len(members[k]) == BATCH]
    times: dict[str, list[float]] = {"plain": [], "native": []}
    for k in range(rounds):
        start = time.process_time()
        plain.run(None, {"tiles": tiles[:BATCH]})
        middle = time.process_time()
        native.run(None, batches[whole[k % len(whole)]])
        times["plain"].append((middle - start) / BATCH)
        times["native"].append((time.process_time() - middle) / BATCH)
    spread = float(reference.std())
    result = {
        "tiles": len(tiles), "decisions_changed": int((reference.argmax(1) != logits.argmax(1)).sum()),
        "largest_difference": float(np.abs(reference - logits).max()), "logits_std": spread,
        "plain_s": times["plain"], "native_s": times["native"],
        "numbers_in": {"plain": int(np.prod(tiles.shape[1:])),
                       "native": int(sum(v[0].size for v in batches[0].values() if v.ndim == 4))},
    }  # fmt: skip
    print(name, {k: v for k, v in result.items() if not k.endswith("_s")},
          *(f"{k} {np.median(v) * 1e6:.0f} us" for k, v in times.items()))  # fmt: skip
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("granule", type=Path)
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", default="results/scene/native.json")
    args = parser.parse_args()
    packaged = model_for("eurosat_ms")
    channels = packaged.card.channels
    data = cells_of(args.granule, channels, args.rows)
    found = {
        "eurosat_ms, float": compare(
            "eurosat_ms, float", float_model(packaged, bounded=False).graph(), channels, data, args.rounds
        )
    }
    for path in args.models:
        file = model_for(path)
        found[file.card.name] = compare(file.card.name, file.graph(), file.card.channels, data, args.rounds)
    write_json(args.out, {"host": host_facts(), "runs": found})


if __name__ == "__main__":
    main()
