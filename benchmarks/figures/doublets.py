"""The pixel-doublet filter."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from figures import figure
from figures.text import RESULTS, loaded, records, span, table, times_of
from skytrigger.core.host import host_label
from skytrigger.hep.doublets.evaluation import packaged
from skytrigger.hep.doublets.metrics import curve
from skytrigger.hep.doublets.networks import build
from skytrigger.hep.doublets.throughput_table import Row
from skytrigger.hep.doublets.throughput_table import table as throughput_table
from skytrigger.measure.paired import Slot
from skytrigger.measure.stats import Interval
from skytrigger.optimize.students import multiply_adds as count_multiply_adds

TITLES = {"doublets_small": "`doublets_small`", "boosted_trees": "boosted trees on 37 shape features"}
EFFICIENCIES = (0.9, 0.99)


def _scores(file: str) -> dict[str, np.ndarray]:
    """Columns of a file of scores."""
    raw = pq.read_table(RESULTS / "doublets" / file)
    return {name: raw[name].to_numpy() for name in raw.column_names}


@cache
def folds() -> dict[str, tuple[np.ndarray, dict[float, float]]]:
    """Network -> AUC of each fold, mean rejections, of the kept scores; held against what the run itself said."""
    told = loaded("doublets/cross_validation.json")["folds"]
    kept = _scores("cross_validation_scores.parquet")
    fold, true, found = kept["fold"], kept["true"], {}
    for name in TITLES:
        curves = [curve(kept[name][fold == f["fold"]], true[fold == f["fold"]]) for f in told]
        aucs = np.array([c.auc for c in curves])
        if not np.allclose(aucs, [f[name]["auc"] for f in told], atol=1e-6):
            raise ValueError(f"{name}: scores and cross_validation.json disagree")
        found[name] = aucs, {e: float(np.mean([c.at(e)[2] for c in curves])) for e in EFFICIENCIES}
    return found


@figure("doublets.first")
def first_run(efficiency: str) -> str:
    """Mean rejection of the network in the run before, whose scores were not kept."""
    told = loaded("doublets/cross_validation_first.json")["folds"]
    return f"{np.mean([f['doublets_small']['rejection'][efficiency] for f in told]):.3f}"


@figure("doublets.folds")
def folds_table() -> str:
    """Cross-validation."""
    rows = []
    for name, (aucs, rejection) in folds().items():
        error = aucs.std(ddof=1) / np.sqrt(len(aucs))
        rows.append([TITLES[name], f"{aucs.mean():.3f} ± {error:.3f}", *(f"{rejection[e]:.3f}" for e in EFFICIENCIES)])
    return table("| | AUC | rejection at 90 % | at 99 % |\n|---|--:|--:|--:|", rows)


@figure("doublets.test")
def test_table() -> str:
    """The test part."""
    kinds = {"small": ("training part", "`doublets_small`"),
             "cnn": ("training part", "`doublets_cnn`, 3 epochs of 4 copies"),
             "packaged": ("training and validation parts", "`doublets_small`, packaged")}  # fmt: skip
    rows = []
    for key, titles in kinds.items():
        found = loaded("doublets/accuracy.json")[key]
        low, high = found["intervals_95"]["auc"]
        rejections = [f"{found['rejection'][str(e)]:.3f}" for e in EFFICIENCIES]
        rows.append([*titles, f"{found['auc']:.3f} ({low:.3f} to {high:.3f})", *rejections,
                     f"{found['baseline']['auc']:.3f}"])  # fmt: skip
    return table(
        "| trained on | network | AUC | rejection at 90 % | at 99 % | trees, same doublets |\n"
        "|---|---|--:|--:|--:|--:|",
        rows,
    )


@figure("doublets.splits")
def splits_table() -> str:
    """What other splits would say of the trees."""
    kept = _scores("other_splits_scores.parquet")
    chosen = {name: kept["split"] == name for name in ("rows", "distinct_doublets")}
    other = {name: curve(kept["boosted_trees"][own], kept["true"][own]).auc for name, own in chosen.items()}
    rows = [
        ["whole doublets (a split of rows)", f"{other['rows']:.3f}"],
        ["clusters (a split of distinct doublets)", f"{other['distinct_doublets']:.3f}"],
        ["nothing (the split used here)", f"{folds()['boosted_trees'][0].mean():.3f}"],
    ]
    return table("| judged on a part that shares with training | AUC |\n|---|--:|", rows)


@figure("doublets.count")
def count(what: str) -> str:
    """Rows, distinct doublets, or those of the test part."""
    found = loaded("doublets/accuracy.json")
    return f"{found['small']['n'] if what == 'test' else found['data'][what]:,}"


def _slots(arm: list[float], conditions: list[dict[str, Any]]) -> list[Slot]:
    return [Slot((v,), c) for v, c in zip(arm, conditions, strict=True)]


def speed(case: str) -> Interval:
    """How many times as long the origin's network takes as the packaged filter."""
    found = loaded("doublets/speed_1_threads.json")["against"][case]
    arms = {name: _slots(values, found["conditions"][name]) for name, values in found["slots"].items()}
    return times_of(arms["origin"], arms["filter"])


@figure("doublets.speed")
def speed_text(case: str) -> str:
    """One case."""
    return f"{span(speed(case))} times"


@figure("doublets.speed_table")
def speed_table() -> str:
    """All."""
    titles = {"origin": ("origin's network", "2"), "image": ("the same, first pooling on the image plane", "2"),
              "origin_20": ("origin's network", "20")}  # fmt: skip
    rows = [[*titles[case], span(speed(case))] for case in titles]
    return table("| against | channels | times the images/s (95 %) |\n|---|--:|--:|", rows)


