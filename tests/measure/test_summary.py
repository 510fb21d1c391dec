"""What records come to: times, energy, ceilings, trainings; and the same as rows of tables."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from typing import Any

import pytest

from skytrigger.core.host import host_id, host_label
from skytrigger.measure.records import Record, Samples
from skytrigger.measure.stats import Interval, median_interval, percentiles, wilson
from skytrigger.measure.summary import energy_summary, joules_per_correct, roofline_of, time_summary, training_summary
from skytrigger.measure.tables import HEAD, KEYS, markdown, rows, to_csv

TIMES = tuple(0.01 + 0.0001 * (i % 7) for i in range(100))
ENERGY = {"label": "measured", "source": "rapl", "scope": "CPU", "resolution": "1 uJ", "joules_gross": 300.0,
          "joules_net": 100.0, "seconds": 10.0, "items": 50}  # fmt: skip
WHERE = {"cpu": {"model": "A", "usable_cores": 2.0}}


def record(kind: str = "latency", **changes: Any) -> Record:
    what = {"network": "basic", "runtime": "onnxruntime", "precision": "fp32", "batch_size": 4, "threads": 2}
    base = Record(kind, what, WHERE, {"call": Samples("s", TIMES, 4)}, when="2026-01-01T00:00:00")
    return replace(base, **changes)


def bounds(interval: Interval | None) -> tuple[float, float]:
    assert interval is not None
    return interval.low, interval.high


def test_throughput_is_the_inverse_of_the_time_of_an_item() -> None:
    found, call = time_summary(record()), median_interval(TIMES, positive=True)
    assert found is not None
    assert found.call_s == call
    assert bounds(found.item_s) == pytest.approx((call.low / 4, call.high / 4))
    assert bounds(found.items_per_s) == pytest.approx((4 / call.high, 4 / call.low))
    assert (found.items_per_s.level, found.items_per_s.n) == (call.level, 100)
    told = found.to_json()
    assert told["ms_per_call"]["estimate"] == pytest.approx(1e3 * call.estimate)
    assert told["ms_per_item"]["high"] == pytest.approx(1e3 * call.high / 4)
    assert told["items_per_s"]["n"] == 100
    assert told["percentiles_ms"] == pytest.approx({k: 1e3 * v for k, v in percentiles(TIMES).items()})
    few = time_summary(record(samples={"call": Samples("s", (0.1, 0.2), 2)}))
    assert few is not None
    assert few.items_per_s.estimate == pytest.approx(2 / 0.15)
    assert not few.items_per_s.known
    assert time_summary(record(samples={"call": Samples("s", ())})) is None


@pytest.mark.parametrize("kind", ["latency", "frame-rate", "streams", "throughput", "cold-start", "power"])
def test_tails_are_told_of_single_answers_only(kind: str) -> None:
    found = time_summary(record(kind))
    assert found is not None
    assert bool(found.percentiles_s) == (kind in ("latency", "frame-rate", "streams"))


def test_a_clock_too_coarse_to_see_a_call_gives_no_throughput() -> None:
    for values in ((0.0,) * 20, (0.0,) * 11 + (1.0,) * 9):
        found = time_summary(record(samples={"call": Samples("s", values)}))
        assert found is not None
        assert math.isnan(found.items_per_s.estimate)
        assert math.isnan(found.items_per_s.high)


@pytest.mark.parametrize(
    "change", [{"label": "unavailable"}, {"items": 0}, {"items": None}, {"seconds": 0.0}, {"seconds": None}]
)
def test_no_figure_of_energy(change: dict[str, Any]) -> None:
    assert energy_summary(record(energy={**ENERGY, **change})) is None


def test_what_is_not_known_of_energy_stays_unknown() -> None:
    found = energy_summary(record(energy={**ENERGY, "flags": ["short", "warm"], "label": "estimated"}))
    assert found is not None
    assert (found.label, found.flags) == ("estimated", ("short", "warm"))
    assert found.net is not None
    assert (found.net.known, found.gross.known) == (False, False)
    without = energy_summary(record(energy={**ENERGY, "joules_net": None, "items": 1, "seconds": 1.0}))
    assert without is not None
    assert (without.net, without.net_j, without.gross_j, without.flags) == (None, None, 300.0, ())
    stretches = [29.0, 31.0] * 5
    one_idle = energy_summary(record(energy={**ENERGY, "watts_stretches": stretches, "idle_watts": [20.0]}))
    assert one_idle is not None
    assert one_idle.net is not None
    assert bounds(one_idle.net) == pytest.approx([(w - 20.0) * 0.2 for w in bounds(one_idle.power)])
    assert (one_idle.net.level, one_idle.net.n) == (one_idle.power.level, one_idle.power.n) == (0.95, 10)


def test_energy_of_a_right_answer_where_accuracy_may_be_zero() -> None:
    found = energy_summary(record(energy={**ENERGY, "watts_stretches": [29.0, 31.0] * 5}))
    assert found is not None
    correct = joules_per_correct(found, Interval(0.5, 0.0, 1.0, 0.9, 7))
    assert correct is not None
    assert (correct.estimate, correct.low) == pytest.approx((12.0, found.gross.low))
    assert math.isnan(correct.high)
    assert (correct.level, correct.n) == (0.95, 10)
    unknown = joules_per_correct(found, Interval(0.5, math.nan, math.nan))
    assert unknown is not None
    assert math.isnan(unknown.low)
    assert math.isnan(unknown.high)
    assert joules_per_correct(found, Interval(0.001, 0.0, 0.01)) is not None


def ceilings(product_s: float, copy_s: float, **extra: Any) -> Record:
    samples = {"product": Samples("s", (product_s,)), "copy": Samples("s", (copy_s,))}
    extra = {"bench": "run 1", "threads": 2, "matrix": 100, "copy_bytes": 500, **extra}
    return Record("ceilings", {}, WHERE, samples, extra=extra)


WORK = {"batch_size": 4, "operations": 2_000_000, "product_operations": 0, "weight_bytes": 600, "io_bytes": 400,
        "activation_bytes": 0}  # fmt: skip


def test_ceilings_are_those_of_the_same_run_device_and_threads() -> None:
    mine = record(samples={"call": Samples("s", (2.0,), 4)}, extra={"work": WORK, "bench": "run 1"})
    top = ceilings(0.5, 0.1)  # 4e6 operations/s; 1e4 bytes/s: half a second and a tenth
    others = [ceilings(1, 1, bench="run 2"), ceilings(1, 1, threads=1), ceilings(1, 1, device="cuda:0"), mine]
    assert roofline_of(mine, others) is None
    point = roofline_of(mine, [*others, top])
    assert point is not None
    assert (point.bound, point.least_s, point.fraction, point.product) == ("compute", 0.5, 0.25, "fp32")
    assert (point.operations_per_s, point.bytes_per_s, point.intensity) == (1e6, 500.0, 2000.0)
    assert roofline_of(mine, [replace(top, extra={**top.extra, "device": "cpu"})]) == point
    assert roofline_of(replace(mine, extra={"bench": "run 1"}), [top]) is None
    assert roofline_of(replace(mine, samples={}), [top]) is None
    on_gpu = replace(mine, what={**mine.what, "device": "cuda:0"})
    assert roofline_of(on_gpu, [top]) is None
    assert roofline_of(on_gpu, [ceilings(0.5, 0.1, device="cuda:0")]) == point


def test_a_float32_product_is_no_ceiling_of_fewer_bits() -> None:
    mine = record(samples={"call": Samples("s", (2.0,), 4)}, extra={"work": WORK, "bench": "run 1"})
    fewer = replace(mine, what={**mine.what, "precision": "int8"})
    assert roofline_of(fewer, [ceilings(0.5, 0.1)]) is None
    memory = roofline_of(fewer, [ceilings(0.1, 0.5)])  # a tenth of a second of products, half a second of bytes
    assert memory is not None
    assert (memory.bound, memory.product, memory.fraction) == ("memory", "fp32", 0.25)
    halved = replace(mine, what={**mine.what, "precision": "fp16"})
    both = ceilings(0.5, 0.1)
    both = replace(both, samples={**both.samples, "product_fp16": Samples("s", (0.4, 0.25))})
    point = roofline_of(halved, [both])
    assert point is not None
    assert (point.product, point.least_s) == ("fp16", 0.25)


def test_a_training_in_short() -> None:
    series = {"epoch": (3.0, 1.0, 2.0), "train_loss": (0.9, 0.25), "val_loss": (0.8, 0.75)}
    samples = {name: Samples("s", values) for name, values in series.items()}
    mine = Record("training", {}, WHERE, samples, extra={"correct": 30, "images": 40})
    found = training_summary(mine)
    assert found is not None
    assert (found.epoch_s.estimate, found.gap, found.train_loss, found.val_loss) == (2.0, 0.5, 0.25, 0.75)
    assert (found.accuracy, found.joules_per_epoch) == (wilson(30, 40), None)
    metered = training_summary(replace(mine, samples={**samples, "epoch_joules": Samples("J", (7.0, 9.0))}))
    assert metered is not None
    assert metered.joules_per_epoch is not None
    assert metered.joules_per_epoch.estimate == 8.0
    assert training_summary(record()) is None


def cells(*records: Record) -> list[dict[str, str]]:
    """The table's cells by their column."""
    head, rule, *lines = markdown(records).splitlines()
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in (head, rule, *lines)]
    assert tuple(split[0]) == HEAD
    assert [cell[-1] == ":" for cell in split[1]] == [name in ("batch", "threads", "n") or "/" in name for name in HEAD]
    return [dict(zip(HEAD, line, strict=True)) for line in split[2:]]


