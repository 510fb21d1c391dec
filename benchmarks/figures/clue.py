"""CLUE: what the records of `clue_speed.py` say."""

from __future__ import annotations

from functools import cache

import numpy as np

import clue_page
from figures import figure
from figures.text import RESULTS, digits, inverse, loaded, records, span, table
from skytrigger.measure.paired import Slot, block_log_times, compare_blocks, log_intervals
from skytrigger.measure.records import Record, read
from skytrigger.measure.stats import Interval

INPUTS = {
    "toy-1k": "100 toy detector layers of 1,000", "hgcal-100k": "PU200-like event, 100,000 hits (synthetic)",
    "hgcal-300k": "PU200-like event, 300,000 hits (synthetic)", "blobs-1M": "blobs, 1,000,000 hits (synthetic)",
}  # fmt: skip
RIVAL = "CLUEstering "


@cache
def _run(folder: str) -> dict[tuple[str, str], Record]:
    """(input, program) -> its latest record."""
    return {(r.what["network"].removeprefix("clue "), r.what["runtime"]): r for r in records(folder)}


def _slots(record: Record, series: str) -> list[Slot]:
    return [Slot((v,)) for v in record.samples[series].values]


def _named(folder: str, name: str, program: str) -> Record:
    found = [
        r
        for (n, p), r in _run(folder).items()
        if n == name and (p == program or (program == RIVAL and p.startswith(RIVAL)))
    ]
    (record,) = found
    return record


def times_of_cpu(folder: str, name: str, program: str, series: str = "call", ours: str = "call") -> Interval:
    """A program's time over our one thread's."""
    return compare_blocks(
        _slots(_named(folder, name, "cpu"), ours), _slots(_named(folder, name, program), series), None
    ).ratio


def ms(folder: str, name: str, program: str) -> Interval:
    """Milliseconds of a call: trimmed mean of the blocks' log times, as `clue_speed.py` has it."""
    logs = block_log_times(_named(folder, name, program).samples["call"].values)
    middle, low, high = (1e3 * float(np.exp(v[0])) for v in log_intervals(logs[None], 0.95))
    return Interval(middle, low, high, 0.95, len(logs))


@figure("clue.table")
def headline() -> str:
    """Calls on one thread beside CLUEstering's compiled part."""
    rows = [[title, span(ms("clue", name, "cpu")), span(times_of_cpu("clue", name, RIVAL)),
             span(times_of_cpu("clue", name, RIVAL, "compiled"))] for name, title in INPUTS.items()]  # fmt: skip
    head = "| hits | ms | CLUEstering's whole call / ours | its compiled part / our whole call |\n|---|---:|---:|---:|"
    return table(head, rows)


@figure("clue.ms")
def ms_text(name: str, program: str = "cpu") -> str:
    """Of a program on an input."""
    return f"{span(ms('clue', name, program))} ms"


@figure("clue.fastest")
def fastest(name: str) -> str:
    """Our fastest visit."""
    return f"{digits(1e3 * min(_named('clue', name, 'cpu').samples['call'].values))} ms"


@figure("clue.ratio")
def ratio(name: str, program: str) -> str:
    """A program's time over ours; ``CLUEstering`` stands for its version at its best tile size."""
    return span(times_of_cpu("clue", name, RIVAL if program == "CLUEstering" else program))


@figure("clue.by_cpu")
def by_cpu(run: str, name: str, *program: str) -> str:
    """A program's CPU time over ours, in a run whose wall clock is mostly waiting."""
    return span(times_of_cpu(f"clue/{run}", name, " ".join(program), "cpu", "cpu"))


TREES = {
    "kdtree": "SciPy's `cKDTree`, vectorised",
    "HGCalImagingAlgo's way": "`HGCalImagingAlgo`'s tree and scan, compiled",
    "the same tree at its best": "that tree at its best, {leaf}",
}


def _trees(name: str, program: str) -> tuple[str, Interval]:
    """How the program is called in the run of k-d trees, and its CPU time over ours."""
    (own,) = (p for n, p in _run("clue/trees") if n == name and p.startswith(program))
    return own, times_of_cpu("clue/trees", name, own, "cpu", "cpu")


@figure("clue.trees")
def trees_table() -> str:
    """Three k-d trees by CPU time."""
    rows = []
    for name in dict.fromkeys(n for n, _ in _run("clue/trees")):
        for program, title in TREES.items():
            own, ratio = _trees(name, program)
            record = _named("clue/trees", name, own)
            cpu_ms = 1e3 * float(np.median(record.samples["cpu"].values))
            leaf = own.rpartition("(")[2].rstrip(")").replace(" a ", " hits a ")
            wall = times_of_cpu("clue/trees", name, own)
            rows.append([f"`{name}`", title.format(leaf=leaf), digits(cpu_ms), span(ratio), span(wall),
                         record.extra["agreement"]])  # fmt: skip
    columns = "| hits | program | CPU ms | its CPU time / ours | wall clock / ours | partition |"
    head = f"{columns}\n|---|---|---:|---:|---:|---|"
    return table(head, rows)


@figure("clue.tree")
def tree(name: str, *program: str) -> str:
    """One of them."""
    return span(_trees(name, " ".join(program))[1])


@figure("clue.two_threads")
def two_threads(folder: str, name: str) -> str:
    """How many times as fast two threads are."""
    return span(inverse(times_of_cpu(folder, name, "cpu-2")))


@figure("clue.quiet")
def quiet(program: str) -> str:
    """Of our one thread's time, in the run on the quiet machine; words are joined by ``_``."""
    name = RIVAL if program == "CLUEstering" else program.replace("_", " ")
    return span(times_of_cpu("clue/quiet-300k", "hgcal-300k", name))


@cache
def _busy() -> dict[tuple[str, str], Record]:
    found = read(RESULTS / "clue/records-busy.jsonl")
    return {(r.what["network"].removeprefix("clue "), r.what["runtime"]): r for r in found}


@figure("clue.busy")
def busy(*names: str) -> str:
    """CLUEstering's CPU time over ours in the second run, for inputs in order."""
    found = []
    for name in names:
        (rival,) = (r for (n, p), r in _busy().items() if n == name and p.startswith(RIVAL))
        ratio = compare_blocks(_slots(_busy()[name, "cpu"], "cpu"), _slots(rival, "cpu"), None).ratio
        found.append(f"{digits(ratio.estimate)} (`{name}`)")
    return ", ".join(found)


@figure("clue.mean")
def mean(field: str) -> str:
    """Geometric mean against CLUEstering, ``whole`` call or ``compiled`` part, with the least row."""
    series = {"whole": "call", "compiled": "compiled"}[field]
    names = [n for n, p in _run("clue") if p.startswith(RIVAL) and not n.endswith("by-layer")]
    ratios = {n: times_of_cpu("clue", n, RIVAL, series) for n in names}
    value = float(np.exp(np.mean([np.log(r.estimate) for r in ratios.values()])))
    least = min(ratios, key=lambda n: ratios[n].estimate)
    return f"{digits(value)} on the mean of {len(ratios)} rows, at least {digits(ratios[least].estimate)} (`{least}`)"


@figure("clue.tables")
def tables(run: str = "") -> str:
    """All rows of the run in the folder, or in a folder below it, as `clue_page.py` writes them."""
    return "\n".join(clue_page.table_lines(RESULTS / "clue", run))


@figure("clue.growth")
def growth() -> str:
    """Time a hit at 1e7 hits over that at 1e5."""
    return span(loaded("clue/scaling.json")["scaling"]["1e7"]["per_hit_of_1e5"])
