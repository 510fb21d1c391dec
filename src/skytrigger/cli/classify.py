"""skytrigger classify"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from skytrigger.cli.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "scenes", nargs="+", metavar="SCENE",
        help="SAFE folder or zip, EOPF Zarr, folder of band files, raster with named bands, STAC item",
    )  # fmt: skip
    parser.add_argument("--model", default="eurosat_ms", metavar="NAME|MODEL.onnx", help="default: eurosat_ms")
    parser.add_argument("--out", required=True, help="folder for the map; with several scenes one folder each in it")
    parser.add_argument("--stride", type=int, help="pixels of a cell: 64 (default), or 32, 16 for overlapping tiles")
    parser.add_argument("--reduce", type=int, default=0, help="decode at 1/2 (1) or 1/4 (2) of the resolution")
    parser.add_argument("--offset", default="metadata", help="metadata (default), none, or DN to add such as -1000")
    parser.add_argument(
        "--force", action="store_true", help="go on where the data contradict the metadata's offset or their checksums"
    )
    parser.add_argument("--runtime", help="default: openvino where installed, else onnxruntime; torch on a GPU")
    parser.add_argument("--threads", type=int, help="default: the cores of this process")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N: there bands are resampled, too")
    parser.add_argument("--clouds", default="rules", help="rules (SCL, else thresholds) or omnicloudmask (an extra)")
    parser.add_argument("--scheduler", metavar="local|ADDRESS", help="Dask: one scene a task")


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.core.errors import InputError
    from skytrigger.eo.scene.classify import Options, classify_scene

    if args.threads is not None and not 1 <= args.threads <= 256:
        raise InputError(f"--threads {args.threads}", expected="1 to 256")
    options = Options(args.stride, args.reduce, args.offset, args.force, args.runtime, args.threads, args.device,
                      args.clouds)  # fmt: skip
    if len(args.scenes) == 1 and args.scheduler is None:
        summary = classify_scene(args.scenes[0], args.model, args.out, options)
        return Outcome(summary, report(summary, Path(args.out)))
    from skytrigger.eo.scene.many import classify_scenes

    found = classify_scenes(args.scenes, args.model, args.out, options, args.scheduler)
    lines = [
        f"{r['scene']}: {r['error']}" if "error" in r else f"{r['scene']}: {r['tiles']:,} tiles, {r['seconds']:.1f} s"
        for r in found["scenes"]
    ]
    lines.append(f"{found['done']} done, {found['failed']} failed: {Path(args.out) / 'scenes.json'}")
    return Outcome(found, "\n".join(lines), exit_code=1 if found["failed"] else 0)


def report(summary: dict[str, Any], out: Path) -> str:
    """What a person reads."""
    area = summary["area_km2"]
    interval = summary["area_interval_95_km2"] or {}
    counts = ", ".join(f"{summary[f'tiles_{k}']:,} {k.replace('_', ' ')}" for k in ("no_data", "cloud", "rejected"))
    lines = [
        f"{summary['scene']}: {summary['tiles']:,} tiles in {summary['seconds']:.1f} s "
        f"({summary['tiles_per_s']:,.0f} tiles/s); {counts}",
        f"{'class':22} {'km2 mapped':>12}   true area, 95 %",
    ]
    for name, value in sorted(area.items(), key=lambda kv: -kv[1]):
        low_high = f"{interval[name][0]:,.1f} to {interval[name][1]:,.1f}" if name in interval else ""
        lines.append(f"{name:22} {value:12,.1f}   {low_high}")
    lines += [f"note: {n}" for n in summary["notes"]]
    lines.append(f"{out / 'map.html'}")
    return "\n".join(lines)