def test_a_row_says_what_ran_and_how_it_went() -> None:
    mine = record(energy=ENERGY, extra={"work": WORK, "bench": "run 1"})
    summary = time_summary(mine)
    assert summary is not None
    item, ps = summary.ms_per_item, summary.percentiles_s
    (found,) = cells(mine, ceilings(0.5e-3, 0.1), record("control"))
    assert found == {
        "network": "basic", "runtime": "onnxruntime", "precision": "fp32", "batch": "4", "threads": "2",
        "what": "latency", "ms/image (95 % interval)": f"{item.estimate:.4g} ({item.low:.4g} to {item.high:.4g})",
        "images/s": f"{1e3 / item.estimate:.4g}", "of ceiling": f"{0.1 / summary.call_s.estimate:.0%} (memory)",
        "tail": f"p90 {1e3 * ps['p90']:.3g} ms", "energy": "6e+03 mJ/image (measured, rapl)", "n": "100",
    }  # fmt: skip
    (plain,) = cells(record())
    assert (plain["energy"], plain["of ceiling"]) == ("unavailable", "")


def test_rows_of_streams_tiles_frames_and_stages() -> None:
    mine = record()
    what = {**mine.what, "streams": 3, "input_type": "uint16", "stored": "int16", "scenario": "two lanes"}
    (found,) = cells(replace(mine, what=what))
    assert (found["threads"], found["what"]) == ("2 x3", "two lanes")
    assert found["precision"] == "fp32, uint16 tiles, from int16"
    (single,) = cells(replace(mine, what={**mine.what, "streams": 1, "input_type": "float32"}))
    assert (single["threads"], single["precision"]) == ("2", "fp32")
    frames = record(
        "frame-rate", samples={"response": Samples("s", TIMES), "call": Samples("s", TIMES)},
        extra={"frames": 40, "missed": 3, "dropped": 1, "rate_hz": 25.0, "deadline_s": 0.04},
    )  # fmt: skip
    (found,) = cells(frames)
    assert found["what"] == "frame-rate 25 Hz, missed 3 of 40"
    (row,) = rows([frames])
    assert (row["series"], row["dropped"], row["deadline_s"]) == ("response", 1, 0.04)
    stages = record(
        "stages", samples={"read": Samples("s", TIMES), "run": Samples("s", TIMES), "none": Samples("s", ())}
    )
    assert [row["what"] for row in cells(stages)] == ["stages: read", "stages: run"]
    (few,) = cells(record("throughput", samples={"call": Samples("s", (0.1, 0.3), 4)}))
    assert (few["ms/image (95 % interval)"], few["tail"], few["n"]) == ("50 (too few samples)", "", "2")


