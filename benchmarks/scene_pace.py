"""A whole granule: end to end against the tile-by-tile method, and against decoding alone, in one run.

Arms, alternating, each in a process of its own. Seconds are wall clock from the start of the work to the last file,
with the imports that it needs; CPU seconds are the process's own over the same stretch. Kernels were compiled before.

- ``rival``: the algorithm of the tile-based classification app (EOEPCA), written plainly: read and resample all bands
  (GDAL cubic) into one float32 array, cut tiles of 64 x 64 (partial ones are lost), batches of 10 (the last partial
  one is lost), ONNX Runtime with its defaults, one GeoTIFF;
- ``ours``: `classify_scene`, all outputs;
- ``decode``: every block of every band once, on the same threads, nothing else;
- ``memory``: the scene six times in one process, as for several scenes; peak memory after each.

    python benchmarks/scene_pace.py GEOTIFF_FOLDER [--safe SAFE] [--zarr ZARR] [--model eurosat_ms] [--basic basic.onnx]
        [--arms geotiff,rival] [--rounds 3] [--out results/scene/granule.json]

Make the granules with ``benchmarks/scene_granule.py``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from skytrigger.core.files import write_json
from skytrigger.core.host import host_facts
from skytrigger.measure.stats import bootstrap_interval

TILE, RIVAL_BATCH = 64, 10


def rival(source: Path, model_name: str, out: Path) -> dict:
    """See the module; the tiles that it classified, and where its CPU time went."""
    import onnxruntime
    import rasterio
    from rasterio.enums import Resampling

    from skytrigger.eo.scene.engine import model_for
    from skytrigger.eo.scene.opening import open_scene

    model = model_for(model_name)
    scene = open_scene(source)  # where the files are
    marks = [time.process_time()]
    side = scene.grid.height, scene.grid.width
    stack = np.empty((len(model.card.channels), *side), np.float32)
    for i, name in enumerate(model.card.channels):
        band = scene.bands[name]
        with rasterio.open(band.reader.path) as dataset:
            stack[i] = dataset.read(1, out_shape=side, resampling=Resampling.cubic)
        stack[i] += band.radiometry.shift  # it forgets the offset; added here so that both give the same answers
    marks.append(time.process_time())
    rows, columns = side[0] // TILE, side[1] // TILE
    tiles = [
        stack[:, r * TILE : (r + 1) * TILE, c * TILE : (c + 1) * TILE] for r in range(rows) for c in range(columns)
    ]
    session = onnxruntime.InferenceSession(model.content, providers=["CPUExecutionProvider"])
    answers = []
    for first in range(0, len(tiles) - RIVAL_BATCH + 1, RIVAL_BATCH):
        batch = np.stack(tiles[first : first + RIVAL_BATCH])
        answers.append(session.run(None, {session.get_inputs()[0].name: batch})[0].argmax(1))
    marks.append(time.process_time())
    codes = np.zeros(rows * columns, np.uint8)
    found = np.concatenate(answers)
    codes[: len(found)] = found
    profile = {"driver": "GTiff", "width": columns, "height": rows, "count": 1, "dtype": "uint8", "crs": scene.grid.crs,
               "transform": rasterio.Affine(*scene.grid.coarser(TILE).transform)}  # fmt: skip
    with rasterio.open(out / "rival.tif", "w", **profile) as target:
        target.write(codes.reshape(rows, columns), 1)
    spent = {"read": marks[1] - marks[0], "infer": marks[2] - marks[1]}
    return {"tiles": len(found), "stage_cpu_s": spent}


def ours(source: Path, model: str, out: Path, reduce: int) -> dict:
    from skytrigger.eo.scene.classify import Options, classify_scene

    return classify_scene(source, model, out, Options(reduce=reduce))


def decode(source: Path, reduce: int) -> None:
    """All blocks of all bands, on as many threads as `classify_scene` uses."""
    from concurrent.futures import ThreadPoolExecutor

    from skytrigger.core.host import cores_in_mask
    from skytrigger.eo.scene.native_rows import blocks, enter_gdal
    from skytrigger.eo.scene.opening import open_scene

    scene = open_scene(source, reduce=reduce)

    def one(band, window) -> None:
        band.dn(*window)

    with ThreadPoolExecutor(cores_in_mask(), initializer=enter_gdal) as pool:
        jobs = [
            pool.submit(one, band, window)
            for band in scene.bands.values()
            for window in blocks(0, band.grid.height, band.grid.width, band.reader.block)
        ]
        for job in jobs:
            job.result()


def memory(source: Path, model: str, out: Path) -> list[float]:
    """Peak MB after one scene, two, and so on."""
    from skytrigger.eo.scene.classify import Options
    from skytrigger.eo.scene.many import close_lanes, one_scene

    peaks = []
    for number in range(6):
        one_scene(str(source), model, str(out / str(number)), vars(Options()))
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    close_lanes()
    return peaks


def arm(args: argparse.Namespace) -> None:
    """One measurement, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_SELF)
        start = time.perf_counter()
        facts: dict = {}
        if args.arm == "rival":
            facts = rival(args.geotiff, args.model, Path(folder))
        elif args.arm == "decode":
            decode(args.geotiff, args.reduce)
        elif args.arm == "memory":
            facts["peaks_mb"] = memory(args.geotiff, args.model, Path(folder))
        else:
            summary = ours(args.geotiff, args.model, Path(folder), args.reduce)
            facts = {k: summary[k] for k in ("tiles", "stages_s", "stage_cpu_s", "threads", "stream_tiles_per_s")}
            facts["engine"] = summary["engine"]["runtime"]
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(json.dumps({"seconds": seconds, "cpu_s": cpu, "peak_mb": after.ru_maxrss / 1024, **facts}))


