"""The page of a replay: alone, safe, and of one mind with the packets."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skytrigger.core.errors import InputError
from skytrigger.onboard.received import receive
from skytrigger.report.onboard_charts import METRICS, dead_time_curve, figure_of, metric_of, policy_bars, si
from skytrigger.report.onboard_page import page

pytest.importorskip("rasterio")


def data_of(text: str) -> dict:
    return json.loads(re.search(r'id="page-data">(.*?)</script>', text, re.DOTALL)[1])["replay"]


def column(data: dict, name: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(data["cells"][name]), kind)


def test_the_page_is_complete_in_itself(folder):
    out = page(folder)
    assert out == folder / "replay.html"
    text = out.read_text()

    class Parser(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open: list[str] = []
            self.ids: list[str] = []

        def handle_starttag(self, tag, attrs):
            found = dict(attrs)
            assert not any(k.startswith("on") or k == "style" for k in found)  # the policy would not let them
            for name in ("src", "href"):
                assert found.get(name, "#").startswith(("#", "data:")), found
            self.ids += [found["id"]] if "id" in found else []

    parser = Parser()
    parser.feed(text)
    assert len(parser.ids) == len(set(parser.ids))
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)[1]
    for kind in ("style", "script"):
        body = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        assert len(body) == 1
        digest = base64.b64encode(hashlib.sha256(body[0].encode()).digest()).decode()
        assert f"sha256-{digest}" in policy
    assert "SYNTHETIC" in text
    wanted = set(re.findall(r'\bel\("([a-z-]+)"\)', text))
    assert wanted <= set(parser.ids)


def test_the_map_is_of_the_packets(folder):
    data = data_of(page(folder).read_text())
    ground = receive(folder)
    in_pass = column(data, "pass", "<i2")
    for scene in data["scenes"]:
        for i in range(scene["rows"] * scene["columns"]):
            known = ground.tiles.get((scene["name"], i // scene["columns"], i % scene["columns"]))
            number = in_pass[scene["at"] + i]
            assert (known.first_pass if known else None) == (data["passes"][number]["pass"] if number >= 0 else None)
    assert data["passes"][-1]["arrived"] == len(ground.tiles)
    assert sum(all_ for _, _, all_, _ in data["world"]) == len(in_pass)


def test_every_tile_has_its_story(folder):
    data = data_of(page(folder).read_text())
    rows = {r["tile"]: r for r in pq.read_table(folder / "tiles.parquet").to_pylist()}
    board, status, reason = (column(data, n, k) for n, k in (("board", "u1"), ("status", "u1"), ("reason", "<u4")))
    sensed, value = column(data, "sensed", "<f4"), column(data, "value", "<f4")
    names = [c["title"] for c in data["classes"]]
    for scene in data["scenes"]:
        for i in range(scene["rows"] * scene["columns"]):
            k, row = scene["at"] + i, rows[f"{scene['name']}/{i // scene['columns']}/{i % scene['columns']}"]
            assert names[board[k]].replace(", l", "L").lower() == row["class_name"].lower()
            assert data["statuses"][status[k]]["key"] == row["status"]
            assert data["reasons"][reason[k]] == row["reason"]
            assert sensed[k] == pytest.approx(row["t_sensed_s"], rel=1e-6)
            assert value[k] == pytest.approx(row["value"], rel=1e-6)


def test_what_stands_in_the_tables_cannot_become_markup(folder):
    table = pq.read_table(folder / "tiles.parquet")
    evil = "</script><script>alert(1)</script>"
    reasons = pa.array([evil] * len(table))
    pq.write_table(table.set_column(table.column_names.index("reason"), "reason", reasons), folder / "tiles.parquet")
    summary = json.loads((folder / "summary.json").read_text())
    summary["preset"] = evil
    summary["policies"][evil] = summary["policies"]["fifo"]
    (folder / "summary.json").write_text(json.dumps(summary))
    text = page(folder).read_text()
    assert "<script>alert" not in text
    assert data_of(text)["reasons"] == [evil]


@pytest.mark.parametrize("name", ["summary.json", "passes.json", "tiles.parquet", "memory.parquet"])
def test_a_folder_that_is_no_replays_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=name):
        page(folder)


def test_columns_that_are_missing_are_named(folder):
    table = pq.read_table(folder / "tiles.parquet").drop_columns(["reason"])
    pq.write_table(table, folder / "tiles.parquet")
    with pytest.raises(InputError, match="reason"):
        page(folder)
    assert not (folder / "replay.html").exists()


def test_a_replay_in_which_nothing_happened_has_a_page_too(folder):
    pq.write_table(pq.read_table(folder / "tiles.parquet").slice(0, 0), folder / "tiles.parquet")
    (folder / "passes.json").write_text("[]")
    shutil.rmtree(folder / "packets")
    assert "No tile was classified" in page(folder).read_text()


def test_charts_tell_every_policy():
    drawn = policy_bars(metric_of("value_of_oracle"), [("fifo", figure_of({"value": 0.2, "low": None, "high": None})),
                        ("mine.py", None)], "mine.py")  # fmt: skip
    words = [p.words for p in drawn.parts if hasattr(p, "words")]
    assert "FIFO" in words
    assert "mine" in words
    assert "nothing to measure" in words
    assert metric_of("something_new").title == "something new"
    assert all(m.better in ("more", "less") for m in METRICS.values())
    assert si(2.4e12, "bit") == "2.4 Tbit"
    assert dead_time_curve(None) is None
    assert dead_time_curve(
        {"points": [{"offered_tiles_per_s": 100, "kept_share": 1.0}, {"offered_tiles_per_s": 1000, "kept_share": 0.4}]}
    )


def test_the_colliders_preset_has_a_page_too(tmp_path):
    def share(value):
        return {"value": value, "low": value - 0.02, "high": value + 0.02}

    curve = [{"policy": p, "accept_hz": r, "accepted_hz": share(r), "efficiency": share(e)}
             for p, e in (("prescale", 0.01), ("age", 0.2)) for r in (1e5, 1e6)]  # fmt: skip
    points = [{"offered_tiles_per_s": 1e7, "kept_share": 1.0}, {"offered_tiles_per_s": 4e7, "kept_share": 0.9}]
    summary = {"preset": "l1", "synthetic": True, "auc": 0.7, "seeds": 5, "curve": curve, "facts": {"rate_hz": 4e7},
               "dead_time": {"device": "made up", "points": points}}  # fmt: skip
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    text = page(tmp_path).read_text()
    assert "0 to 3" in text  # an efficiency's interval ends at nothing
    assert "events offered a second" in text
    assert "explain" not in text