def test_rows_keep_every_figure_with_its_host() -> None:
    mine = record(energy=ENERGY, extra={"work": WORK, "bench": "run 1"})
    (row,) = rows([ceilings(0.5, 0.1), mine])
    summary, point = time_summary(mine), roofline_of(mine, [ceilings(0.5, 0.1)])
    assert summary is not None
    assert point is not None
    assert {k: row[k] for k in KEYS} == {k: mine.what.get(k) for k in KEYS}
    assert (row["kind"], row["series"], row["n"], row["when"]) == ("latency", "call", 100, mine.when)
    for name, interval in (("ms_per_item", summary.ms_per_item), ("items_per_s", summary.items_per_s)):
        assert (row[name], row[f"{name}_low"], row[f"{name}_high"]) == (interval.estimate, *bounds(interval))
    assert {k: row[k] for k in ("p50_ms", "p90_ms")} == {f"{k}_ms": 1e3 * v for k, v in summary.percentiles_s.items()}
    assert (row["fraction_of_ceiling"], row["bound"]) == (point.fraction, "compute")
    assert (row["energy"], row["energy_source"]) == ("measured", "rapl")
    assert (row["joules_per_item_gross"], row["joules_per_item_net"]) == (6.0, 2.0)
    assert (row["host"], row["host_id"]) == (host_label(WHERE), host_id(WHERE))
    text = list(csv.DictReader(io.StringIO(to_csv([mine, record("throughput")]))))
    assert [line["kind"] for line in text] == ["latency", "throughput"]
    assert float(text[0]["joules_per_item_gross"]) == 6.0
    assert (text[1]["joules_per_item_gross"], text[1]["p50_ms"], text[1]["energy"]) == ("", "", "unavailable")
    (alone,) = rows([record(samples={"call": Samples("s", (0.1,))})])
    assert (alone["ms_per_item_low"], alone["ms_per_item_high"]) == (None, None)
