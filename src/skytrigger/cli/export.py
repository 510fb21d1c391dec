"""skytrigger export"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from skytrigger.cli.outcome import Outcome
from skytrigger.runtimes.registry import RUNTIMES


def configure(parser: argparse.ArgumentParser) -> None:
    from skytrigger.cli.data_options import add_data_arguments

    parser.add_argument(
        "run",
        metavar="RUN|MODEL.onnx",
        help="a run to export; a model file (packaged: its name) with --engine, --card, --native or int8",
    )
    parser.add_argument("--out", required=True, metavar="MODEL.onnx|X.engine")
    parser.add_argument(
        "--precision",
        choices=("fp32", "tf32", "bf16", "fp16", "int8"),
        help="default fp32; for an engine the file's own, or tf32 or bf16 from an fp32 file",
    )
    parser.add_argument("--card", metavar="CARD.toml", help="give this card to somebody else's ONNX file")
    parser.add_argument(
        "--native", action="store_true",
        help="of an fp32 model file of Sentinel-2 bands one whose inputs are the bands at their own resolutions "
        "(tiles_10m, tiles_20m, tiles_60m): for other engines and for devices; see docs/scenes.md",
    )  # fmt: skip
    add_data_arguments(parser, split=False, seed=False, default=())
    engine = parser.add_argument_group(
        "engines, ahead of time",
        "Build a TensorRT engine from a model file. tensorrt_rtx needs no GPU for it; tensorrt builds for this "
        "machine's GPU. It also goes into the cache (engines/ in SKYTRIGGER_CACHE or ~/.cache/skytrigger): copy "
        "X.engine and X.engine.json into that folder of the machine that runs it.",
    )
    engine.add_argument("--engine", choices=[name for name, row in RUNTIMES.items() if row.ahead])
    engine.add_argument(
        "--compute-capability", nargs="+", default=[], metavar="8.9", help="7.5, 8.0, 8.6, 8.9, 12.0, 12.1 or several"
    )
    engine.add_argument("--batch-size", type=int, default=64, help="largest batch, the one tuned for (default 64)")


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.applications.registry import model_path

    args.run = str(model_path(args.run))
    if args.native:
        return _native(args)
    return _adopted(args) if args.card else _engine(args) if args.engine else _model(args)


def _adopted(args: argparse.Namespace) -> Outcome:
    from skytrigger.core.errors import InputError
    from skytrigger.core.files import write_bytes
    from skytrigger.model.adopt import NOTE, adopt
    from skytrigger.model.card_file import read_card
    from skytrigger.model.file import read_model

    if args.engine or args.data or args.precision not in (None, "fp32"):
        raise InputError(
            "--card goes without --engine, --data and --precision",
            remedy="export with the card first, then what that wrote: skytrigger export OURS.onnx ...",
        )
    write_bytes(args.out, adopt(args.run, read_card(args.card)))
    file = read_model(args.out)
    card = file.card
    facts = {"out": args.out, "bytes": len(file.content), "sha256": file.sha256, **card.notes[NOTE]}
    size = f"{len(card.channels)} x {card.size[0]}x{card.size[1]} {card.units}"
    return Outcome(facts, f"{args.out}: {facts['bytes']} bytes; takes {size}, tells {len(card.classes)} classes")


def _native(args: argparse.Namespace) -> Outcome:
    from skytrigger.core.errors import InputError
    from skytrigger.eo.bands import BY_NAME
    from skytrigger.model.export import write_model
    from skytrigger.model.file import read_model
    from skytrigger.model.native import native_groups, with_native_inputs
    from skytrigger.model.native_student import OPTION, native_form
    from skytrigger.model.unquantise import float_model

    if args.card or args.engine or args.data:
        raise InputError("--native goes without --card, --engine and --data", remedy="export the model file first")
    file = read_model(args.run)
    card = file.card
    strange = [c for c in card.channels if c not in BY_NAME]
    if strange or card.units != "DN":
        raise InputError(f"{args.run} reads {', '.join(strange) or card.units}", expected="DN of Sentinel-2 bands")
    if file.native:
        raise InputError(f"{args.run} takes native pixels already", expected="a network on tiles")
    if card.precision == "int8":  # codes of resampled pixels are not those of native ones: weights in float32
        file = float_model(file, bounded=False)
    model = file.graph()
    if not native_form(model, card.options.get(OPTION)):
        model = with_native_inputs(model, [BY_NAME[c].resolution_m // 10 for c in card.channels])
    write_model(model, file.card, args.out)
    content = read_model(args.out).content
    groups = {
        g.input: {"bands": [card.channels[c] for c in g.channels], "pixels": g.side, "phases": g.phases}
        for g in native_groups(model)
    }
    lines = [f"{args.out}: {len(content)} bytes"]
    for g in native_groups(model):
        names = ", ".join(card.channels[c] for c in g.channels)
        lines.append(f"{g.input}: {names}, {g.side} x {g.side} pixels")
    return Outcome({"out": args.out, "bytes": len(content), "inputs": groups}, "\n".join(lines))


def _model(args: argparse.Namespace) -> Outcome:
    from skytrigger.applications.registry import application_of
    from skytrigger.cli.data_options import load_for
    from skytrigger.core.errors import InputError
    from skytrigger.learn.exporting import export_run
    from skytrigger.learn.run_folder import RunFolder
    from skytrigger.runtimes.registry import AUTOCAST

    if args.precision in AUTOCAST:
        raise InputError(f"{args.precision} is a precision of engines, not of files", remedy="--precision fp32")
    if Path(args.run).is_file():
        return _int8(args)
    precision = args.precision or "fp32"
    data = None
    card = RunFolder(Path(args.run)).card()
    application = application_of(card)
    if args.data:  # parity on its validation images, int8 ranges from its training images
        dataset = load_for(args, application, card)
        data = (dataset, application.split_again(dataset, card, None))
    result = export_run(args.run, application, args.out, precision, data)
    return _told(result, args.out)


def _int8(args: argparse.Namespace) -> Outcome:
    """Of a model file, somebody else's with a card perhaps."""
    import numpy as np

    from skytrigger.applications.registry import application_of
    from skytrigger.cli.data_options import load_for
    from skytrigger.core.errors import InputError
    from skytrigger.learn.evaluate import trained_on
    from skytrigger.learn.exporting import export_file
    from skytrigger.model.file import read_model

    card = read_model(args.run).card
    if args.precision != "int8" or not args.data:
        raise InputError(
            f"{args.run} is a model file already",
            expected="a run folder; or of a file --precision int8 --data DATA, --engine or --card",
        )
    application = application_of(card)
    dataset = load_for(args, application, card)
    own = not card.split.get("kind") or trained_on(dataset, card)  # the split of other data divides none of these
    divided = bool(own and (card.split.get("kind") or dataset.parts))
    rows = application.split_again(dataset, card, None).train if divided else np.arange(len(dataset))
    result = export_file(args.run, application, args.out, (dataset, rows))
    which = "the training images" if divided else "all images given: none of them should judge it"
    outcome = _told(result, args.out)
    return Outcome(outcome.data | {"ranges": which}, f"{outcome.text}; ranges from {which}")


