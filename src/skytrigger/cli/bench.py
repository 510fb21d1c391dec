"""`skytrigger bench`: time (and energy) of model files on runtimes."""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skytrigger.cli.outcome import Outcome
from skytrigger.runtimes.registry import DEFAULT, RUNTIMES

if TYPE_CHECKING:
    from skytrigger.bench.options import Bench
    from skytrigger.measure.records import Record
    from skytrigger.runtimes.spec import EngineSpec


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("models", nargs="+", metavar="MODEL.onnx", help="several are measured in one run, side by side")
    parser.add_argument(
        "--input-shape", metavar="C,H,W", help="of a model file without our card whose graph does not say it"
    )
    parser.add_argument("--runtime", default=DEFAULT, help=f"NAME[,NAME] of {', '.join(RUNTIMES)}")
    parser.add_argument("--precision", help="fp32,bf16,...; default: the file's own")
    parser.add_argument("--batch-size", default="1,32", help="default 1,32")
    parser.add_argument("--threads", help="default: all cores of the mask; 1,2 measures both")
    parser.add_argument("--streams", type=int, default=1, help="batches side by side")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--scenario", default="auto", help="auto, single-stream, offline, frame-rate, streams, cold-start, stages"
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="timed seconds for each cell (default 4)")
    parser.add_argument("--rate", type=float, default=10.0, help="frames per second for frame-rate (default 10)")
    parser.add_argument("--deadline-ms", type=float, help="for frame-rate; default: the length of a frame")
    parser.add_argument("--flush", action="store_true", help="empty the caches before each timed call")
    parser.add_argument("--tiles", help=".npy with real tiles (n, c, h, w); default: drawn with the model's statistics")
    parser.add_argument("--input-type", default="float32", help="NAME[,NAME] of float32, float16, uint16, uint8")
    parser.add_argument("--stored", metavar="TYPE", help="type of the tiles in memory; casts are on the clock")
    parser.add_argument(
        "--energy-seconds", type=float, default=0.0, help="power window per cell: at least 5, better 30"
    )
    parser.add_argument("--meter-csv", help="an external meter's CSV with columns time_s, power_w")
    parser.add_argument("--no-roofline", action="store_true", help="leave out the machine's own ceilings")
    parser.add_argument("--no-control", action="store_true", help="leave out the A/A control (no claims then)")
    parser.add_argument("--out", required=True, help="folder for records.jsonl, bench.md and bench.csv")


def run(args: argparse.Namespace) -> Outcome:
    """Measure every combination."""
    from skytrigger.bench.run import Options, bench
    from skytrigger.core.errors import SkytriggerError
    from skytrigger.core.files import write_text
    from skytrigger.core.host import host_label
    from skytrigger.core.progress import track
    from skytrigger.measure.tables import markdown, to_csv

    jobs = _jobs(args)
    options = Options(
        scenario=args.scenario,
        seconds=args.seconds,
        control=not args.no_control,
        flush=args.flush,
        tiles=args.tiles,
        stored=args.stored,
        codec="skytrigger.eo.codec:codec_of",
        frame_rate_hz=args.rate,
        deadline_s=args.deadline_ms / 1e3 if args.deadline_ms else None,
        ceilings=not args.no_roofline,
        energy_seconds=args.energy_seconds,
        meter_csv=args.meter_csv,
    )
    with track("bench", len(jobs)) as advance:
        results = bench(jobs, options, advance)
    out = Path(args.out)
    if not results.records:
        reasons = {**results.unavailable, **results.failed}
        raise SkytriggerError("nothing could be measured:\n  " + "\n  ".join(f"{k}: {v}" for k, v in reasons.items()))
    write_text(out / "records.jsonl", "".join(record.to_json() + "\n" for record in results.records))
    write_text(out / "bench.csv", to_csv(results.records))
    table = markdown(results.records)
    write_text(out / "bench.md", f"Measured on {host_label(results.records[0].where)}.\n\n{table}\n")
    lines = [table, *_against_first(results.records)]
    lines += [f"not available: {label}: {why}" for label, why in results.unavailable.items()]
    lines += [f"failed: {label}: {why}" for label, why in results.failed.items()]
    lines.append(f"records: {out / 'records.jsonl'}")
    return Outcome(_data(results, out), "\n".join(lines), bool(results.failed))


