"""Entry point: finds the command's module and imports only that one."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence

from skytrigger import __version__

# command -> one line of help. Its module is skytrigger.cli.<command>, with configure() and run().
COMMANDS = {
    "doctor": "what this machine offers, with versions and why not",
    "data": "pack, inspect or download a dataset",
    "train": "train a network",
    "evaluate": "accuracy of a run or a model file, with intervals",
    "models": "the packaged models: size, accuracy, limits",
    "predict": "classes and probabilities of tiles without labels",
    "export": "a trained run as an ONNX model file, parity proven",
    "bench": "time (and energy) of model files on runtimes",
    "compare": "two runs, predictions or records: is the difference real?",
    "optimize": "the fastest network and engine above an accuracy floor",
    "study": "a matrix of cells: train, evaluate, export, measure, report",
    "report": "report.html and report.md of a study folder",
    "classify": "a land-cover map of a whole Sentinel-2 scene",
    "change": "what changed between two dates of the same ground",
    "onboard": "the replay of a mission: what is kept on board, what is sent first",
    "clue": "density clustering of calorimeter hits",
    "doublets": "the pixel-doublet filter: train, evaluate, throughput",
    "pid": "particle identity and energy from calorimeter showers: simulate, train, evaluate, run",
}
# those that keep what is finished
RESUMING = ("data", "train", "optimize", "study", "onboard")


def _parser(command: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="skytrigger", description="Choose, measure and run small networks and fast clustering."
    )
    parser.add_argument("--version", action="version", version=f"skytrigger {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, line in COMMANDS.items():
        sub = commands.add_parser(name, help=line, description=line)
        if name == command:  # the others need no arguments to be listed
            importlib.import_module(f"skytrigger.cli.{name}").configure(sub)
            _add_json(sub)
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    """`--json` on the command and on each of its sub-commands."""
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object on stdout")
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                _add_json(sub)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 it failed, 2 the request is wrong."""
    argv = list(sys.argv[1:] if argv is None else argv)
    command = next((a for a in argv if not a.startswith("-")), None)
    args = _parser(command).parse_args(argv)
    from skytrigger.core.errors import SkytriggerError

    try:
        outcome = importlib.import_module(f"skytrigger.cli.{args.command}").run(args)
        print(json.dumps(outcome.data, allow_nan=False) if getattr(args, "json", False) else outcome.text, flush=True)
        return int(outcome.exit_code)
    except SkytriggerError as error:
        print(f"skytrigger: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        rest = "; the same command goes on where it was" if args.command in RESUMING else ""
        print(f"skytrigger: interrupted{rest}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
