"""The plan of GPU steps: what it chooses, kills, keeps and goes on with; cheap steps without a GPU; what is brought."""

from __future__ import annotations

import os
import shutil
import signal
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


def test_a_try_that_leaves_less_takes_nothing_away(tmp_path: Path) -> None:
    program, folder = tmp_path / "program.py", tmp_path / "card"
    step = [Step("cut", "", 1, 60)]
    for words, kept, status in ((9, 9, 1), (2, 9, 1), (0, 9, 1), (12, 12, 1), (0, 12, 0), (3, 3, 0)):
        write = f"open(sys.argv[4] + '/records.jsonl', 'w').write('x' * {words})" if words else ""
        program.write_text(f"import sys\n{write}\nsys.exit({status})")
        gpu_plan.run_plan(step, folder, 600, program=program)
        left = list(folder.glob("cut*"))
        assert [p.name for p in left] == ["cut" if kept == 3 else "cut.partial"]
        assert (left[0] / "records.jsonl").stat().st_size == kept
    assert read_json(folder / "summary.json")["cut"]["outcome"] == "done"


def test_a_full_disk_stops_no_later_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    usual = gpu_plan.room

    def full(folder: Path, name: str) -> Path:
        if name == "first":
            raise OSError(28, "No space left on device")
        return usual(folder, name)

    monkeypatch.setattr(gpu_plan, "room", full)
    gpu_plan.run_plan([Step("first", "", 1, 60), Step("good", "", 1, 60)], tmp_path / "card", 600, program=program)
    assert gpu_plan.finished(tmp_path / "card") == {"good"}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_its_step_and_says_so(tmp_path: Path, sent: signal.Signals) -> None:
    program = tmp_path / "program.py"
    program.write_text("import os, sys, time\nopen(sys.argv[4] + '/pid', 'w').write(str(os.getpid()))\ntime.sleep(600)")
    main = (
        "import gpu_plan, sys, pathlib; usual = gpu_plan.run_plan\n"
        f"gpu_plan.run_plan = lambda *a, **k: usual(*a, **k, program=pathlib.Path({str(program)!r}))\n"
        f"sys.argv[1:] = ['--simulate', '--out', {str(tmp_path)!r}, '--only', 'clue', 'power']; gpu_plan.main()"
    )
    source = os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent / "src")])
    plan = subprocess.Popen(
        [sys.executable, "-c", main], env=os.environ | {"PYTHONPATH": source, "TMPDIR": str(tmp_path)}
    )
    written, deadline = tmp_path / "simulated" / "clue.partial" / "pid", time.monotonic() + 60
    while not (written.is_file() and written.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    plan.send_signal(sent)
    assert plan.wait(30) == 130
    assert not _alive(int(written.read_text()))
    assert {k: v["outcome"] for k, v in read_json(tmp_path / "simulated" / "summary.json").items()} == {
        "clue": "interrupted"}  # fmt: skip
    assert not list(tmp_path.glob("gpu-plan-*"))


def test_what_a_card_took_is_what_is_planned() -> None:
    """The nine minutes are of records, but for the step that was cut off and made smaller."""
    (path,) = gpu_plan.RECORDS.glob("*/summary.json")
    took = read_json(path)
    known = {s.name: s.usual_s for s in gpu_plan.STEPS if took.get(s.name, {}).get("outcome") == "done"}
    assert set(known) >= {"clue", "networks", "power", "doublets"}
    assert all(took[name]["seconds"] <= usual_s for name, usual_s in known.items())


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
    assert done.returncode == 0, done.stderr[-3000:]
    assert gpu_plan.finished(folder) == set(steps)
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
    assert gpu_bring.join(parts, back) == ["a.whl", "rgb_2.zip"]
    with pytest.raises(SystemExit, match="no bring"):
        gpu_bring.join(made, back)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A package whose place in the path tells, and a wheel that is none, in parts of 100 bytes."""
    site = tmp_path / "made" / "site"
    site.mkdir(parents=True)
    (site / "brought_package.py").write_text("WHERE = 1")
    (site / "rich.py").write_text("raise ImportError('not the machine's own')")
    (tmp_path / "parts").mkdir()
    (tmp_path / "numpy.whl").write_bytes(b"no wheel")
    with tarfile.open(tmp_path / gpu_bring.PACKAGES, "w:xz") as archive:
        archive.add(site, "site")
    gpu_bring.cut([tmp_path / "numpy.whl", tmp_path / gpu_bring.PACKAGES], tmp_path / "parts", 100)
    return tmp_path / "parts"


def brought(parts: Path, tmp_path: Path) -> tuple[Path, Path | None, Path | None]:
    (scratch := tmp_path / "scratch").mkdir()
    return gpu_bring.brought(parts, scratch)


def test_packages_come_after_the_machine_s_own(parts: Path, tmp_path: Path) -> None:
    _, wheels, packages = brought(parts, tmp_path)
    assert wheels is None
    environment = gpu_plan.environment_of(tmp_path / "scratch", wheels, packages)
    step = (
        "import gpu_plan, sys, types\n"
        "def run(*a):\n    import rich, brought_package\n    print(brought_package.WHERE, rich.__name__)\n"
        "sys.modules['gpu_steps.checks'] = types.SimpleNamespace(run=run)\n"
        f"sys.argv[1:] = ['--step', 'checks', '--out', {str(tmp_path)!r}, '--simulate']; gpu_plan.main()"
    )
    done = subprocess.run([sys.executable, "-c", step], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["1", "rich"], done.stderr


def test_wheels_that_do_not_help_and_parts_that_are_broken_stop_nothing(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_bring, "numba_loads", lambda first=None: False)
    assert brought(parts, tmp_path)[1:] == (None, tmp_path / "scratch" / "packages" / "site")
    assert "not a zip" in capfd.readouterr().err
    (parts / "part1" / f"{gpu_bring.PACKAGES}.0").write_bytes(b"")
    shutil.rmtree(tmp_path / "scratch")
    assert brought(parts, tmp_path)[1:] == (None, None)
    assert "not of one making" in capfd.readouterr().err


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
    (first_m, first), (second_m, second) = gpu_plan.CALLS.values()
    assert names(gpu_plan.chosen(gpu_plan.STEPS, set(), 60 * first_m, only=first)) == list(first)
    assert names(gpu_plan.chosen(gpu_plan.STEPS, set(first), 3.5 * 60, only=second)) == list(second) == ["teacher"]
    assert first_m + second_m <= 15
    (path,) = gpu_plan.RECORDS.glob("*/summary.json")
    done = {name for name, entry in read_json(path).items() if entry["outcome"] == "done"}
    assert {*first, *second, *done} | {"batch"} == {s.name for s in gpu_plan.STEPS}  # its rows that lack: batch_half


def test_no_script_hides_a_folder_of_tests() -> None:
    """Both are on the import path here; a module would win over a folder, in other processes too."""
    folders = {p.name for p in BENCHMARKS.with_name("tests").iterdir() if p.is_dir()} - {"__pycache__"}
    assert not folders & {p.stem for p in BENCHMARKS.iterdir()}
