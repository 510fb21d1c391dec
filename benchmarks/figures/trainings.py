"""`basic` on RGB: 25 epochs and three seeds on a GPU where there are records of it, else the one short training.

Records lie in ``results/gpu/<card>/training`` (or ``training.partial``, where the step was cut off).
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import numpy as np
from numpy.typing import NDArray

from figures import figure
from figures.text import RESULTS, percent, records, table
from figures.tiles import SEEDS, accuracy, epoch_accuracy
from skytrigger.core.files import sha256_json
from skytrigger.core.host import host_label
from skytrigger.measure.records import Record
from skytrigger.measure.seed_variance import seed_variance
from skytrigger.measure.stats import Interval

EPOCHS = ("last", "best")
Right = NDArray[np.bool_]


@cache
def trained() -> dict[str, dict[str, Right]]:
    """Network -> which epoch's weights -> (seeds, test tiles) right; networks with seeds of all 25 epochs."""
    names = (RESULTS / "eurosat-rgb/test.txt").read_text().split()
    found: dict[str, dict[str, list[Right]]] = defaultdict(lambda: {which: [] for which in EPOCHS})
    for record in sorted(_records(), key=lambda r: r.what["seed"]):
        test = record.extra["test"]
        if test["ids_sha256"] != sha256_json(names) or len(record.extra["history"]) != 25:
            raise ValueError(f"{record.what}: of other tiles or epochs")
        for which in EPOCHS:
            bits = np.frombuffer(bytes.fromhex(test[which]), np.uint8)
            found[record.what["network"]][which].append(np.unpackbits(bits)[: len(names)].astype(bool))
    return {name: {which: np.array(right) for which, right in own.items()} for name, own in found.items()}


@cache
def _records() -> tuple[Record, ...]:
    folders = [p.parent for p in sorted(RESULTS.glob("gpu/*/training*/records.jsonl"))]
    every = [r for folder in folders for r in records(folder.relative_to(RESULTS).as_posix())]
    return tuple(r for r in every if r.kind == "training" and "test" in r.extra and not r.extra.get("simulated"))


def of(network: str, which: str) -> Interval:
    """Test accuracy over the seeds."""
    return seed_variance(trained()[network][which]).accuracy


def basic_on(study: str, short: bool = False) -> str:
    """Test accuracy of `basic` in a study, with what it was trained for; `short`: the estimate alone, on RGB the better
    of the two epochs'."""
    if study == "eurosat-rgb" and "basic" in trained():
        best, last = (of("basic", which) for which in ("best", "last"))
        if short:
            return f"{100 * max(best.estimate, last.estimate):.1f} %"
        seeds = len(trained()["basic"]["last"])
        return f"best epoch {percent(best)}, last {percent(last)}; {seeds} seed{'s' * (seeds > 1)}, 25 epochs"
    found = accuracy(study, "basic").accuracy
    return f"{100 * found.estimate:.1f} %" if short else f"{percent(found)}; {SEEDS[study]}"


@figure("rgb.epochs")
def epochs() -> str:
    """How long `basic` was trained on RGB, in words."""
    return "25" if "basic" in trained() else "six"


@figure("rgb.networks")
def networks() -> str:
    """What README says of the networks on RGB."""
    if "basic" not in trained():
        return (
            f"six epochs, one seed, the last epoch kept: `regularized` has {_study('regularized')} and `basic` "
            f"{_study('basic')}, but that training of `basic` ended on a dip: {_val('basic', 'last')} of the "
            f"validation tiles after {_val('basic', 'best')} an epoch before; the best epoch of `regularized` was its "
            f"last, {_val('regularized', 'best')}. By best validation `basic` is ahead. 25 epochs and three seeds, "
            "which would settle it, have not been run."
        )
    rows = []
    for name in sorted(trained(), key=lambda n: -of(n, "best").estimate):
        own = trained()[name]["last"]
        rows.append([f"`{name}`", *(percent(of(name, which)) for which in ("best", "last")), str(len(own))])
    where = host_label(_records()[0].where)
    head = "| network | test accuracy, epoch of the least validation loss | last epoch | seeds |\n|---|---:|---:|---:|"
    return f"25 epochs, batch 32, float32, on {where}:\n\n{table(head, rows)}"


def _study(network: str) -> str:
    return percent(accuracy("eurosat-rgb", network).accuracy)


def _val(network: str, which: str) -> str:
    return epoch_accuracy("eurosat-rgb", network, which)


@figure("rgb.note")
def note() -> str:
    """What the packaged classifiers' page says of `basic` on RGB."""
    if "basic" in trained():
        return "`basic` was trained for 25 epochs; the better of its two epochs is the one to compare with."
    return "that training of `basic` ended on a dip of its validation accuracy."
