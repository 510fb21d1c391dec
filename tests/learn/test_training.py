"""Training: resume after a kill, determinism, distribution, early stopping, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.eo.networks import NAMES, build
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.run_folder import load_tensors
from skytrigger.learn.train import train

RECIPE = Recipe("regularized", epochs=4, batch_size=16, augment=True, precision="fp32", options={})

CHILD = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import tiny
from skytrigger.eo.networks import build
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.train import train
from skytrigger.core import files
from skytrigger.learn import run_folder
def on_epoch(line):
    if line["epoch"] == {epoch} and {where!r} == "between":
        os.kill(os.getpid(), signal.SIGKILL)
if {where!r} == "writing":
    real = run_folder.atomic_path
    import contextlib
    count = 0
    @contextlib.contextmanager
    def dying(path):
        global count
        with real(path) as temporary:
            yield temporary
            count += 1
            if count == {epoch}:
                temporary.write_bytes(temporary.read_bytes()[:100])
                os.kill(os.getpid(), signal.SIGKILL)
    run_folder.atomic_path = dying
recipe = Recipe("regularized", epochs=4, batch_size=16, augment=True, precision="fp32", options={{}})
train(build, tiny.dataset(), tiny.split(), recipe, {out!r}, threads=1, on_epoch=on_epoch)
"""


def numbers(history: list[dict]) -> list[dict]:
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_s")} for line in history]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory):
    return train(build, tiny.dataset(), tiny.split(), RECIPE, tmp_path_factory.mktemp("run") / "whole", threads=1)


@pytest.mark.parametrize(("where", "epoch"), [("between", 2), ("writing", 3)])
def test_a_killed_run_goes_on_to_the_same_history_and_weights(tmp_path: Path, whole, where: str, epoch: int) -> None:
    out = tmp_path / "run"
    code = CHILD.format(tests=str(Path(tiny.__file__).parent), epoch=epoch, where=where, out=str(out))
    child = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert not (out / "model.json").exists()
    resumed = train(build, tiny.dataset(), tiny.split(), RECIPE, out, threads=1)
    assert numbers(resumed.history()) == numbers(whole.history())
    mine, theirs = load_tensors(resumed.weights)[0], load_tensors(whole.weights)[0]
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[k], theirs[k]) for k in mine)


def test_same_seed_same_weights_other_seed_other_weights(tmp_path: Path, whole) -> None:
    again = train(build, tiny.dataset(), tiny.split(), RECIPE, tmp_path / "a", threads=1)
    other = train(build, tiny.dataset(), tiny.split(), replace(RECIPE, seed=1), tmp_path / "b", threads=1)
    assert again.weights.read_bytes() == whole.weights.read_bytes()
    assert other.weights.read_bytes() != whole.weights.read_bytes()


def test_a_finished_run_is_returned_and_not_trained_again(whole) -> None:
    stamp = whole.weights.stat().st_mtime_ns
    train(build, tiny.dataset(), tiny.split(), RECIPE, whole.path, threads=1)
    assert whole.weights.stat().st_mtime_ns == stamp


def test_it_learns(tmp_path: Path) -> None:
    recipe = Recipe("basic", epochs=12, batch_size=16, precision="fp32")
    history = train(build, tiny.dataset(), tiny.split(), recipe, tmp_path, threads=1).history()
    assert history[-1]["val_accuracy"] > 0.9
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 2


