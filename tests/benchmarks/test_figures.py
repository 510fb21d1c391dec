"""The figures on the pages: what `make figures` finds, and that accuracy and time in a row are of one file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))

from figures import FIGURES, engines, figure, gpu, pid, searches, tiles  # noqa: E402
from figures.pages import outside, pages_of, rendered  # noqa: E402
from figures.scan import read_constants, unexplained  # noqa: E402
from figures.text import digits, number, points, span  # noqa: E402
from skytrigger.core.files import sha256_file  # noqa: E402
from skytrigger.eo.packaged import PACKAGED, packaged  # noqa: E402

PID = (("pid_small", (50, 10), (4, 2)), ("pid_origin", (50, 30), (4, 1)))  # name, image, width of each head


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setitem(FIGURES, "test.times", lambda word="": f"213 times{word}")
    monkeypatch.setitem(FIGURES, "test.broken", lambda: {}["no record"])
    monkeypatch.setitem(FIGURES, "test.table", lambda: "| a |\n|---|\n| 1 |")


def test_a_page_that_agrees_is_left_as_it_is(known):
    page = "It is <!-- fig test.times -->213 times<!-- /fig --> as fast.\n"
    assert rendered(page, "p.md") == (page, [], 1)


def test_a_figure_that_differs_is_told_and_written(known):
    after, problems, _ = rendered("<!-- fig test.times x -->214 times<!-- /fig -->", "p.md")
    assert after == "<!-- fig test.times x -->213 timesx<!-- /fig -->"
    assert problems == ["p.md: test.times x: the page says '214 times', the records '213 timesx'"]


def test_tables_stand_on_lines_of_their_own(known):
    after, _, _ = rendered("<!-- fig test.table --><!-- /fig -->", "p.md")
    assert after == "<!-- fig test.table -->\n| a |\n|---|\n| 1 |\n<!-- /fig -->"
    assert rendered(after, "p.md")[1] == []


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<!-- fig nowhere -->1<!-- /fig -->", "no figure is called nowhere"),
        ("<!-- fig test.broken -->1<!-- /fig -->", "KeyError"),
        ("<!-- fig test.times -->213 times", "0 fit"),
        ("213 times<!-- /fig -->", "0 fit"),
    ],
)
def test_figures_without_a_record_and_open_marks_are_found(known, page, words):
    assert any(words in problem for problem in rendered(page, "p.md")[1])


@pytest.mark.parametrize(
    "text",
    ["213 times", "98.8 %", "0.82 us", "5,400 tiles", "34 minutes", "8.7 mJ", "an AUC of 0.654", "1.6 to 1.8 times",
     "−3.1 points", "157 kB", "| 0.705 |", "731 / 81 / 276 tiles", "752 TFLOP/s", "92,432"],
)  # fmt: skip
def test_numbers_that_look_measured_are_found(text):
    assert unexplained(f"It takes {text} here.", "p.md", [])[0]


@pytest.mark.parametrize(
    "text",
    ["13 bands", "batch 64", "25 epochs", "two streams", "`--max-drop 0.2`", "[page](results/0.5/README.md)", "H200",
     "<!-- fig a.b -->0.82 us<!-- /fig -->", "<!-- fig a -->\n| 0.7 |\n<!-- /fig -->", "```\n5.3 ms\n```", "v1.2.3",
     "2019 study"],
)  # fmt: skip
def test_words_code_addresses_and_figures_are_not(text):
    assert unexplained(f"It has {text} here." if "\n" not in text else text, "p.md", [])[0] == []


def test_a_constant_explains_its_own_number_on_its_own_page(tmp_path):
    constants = [{"text": "5 % noise", "pages": ["docs/*.md"], "why": "the simulation's"}]
    assert unexplained("with 5 % noise", "docs/m.md", constants) == ([], {0})
    assert unexplained("with 5 % noise and 6 % more", "docs/m.md", constants)[0] != []
    assert unexplained("with 5 % noise", "README.md", constants)[0] != []
    (tmp_path / "c.toml").write_text('[[constant]]\ntext = "5 %"\n')
    with pytest.raises(ValueError, match="needs text and why"):
        read_constants(tmp_path / "c.toml")


def test_lines_keep_their_numbers_when_tables_are_taken_out():
    assert (4, "b") in outside("a\n<!-- fig x -->\n| 1 |<!-- /fig -->\nb")


@pytest.mark.parametrize("page", pages_of(ROOT), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_line_of_text_begins_with_a_mark_which_makes_it_raw_html(page):
    assert re.findall(r"^ {0,3}<!-- fig [^>]*-->.+", page.read_text(), re.MULTILINE) == []


def test_two_figures_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two figures"):
        figure("tiles.table")(lambda: "")


def test_how_figures_are_written():
    interval = {"estimate": -0.011, "low": -0.0512, "high": 0.03}
    assert points(interval) == "−1.1 points (−5.1 to +3.0)"
    assert [digits(v) for v in (0.01528, 9.158, 42.86, 212.6, 5400.0)] == ["0.0153", "9.16", "42.9", "213", "5,400"]
    assert span({"estimate": 2.0, "low": 1.5, "high": 3.0}) == "2.00 (1.50 to 3.00)"
    assert span({"estimate": 2.0, "low": None, "high": None}) == "2.00 (no interval)"
    assert number(-2.94, 1) == "−2.9"


@pytest.mark.parametrize("name", PACKAGED)
def test_accuracy_and_time_in_a_row_are_of_the_file_that_is_shipped(name):
    shipped = sha256_file(packaged(name))
    for page in ("README.md", "results/fast/README.md", "results/packaged/README.md"):
        row = re.search(rf"^\| `{name}` \| `([0-9a-f]+)` \|", (ROOT / page).read_text(), re.MULTILINE)
        assert row, f"{page} has no row of {name} with its hash"
        assert shipped.startswith(row[1])
    judged = json.loads((ROOT / f"results/packaged/{name.removeprefix('eurosat_')}-test/metrics.json").read_text())
    timed = json.loads((ROOT / f"results/fast/{name}.json").read_text())
    assert judged["model_hash"] == timed["model"]["sha256"] == shipped


@pytest.mark.parametrize("folder", ["optimize", "optimize-rgb"])
def test_accuracy_and_time_of_a_winner_are_of_one_file(folder):
    best = sha256_file(ROOT / "results" / folder / "best.onnx")
    assert f"`{best[:12]}`" in (ROOT / "README.md").read_text()
    assert searches.final(folder)[0].what["model_hash"] == best
    assert searches.winner_accuracy(folder).n > 0
    marker = json.loads((ROOT / "results" / folder / "test_marker.json").read_text())
    assert marker["sha256"] == best


def test_identity_figures_are_of_the_file_that_is_shipped(monkeypatch, tmp_path):
    other = tmp_path / "other.onnx"
    other.write_bytes(b"other")
    monkeypatch.setitem(pid.PACKAGED, pid.NAME, other)
    pid._network.cache_clear()
    with pytest.raises(ValueError, match="another file than the shipped"):
        FIGURES["pid.identity"]()
    pid._network.cache_clear()


def test_a_file_that_is_not_the_shipped_one_has_no_row(monkeypatch, tmp_path):
    other = tmp_path / "other.onnx"
    other.write_bytes(b"other")
    monkeypatch.setattr(tiles, "packaged", lambda name: other)
    tiles.judged.cache_clear()
    with pytest.raises(ValueError, match="another file than the shipped"):
        tiles.judged("eurosat_ms")
    tiles.judged.cache_clear()


def test_constants_that_stand_for_code_agree_with_it():
    from skytrigger.core.seen import FILE_LIMIT
    from skytrigger.eo.networks import build
    from skytrigger.hep.pid import networks as pid_networks
    from skytrigger.hep.pid.answering import ROWS
    from skytrigger.optimize.students import multiply_adds

    assert 2 * multiply_adds(build("basic", 13, (64, 64), 10).eval(), 13, (64, 64)) == gpu.OPERATIONS
    sizes = [
        sum(p.numel() for p in pid_networks.build(name, 3, size, outputs).parameters()) for name, size, outputs in PID
    ]
    page = (ROOT / "docs/pid.md").read_text()
    assert f" {sizes[0]:,} parameters" in page
    assert f"{sizes[1] / 1e6:.1f} million parameters" in page
    assert f"{ROWS:,} tracksters at a time" in page
    assert f"more than {FILE_LIMIT:,} names" in (ROOT / "docs/optimising.md").read_text()
    changes = [json.loads(line)["extra"]["auc_change"] for line in (ROOT / "results/doublets/gpu/records.jsonl").open()]
    assert max(abs(c) for c in changes if c is not None) < 0.0001


def test_the_winner_with_its_picking_is_compared_with_the_fastest_batch_of_eager_basic():
    arms = engines.loaded(engines.EAGER)
    medians = {n: sorted(a["slots"])[len(a["slots"]) // 2] for n, a in arms["arms"].items() if n.startswith("eager")}
    assert min(medians, key=medians.get) == "eager 16"
    assert arms["blocks"] >= 20


def test_every_page_agrees_with_its_records():
    paths = os.pathsep.join(str(ROOT / part) for part in ("src", "benchmarks"))
    done = subprocess.run(
        [sys.executable, "-m", "figures"], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "figures agree with their records" in done.stdout
