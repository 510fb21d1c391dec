"""The report of a made study: its figures against figures computed here, and what hostile files can do to it."""

from __future__ import annotations

import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from report.made import CLASSES, HOST, make_study, predictions, timing_records
from skytrigger.cli.main import main
from skytrigger.core.errors import InputError
from skytrigger.measure.records import append
from skytrigger.report.build import build_report, build_reports
from skytrigger.study.toml import load_spec, to_toml

HOSTILE = "<img src=x onerror=alert(1)>|`\"'&"


class Page(HTMLParser):
    """Tables as text, tags with attributes, and the embedded data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.script = ""
        self._cell, self._json, self.words = False, False, ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._json = tag == "script" and dict(attrs).get("type") == "application/json"
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._cell = True
        elif tag == "small" and self._cell:
            self.tables[-1][-1][-1] += " | "

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False
        if tag == "script":
            self._json = False

    def handle_data(self, data: str) -> None:
        self.words += data
        if self._json:
            self.script += data
        elif self._cell:
            self.tables[-1][-1][-1] += data

    def table(self, *heads: str) -> dict[tuple[str, ...], dict[str, str]]:
        """The first table with these headings: row name -> heading -> text."""
        for table in self.tables:
            if table and set(heads) <= set(table[0]):
                return {tuple(row[:2]): dict(zip(table[0], row, strict=True)) for row in table[1:]}
        raise AssertionError(f"no table with {heads}: {[t[0] for t in self.tables]}")


def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text())


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "study"
    make_study(folder)
    build_report(folder)
    return folder


def accuracy(right: float, seed: int) -> float:
    found = predictions(right, seed)
    return float((found.logits.argmax(axis=1) == found.true).mean())


def test_files_are_written(study: Path) -> None:
    names = {p.name for p in study.iterdir()}
    assert {"report.html", "report.md", "curves.png", "speed.png", "confusion.png"} <= names
    assert not [n for n in names if n.endswith(".tmp")]


def test_accuracy_is_that_of_the_predictions(study: Path) -> None:
    rows = page(study).table("network", "accuracy", "loss (nats)")
    for place, (name, right) in enumerate({"basic": 0.6, "regularized": 0.9}.items()):
        seeds = [accuracy(right, 10 * place + s) for s in (0, 1)]
        row = next(r for r in rows.values() if r["network"] == name)
        assert row["accuracy"].startswith(f"{100 * np.mean(seeds):.2f} % |")
        for seed, value in enumerate(seeds):
            k, n, z = round(90 * value), 90, 1.959964
            centre, half = (k + z * z / 2) / (n + z * z), z * math.sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
            assert (
                f"{seed}: {100 * value:.2f} % ({100 * (centre - half):.1f} to {100 * (centre + half):.1f})"
                in (row["each seed (Wilson 95 %)"])
            )
        losses = []
        for s in (0, 1):
            found = predictions(right, 10 * place + s)
            z64 = found.logits.astype(float)
            losses.append(np.mean(np.log(np.exp(z64).sum(1)) - z64[np.arange(90), found.true]))
        assert row["loss (nats)"].startswith(f"{np.mean(losses):.3f} |")


def test_confusion_data_is_that_of_the_predictions(study: Path) -> None:
    data = json.loads(page(study).script)["confusion"]["confusion"]
    for place, right in enumerate((0.6, 0.9)):
        found = predictions(right, 10 * place)
        counts = np.zeros((3, 3), int)
        np.add.at(counts, (found.true, found.logits.argmax(axis=1)), 1)
        assert data["networks"][place]["counts"] == counts.tolist()
    first, second = (predictions(r, s).logits.argmax(axis=1) for r, s in ((0.6, 0), (0.9, 10)))
    true = predictions(0.6, 0).true
    flips = data["pairs"][0]["flips"]
    assert flips["changed"] == int((first != second).sum())
    assert flips["wrong_to_right"] == int(((first != true) & (second == true)).sum())
    assert flips["right_to_wrong"] == int(((first == true) & (second != true)).sum())
    assert data["classes"] == list(CLASSES)


def test_the_drawn_change_is_the_difference_of_the_matrices(study: Path) -> None:
    read = page(study)
    data = json.loads(read.script)["confusion"]["confusion"]
    a, b = (np.array(n["counts"]) for n in data["networks"])
    drawn = [t for t in read.tables if t and t[0][0] == "true \\ predicted"]
    assert [[int(v or 0) for v in row[1:]] for row in drawn[0][1:]] == a.tolist()
    assert [[int(v or 0) for v in row[1:]] for row in drawn[1][1:]] == (b - a).tolist()


def test_speedup_is_the_paired_ratio_and_equal_engines_are_not_told_apart(study: Path) -> None:
    rows = page(study).table("network", "engine", "ms/image", "speed-up over torch fp32")
    fast, same = rows["basic", "onnxruntime fp32"], rows["basic", "openvino fp32"]
    said = re.match(r"([\d.]+)× \| ([\d.]+) to ([\d.]+)", fast["speed-up over torch fp32"])
    assert said is not None
    ratio, low, high = map(float, said.groups())
    assert ratio == pytest.approx(2.5, rel=0.03)
    assert low < 2.5 < high
    assert "not established" in same["speed-up over torch fp32"]
    values = timing_records("basic", {"torch:fp32": 0.04, "onnxruntime:fp32": 0.016})[1].samples["call"].values
    assert fast["ms/image"].startswith(f"{1e3 * np.median(values) / 4:.3g} | ")
    assert fast["calls timed (n)"] == "24"


def test_what_is_missing_is_said(study: Path) -> None:
    words = page(study).words
    assert "SYNTHETIC DATA" in words
    assert "the engine broke" in words
    assert "this CPU has no bf16" in words
    assert "Energy: unavailable for 3 of 3 timings" in words
    assert "/home/someone" not in words


def test_real_data_bear_no_synthetic_label(tmp_path: Path) -> None:
    make_study(tmp_path / "s", kind="files", seeds=(0,), title="A study")
    build_report(tmp_path / "s")
    for name in ("report.html", "report.md"):
        text = (tmp_path / "s" / name).read_text().lower()
        assert "synthetic" not in re.sub(r"synthetic:\d+", "", text)  # the spec's own data entry


def test_markdown_holds_the_same_figures(study: Path) -> None:
    text = (study / "report.md").read_text()
    for row in page(study).table("network", "accuracy", "loss (nats)").values():
        assert row["accuracy"].split(" | ")[0] in text
    assert "![Training curves](curves.png)" in text


def test_page_loads_nothing(study: Path) -> None:
    text = (study / "report.html").read_text()
    assert not re.search(r"https?:|url\(|@import|//[a-z]", text)
    loading = {"src", "href", "srcset", "action", "xlink:href"}
    for tag, attributes in page(study).tags:
        for name in loading & set(attributes):
            assert str(attributes[name]).startswith(("#", "data:,")), (tag, attributes)
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    policy = next(a["content"] for t, a in page(study).tags if t == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in str(policy)
    assert "unsafe" not in str(policy)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    networks = {HOSTILE: 0.6, "</script><script>alert(2)</script>": 0.8}
    store = make_study(tmp_path / "s", networks=networks, seeds=(0,), title=HOSTILE)
    raw = json.loads((store.path / "study.json").read_text())
    raw["cells"][-1]["error"] = HOSTILE
    raw["host"]["cpu"]["model"] = HOSTILE
    raw["data"]["units"] = HOSTILE
    (store.path / "study.json").write_text(json.dumps(raw))
    build_report(store.path)
    read = page(store.path)
    assert not [t for t, _ in read.tags if t == "img"]
    assert sum(t == "script" for t, _ in read.tags) == 2
    assert not any(name.startswith("on") for _, attributes in read.tags for name in attributes)
    assert read.words.count(HOSTILE) > 5
    assert [n["name"] for n in json.loads(read.script)["confusion"]["confusion"]["networks"]] == list(networks)
    text = (store.path / "report.md").read_text()
    assert not re.search(r"(?<!\\)<(img|script)", re.sub(r"```.*?```", "", text, flags=re.S))


def test_unfinished_and_damaged_cells(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    store = make_study(folder, seeds=(0,))
    raw = json.loads((folder / "study.json").read_text())
    by_kind = {c["kind"] + c["label"]: c for c in raw["cells"]}
    (folder / by_kind["evaluaten1-0"]["folder"] / "predictions.parquet").write_bytes(b"x")
    shutil.rmtree(folder / by_kind["trainn0-0"]["folder"])
    (folder / by_kind["benchn0-batch4"]["folder"] / "records.jsonl").write_text("{}\n")
    build_report(store.path)
    words = page(folder).words
    assert "is not a predictions file" in words
    assert "not a valid record" in words or "record schema" in words
    assert "No engine has been timed." in words


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1, "cells": [1]}', '{"schema": 9, "cells": []}'])
def test_broken_study_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(InputError, match=r"study\.json"):
        build_report(tmp_path)


def test_a_cell_outside_the_folder_is_refused(tmp_path: Path) -> None:
    make_study(tmp_path / "s", seeds=(0,))
    raw = json.loads((tmp_path / "s" / "study.json").read_text())
    raw["cells"][0]["folder"] = "../elsewhere"
    (tmp_path / "s" / "study.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match="outside the study"):
        build_report(tmp_path / "s")


def test_records_of_two_hosts_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = {**HOST, "cpu": {**HOST["cpu"], "model": "Other CPU"}}
    for name, host, seconds in (("a", HOST, 0.02), ("b", other, 0.08)):
        for record in timing_records("basic", {"torch:fp32": 0.1, "onnxruntime:fp32": seconds}, host=host):
            append(tmp_path / name / "records.jsonl", record)
    out = tmp_path / "out"
    assert main(["report", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"][0] == str(out / "report.html")
    table = next(t for t in page(out).tables if t and t[0][0] == "host")
    assert [row[0] for row in table[1:]] == ["host 1", "host 1", "host 2", "host 2"]
    speedups = [float(row[table[0].index("speed-up over torch fp32")].split("×")[0]) for row in (table[2], table[4])]
    assert speedups == pytest.approx([5.0, 1.25], rel=0.03)


def test_two_studies_together(tmp_path: Path, study: Path) -> None:
    make_study(tmp_path / "real", kind="files", seeds=(0,))
    build_reports([study, tmp_path / "real"], tmp_path / "out")
    read = page(tmp_path / "out")
    ids = [a["id"] for _, a in read.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    assert set(json.loads(read.script)["confusion"]) == {"s1-confusion", "s2-confusion"} & set(ids)


def test_nothing_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "neither study.json nor records" in capsys.readouterr().err


def test_the_stored_command_is_shown_and_without_one_the_spec(tmp_path: Path) -> None:
    for command in ("", "skytrigger study quick --models basic --out runs/quick"):
        file = make_study(tmp_path / ("with" if command else "without"), seeds=(0,))
        file.command = command
        file.write()
        build_report(file.path)
        words = page(file.path).words
        assert ("Save this as study.toml" in words) == (not command)
        assert not command or command in words


def test_a_spec_of_its_own_comes_back_from_toml(tmp_path: Path) -> None:
    spec = json.loads(json.dumps(load_spec("quick").to_json()))
    spec["recipe"]["learning_rate"] = 0.005
    spec["title"] = 'with "quotes" and \\ signs'
    file = tmp_path / "study.toml"
    file.write_text(to_toml(spec))
    assert json.loads(json.dumps(load_spec(str(file)).to_json())) == spec
