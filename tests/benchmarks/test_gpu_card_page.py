"""The page of a card: goals worked out from records whose answer is known."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from skytrigger.core.files import write_json
from skytrigger.core.host import host_facts
from skytrigger.measure.records import Record, Samples, append

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import gpu_card_page
import gpu_page

WHERE = host_facts()


def burst(runtime: str, precision: str, us: list[float], streams: int = 1) -> Record:
    what = {"network": "basic", "runtime": runtime, "precision": precision, "batch_size": 1000, "streams": streams,
            "input_type": "float32", "scenario": "burst"}  # fmt: skip
    samples = {"call": Samples("s", tuple(1e-3 * v * streams for v in us), 1000 * streams)}
    return Record("throughput", what, WHERE, samples, extra={"visit_s": 0.03, "calls": 30})


def clue(strategy: int, call_ms: float, **device_ms: float) -> Record:
    what = {"network": "clue pu200 300000", "runtime": "cuda", "strategy": strategy, "hits": 300_000}
    samples = {name.replace("_", " "): Samples("s", (v / 1e3,)) for name, v in {"call": call_ms, **device_ms}.items()}
    return Record("latency", what, WHERE, samples, extra={"labels": "identical"})


def power(runtime: str, precision: str, joules: float) -> Record:
    what = {"network": "basic", "runtime": runtime, "precision": precision, "batch_size": 1024, "scenario": "window"}
    energy: dict[str, Any] = {"label": "measured", "source": "nvml", "scope": "board", "resolution": "1 mJ"}
    energy |= {"joules_gross": joules, "items": 1000, "seconds": 5.0, "watts_mean": 300.0, "watts_min": 290.0,
               "watts_max": 310.0, "integrated_watts": 301.0, "clock_mhz": 1700.0, "utilisation": 1.0,
               "temperature_c": 50.0, "flags": []}  # fmt: skip
    return Record("power", what, WHERE, {"call": Samples("s", (0.1,), 1024)}, energy=energy)


def verdicts(records: dict[str, list[Record]]) -> dict[str, tuple[str, str]]:
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in gpu_card_page.goals(records)]
    return {goal: (found, verdict) for goal, found, verdict in lines}


def test_ratios_are_taken_round_by_round_and_both_baselines_shown() -> None:
    records = [burst("torch", "fp32", [12, 30, 14]), burst("torch", "default", [6, 6, 6]),
               burst("hopper", "fp16", [0.5, 1.0, 0.6]), burst("hopper", "fp16", [9, 9, 9], streams=2)]  # fmt: skip
    found = verdicts({"networks": records})
    assert found["20 times PyTorch eager in float32, TF32 off"] == ("24 (23.3 to 30)", "reached")
    assert found["the same against PyTorch as it comes (TF32 convolutions)"] == ("10 (6 to 12)", "**missed**")
    assert found["`basic` float16 in bursts, tiles on the card: 0.7 us an image"] == ("0.6 (0.5 to 1)", "reached")


def test_clue_s_goals() -> None:
    records = [clue(1, 90), clue(2, 3.0), clue(3, 1.5, graph=0.6)]
    events = {"network": "clue 48 events of 100000", "runtime": "cuda", "strategy": 4, "hits": 100_000}
    many = Record("throughput", events, WHERE, {"call": Samples("s", (0.02,), 48)}, extra={"labels": "identical"})
    found = verdicts({"clue": [*records, many]})
    assert found["CLUE, 300,000 hits: kernels at most 0.5 ms"] == ("0.6 ms", "**missed**")
    assert found["whole call with copies at most 2 ms"] == ("1.5 ms", "reached")
    assert found["strategies 1 > 2 > 3 in time"] == ("90 > 3 > 1.5 ms", "reached")
    assert found["strategy 4, at least 2,000 events/s, events of 100,000"] == ("2.4e+03", "reached")
    assert verdicts({"clue": [clue(1, 90), clue(2, 1.0), clue(3, 1.5, graph=0.2)]})["strategies 1 > 2 > 3 in time"] == (
        "90 > 1 > 1.5 ms",
        "**missed**",
    )


def test_joules_a_tenth() -> None:
    goal = "joules an image at most a tenth of PyTorch float32's, batch 1,024"
    assert verdicts({"power": [power("torch", "fp32", 10), power("hopper", "fp16", 0.9)]})[goal] == ("0.09", "reached")
    assert verdicts({"power": [power("torch", "fp32", 10), power("hopper", "fp16", 1.1)]})[goal][1] == "**missed**"


def test_a_page_from_whole_and_cut_off_steps(tmp_path: Path) -> None:
    folder = tmp_path / "some-card"
    parts = {"copied_in": 0.2, "kernels": 0.3, "copied_out": 0.2}
    for record in (clue(1, 90, **parts), clue(2, 3, **parts), clue(3, 1.5, graph=0.25, **parts)):
        append(folder / "clue" / "records.jsonl", record)
    append(folder / "power.partial" / "records.jsonl", power("hopper", "fp16", 0.9))
    write_json(folder / "summary.json", {"clue": {"outcome": "done", "seconds": 70.0}})
    write_json(tmp_path / "unrelated.json", {})
    sys.argv = ["gpu_page.py", str(tmp_path)]
    gpu_page.main()  # no networks.jsonl there: cards only
    page = (folder / "README.md").read_text()
    assert "Cut off or failed, taken as far as they got: power." in page
    assert "| pu200 300000 | strategy 3 | 1.5 | 0.2 | 0.3 | 0.2 | 0.25 | identical |" in page
    assert "KD-tree baseline 6110 ms" in page
    assert "first GPU version 159 ms" in page
    assert "| 0.9 | 1.05 |" in page  # mJ an image, and by the committed accuracy 0.859 of `basic` a correct one
    assert (folder / "clue.png").stat().st_size > 1000


def test_committed_pages_are_made_from_their_records(tmp_path: Path) -> None:
    folders = sorted((Path(__file__).parents[2] / "results/gpu").glob("*/summary.json"))
    assert folders
    for summary in folders:
        copy = tmp_path / summary.parent.name
        shutil.copytree(summary.parent, copy)
        committed = (copy / "README.md").read_text()
        gpu_card_page.card_page(copy)
        assert (copy / "README.md").read_text() == committed
