"""The plan of GPU steps: what it chooses, kills, keeps and goes on with; cheap steps without a GPU; what is brought."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from skytrigger.core.files import read_json
from skytrigger.measure.records import read

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import gpu_bring  # noqa: E402
import gpu_card_page  # noqa: E402
import gpu_plan  # noqa: E402
from gpu_plan import Step  # noqa: E402

STEPS = (Step("a", "", 100, 200), Step("b", "", 300, 400), Step("c", "", 50, 60))
PROGRAM = """
import pathlib, sys, time
step, out = sys.argv[2], pathlib.Path(sys.argv[4])
(out / "records.jsonl").write_text("begun\\n")
(out.parent / f"ran-{step}-{time.time_ns()}").touch()
if step == "hangs":
    time.sleep(600)
sys.exit(3 if step == "fails" else 0)
"""


def names(steps: list[Step]) -> list[str]:
    return [s.name for s in steps]


def test_dearest_first_what_fits_and_is_not_done() -> None:
    assert names(gpu_plan.chosen(STEPS, set(), 450)) == ["a", "b", "c"]
    assert names(gpu_plan.chosen(STEPS, set(), 399)) == ["a", "c"]
    assert names(gpu_plan.chosen(STEPS, {"a"}, 399)) == ["b", "c"]
    assert names(gpu_plan.chosen(STEPS, set(), 450, only=("c",))) == ["c"]
    assert names(gpu_plan.chosen(STEPS, set(), 49)) == []


def test_the_issue_s_nine_minutes() -> None:
    nine = names(gpu_plan.chosen(gpu_plan.STEPS, set(), 9 * 60))
    assert nine[:5] == ["clue", "networks", "power", "doublets", "batch"]


def test_killed_with_everything_it_started(tmp_path: Path) -> None:
    child = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}, sys.argv[1]])"
    pid = tmp_path / "pid"
    status, _ = gpu_plan.run_killed([sys.executable, "-c", parent, str(pid)], 3.0, dict(os.environ))
    assert status is None
    deadline = time.monotonic() + 20
    while _alive(int(pid.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(int(pid.read_text()))


def _alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.is_file() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_whole_cut_off_failed_and_gone_on_with(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    folder = tmp_path / "card"
    steps = [Step("good", "", 1, 60), Step("hangs", "", 1, 2), Step("fails", "", 1, 60)]
    gpu_plan.run_plan(steps, folder, 600, program=program)
    outcomes = {k: v["outcome"] for k, v in read_json(folder / "summary.json").items()}
    assert outcomes == {"good": "done", "hangs": "killed", "fails": "failed (3)"}
    assert gpu_plan.finished(folder) == {"good"}
    assert (folder / "hangs.partial" / "records.jsonl").is_file()

    again = gpu_plan.chosen(steps, gpu_plan.finished(folder), 600)
    assert names(again) == ["hangs", "fails"]
    gpu_plan.run_plan(again, folder, 600, program=program)
    assert len(list(folder.glob("ran-good-*"))) == 1
    assert len(list(folder.glob("ran-hangs-*"))) == len(list(folder.glob("ran-fails-*"))) == 2


def test_nothing_is_begun_without_time(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    gpu_plan.run_plan([Step("good", "", 30, 60)], tmp_path / "card", 5, program=program)
    assert read_json(tmp_path / "card" / "summary.json")["good"]["outcome"] == "no time left"
    assert not list((tmp_path / "card").glob("ran-*"))


def test_the_plan_is_printed_without_a_gpu() -> None:
    environment = os.environ | {"PYTHONPATH": str(BENCHMARKS.parent / "src")}
    command = [sys.executable, str(BENCHMARKS / "gpu_plan.py"), "--plan", "--minutes", "9"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    said = (done.stdout + done.stderr).splitlines()
    assert [line.split()[0] for line in said if "clue" in line] == ["run"]
    assert [line.split()[:2] for line in said if "training" in line and "RGB" in line] == [["left", "out"]]


@pytest.mark.slow
def test_cheap_steps_and_their_page_in_simulation(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(BENCHMARKS.parent / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(BENCHMARKS / "gpu_plan.py"), "--simulate", "--out", str(tmp_path), "--only"]
    steps = ("power", "training", "scenes")
    done = subprocess.run([*command, *steps], capture_output=True, text=True, env=environment)
    folder = tmp_path / "simulated"
    assert gpu_plan.finished(folder) == set(steps), done.stderr[-3000:]
    for name in steps:
        assert all(r.extra["simulated"] for r in read(folder / name / "records.jsonl"))
    power = [r for r in read(folder / "power" / "records.jsonl") if r.what["scenario"] == "window"]
    assert {r.what["network"] for r in power} == {"basic", "winner"}
    assert all(r.energy["watts_mean"] == pytest.approx(300) for r in power)  # the replayed counter's

    assert not list(folder.rglob("*.onnx"))  # records only

    gpu_card_page.card_page(folder)
    page = (folder / "README.md").read_text()
    assert "Simulated" in page
    assert "| goal |" not in page
    assert page.count("| basic torch fp32 |") == 1
    assert page.count("| whole, to the last file |") == 2


def test_tiles_are_dealt_once_and_within_the_limit(tmp_path: Path) -> None:
    archives = [tmp_path / "train.zip", tmp_path / "val.zip"]
    for archive, count in zip(archives, (30, 10), strict=True):
        with zipfile.ZipFile(archive, "w") as out:
            for i in range(count):
                out.writestr(f"RGB/River/River_{archive.stem}{i}.jpg", os.urandom(1000))
    parts = [tmp_path / "part1", tmp_path / "part2"]
    parts[0].mkdir()
    (parts[0] / "numpy.whl").write_bytes(bytes(10_000))
    limit = 33_000
    gpu_bring.deal(archives, parts, limit)
    assert all(gpu_bring.size_of(part) <= limit for part in parts)
    dealt = [n for p in parts for z in p.glob("*.zip") for n in zipfile.ZipFile(z).namelist()]
    assert sorted(dealt) == sorted(n for a in archives for n in zipfile.ZipFile(a).namelist())
    with pytest.raises(SystemExit, match="do not fit"):
        gpu_bring.deal(archives, [tmp_path / "one"], limit)


def test_no_script_hides_a_folder_of_tests() -> None:
    """Both are on the import path here; a module would win over a folder, in other processes too."""
    folders = {p.name for p in BENCHMARKS.with_name("tests").iterdir() if p.is_dir()}
    assert not folders & {p.stem for p in BENCHMARKS.iterdir()}
