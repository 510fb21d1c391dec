"""skytrigger export"""

from __future__ import annotations

import argparse
from pathlib import Path

from skytrigger.cli.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    from skytrigger.cli.data_options import add_data_arguments

    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--out", required=True, metavar="MODEL.onnx")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "fp16", "int8"))
    add_data_arguments(parser, split=False, seed=False, default=())


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.cli.data_options import load_data
    from skytrigger.core.split import split_again
    from skytrigger.learn.evaluate import align
    from skytrigger.learn.run_folder import RunFolder
    from skytrigger.study.exporting import export_run
    from skytrigger.study.models import build

    data = None
    if args.data:  # parity on its validation images, int8 ranges from its training images
        card = RunFolder(Path(args.run)).card()
        dataset = align(load_data(args), card)
        data = (dataset, split_again(dataset, card.split))
    result = export_run(args.run, build, args.out, args.precision, data)
    text = (
        f"{args.out}: {result['bytes']} bytes, {args.precision}; on {result['images']} {result['tiles']} "
        f"the largest relative error is {result['relative_error_max']:.1e}, "
        f"{result['changed_decisions']} decisions changed"
    )
    return Outcome(result, text)