@figure("doublets.speed_host")
def speed_host() -> str:
    """Where."""
    return host_label(loaded("doublets/speed_1_threads.json")["host"])


@cache
def _rows(folder: str) -> tuple[Row, ...]:
    return tuple(throughput_table(records(f"doublets/{folder}")))


@figure("doublets.gain")
def gain(
    folder: str, streams: str, low: str, high: str, precision: str = "", transfers: str = "", memory: str = ""
) -> str:
    """Range over batch sizes of the median gain of so many streams over one."""
    rows = [r for r in _rows(folder) if r.streams == int(streams) and int(low) <= r.batch_size <= int(high) and r.gain]
    rows = [
        r for r in rows if (not precision or r.precision == precision) and (not transfers or r.transfers == transfers)
    ]
    rows = [r for r in rows if not memory or r.memory == memory]
    values = [r.gain[1] for r in rows if r.gain]
    first, last = f"{min(values):.1f}", f"{max(values):.1f}"
    return f"{first} times" if first == last else f"{first} to {last} times"


@figure("doublets.int8")
def int8_gain() -> str:
    """INT8's images a second over float32's of `doublets_cnn`, medians, over cells."""
    by = {(r.precision, r.batch_size, r.streams): r.images_per_s[1] for r in _rows("throughput_cnn")}
    values = [v / by["fp32", *key] for (p, *key), v in by.items() if p == "int8"]
    return f"{min(values):.1f} to {max(values):.1f} times"


def _whole(transfers: str, memory: str, batch: int, streams: int) -> Row:
    rows = [r for r in _rows("gpu") if (r.batch_size, r.streams, r.runtime) == (batch, streams, "hopper")]
    rows = [r for r in rows if r.transfers == transfers and (not memory or r.memory == memory)]
    (row,) = rows
    return row


@figure("doublets.gpu_ms")
def gpu_ms(transfers: str, memory: str, batch: str, streams: str) -> str:
    """Milliseconds for all the images on the H200."""
    row = _whole(transfers, "" if memory == "-" else memory, int(batch), int(streams))
    if row.whole_ms is None:
        raise ValueError("a visit was cut off")
    low, middle, high = row.whole_ms
    return f"{middle:.1f} ms ({low:.1f} to {high:.1f})"


@figure("doublets.gpu_auc")
def gpu_auc() -> str:
    """Of the network on simulated doublets."""
    return f"{_rows('gpu')[0].auc:.3f}"


@figure("doublets.gpu_rate")
def gpu_rate() -> str:
    """Operations of the 30,000 images, and their rate with the images on the GPU."""
    work = loaded("doublets/speed_1_threads.json")["against"]["origin_20"]["multiply_adds"]
    row = _whole("without", "", 6000, 2)
    total = 2 * work * row.images
    middle = row.whole_ms[1] if row.whole_ms else float("nan")
    return f"{total / 1e12:.1f} TFLOP: {total / middle / 1e9:.0f} TFLOP/s"


@figure("doublets.multiply_adds")
def multiply_adds(case: str) -> str:
    """Of the origin's network."""
    return f"{loaded('doublets/speed_1_threads.json')['against'][case]['multiply_adds'] / 1e6:.1f} million"


@figure("doublets.file")
def file_fact(what: str) -> str:
    """Different clusters of a pad, or the largest group of doublets that share some."""
    return f"{loaded('doublets/simulator.json')['file'][what]:,}"


@figure("doublets.left_out")
def left_out() -> str:
    """Distinct doublets in no part of the split."""
    distinct = loaded("doublets/accuracy.json")["data"]["distinct"]
    return f"{distinct - loaded('doublets/simulator.json')['file']['in_a_part']:,}"


@figure("doublets.size")
def size() -> str:
    """Of the packaged filter's file."""
    return f"{packaged().stat().st_size / 1000:.0f} kB"


@cache
def _network(name: str, channels: str, pooling: str = "origin") -> Any:
    options = {"first_pooling": pooling} if name == "doublets_cnn" else {"mean": [0.0, 0.0], "std": [1.0, 1.0]}
    return build(name, int(channels), (16, 16), 2, **options).eval()


@figure("doublets.parameters")
def parameters(name: str, channels: str, pooling: str = "origin") -> str:
    """Of a network, as it is built."""
    return f"{sum(p.numel() for p in _network(name, channels, pooling).parameters()):,}"


@figure("doublets.work")
def work(channels: str, pooling: str) -> str:
    """Multiply-adds of the origin's network, as it is built."""
    network = _network("doublets_cnn", channels, pooling)
    return f"{count_multiply_adds(network, int(channels), (16, 16)) / 1e6:.1f} million"


@figure("doublets.simulator")
def simulator_table() -> str:
    """Cluster shapes, simulated and real."""
    found = loaded("doublets/simulator.json")
    rows = []
    for key, title in (
        ("pixels", "pixels"),
        ("rows", "rows"),
        ("columns", "columns"),
        ("median_charge", "median charge, e-"),
    ):
        values = [found[side][pad][key] for pad in ("inner", "outer") for side in ("simulated", "cms")]
        rows.append([title, *(f"{v:,.0f}" if key == "median_charge" else f"{v:.2f}" for v in values)])
    for name in ("true", "fake"):
        pair = [f"{found[side]['outer_pixels'][name]:.2f}" for side in ("simulated", "cms")]
        rows.append([f"pixels, {name} doublets", "", "", *pair])
    return table("| | inner, simulated | CMS | outer, simulated | CMS |\n|---|--:|--:|--:|--:|", rows)


@figure("doublets.simulator_auc")
def simulator_auc() -> str:
    """Of trees on simulated doublets."""
    found = loaded("doublets/simulator.json")["trees"]
    return f"{found['auc']:.3f} ({found['judged']:,} judged, {found['learned']:,} learned from)"
