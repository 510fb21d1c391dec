"""`skytrigger pid`: particle identity and energy from calorimeter showers."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from skytrigger.cli.outcome import Outcome
from skytrigger.core.errors import InputError
from skytrigger.runtimes.registry import DEFAULT


def configure(parser: argparse.ArgumentParser) -> None:
    """One sub-command each."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    sim = commands.add_parser("simulate", help="simulate showers, cluster them, write them to a file")
    sim.add_argument("--showers", type=int, default=10_000, help="how many (default 10,000)")
    sim.add_argument("--seed", type=int, default=0, help="the same seed gives the same showers")
    sim.add_argument("--out", required=True, help=".parquet, .h5 or .root")
    sim.add_argument("--energy", default="25:400", metavar="LOW:HIGH", help="GeV, uniform (default 25:400)")
    sim.add_argument("--eta", default="1.7:2.7", metavar="LOW:HIGH", help="pseudorapidity (default 1.7:2.7)")
    sim.add_argument(
        "--mix", default="1,1,1,1", help="shares of photons, electrons, muons, charged hadrons (default 1,1,1,1)"
    )
    sim.add_argument("--pileup", type=float, default=0.0, help="mean number of other collisions (default 0)")
    sim.add_argument("--content", choices=("clusters", "hits", "both"), default="clusters", help="what is written")
    sim.add_argument("--processes", type=int, default=0, help="default: one for each core of this process")
    _configure_train(commands.add_parser("train", help="train a network on simulated showers"))
    _configure_evaluate(commands.add_parser("evaluate", help="accuracy, recall, resolution, bias, beside baselines"))
    _configure_export(commands.add_parser("export", help="a trained run as a model file, also in CMSSW's shape"))
    _configure_run(commands.add_parser("run", help="hits or layer clusters to particle and energy"))


def _configure_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default="synthetic", metavar="FILE|synthetic[:COUNT]", help="showers with truth")
    parser.add_argument("--model", default="pid_small", help="pid_small or pid_origin")
    parser.add_argument("--out", required=True, help="run folder; an interrupted run there goes on")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights and the simulator")
    parser.add_argument("--epochs", type=int, help="default: the network's own")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or auto")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all this process may use)")


def _configure_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="RUN|MODEL.onnx", nargs="?", default="hgcal_pid", help="default: the package's"
    )
    parser.add_argument("--data", default="synthetic", metavar="FILE|synthetic[:COUNT]", help="showers with truth")
    parser.add_argument("--seed", type=int, default=0, help="of the simulator, for synthetic showers")
    parser.add_argument(
        "--split", choices=("test", "val", "train", "all"), help="default: test on the data it was trained on, else all"
    )
    parser.add_argument("--trees", metavar="FILE", help="fit boosted trees on these showers and show them beside")
    parser.add_argument("--out", help="folder for metrics.json, predictions.parquet and pictures")
    parser.add_argument("--runtime", default=DEFAULT, help="engine for a model file")
    parser.add_argument("--threads", type=int)


def _configure_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN|MODEL.onnx", help="trained run, or (with --cmssw) a model file")
    parser.add_argument("--data", metavar="FILE|synthetic[:COUNT]", help="the run's showers: parity is proven on them")
    parser.add_argument("--out", required=True, help=".onnx")
    parser.add_argument("--cmssw", action="store_true", help="channels last, TICL's names and order of particles")


def _configure_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("events", metavar="EVENTS", help=".parquet, .h5 or .root with hits or clusters, a row each")
    parser.add_argument("--model", default="hgcal_pid", metavar="MODEL.onnx", help="default: the package's")
    parser.add_argument("--out", required=True, help=".parquet or .csv")
    parser.add_argument("--runtime", default=DEFAULT)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, help="default: all this process may use")


def run(args: argparse.Namespace) -> Outcome:
    """Dispatch."""
    return {"simulate": _simulate, "train": _train, "evaluate": _evaluate, "export": _export, "run": _run}[args.action](
        args
    )


