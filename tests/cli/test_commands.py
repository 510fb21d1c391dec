"""The commands as a user types them: words, exit codes, JSON, clear errors, quick help."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from skytrigger.cli.main import COMMANDS, main
from skytrigger.core.split import make_split
from skytrigger.eo.load import load


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom skytrigger.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'numpy', 'scipy', 'onnx', 'rich', 'matplotlib', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert all(command in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "skytrigger.cli.main", command, "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "--json" in done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on synthetic tiles, two epochs: enough for every later command."""
    out = tmp_path_factory.mktemp("cli") / "run"
    words = [
        "train",
        "--model",
        "basic",
        "--data",
        "synthetic:60",
        "--epochs",
        "2",
        "--out",
        str(out),
        "--device",
        "cpu",
    ]
    assert main(words) == 0
    return out


def test_train_evaluate_export(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capsys, "evaluate", str(trained), "--data", "synthetic:60", "--out", str(tmp_path / "e"), "--json"
    )
    metrics = json.loads(out)
    test = make_split(load(["synthetic:60"]), "random", 0).test
    assert (code, metrics["part"], metrics["images"]) == (0, "test", len(test))
    for name in ("metrics.json", "predictions.parquet", "confusion.png"):
        assert (tmp_path / "e" / name).stat().st_size > 0

    model = tmp_path / "m.onnx"
    code, out, _ = run(capsys, "export", str(trained), "--out", str(model), "--data", "synthetic:60", "--json")
    result = json.loads(out)
    assert (code, result["changed_decisions"]) == (0, 0)
    assert result["relative_error_max"] < 1e-4

    words = ("evaluate", str(model), "--data", "synthetic:60", "--split", "all", "--out", str(tmp_path / "a"), "--json")
    code, out, _ = run(capsys, *words)
    everything = json.loads(out)
    assert (code, everything["images"], everything["seen_in_training"]) == (0, 60, True)

    code, _, err = run(
        capsys, "evaluate", str(model), "--data", "synthetic:60", "--bands", "rgb", "--out", str(tmp_path)
    )
    assert code == 2
    assert "B01" in err


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_export_of_other_precisions(trained: Path, tmp_path: Path, precision: str, capsys) -> None:
    model = tmp_path / "m.onnx"
    words = ("export", str(trained), "--out", str(model), "--precision", precision, "--data", "synthetic:60", "--json")
    code, out, _ = run(capsys, *words)
    assert (code, json.loads(out)["precision"]) == (0, precision)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["train", "--model", "basicc", "--data", "synthetic:40"], "basicc"),
        (["train", "--model", "basic", "--data", "no/such/folder"], "no/such/folder"),
        (["train", "--model", "basic", "--data", "synthetic:40", "--epochs", "0"], "epochs"),
        (["train", "--model", "basic", "--data", "synthetic:40", "--split", "all"], "validation"),
        (["train", "--model", "basic", "--data", "synthetic:40", "--device", "cuda:99"], "cuda:99"),
        (["evaluate", "no_run", "--data", "synthetic:40"], "no_run"),
        (["export", "no_run"], "no_run"),
        (["study", "nosuch"], "nosuch"),
    ],
)
def test_a_wrong_request_exits_2_with_one_clear_error(
    words: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *words, "--out", str(tmp_path / "out.onnx"))
    assert code == 2
    assert named in err
    assert "Traceback" not in err
    assert out == ""


def test_train_from_a_recipe_file_and_another_runs_weights(trained: Path, tmp_path: Path, capsys) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'model = "student"\nepochs = 1\njitter = 0.5\nseed = 3\n\n[options]\nwidths = [8, 16]\ndepths = [0, 1]\n'
    )
    words = ("train", "--recipe", str(recipe), "--data", "synthetic:60", "--batch-size", "16")
    code, _, err = run(capsys, *words, "--out", str(tmp_path / "a"))
    assert code == 0, err
    kept = (tmp_path / "a" / "recipe.toml").read_text()
    assert "jitter = 0.5" in kept
    assert "seed = 3" in kept
    assert "batch_size = 16" in kept
    code, _, err = run(
        capsys, *words, "--start", str(tmp_path / "a"), "--teacher", str(trained), "--out", str(tmp_path / "b")
    )
    assert code == 0, err
    code, _, err = run(capsys, *words, "--start", str(trained), "--out", str(tmp_path / "c"))
    assert code == 2
    assert "do not fit" in err
    code, _, err = run(capsys, "train", "--data", "synthetic:60", "--out", str(tmp_path / "d"))
    assert code == 2
    assert "--recipe" in err