def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    """DDP through torchrun on two CPU processes, an uneven last batch included (57 of 16)."""
    recipe = Recipe("basic", epochs=2, batch_size=16, precision="fp32")
    alone = train(build, tiny.dataset(), tiny.split(), recipe, tmp_path / "alone", threads=1)
    script = tmp_path / "job.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(tiny.__file__).parent)!r})\n"
        "import tiny\n"
        "from skytrigger.eo.networks import build\n"
        "from skytrigger.learn.recipe import Recipe\n"
        "from skytrigger.learn.train import train\n"
        "recipe = Recipe('basic', epochs=2, batch_size=16, precision='fp32')\n"
        f"train(build, tiny.dataset(), tiny.split(), recipe, {str(tmp_path / 'two')!r}, threads=1)\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    two = [json.loads(line) for line in (tmp_path / "two" / "history.jsonl").read_text().splitlines()]
    for mine, theirs in zip(alone.history(), two, strict=True):
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-3)
        assert mine["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-3)
    a, b = load_tensors(alone.weights)[0], load_tensors(tmp_path / "two" / "weights.safetensors")[0]
    assert max(float((a[k] - b[k]).abs().max()) for k in a) < 1e-3


def test_early_stopping_keeps_the_best_validation_epoch(tmp_path: Path) -> None:
    recipe = Recipe("basic", epochs=30, batch_size=16, patience=2, learning_rate=3e-3, precision="fp32")
    run = train(build, tiny.dataset(), tiny.split(), recipe, tmp_path, threads=1)
    losses = [h["val_loss"] for h in run.history()]
    best = int(np.argmin(losses)) + 1
    assert run.card().notes["kept_epoch"] == best
    assert len(losses) in (best + 2, 30)
    from skytrigger.learn.batches import Batches
    from skytrigger.learn.predict import judge

    network, card = run.load(build)
    batches = Batches(tiny.dataset(), card.mean, card.std, torch.device("cpu"))
    found = judge(network, card.heads, batches, tiny.split().val, "fp32")
    assert found["val_loss"] == pytest.approx(min(losses), rel=1e-5)


def test_another_recipe_or_other_data_in_the_same_folder_is_refused(whole) -> None:
    with pytest.raises(InputError, match="learning_rate"):
        train(build, tiny.dataset(), tiny.split(), replace(RECIPE, learning_rate=0.5), whole.path, threads=1)
    with pytest.raises(InputError, match="other data"):
        train(build, tiny.dataset(seed=5), tiny.split(), RECIPE, whole.path, threads=1)


def test_a_diverging_run_says_so(tmp_path: Path) -> None:
    recipe = Recipe("basic", epochs=5, learning_rate=1e30, precision="fp32")
    with pytest.raises(SkytriggerError, match=r"not finite in epoch \d"):
        train(build, tiny.dataset(), tiny.split(), recipe, tmp_path, threads=1)


def test_an_empty_validation_part_is_refused(tmp_path: Path) -> None:
    empty = replace(tiny.split(), val=np.array([], np.int64))
    with pytest.raises(InputError, match="validation"):
        train(build, tiny.dataset(), empty, RECIPE, tmp_path, threads=1)


@pytest.mark.parametrize(
    ("entry", "value"),
    [("epochs", 0), ("batch_size", 0), ("learning_rate", float("nan")), ("seed", -1), ("precision", "fp8")],
)
def test_a_recipe_out_of_range_names_the_entry(entry: str, value: object) -> None:
    with pytest.raises(InputError, match=entry):
        Recipe("basic", **{entry: value})


def test_recipe_survives_its_file(tmp_path: Path) -> None:
    recipe = Recipe("basic", epochs=3, augment=True, options={"width": 8, "stem": "patch"})
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    assert Recipe.read(tmp_path / "recipe.toml") == recipe


# by hand: convolutions 9*i*o+o, dense i*o+o, batch normalisation 2*c
PARAMETERS = {
    "basic": 4_551_658,
    "1moreconv": 3_339_754,
    "1lessconv": 8_524_522,
    "from64": 9_607_242,
    "from64_1moreconv": 8_952_906,
    "from64_1lessconv": 17_110_602,
    "regularized": 4_551_658 + 2 * (32 + 64 + 128),
}


@pytest.mark.parametrize("name", NAMES)
def test_parameters_of_the_seven_networks(name: str) -> None:
    assert sum(p.numel() for p in build(name, 13, (64, 64), 10).parameters()) == PARAMETERS[name]


def test_networks_refuse_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="basicc"):
        build("basicc", 13, (64, 64), 10)
    with pytest.raises(InputError, match="multiple of 16"):
        build("1moreconv", 13, (24, 24), 10)


def test_energy_of_an_epoch_is_the_meters_own_over_its_window(tmp_path: Path) -> None:
    from skytrigger.learn.energy import EpochMeter
    from skytrigger.measure.meters.protocol import Reading
    from skytrigger.measure.meters.replay import ReplayMeter

    trace = [Reading(time_s=t / 10, watts=19.0 + 2 * (t % 2)) for t in range(101)]
    recipe = Recipe("basic", epochs=2, precision="fp32")
    meter = EpochMeter(ReplayMeter([trace]))
    run = train(build, tiny.dataset(), tiny.split(), recipe, tmp_path, threads=1, meter=meter)
    for line in run.history():
        assert line["joules"] == pytest.approx(20 * line["joules_seconds"], rel=1e-6)
        assert line["joules_seconds"] == pytest.approx(10)
    assert [window.joules for window in meter.windows] == [line["joules"] for line in run.history()]
    stuck = ReplayMeter([[Reading(time_s=0.0, joules=5.0)]])
    run = train(build, tiny.dataset(), tiny.split(), recipe, tmp_path / "stuck", threads=1, meter=stuck)
    assert all("joules" not in line for line in run.history())
