"""Reports of batch-size and power studies, energy, the 2019 study's figures and CSV: figures against made records."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from report.made import HOST, make_study, replayed, timing_records, training_record
from report.test_report import page
from skytrigger.measure.origin import read_origin
from skytrigger.measure.records import Record, append
from skytrigger.report.build import build_report, build_reports
from skytrigger.report.content import Table, Value
from skytrigger.report.tables import table_csv

ENGINES = {"torch:fp32": 0.040, "onnxruntime:fp32": 0.016}
GPU_HOST = {**HOST, "gpus": [{"name": "Test GPU", "driver": "1", "memory_bytes": 10**10, "power_limit_w": 200.0}]}


def report(folder: Path, records: list[Record]) -> Path:
    for record in records:
        append(folder / "records.jsonl", record)
    build_report(folder)
    return folder


def shown(folder: Path, *heads: str) -> list[dict[str, str]]:
    """Rows of the first table with these headings."""
    table = next(t for t in page(folder).tables if t and set(heads) <= set(t[0]))
    return [dict(zip(table[0], row, strict=True)) for row in table[1:]]


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = [
        training_record(16, correct=82, epoch_s=8.0),
        training_record(16, "scaled", correct=81, epoch_s=8.0),
        training_record(32, correct=85),
        training_record(256, correct=60, epoch_s=2.0),
        training_record(
            256, "scaled", correct=70, epoch_s=2.0, joules=(90.0, 100.0, 110.0, 100.0, 100.0, 100.0, 100.0)
        ),
    ]
    for size in (1, 64, 1024):
        engines = {name: s * size for name, s in ENGINES.items()}
        records += timing_records("basic", engines, batch_size=size, more={"study": "batch-size"})
    return report(tmp_path_factory.mktemp("batch"), records)


def test_training_of_each_batch_size_with_the_rate_kept_and_scaled_apart(batch: Path) -> None:
    rows = shown(batch, "learning rate", "gap in accuracy", "an epoch")
    assert [(r["learning rate"], r["batch"]) for r in rows] == [
        ("kept", "16"), ("kept", "32"), ("kept", "256"), ("scaled", "16"), ("scaled", "256"),
    ]  # fmt: skip
    first = rows[0]
    assert first["an epoch"].startswith("8.1 s | 8 to 8.2")  # order statistics of seven epochs: all of them
    assert first["gap in loss (nats)"].startswith("+0.500")
    assert first["gap in accuracy"].startswith("+10.0 points | +")
    z = 1.959964
    centre, half = (82 + z * z / 2) / (100 + z * z), z * math.sqrt(82 * 18 / 100 + z * z / 4) / (100 + z * z)
    said = f"82.0 % | {100 * (centre - half):.1f} to {100 * (centre + half):.1f}"
    assert first["accuracy, val images"] == said
    assert first["J/epoch"] == "unavailable"
    assert "Energy unavailable: no power sensor that this machine lets us read." in page(batch).words
    assert rows[-1]["J/epoch"].startswith("100 J | 90 to 110")


def test_inference_over_the_batch_size(batch: Path) -> None:
    rows = shown(batch, "engine", "batch", "speed-up over torch fp32")
    assert [(r["engine"], r["batch"]) for r in rows] == [
        (f"{engine} fp32", size) for engine in ("onnxruntime", "torch") for size in ("1", "64", "1024")
    ]
    for row in rows:
        least = 16 if row["engine"].startswith("onnx") else 40
        assert float(row["ms/image"].split(" | ")[0]) == pytest.approx(least, rel=0.02)
        assert float(row["images/s"].split(" | ")[0]) == pytest.approx(1e3 / least, rel=0.02)
    words = page(batch).words
    assert "Time per image" not in words  # the section for single settings does not repeat eleven batch sizes
    assert "SYNTHETIC DATA" in words
    assert (batch / "batch_size.png").stat().st_size > 10_000
    assert "![Batch size](batch_size.png)" in (batch / "report.md").read_text()


def power_records(energies: dict[str, dict[str, Any]], host: dict[str, Any], device: str) -> list[Record]:
    training = training_record(64, study="power", correct=80, host=host, device=device)
    return [
        training,
        *timing_records("basic", ENGINES, 64, host=host, more={"study": "power"}, energy=energies, device=device),
    ]


def test_power_beside_the_nominal_maximum_and_joules_per_correct_image(tmp_path: Path) -> None:
    energies = {"torch:fp32": replayed(90, 5000), "onnxruntime:fp32": replayed(80, 12_000)}
    report(tmp_path, power_records(energies, GPU_HOST, "cuda:0"))
    power = shown(tmp_path, "what ran", "utilisation", "card's nominal maximum")
    torch = next(r for r in power if r["what ran"] == "inference, torch fp32")
    assert torch["power"].startswith("90 W | ")
    assert torch["smallest to largest (W)"] == "89.5 to 90.5"
    assert torch["utilisation"].endswith("% | 80 to 90")
    assert torch["temperature"].endswith("°C | 50 to 54")
    assert torch["card's nominal maximum"] == "200 W | 45% of it on average"
    assert torch["source of the figures"].startswith("measured, replay")
    faster = next(r for r in power if "onnx" in r["what ran"])["speed-up over torch fp32"]
    assert float(faster.split("×")[0]) == pytest.approx(2.5, rel=0.02)
    joules = shown(tmp_path, "what ran", "gross per correct image")
    row = next(r for r in joules if r["what ran"] == "inference, torch fp32")
    assert row["gross per image"].startswith("180 mJ")  # 90 W for 10 s, 5000 images
    assert row["above idle per image"].startswith("140 mJ")
    assert row["gross per correct image"].startswith("225 mJ")  # over 80 of 100
    assert row["accuracy"].startswith("80.0 %")
    assert (tmp_path / "power.png").is_file()


def test_without_a_sensor_it_says_unavailable_and_why(tmp_path: Path) -> None:
    report(tmp_path, power_records({}, HOST, "cpu"))
    for row in shown(tmp_path, "what ran", "gross per correct image"):
        assert row["gross per image"] == row["above idle per image"] == "unavailable"
    assert "Energy unavailable: no power sensor that this machine lets us read." in page(tmp_path).words
    for row in shown(tmp_path, "what ran", "card's nominal maximum"):
        assert row["power"].startswith("unavailable")
        assert row["card's nominal maximum"] == "unknown"
    assert not (tmp_path / "power.png").exists()
    text = (tmp_path / "report.md").read_text()
    assert "W |" not in text.split("## Power and energy")[1].split("##")[0].replace("(W) |", "")


def test_the_2019_figures_stand_beside_new_ones_and_are_marked(tmp_path: Path) -> None:
    records = timing_records("basic", {"torch:fp32": 0.040, "openvino:fp32": 0.010}, batch_size=4)
    records += timing_records("basic", {"torch:fp32": 0.080, "openvino:fp32": 0.064}, batch_size=16)
    report(tmp_path, records)
    rows = shown(tmp_path, "whose", "device")
    origin = [r for r in rows if r["whose"] == "the 2019 study's own, not measured here"]
    assert [r["ms/image"].split(" | ")[0] for r in origin] == ["0.93", "0.044", "0.039"]
    assert [r["speed-up over its framework"].split("×")[0] for r in origin] == ["1 (framework)", "21.1", "23.8"]
    assert {r["power"] for r in origin} == {"unavailable"}
    ours = {r["what"]: r for r in rows if r["whose"] == "measured here"}
    assert (ours["basic, torch fp32"]["batch"], ours["basic, openvino fp32"]["batch"]) == ("16", "4")
    assert "NVIDIA Xavier: ms_per_image, watts" in page(tmp_path).words


def test_no_2019_figures_beside_networks_of_another_task(tmp_path: Path) -> None:
    report(tmp_path, timing_records("doublets_cnn", ENGINES))
    assert "Beside the 2019 study" not in page(tmp_path).words


def test_the_package_holds_the_figures_that_results_show() -> None:
    assert read_origin() == read_origin(Path(__file__).parents[2] / "results/origin.toml")


def test_energy_is_a_third_goal_of_the_front(tmp_path: Path) -> None:
    # openvino is as slow as the framework: only its energy can bring it onto the front
    watts = {"torch:fp32": replayed(90, 5000), "onnxruntime:fp32": replayed(80, 5000),
             "openvino:fp32": replayed(40, 5000)}  # fmt: skip
    make_study(tmp_path / "with", seeds=(0,), energy=watts)
    make_study(tmp_path / "without", seeds=(0,))
    rows = {}
    for name in ("with", "without"):
        build_report(tmp_path / name)
        rows[name] = {r["engine"]: r for r in shown(tmp_path / name, "chance of being on the front", "accuracy")}
    assert "mJ/image, gross" not in rows["without"]["onnxruntime fp32"]
    assert "openvino fp32" not in rows["without"]
    assert rows["with"]["openvino fp32"]["mJ/image, gross"].startswith("80 | ")
    assert rows["with"]["openvino fp32"]["chance of being on the front"] == "100 %"
    assert "torch fp32" not in rows["with"]


def test_tables_are_exported_as_they_are_shown(batch: Path) -> None:
    with (batch / "tables/batch-size-1.csv").open() as file:
        rows = list(csv.DictReader(file))
    page_rows = shown(batch, "learning rate", "gap in accuracy", "an epoch")
    assert [f"{r['an epoch']} | {r['an epoch: below']}" for r in rows] == [r["an epoch"] for r in page_rows]
    with (batch / "tables/records.csv").open() as file:
        records = list(csv.DictReader(file))
    sizes = [(r["runtime"], int(r["batch_size"])) for r in records if r["kind"] == "throughput"]
    assert sorted(sizes) == sorted((e, s) for e in ("torch", "onnxruntime") for s in (1, 64, 1024))
    row = next(r for r in records if (r["runtime"], r["batch_size"]) == ("torch", "64"))
    values = timing_records("basic", {"torch:fp32": 0.040 * 64}, 64)[0].samples["call"].values
    assert float(row["ms_per_item"]) == pytest.approx(1e3 * np.median(values) / 64)
    assert float(row["ms_per_item_low"]) < float(row["ms_per_item"]) < float(row["ms_per_item_high"])


def test_no_cell_of_a_csv_is_a_formula() -> None:
    text = table_csv(Table(("a",), [[Value("=1+1", None, "@x")], [Value("+1.5")]]))
    assert list(csv.reader(text.splitlines())) == [["a", "a: below"], ["'=1+1", "'@x"], ["+1.5", ""]]


def test_studies_of_two_hosts_in_one_report(batch: Path, tmp_path: Path) -> None:
    report(tmp_path / "b", power_records({}, GPU_HOST, "cuda:0"))
    build_reports([batch, tmp_path / "b"], tmp_path / "out")
    words = page(tmp_path / "out").words
    assert "basic on cpu, host 1" in words
    assert "cuda:0, host 2" in words
    rows = shown(tmp_path / "out", "whose", "device")
    assert {r["device"] for r in rows if r["whose"] == "measured here"} >= {"Test GPU"}
