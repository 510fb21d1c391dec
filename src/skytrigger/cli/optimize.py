"""skytrigger optimize"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skytrigger.cli.outcome import Outcome

if TYPE_CHECKING:
    from skytrigger.core.application import Application
    from skytrigger.core.card import ModelCard
    from skytrigger.core.dataset import Dataset, Split
    from skytrigger.optimize.problem import Problem
    from skytrigger.optimize.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    from skytrigger.cli.data_options import add_data_arguments

    parser.add_argument("run", metavar="RUN|MODEL.onnx", help="the trained network that is to be replaced")
    parser.add_argument(
        "--max-drop", required=True, metavar="POINTS", help="accuracy, AUC x 100 or resolution to lose; HEAD=POINTS,..."
    )
    parser.add_argument("--out", required=True, help="folder; an interrupted search there goes on")
    add_data_arguments(parser, split=False, seed=False)
    parser.add_argument(
        "--split-lists", nargs="+", metavar="FILE",
        help="TRAIN VAL [TEST]: those that RUN was trained with; of other data than its own, those that divide them",
    )  # fmt: skip
    parser.add_argument("--split", help="random, spatial or folders: how other data than RUN's own are divided")
    parser.add_argument(
        "--teacher", nargs="+", default=[], metavar="RUN|MODEL.onnx",
        help="students learn from these (default: from RUN), where that helps; none may have seen the test images",
    )  # fmt: skip
    parser.add_argument(
        "--allow-seen", action="store_true",
        help="go on where RUN or a teacher learned from validation or test images; everything then says so",
    )  # fmt: skip
    parser.add_argument("--metric", help="of every head (default: the application's; auc for doublets, else accuracy)")
    parser.add_argument("--effort", default="normal", help="quick, normal or thorough: minutes, half an hour, hours")
    parser.add_argument("--strict", action="store_true", help="choose only what validation data establish")
    parser.add_argument("--batch-size", default="64", help="64,256: images in flight to try (default 64)")
    parser.add_argument("--runtime", help="NAME[,NAME] (default: the stock engines that are installed)")
    parser.add_argument("--precision", default="fp32,int8", help="fp32,int8,bf16,fp16 (default fp32,int8)")
    parser.add_argument("--threads", help="1,2: threads of a stream to try (default: 1 and all cores)")
    parser.add_argument("--streams", help="1,2: batches side by side to try (default: 1 and all cores)")
    parser.add_argument(
        "--stored", action="store_true",
        help="time from tiles as the data stores them: engines that take them so, and casts for the others",
    )  # fmt: skip
    parser.add_argument(
        "--bands-candidates", nargs="+", metavar="auto|none|rgb|B02,...", default=["auto"],
        help="channel subsets to try beside all of the network's (default: ranked on the training part)",
    )  # fmt: skip
    parser.add_argument("--device", default="cpu", help="cpu, cuda, gpu or npu (OpenVINO's names)")
    parser.add_argument("--energy-seconds", type=float, default=0.0, help="power window of each engine in the last run")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.core.progress import say, track
    from skytrigger.optimize.optimise import optimise, total_cost
    from skytrigger.report.optimize_page import write_search_page

    problem, augment = _problem(args)
    settings = _settings(args, problem, augment)
    if levels := problem.levels():
        say(f"warning: {levels}")  # before hours of search, too
    if problem.metric.name == "accuracy" and (least := problem.least_drop()) > settings.max_drop:
        say(
            f"warning: {len(problem.split.val)} validation images can exclude no drop smaller than {least:.1f} points, "
            f"even if no answer differed, and {settings.max_drop:g} are asked for: more of them decide it"
        )
    with track("optimize", total_cost(settings)) as advance:
        found = optimise(problem, settings, args.out, threads=max(settings.threads), advance=advance)
    pages = write_search_page(args.out)
    return Outcome({**found, "out": str(args.out)}, describe(found, pages), exit_code=failed(found))


def failed(found: dict[str, Any]) -> int:
    """1 where the test part contradicts the choice."""
    return int(found["test"]["verdict"] == "below")


def describe(found: dict[str, Any], pages: list[Path]) -> str:
    """The choice in a few lines."""
    winner, given = found["winner"], found["given"]
    metric = found["problem"]["metric"]
    lines = [
        f"{winner['name']}: {winner['ms_per_image']['estimate']:.4f} ms/image, {winner['bytes'] / 1000:.0f} kB, "
        f"{winner['runtime']} {winner['precision']}; validation {metric} {100 * winner[metric]['estimate']:.2f} "
        f"(given network {100 * given[metric]['estimate']:.2f})",
        f"validation: {winner['sentence']}",
        f"test: {found['test']['sentence']}",
    ]
    for row in found["ratios"]:
        times = row["times"]
        span = f" ({times['low']:.1f} to {times['high']:.1f})" if times["low"] is not None else ""
        lines.append(f"{times['estimate']:.1f} times faster{span} than {row['against']} [{row['run']}]")
    if winner["name"] == "given":
        lines.append("no smaller network held the floor faster: the given network stays, on its fastest engine")
    lines += [f"warning: {found['levels']}"] if found.get("levels") else []
    lines += [f"leakage: {warning}" for warning in found.get("leakage", ())]
    return "\n".join([*lines, f"report: {pages[0]}"])


def _settings(args: argparse.Namespace, problem: Problem, augment: bool) -> Settings:
    from skytrigger.core.errors import InputError
    from skytrigger.core.extras import find
    from skytrigger.core.host import cores_in_mask
    from skytrigger.optimize.settings import Settings
    from skytrigger.runtimes.registry import RUNTIMES, runtime_names

    cores = cores_in_mask()
    stock = tuple(r.name for r in RUNTIMES.values() if r.searched and find(r.package) is not None)
    names = runtime_names(args.runtime) if args.runtime else stock
    threads = _numbers(args.threads, "--threads") or tuple(sorted({1, cores}))
    if max(threads) > cores:
        raise InputError(f"--threads {max(threads)}", expected=f"at most {cores}, the cores of this mask")
    drop, drops = _drops(args.max_drop, tuple(problem.floors))
    return Settings(
        max_drop=drop, max_drops=drops, effort=args.effort, strict=args.strict, threads=threads,
        batch_sizes=tuple(dict.fromkeys(_numbers(args.batch_size, "--batch-size"))),
        streams=_numbers(args.streams, "--streams") or tuple(sorted({1, max(threads)})), runtimes=names,
        precisions=tuple(args.precision.split(",")), device=args.device, seed=args.seed, stored=args.stored,
        bands=_bands(args.bands_candidates, problem.card.channels), augment=augment,
        energy_seconds=args.energy_seconds,
    )  # fmt: skip


def _drops(text: str, heads: tuple[str, ...]) -> tuple[float, dict[str, float]]:
    """``0.2`` for every head, or ``identity=0.2,energy=1``: (the largest, those of single heads)."""
    from skytrigger.core.errors import InputError

    expected = f"points, e.g. 0.2; or {','.join(f'{head}=0.2' for head in heads)}"
    try:
        if "=" not in text:
            return float(text), {}
        words = [word.partition("=") for word in text.split(",")]
        drops = {name.strip(): float(value) for name, _, value in words}
    except ValueError as error:
        raise InputError(f"--max-drop {text!r}", expected=expected) from error
    if set(drops) != set(heads):
        raise InputError(f"--max-drop names {', '.join(drops)}", expected=expected)
    return max(drops.values()), drops


def _numbers(text: str | None, option: str) -> tuple[int, ...]:
    from skytrigger.core.errors import InputError

    if text is None:
        return ()
    words = text.split(",")
    if not all(w.strip().isdecimal() and int(w) > 0 for w in words):
        raise InputError(f"{option} {text!r}", expected="whole numbers over 0, separated by commas")
    return tuple(sorted({int(w) for w in words}))


def _bands(words: list[str], channels: tuple[str, ...]) -> tuple[tuple[str, ...], ...] | None:
    from skytrigger.core.errors import InputError
    from skytrigger.eo.bands import RGB

    if words == ["auto"]:
        return None
    found = []
    for word in words:
        if word in ("none", "all"):
            continue
        names = tuple(RGB) if word == "rgb" else tuple(word.split(","))
        if missing := [n for n in names if n not in channels]:
            raise InputError(f"--bands-candidates {word}: {missing} not in the network", expected=", ".join(channels))
        found.append(tuple(c for c in channels if c in names))
    return tuple(dict.fromkeys(found))


def _problem(args: argparse.Namespace) -> tuple[Problem, bool]:
    """What is to be replaced and judged, and whether changed images are fit to learn from."""
    from skytrigger.applications.registry import application_of, model_path
    from skytrigger.cli.data_options import load_for
    from skytrigger.learn.evaluate import card_of
    from skytrigger.optimize.metric import metric_of
    from skytrigger.optimize.problem import Problem

    given = model_path(args.run)
    card = card_of(given)
    application = application_of(card)
    dataset = load_for(args, application, card)
    floors = {
        head.name: metric_of(head, args.metric or application.floor.get(head.name), dataset, application.figures)
        for head in card.heads
    }
    split = _split_of(args, application, dataset, card)
    teachers = tuple(model_path(t) for t in args.teacher)
    problem = Problem(given, application.build, dataset, split, floors, teachers, args.allow_seen, application.factors)
    return problem, application.augment


def _split_of(args: argparse.Namespace, application: Application, dataset: Dataset, card: ModelCard) -> Split:
    """The network's own split of its own data; other data are divided as is said, never by luck.

    Images that the network has seen are then found by their names: see `learn.leakage`.
    """
    from skytrigger.core.errors import InputError
    from skytrigger.core.split import split_by

    theirs = not card.split.get("kind")
    known = not theirs and card.split.get("data_hash") in (None, dataset.content_hash)
    if (known or theirs) and not args.split:  # of a model of somebody else's the lists or the data's folders decide
        return application.split_again(dataset, card, args.split_lists)
    if known:
        raise InputError(f"--split {args.split}: {args.run} keeps the split of these data", remedy="leave --split out")
    if args.split_lists:
        return split_by(dataset, args.split_lists)
    if not args.split:
        raise InputError(
            f"{args.run} was trained on other data than these",
            remedy="--split random, spatial or folders, or --split-lists TRAIN VAL TEST, to divide these",
        )
    if args.split not in application.splits or args.split == "all":
        raise InputError(f"--split {args.split}", expected=", ".join(k for k in application.splits if k != "all"))
    return application.split(dataset, args.split, args.seed)
