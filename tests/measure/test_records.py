"""Records: round trip, migration, corrupted input, reading several hosts' together."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as t_dist

from skytrigger.core.errors import InputError
from skytrigger.measure.records import MIGRATIONS, SCHEMA, Record, Samples, append, from_dict, read
from skytrigger.measure.stats import Interval, wilson
from skytrigger.measure.summary import energy_summary, joules_per_correct, time_summary
from skytrigger.measure.tables import markdown, rows, to_csv

finite = st.floats(allow_nan=False, allow_infinity=False, width=64)


def record(**changes: object) -> Record:
    what = {"network": "basic", "runtime": "onnxruntime", "precision": "fp32", "batch_size": 4, "threads": 2}
    samples = {"call": Samples("s", tuple(0.01 + 0.0001 * (i % 7) for i in range(100)), 4)}
    base = Record("latency", what, {"cpu": {"model": "A", "usable_cores": 2.0}}, samples, when="2026-01-01T00:00:00")
    return replace(base, **changes)  # type: ignore[arg-type]


@given(st.lists(finite, max_size=5), st.dictionaries(st.text(max_size=5), st.one_of(finite, st.text(), st.none())))
def test_round_trip(values: list[float], extra: dict[str, object]) -> None:
    one = record(samples={"call": Samples("s", tuple(values), 3)}, extra=extra)
    assert "\n" not in one.to_json()
    assert Record.from_json(one.to_json()) == one


def test_schema_1_migrates() -> None:
    old = {
        "schema": 1, "kind": "latency", "what": {"network": "basic", "batch_size": 8}, "where": {"kernel": "Linux"},
        "samples": [0.1, 0.2, 0.3], "unit": "s",
    }  # fmt: skip
    new = Record.from_json(json.dumps(old))
    assert new.schema == SCHEMA
    assert new.samples == {"call": Samples("s", (0.1, 0.2, 0.3), 8)}
    assert new.energy["label"] == "unavailable"
    assert new.what == old["what"]
    assert Record.from_json(new.to_json()) == new
    assert set(MIGRATIONS) == set(range(1, SCHEMA))


@pytest.mark.parametrize(
    "damage",
    [
        {"schema": SCHEMA + 1}, {"schema": "2"}, {"schema": True}, {"schema": 0}, {"samples": [1, 2]}, {"what": 3},
        {"samples": {"call": {"unit": "s", "values": ["x"]}}}, {"samples": {"call": {"values": [1.0]}}},
        {"energy": {"label": "guessed"}}, {"energy": {}}, {"more": 1},
        {"samples": {"call": {"unit": "s", "values": [1], "items": 0}}},
    ],
)  # fmt: skip
def test_damaged_records_are_named(damage: dict[str, object]) -> None:
    raw = {**json.loads(record().to_json()), **damage}
    with pytest.raises(InputError, match=r"file\.jsonl, record 7"):
        from_dict(raw, "file.jsonl, record 7")


@pytest.mark.parametrize("text", ["", "[]", "{", "3", "null", '{"schema": 2}', "[" * 5000])
def test_what_is_no_record_is_named(text: str) -> None:
    with pytest.raises(InputError, match="here"):
        Record.from_json(text, "here")


def test_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        Samples("s", (1.0, float("nan")))
    with pytest.raises(ValueError, match="label"):
        record(energy={"label": "guess"})


def test_several_hosts_and_a_torn_line(tmp_path: Path) -> None:
    one, two = record(), record(where={"cpu": {"model": "B"}})
    append(tmp_path / "a" / "records.jsonl", one)
    append(tmp_path / "a" / "records.jsonl", two)
    append(tmp_path / "b" / "records-b.jsonl", two)
    with open(tmp_path / "b" / "records-b.jsonl", "a") as stream:
        stream.write(one.to_json()[:40])  # a kill in mid-write
    (tmp_path / "b" / "other.jsonl").write_text("{}\n")
    found = read(tmp_path)
    assert found == [one, two]
    assert read([tmp_path / "a" / "records.jsonl"]) == [one, two]
    with pytest.raises(InputError, match=r"none\.jsonl"):
        read(tmp_path / "none.jsonl")
    (tmp_path / "records.jsonl").write_text("{}\n" + one.to_json() + "\n")
    with pytest.raises(InputError, match=r"records\.jsonl, record 1"):
        read(tmp_path)


def test_time_summary_counts_items() -> None:
    found = time_summary(record())
    assert found is not None
    assert found.call_s.estimate == pytest.approx(0.0103)
    assert found.ms_per_item.estimate == pytest.approx(10.3 / 4)
    assert found.items_per_s.estimate == pytest.approx(4 / 0.0103)
    assert found.items_per_s.low <= found.items_per_s.estimate <= found.items_per_s.high
    assert set(found.percentiles_s) == {"p50", "p90"}
    assert time_summary(record(samples={})) is None
    assert time_summary(record(), "response") is None


def test_energy_per_image_and_per_correct_image() -> None:
    energy = {"label": "measured", "source": "rapl", "scope": "CPU", "resolution": "1 uJ",
              "joules_gross": 300.0, "joules_net": 100.0, "seconds": 10.0, "items": 50}  # fmt: skip
    found = energy_summary(record(energy=energy))
    assert found is not None
    assert (found.gross_j, found.net_j, found.watts, found.label) == (6.0, 2.0, 30.0, "measured")
    correct = joules_per_correct(found, Interval(0.75, 0.7, 0.8, n=100))
    assert correct is not None
    assert correct.estimate == 8.0
    assert not correct.known  # one figure for the whole window: nothing is known of its spread
    assert joules_per_correct(found, Interval(0.0, 0.0, 0.1)) is None
    steady = energy_summary(record(energy={**energy, "watts_stretches": [29.0, 31.0] * 5, "idle_watts": [19.0, 21.0]}))
    assert steady is not None
    half = t_dist.ppf(0.975, 9) * np.std([29.0, 31.0] * 5, ddof=1) / np.sqrt(10)
    assert (steady.power.low, steady.power.high) == pytest.approx((30 - half, 30 + half))
    item_s = energy["seconds"] / energy["items"]
    assert (steady.gross.low, steady.gross.high) == pytest.approx(((30 - half) * item_s, (30 + half) * item_s))
    assert steady.net is not None
    assert (steady.net.low, steady.net.high) == pytest.approx(((9 - half) * item_s, (11 + half) * item_s))
    correct = joules_per_correct(steady, Interval(0.75, 0.7, 0.8, n=100))
    assert correct is not None
    assert (correct.low, correct.high) == pytest.approx((steady.gross.low / 0.8, steady.gross.high / 0.7))
    assert energy_summary(record()) is None


def test_tables_show_interval_count_and_energy_label() -> None:
    few = record(samples={"call": Samples("s", (0.1, 0.2), 1)})
    table = markdown([record(), few, record(kind="control")])
    assert len(table.splitlines()) == 4
    assert "unavailable" in table
    assert "too few samples" in table
    csv = to_csv([record(), few])
    assert len(csv.splitlines()) == 3
    assert csv.startswith("kind,series,network")
    row = rows([record()])[0]
    assert row["n"] == 100
    assert row["ms_per_item_low"] <= row["ms_per_item"] <= row["ms_per_item_high"]


def test_wilson_against_its_equation() -> None:
    for k, n in ((0, 10), (10, 10), (7, 20), (990, 1000)):
        interval = wilson(k, n)
        for bound in (interval.low, interval.high):
            if 0 < bound < 1:
                assert abs(k / n - bound) == pytest.approx(1.959964 * (bound * (1 - bound) / n) ** 0.5, rel=1e-5)
    with pytest.raises(ValueError, match="proportion"):
        wilson(3, 2)


def test_a_line_is_short_sorted_and_complete() -> None:
    text = record().to_json()
    raw = json.loads(text)
    assert text == json.dumps(raw, sort_keys=True, separators=(",", ":"))
    assert raw["energy"] == {"label": "unavailable", "source": None, "scope": None, "resolution": None}
    assert (raw["schema"], raw["conditions"], raw["extra"]) == (2, {}, {})
    assert raw["samples"]["call"]["items"] == 4
    assert Samples("s", (1,)).items == 1
    assert Record("power", {}, {}).samples == {}
    with pytest.raises(InputError, match=r"^record: not valid JSON"):
        Record.from_json("{")
    with pytest.raises(ValueError, match="JSON"):
        record(extra={"x": float("inf")}).to_json()
    one, two = record(), record()
    one.energy["label"] = "measured"
    assert two.energy["label"] == record().energy["label"] == "unavailable"  # each its own


def test_when_is_utc_to_the_second() -> None:
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    when = datetime.datetime.fromisoformat(Record("power", {}, {}).when)
    assert before <= when <= datetime.datetime.now(datetime.UTC)
    assert (when.utcoffset(), when.microsecond) == (datetime.timedelta(0), 0)


def test_schema_1_with_and_without_its_entries() -> None:
    bare = Record.from_json('{"schema": 1, "kind": "accuracy", "what": {}, "where": {}}')
    assert (bare.samples, bare.energy, bare.when) == ({}, record().energy, "")
    energy = {"label": "measured", "joules_gross": 3.0}
    old = {"schema": 1, "kind": "latency", "what": {"batch_size": None}, "where": {}, "samples": [1.5],
           "energy": energy, "conditions": {"wall_s": 1.0}, "extra": {"a": 1}, "when": "then"}  # fmt: skip
    new = from_dict(old)
    assert (new.samples, new.energy) == ({"call": Samples("s", (1.5,), 1)}, energy)
    assert (new.conditions, new.extra, new.when) == ({"wall_s": 1.0}, {"a": 1}, "then")
    assert from_dict({**old, "unit": "J"}).samples["call"].unit == "J"
    assert old["schema"] == 1  # what was given is left as it was
    assert "unit" not in old


@pytest.mark.parametrize("name", ["what", "where", "energy", "conditions", "extra"])
def test_entries_of_a_record_are_objects(name: str) -> None:
    with pytest.raises(InputError, match=f"record: .*{name}|record: not a valid"):
        from_dict({**json.loads(record().to_json()), name: [["label", "measured"]]})


@pytest.mark.parametrize("raw", [None, [], 3, "x"])
def test_what_is_no_object_is_no_record(raw: object) -> None:
    with pytest.raises(InputError, match=r"^record: not a JSON object"):
        from_dict(raw)


def test_files_are_read_in_order_and_equal_lines_once(tmp_path: Path) -> None:
    one, two = record(), record(extra={"a": 1})
    for name, content in (("b/records-1", [two, one]), ("a/records", [one, one])):
        for item in content:
            append(tmp_path / f"{name}.jsonl", item)
    assert read(str(tmp_path)) == [one, two]
    assert read([tmp_path / "b" / "records-1.jsonl", tmp_path]) == [two, one]
    assert read([]) == []
    with open(tmp_path / "b" / "records-1.jsonl", "a") as stream:
        stream.write("{}\n")
    with pytest.raises(InputError, match=r"records-1\.jsonl, record 3: record schema None"):
        read(tmp_path)
