"""What the three searches found, from their records and the answers of their winners."""

from __future__ import annotations

from functools import cache
from typing import Any

from figures import figure
from figures.engines import ms_of, ratio_of
from figures.text import RESULTS, digits, loaded, number, percent, points, predictions, records, right, span, table
from skytrigger.core.files import sha256_file
from skytrigger.core.host import host_label
from skytrigger.hep.doublets.metrics import curve, scores
from skytrigger.measure.accuracy import tango
from skytrigger.measure.records import Record
from skytrigger.measure.stats import Interval, wilson


@cache
def winner_hash(folder: str) -> str:
    """Of the file beside the page, which the search's own record must name."""
    digest = sha256_file(RESULTS / folder / "best.onnx")
    if loaded(f"{folder}/optimize.json")["winner"]["sha256"] != digest:
        raise ValueError(f"results/{folder}/best.onnx is not the file that the search chose")
    return digest


@cache
def final(folder: str, single: bool = False) -> tuple[Record, dict[str, Record]]:
    """The winner's record of the last comparison (or of single images), and the given network's by runtime."""
    group = [r for r in records(f"{folder}/records") if (r.kind == "latency") == single]
    if not single:
        run = next(r.extra["run"] for r in group if r.what["runtime"] == "torch")
        group = [r for r in group if r.extra["run"] == run]
    layout = loaded(f"{folder}/optimize.json")["winner"]["layout"]
    names = ("runtime", "precision", "threads", "streams")
    mine = [r for r in group if r.what["model_hash"] == winner_hash(folder)]
    mine = [r for r in mine if single or all(r.what[n] == layout[n] for n in names)]
    given = {r.what["runtime"]: r for r in group if r.what["network"] != "student"}
    (winner,) = mine
    return winner, given


@figure("search.times")
def search_times(folder: str, against: str, single: str = "") -> str:
    """``eager`` or ``stock``, in the last comparison or of ``single`` images."""
    mine, given = final(folder, bool(single))
    runtime = "torch" if against == "eager" else next(r for r in given if r != "torch")
    return f"{span(ratio_of(mine, given[runtime]))} times"


@figure("search.ms")
def search_ms(folder: str, bounds: str = "") -> str:
    """Milliseconds an image of the winner, two threads."""
    found = ms_of(final(folder)[0])
    return f"{span(found) if bounds else digits(found.estimate)} ms"


@figure("search.size")
def search_size(folder: str) -> str:
    """Of the file."""
    winner_hash(folder)
    return f"{(RESULTS / folder / 'best.onnx').stat().st_size / 1000:.0f} kB"


@figure("search.host")
def search_host(folder: str) -> str:
    """Where it was timed."""
    return host_label(final(folder)[0].where)


@cache
def winner_accuracy(folder: str) -> Interval:
    """On the test tiles, from its answers, which must be those of the one look."""
    answers = right(predictions(f"{folder}/test_predictions/winner.parquet"))
    told = loaded(f"{folder}/test.json")["accuracy"]["winner"]["estimate"]
    if abs(float(answers.mean()) - told) > 1e-12:
        raise ValueError(f"{folder}: the answers give {answers.mean()}, the search's look gave {told}")
    return wilson(int(answers.sum()), len(answers))


@figure("search.accuracy")
def search_accuracy(folder: str, which: str) -> str:
    """Test accuracy of the winner (from its answers) or the given network (from the counts that the look left)."""
    if which == "winner":
        return percent(winner_accuracy(folder))
    told = loaded(f"{folder}/test.json")["accuracy"]["given"]
    return percent(wilson(round(told["estimate"] * told["n"]), told["n"]))