def _told(result: dict[str, Any], out: str) -> Outcome:
    text = (
        f"{out}: {result['bytes']} bytes, {result['precision']}; on {result['images']} {result['tiles']} "
        f"the largest relative error is {result['relative_error_max']:.1e}, "
        f"{result['changed_decisions']} decisions changed"
    )
    return Outcome(result, text)


def _engine(args: argparse.Namespace) -> Outcome:
    from skytrigger.runtimes.tensorrt.ahead import build_ahead

    record = build_ahead(
        args.run, args.engine, args.out, tuple(args.compute_capability), args.batch_size, args.precision
    )
    key, inspector = record["key"], record["inspector"]
    lines = [
        f"{args.out}: {record['bytes']} bytes (model file {record['model_bytes']}), {args.engine} {key['version']}, "
        f"compute capability {', '.join(key['capabilities'])}, {key['precision']}, batch 1 to {args.batch_size}, "
        + (f"built in {record['build_s']:.2f} s" if record["source"] == "built" else "from the cache")
    ]
    if done := record["rewritten"]:
        lines.append(
            f"{done['ranges']} ranges made symmetric, {done['relus']} ReLUs put back, {done['biases']} float biases"
        )
    lines.append(f"{'layer':44} {'kind':14} {'precision':9} ONNX nodes fused into it")
    lines += [
        f"{layer['name']:44} {layer['kind']:14} {layer['precision']:9} {' '.join(layer['fused'])}"
        for layer in inspector["per_layer"]
    ]
    products = ", ".join(f"{count} in {name}" for name, count in inspector["products"].items())
    lines.append(f"convolutions and matrix products: {products}")
    return Outcome(record, "\n".join(lines))
