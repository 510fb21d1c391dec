"""The plan of GPU steps: what it chooses, kills, keeps and goes on with; cheap steps without a GPU; what is brought."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import time
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
    assert [line.split()[0] for line in said if " clue " in line] == ["run"]
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


def test_what_is_brought_is_cut_by_bytes_and_joined(tmp_path: Path) -> None:
    made, parts, back = (tmp_path / name for name in ("made", "parts", "back"))
    sizes = {"a.whl": 1000, "packages.tar.xz": 2500, "rgb_1.zip": 0, "rgb_2.zip": 700}
    for folder in (made, parts, back):
        folder.mkdir()
    for name, size in sizes.items():
        (made / name).write_bytes(os.urandom(size))
    dealt = gpu_bring.cut([made / name for name in sizes], parts, 900)
    assert [p.name for p in dealt] == [f"part{i}" for i in range(1, 6)]
    content = [sum(p.stat().st_size for p in part.iterdir() if p.name != gpu_bring.LIST) for part in dealt]
    assert content == [900, 900, 900, 900, 600]
    assert gpu_bring.join(parts, back) == []
    assert {p.name: p.read_bytes() for p in back.iterdir()} == {p.name: p.read_bytes() for p in made.iterdir()}

    (parts / "part5" / "rgb_2.zip.1").unlink()
    assert gpu_bring.join(parts, back) == ["rgb_2.zip"]
    (parts / "part1" / "a.whl.0").write_bytes(bytes(900))
    with pytest.raises(SystemExit, match=r"a\.whl: its pieces are not of one making"):
        gpu_bring.join(parts, back)
    with pytest.raises(SystemExit, match="no bring"):
        gpu_bring.join(made, back)


def test_packages_come_last_on_the_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "made" / "site"
    site.mkdir(parents=True)
    (site / "brought_package.py").write_text("WHERE = 1")
    (tmp_path / "parts").mkdir()
    with tarfile.open(tmp_path / gpu_bring.PACKAGES, "w:xz") as archive:
        archive.add(site, "site")
    gpu_bring.cut([tmp_path / gpu_bring.PACKAGES], tmp_path / "parts", 100)
    whole, path = gpu_plan.brought(tmp_path / "parts")
    assert whole is not None
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, pathlib, brought_package, skytrigger\n"
        "place = lambda m: [str(pathlib.Path(p)) for p in sys.path].index(m)\n"
        "own = pathlib.Path(skytrigger.__file__).parents[1]\n"
        "assert place(str(own)) < place(str(pathlib.Path(brought_package.__file__).parent))\n"
        "pathlib.Path(sys.argv[4], 'records.jsonl').touch()\n"
    )
    gpu_plan.run_plan([Step("good", "", 1, 60)], tmp_path / "card", 600, path=path, program=program)
    assert gpu_plan.finished(tmp_path / "card") == {"good"}


def test_a_step_that_does_with_less_takes_what_is_left(tmp_path: Path) -> None:
    steps = (*STEPS, Step("d", "", 400, 500, least_s=100))
    assert names(gpu_plan.chosen(steps, {"b"}, 260)) == ["a", "c", "d"]
    assert names(gpu_plan.chosen(steps, {"b"}, 240)) == ["a", "c"]
    assert names(gpu_plan.chosen(steps, {"b"}, 1000)) == ["a", "c", "d"]
    program = tmp_path / "program.py"
    program.write_text("import sys, pathlib\npathlib.Path(sys.argv[4], 'records.jsonl').write_text(sys.argv[-1])")
    gpu_plan.run_plan([steps[-1]], tmp_path / "card", 230, program=program)
    given = float((tmp_path / "card" / "d" / "records.jsonl").read_text())
    assert 180 < given <= 230 - gpu_plan.ENDING_S


def test_what_waits_for_a_card_fits_two_calls() -> None:
    waits = ("clue_many", "basic_again", "eager_streams", "batch_half", "scenes", "training", "teacher")
    first = names(gpu_plan.chosen(gpu_plan.STEPS, set(), 8.5 * 60, only=waits))
    assert set(first) == set(waits) - {"teacher"}
    assert names(gpu_plan.chosen(gpu_plan.STEPS, set(first), 3.5 * 60, only=waits)) == ["teacher"]


def test_no_script_hides_a_folder_of_tests() -> None:
    """Both are on the import path here; a module would win over a folder, in other processes too."""
    folders = {p.name for p in BENCHMARKS.with_name("tests").iterdir() if p.is_dir()} - {"__pycache__"}
    assert not folders & {p.stem for p in BENCHMARKS.iterdir()}