@figure("search.change")
def search_change(folder: str) -> str:
    """Test change, its interval from the counts of answers that differ."""
    test = loaded(f"{folder}/test.json")
    n, differ = test["images"], test["discordant"]
    gain = round(test["change"]["estimate"] * n)
    return points(tango((differ + gain) // 2, (differ - gain) // 2, n))


@figure("search.smallest")
def smallest(folder: str) -> str:
    """The drop that the test images could exclude."""
    return f"{100 * loaded(f'{folder}/test.json')['smallest_margin']:.1f} points"


@figure("search.validation")
def validation(folder: str, which: str) -> str:
    """Validation accuracy, as the search judged."""
    found = loaded(f"{folder}/optimize.json")[which]["accuracy"]
    return percent(wilson(round(found["estimate"] * found["n"]), found["n"]))


@figure("search.validation_change")
def validation_change(folder: str) -> str:
    """Of the winner."""
    return points(loaded(f"{folder}/optimize.json")["winner"]["change"])


def _auc(folder: str) -> float:
    found = predictions(f"{folder}/test_predictions/winner.parquet")
    auc = float(curve(scores(found.logits), found.true).auc)
    if abs(auc - loaded(f"{folder}/test.json")["auc"]["winner"]["estimate"]) > 1e-6:
        raise ValueError(f"{folder}: the scores give an AUC of {auc}, the search's look another")
    return auc


@figure("search.doublets")
def doublets_table() -> str:
    """Absolute AUC and times in one table."""
    folder = "optimize-doublets"
    mine, given = final(folder)
    alone, given_alone = final(folder, single=True)
    told: dict[str, Any] = loaded(f"{folder}/test.json")["auc"]
    size = f"{(RESULTS / folder / 'best.onnx').stat().st_size / 1000:.0f} kB"
    eager, stock = given["torch"], next(r for n, r in given.items() if n != "torch")
    single = next(iter(given_alone.values()))
    auc = {k: f"{v['estimate']:.3f} ({v['low']:.3f} to {v['high']:.3f})" for k, v in told.items()}
    _auc(folder)
    rows = [
        [f"the winner, {size}, `{winner_hash(folder)[:12]}`", auc["winner"], span(ms_of(mine)), "",
         span(ms_of(alone)), ""],
        ["the origin's network, PyTorch eager", auc["given"], span(ms_of(eager)), span(ratio_of(mine, eager)), "", ""],
        [f"the same, {stock.what['runtime']}", "the same", span(ms_of(stock)), span(ratio_of(mine, stock)),
         span(ms_of(single)), span(ratio_of(alone, single))],
    ]  # fmt: skip
    head = (
        "| | test AUC (95 %) | ms/image, batch 64 | times the winner | ms, single image | times the winner |\n"
        "|---|---:|---:|---:|---:|---:|"
    )
    return table(head, rows)


@figure("search.table")
def searches_table() -> str:
    """Both searches on tiles."""
    rows = []
    for folder, title in (("optimize", "13 bands"), ("optimize-rgb", "RGB")):
        rows.append([
            title, search_size(folder), f"`{winner_hash(folder)[:12]}`", search_accuracy(folder, "winner"),
            search_accuracy(folder, "given"), search_ms(folder).removesuffix(" ms"),
            search_times(folder, "eager").removesuffix(" times"), search_times(folder, "stock").removesuffix(" times"),
            search_times(folder, "stock", "single").removesuffix(" times"),
        ])  # fmt: skip
    head = (
        "| | winner | file | its test accuracy | `basic` | ms/image | times eager `basic`, batch 64 "
        "| times stock `basic` | single images |\n"
        "|---|---:|---|---:|---:|---:|---:|---:|---:|"
    )
    return table(head, rows)


@figure("search.coarse")
def coarse(folder: str, channels: str) -> str:
    """The fastest accepted network that sees so many channels, as the coarse comparison timed it."""
    rows = [
        e
        for e in loaded(f"{folder}/optimize.json")["engines"]
        if e["name"] != "given" and e.get("accepted") and e["timed"]
    ]
    rows = [e for e in rows if f"_{channels}ch_" in e["name"]]
    best = min(rows, key=lambda e: e["ms_per_image"]["estimate"])
    return f"{digits(best['ms_per_image']['estimate'])} ms ({best['runtime']} {best['precision']})"


@figure("search.best")
def most_accurate(folder: str) -> str:
    """The most accurate on validation images, with its coarse time."""
    rows = [e for e in loaded(f"{folder}/optimize.json")["engines"] if e["name"] != "given" and e["timed"]]
    best = max(rows, key=lambda e: (e["accuracy"]["estimate"], -e["ms_per_image"]["estimate"]))
    value = best["accuracy"]["estimate"]
    engine = f"{best['runtime']} {best['precision']}"
    return f"{number(100 * value, 1)} % at {digits(best['ms_per_image']['estimate'])} ms ({engine})"
