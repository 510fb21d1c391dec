"""skytrigger doublets"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from skytrigger.cli.outcome import Outcome
from skytrigger.runtimes.registry import DEFAULT


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _configure_train(commands.add_parser("train", help="train a filter and its boosted-trees baseline"))
    _configure_evaluate(commands.add_parser("evaluate", help="AUC and fake rejection, beside the baseline"))
    _configure_throughput(commands.add_parser("throughput", help="images/s over batch size, streams and precision"))


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        default="synthetic",
        metavar="FILE|synthetic[:COUNT]",
        help="HDF5 file of doublets (gzipped or not), or simulated ones (default)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights and the simulator (default 0)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all this process may use)")


def _configure_train(parser: argparse.ArgumentParser) -> None:
    _add_data(parser)
    parser.add_argument("--model", default="doublets_small", help="doublets_small or doublets_cnn")
    parser.add_argument("--out", required=True, help="run folder; an interrupted run there goes on")
    parser.add_argument("--channels", type=int, default=2, help="of simulated doublets: 2 or 20")
    parser.add_argument("--epochs", type=int, help="default: the network's own")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--copies", type=int, default=4, help="augmented copies of the training part (default 4)")
    parser.add_argument("--with-validation", action="store_true", help="train on the validation part too")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or auto")


def _configure_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN|MODEL.onnx", nargs="?", default="doublets", help="default: the package's")
    _add_data(parser)
    parser.add_argument(
        "--split",
        default="auto",
        choices=("auto", "train", "val", "test", "all"),
        help="auto: test where the model was trained on these very data, all otherwise",
    )
    parser.add_argument("--trees", help="trees.onnx to show beside (default: the run's own, else the package's)")
    parser.add_argument("--runtime", default=DEFAULT, help="engine of a model file")
    parser.add_argument("--out", help="folder for metrics.json, predictions.parquet and roc.png")


def _configure_throughput(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN|MODEL.onnx", nargs="?", help="default: the filter of the package")
    _add_data(parser)
    parser.add_argument("--images", type=int, default=30_000, help="images a visit works through (default 30000)")
    parser.add_argument("--batch-size", default="1,16,64,256,1000,6000,30000")
    parser.add_argument(
        "--streams", default="1,2,4,5,8", help="sessions, each with a thread (and on a GPU a CUDA stream)"
    )
    parser.add_argument("--precision", default="fp32,fp16,int8", help="of a run folder, which is exported in each")
    parser.add_argument("--runtime", default=DEFAULT, help="NAME[,NAME]")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument(
        "--transfers",
        metavar="with,without",
        help="with: images from the host, logits back; without: images on the GPU (default: both; on a CPU with)",
    )
    parser.add_argument(
        "--memory",
        metavar="pageable,page-locked",
        help="of the images on the host (default: both; on a CPU pageable)",
    )
    parser.add_argument(
        "--input-type",
        metavar="TYPE",
        help="float32 or float16, as doublets are stored (default: float16 on a GPU where the runtime takes it)",
    )
    parser.add_argument(
        "--seconds", type=float, help="a visit starts no batch after so many (default 3; 30 on a GPU: all images)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="visits of each cell, in random order (default 3)")
    parser.add_argument("--out", required=True, help="folder for records.jsonl, throughput.md and throughput.png")


def run(args: argparse.Namespace) -> Outcome:
    return {"train": _train, "evaluate": _evaluate, "throughput": _throughput}[args.action](args)


def _train(args: argparse.Namespace) -> Outcome:
    """`train` on one file, with the copies that the application trains on as options."""
    from functools import partial

    from skytrigger.cli.data_options import load_from
    from skytrigger.cli.train import recipe_from, trained
    from skytrigger.hep.doublets.application import DOUBLETS, prepare, with_validation

    args.data = [args.data]
    recipe = recipe_from(args, DOUBLETS)
    dataset, split = load_from(args, DOUBLETS)
    split = with_validation(split) if args.with_validation else split
    return trained(args, replace(DOUBLETS, prepare=partial(prepare, copies=args.copies)), dataset, split, recipe)


def _evaluate(args: argparse.Namespace) -> Outcome:
    """`evaluate` of the package's filter by default, without files where no folder is named."""
    from functools import partial

    from skytrigger.applications.registry import model_path
    from skytrigger.cli.data_options import load_data
    from skytrigger.cli.evaluate import judged
    from skytrigger.hep.doublets.application import DOUBLETS
    from skytrigger.hep.doublets.evaluation import figures_of_merit
    from skytrigger.learn.evaluate import card_of

    args.data, args.split = [args.data], None if args.split == "auto" else args.split
    model = model_path(args.model)
    application = replace(DOUBLETS, evaluation=partial(figures_of_merit, trees=args.trees))
    return judged(args, application, model, load_data(args, DOUBLETS, card_of(model)))


def _throughput(args: argparse.Namespace) -> Outcome:
    from skytrigger.core.files import write_text
    from skytrigger.core.host import cores_in_mask, host_label
    from skytrigger.core.progress import say, track
    from skytrigger.hep.doublets.application import DOUBLETS
    from skytrigger.hep.doublets.evaluation import packaged
    from skytrigger.hep.doublets.figures import throughput_png
    from skytrigger.hep.doublets.throughput import throughput
    from skytrigger.hep.doublets.throughput_plan import Plan
    from skytrigger.hep.doublets.throughput_table import markdown, table
    from skytrigger.learn.evaluate import align, card_of, part_for
    from skytrigger.learn.exporting import model_files

    plan = Plan(
        runtimes=tuple(args.runtime.split(",")),
        batches=_numbers(args.batch_size, "--batch-size"),
        streams=_numbers(args.streams, "--streams"),
        images=args.images,
        seconds=args.seconds,
        rounds=args.rounds,
        device=args.device,
        transfers=_words(args.transfers),
        memory=_words(args.memory),
        input_type=args.input_type,
    )
    out, model = Path(args.out), args.model or packaged()
    card = card_of(model)
    dataset = align(DOUBLETS.load([args.data], channels=len(card.channels), seed=args.seed), card)
    files, not_made = model_files(model, DOUBLETS, args.precision.split(","), out, dataset)
    visits = plan.rounds * sum(len(plan.cells(p, cores_in_mask())) for p in files)
    _, index = part_for(DOUBLETS, dataset, card)
    with track("throughput", visits) as advance:
        records, refused = throughput(files, dataset, plan, out, judged=index, advance=advance, seed=args.seed)
    refused = not_made | refused
    for name, why in refused.items():
        say(f"{name} is left out: {why}")
    if not records:
        return Outcome({"rows": [], "refused": refused}, "nothing could be measured", exit_code=1)
    rows = table(records)
    text = f"{host_label(records[0].where)}\n\n{markdown(rows)}"
    write_text(out / "throughput.md", text)
    throughput_png(records, out / "throughput.png")
    return Outcome({"rows": [r.to_json() for r in rows], "refused": refused, "out": str(out)}, text)


def _words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(word.strip() for word in text.split(","))


def _numbers(text: str, option: str) -> tuple[int, ...]:
    from skytrigger.core.errors import InputError

    words = text.split(",")
    if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise InputError(f"{option} {text!r}", expected="whole numbers over 0, separated by commas")
    return tuple(int(word) for word in words)