def _jobs(args: argparse.Namespace) -> list[EngineSpec]:
    from skytrigger.applications.registry import model_path
    from skytrigger.core.errors import InputError
    from skytrigger.core.host import cores_in_mask
    from skytrigger.model.file import read_model
    from skytrigger.runtimes.input_type import check_input_type
    from skytrigger.runtimes.registry import runtime_names
    from skytrigger.runtimes.spec import EngineSpec

    kinds = args.input_type.split(",")
    for kind in (*kinds, *([args.stored] if args.stored else [])):
        check_input_type(kind)
    sizes = _numbers(args.batch_size, "--batch-size")
    threads = _numbers(args.threads, "--threads") if args.threads else [cores_in_mask()]
    runtimes, jobs = runtime_names(args.runtime), []
    for file in (_with_card(model_path(given), args.input_shape) for given in args.models):
        own = read_model(file).card.precision
        precisions = args.precision.split(",") if args.precision else [own]
        for runtime, precision, size, count, kind in product(runtimes, precisions, sizes, threads, kinds):
            spec = EngineSpec(file, runtime, precision, size, count, args.streams, args.device, kind)
            if spec.file_precision == own:  # an fp16 file among fp32 ones is measured as what it is
                jobs.append(spec)
    if not jobs:
        raise InputError(f"no model file holds precision {args.precision}", remedy="skytrigger export --precision ...")
    return jobs


def _with_card(path: Path, shape: str | None) -> str:
    """The file itself, or in the cache a copy with a made-up card of one that carries none."""
    import hashlib

    from skytrigger.core.files import cache_folder, write_bytes
    from skytrigger.core.progress import say
    from skytrigger.model.adopt import adopt, carries_card

    if not path.is_file() or carries_card(path):
        return str(path)
    sizes = _numbers(shape, "--input-shape") if shape else []
    content = adopt(path, shape=sizes)  # each time: its weights may lie in other files
    copy = cache_folder() / "adopted" / hashlib.sha256(content).hexdigest()[:16] / path.name
    if not copy.exists():
        write_bytes(copy, content)
    say(f"{path} carries no model card: timed on numbers drawn at random, channels and classes unnamed")
    return str(copy)


def _numbers(text: str, name: str) -> list[int]:
    from skytrigger.core.errors import InputError

    try:
        values = [int(v) for v in text.split(",")]
    except ValueError as error:
        raise InputError(f"{name} {text!r}", expected="whole numbers with commas between them") from error
    if not all(v >= 1 for v in values):
        raise InputError(f"{name} {text!r}", expected="numbers of at least 1")
    return values if name == "--input-shape" else list(dict.fromkeys(values))


def _data(results: Bench, out: Path) -> dict[str, Any]:
    from skytrigger.measure.tables import rows

    return {
        "out": str(out), "rows": rows(results.records), "unavailable": results.unavailable, "failed": results.failed,
    }  # fmt: skip


def _against_first(records: list[Record]) -> list[str]:
    """Each cell against the first of its group, measured side by side."""
    from skytrigger.bench.compare_times import TIMED, compare_times

    lines = []
    timed = [r for r in records if r.kind in TIMED]
    for run_id in dict.fromkeys(r.extra["run"] for r in timed):
        first, *others = [r for r in timed if r.extra["run"] == run_id]
        for other in others:
            cell = compare_times([first], [other])["cells"][0]
            r = cell["ratio"]
            span = f" ({r['low']:.3f} to {r['high']:.3f})" if r["low"] is not None else ""
            lines.append(f"{cell['label']}: x{r['estimate']:.3f} of the time{span}: {cell['verdict']}")
    return lines