def _range(name: str, text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise InputError(f"--{name} {text}", expected="LOW:HIGH") from None
    return low, high


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--mix {text}", expected="four shares, separated by commas") from None


def _simulate(args: argparse.Namespace) -> Outcome:
    from skytrigger.core.host import cores_in_mask
    from skytrigger.hep.pid.production import produce
    from skytrigger.hep.pid.simulator import Beam

    beam = Beam(_range("energy", args.energy), _range("eta", args.eta), _shares(args.mix), args.pileup)
    start = time.perf_counter()
    made = produce(
        Path(args.out), args.showers, args.seed, beam, content=args.content,
        processes=args.processes or cores_in_mask(),
    )  # fmt: skip
    seconds = time.perf_counter() - start
    data: dict[str, Any] = {"out": args.out, **made, "seconds": seconds, "showers_per_s": args.showers / seconds}
    text = (
        f"{args.showers} simulated showers ({', '.join(f'{n} {c}' for c, n in made['classes'].items())}), "
        f"{made['clusters']} layer clusters in {seconds:.1f} s: {args.showers / seconds:.0f} showers/s\n"
        f"written to {args.out}"
    )
    return Outcome(data, text)


def _train(args: argparse.Namespace) -> Outcome:
    from skytrigger.cli.train import trained
    from skytrigger.hep.pid.application import PID, default_recipe
    from skytrigger.hep.pid.data import load_showers
    from skytrigger.hep.pid.networks import LAYOUT_OF

    said = {"epochs": args.epochs, "batch_size": args.batch_size, "learning_rate": args.learning_rate}
    recipe = default_recipe(args.model, args.seed, **said)
    dataset = load_showers([args.data], seed=args.seed, layout=LAYOUT_OF.get(args.model, "ticl"))
    return trained(args, PID, dataset, PID.split(dataset, "random", args.seed), recipe)


def _evaluate(args: argparse.Namespace) -> Outcome:
    from skytrigger.applications.registry import model_path
    from skytrigger.core.files import write_json
    from skytrigger.hep.pid.data import load_showers
    from skytrigger.hep.pid.evaluation import describe, evaluate
    from skytrigger.hep.pid.figures import energies_png, pictures
    from skytrigger.hep.pid.networks import layout_of
    from skytrigger.learn.evaluate import card_of
    from skytrigger.learn.predictions import write_predictions

    model = model_path(args.model)
    size = card_of(model).size
    layout = layout_of((size[0], size[1]))
    dataset = load_showers([args.data], seed=args.seed, layout=layout)
    trees = load_showers([args.trees], layout=layout) if args.trees else None
    found, predictions = evaluate(
        model, dataset, part=args.split, trees=trees, runtime=args.runtime, threads=args.threads
    )
    if args.out:
        out = Path(args.out)
        write_predictions(out / "predictions.parquet", predictions)
        write_json(out / "metrics.json", found)
        pictures(found, out)
        truth, answers = predictions.truth, predictions.answers
        energies_png(
            truth["energy"][:, 0], answers["energy"][:, 0], truth["identity"], out / "energies.png",
            f"{found['n']} showers ({found['part']})",
        )  # fmt: skip
    return Outcome(found, describe(found))


def _export(args: argparse.Namespace) -> Outcome:
    from skytrigger.applications.registry import model_path
    from skytrigger.hep.pid.application import PID
    from skytrigger.hep.pid.cmssw import write_cmssw
    from skytrigger.hep.pid.data import load_showers
    from skytrigger.hep.pid.networks import layout_of
    from skytrigger.learn.evaluate import card_of
    from skytrigger.learn.exporting import export_run

    model, out, facts = model_path(args.model), Path(args.out), {}
    if not model.is_dir() and not args.cmssw:
        raise InputError(f"{model} is a model file", expected="a run folder, or --cmssw")
    if model.is_dir():
        data = None
        if args.data:
            size = card_of(model).size
            dataset = load_showers([args.data], layout=layout_of((size[0], size[1])))
            data = (dataset, PID.split_again(dataset, card_of(model), None))
        facts = export_run(model, PID, out, data=data)
        model = out
    if args.cmssw:
        facts |= {"bytes": write_cmssw(model, out), "cmssw": True, "model": str(out)}
    return Outcome(facts, f"{out}: {facts['bytes']} bytes")


def _run(args: argparse.Namespace) -> Outcome:
    from skytrigger.applications.registry import model_path
    from skytrigger.core.host import cores_in_mask
    from skytrigger.hep.pid.answering import answer_events

    found = answer_events(
        args.events, model_path(args.model), args.out, runtime=args.runtime, batch_size=args.batch_size,
        threads=args.threads or cores_in_mask(),
    )  # fmt: skip
    stages = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found["seconds_by_stage"].items())
    kinds = ", ".join(f"{n} {name}" for name, n in found["particles"].items())
    text = f"{found['n']} tracksters: {kinds}\n{found['showers_per_s']:.0f}/s ({stages})\nwritten to {args.out}"
    return Outcome(found, text)