def measure(name: str, source: Path, model: str, reduce: int = 0) -> dict:
    command = [sys.executable, __file__, str(source), "--arm", name, "--model", model, "--reduce", str(reduce)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def plan(args: argparse.Namespace) -> dict[str, tuple[str, Path, str, int]]:
    """The arms that are asked for, or all that there is data for."""
    arms = {"geotiff": ("ours", args.geotiff, args.model, 0), "geotiff decode": ("decode", args.geotiff, args.model, 0),
            "rival": ("rival", args.geotiff, args.model, 0)}  # fmt: skip
    if args.basic:
        arms["geotiff basic"] = ("ours", args.geotiff, args.basic, 0)
        arms["rival basic"] = ("rival", args.geotiff, args.basic, 0)
    if args.zarr:
        arms["zarr"] = ("ours", args.zarr, args.model, 0)
    if args.safe:
        arms |= {"jp2": ("ours", args.safe, args.model, 0), "jp2 decode": ("decode", args.safe, args.model, 0),
                 "jp2 reduce 1": ("ours", args.safe, args.model, 1)}  # fmt: skip
    return {name: arm for name, arm in arms.items() if not args.arms or name in args.arms.split(",")}


RATIOS = {
    "rival / ours": ("rival", "geotiff"), "rival / ours, basic": ("rival basic", "geotiff basic"),
    "rival / decode, GeoTIFF": ("rival", "geotiff decode"),
    "ours / decode, GeoTIFF": ("geotiff", "geotiff decode"), "ours / decode, JP2": ("jp2", "jp2 decode"),
    "JP2 / JP2 reduce 1": ("jp2", "jp2 reduce 1"),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("geotiff", type=Path)
    parser.add_argument("--safe", type=Path)
    parser.add_argument("--zarr", type=Path)
    parser.add_argument("--model", default="eurosat_ms")
    parser.add_argument("--basic", help="model file of the network basic")
    parser.add_argument("--arms", help="those to run, such as jp2,jp2 decode; default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reduce", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--out", default="results/scene/granule.json")
    args = parser.parse_args()
    if args.arm:
        arm(args)
        return
    arms = plan(args)
    measure("ours", args.geotiff, args.model)  # compiles the kernels and warms the file cache; not counted
    runs: dict[str, list[dict]] = {name: [] for name in arms}
    for number in range(args.rounds):
        for name in list(arms) if number % 2 == 0 else list(arms)[::-1]:
            runs[name].append(measure(*arms[name]))
            r = runs[name][-1]
            stages = {k: round(1e6 * v / r["tiles"]) for k, v in r.get("stage_cpu_s", {}).items()}
            print(f"{name:18} {r['seconds']:8.1f} s  {r['cpu_s']:8.1f} CPU s  {r['peak_mb']:7.0f} MB", end="  ")
            print(f"ms a 1,000 tiles {stages}" if stages else "", flush=True)
    ratios = {}
    for name, (a, b) in RATIOS.items():
        if a in runs and b in runs:
            for key in ("seconds", "cpu_s"):
                values = np.log([x[key] / y[key] for x, y in zip(runs[a], runs[b], strict=True)])
                low_high = bootstrap_interval(values) if len(values) > 1 else None
                ratios[f"{name} ({key})"] = {
                    "ratio": float(np.exp(values.mean())),
                    "interval": [float(np.exp(low_high.low)), float(np.exp(low_high.high))] if low_high else None,
                    "pairs": len(values),
                }
    for name, r in ratios.items():
        print(f"{name:36} {r['ratio']:6.2f} {r['interval'] or ''}")
    write_json(args.out, {"host": host_facts(), "runs": runs, "ratios": ratios})


if __name__ == "__main__":
    main()
