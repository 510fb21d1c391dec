"""Several heads: losses against torch's own, masks, distillation, recipes, datasets, resumption."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from applications.toy import HEADS, build, load
from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import labelled
from skytrigger.core.errors import InputError
from skytrigger.core.heads import Head, outputs_of
from skytrigger.core.split import make_split
from skytrigger.learn.compare_accuracy import compare_accuracy
from skytrigger.learn.evaluate import align, metrics_of, predictions_of_run
from skytrigger.learn.heads import changed, rules_of
from skytrigger.learn.metrics import cross_entropy
from skytrigger.learn.predictions import predictions_of, write_predictions
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.teacher import Teacher
from skytrigger.learn.train import train

RECIPE = Recipe("toy", epochs=3, precision="fp32")


@pytest.fixture(scope="module")
def spots():
    return load(["synthetic:120:3"])


def values(loss: str, names: tuple[str, ...] = ("a", "b")) -> Head:
    return Head("v", "values", names, "cm", loss)


@pytest.mark.parametrize("loss", ["mean_squared", "huber", "gaussian"])
def test_losses_of_values_against_torch(loss: str) -> None:
    (rules,) = rules_of([values(loss)])
    random = torch.Generator().manual_seed(0)
    outputs, true = torch.randn(7, rules.head.outputs, generator=random), torch.randn(7, 2, generator=random) * 2
    functional = torch.nn.functional
    if loss == "gaussian":
        each = functional.gaussian_nll_loss(outputs[:, :2], true, outputs[:, 2:].exp(), eps=1e-9, reduction="none")
    else:
        each = {"mean_squared": functional.mse_loss, "huber": functional.huber_loss}[loss](
            outputs[:, :2], true, reduction="none"
        )
    torch.testing.assert_close(rules.loss(outputs, true), each.mean(1))
    mean, mae = rules.judge(outputs.numpy(), true.numpy())
    assert mean == pytest.approx(float(each.mean()), rel=1e-5)
    assert mae == pytest.approx(float((outputs[:, :2] - true).abs().mean()), rel=1e-5)


@pytest.mark.parametrize("loss", ["mean_squared", "huber", "gaussian"])
def test_unknown_values_teach_nothing(loss: str) -> None:
    (rules,) = rules_of([values(loss)])
    true = torch.tensor([[1.0, float("nan")], [float("nan"), float("nan")], [2.0, 3.0]])
    outputs = torch.zeros(3, rules.head.outputs, requires_grad=True)
    losses = rules.loss(outputs, true)
    assert losses[1] == 0
    assert losses[0] == rules_of([values(loss, ("a",))])[0].loss(outputs[:1, :: rules.head.outputs // 2], true[:1, :1])
    losses.sum().backward()
    assert torch.isfinite(outputs.grad).all()
    assert not outputs.grad[1].any()
    assert not outputs.grad[0, 1::2].any()
    figure, count = rules.counted(outputs.detach(), true)
    assert (figure.tolist(), count.tolist()) == ([1, 0, 5], [1, 0, 2])


def test_gaussian_learns_the_spread() -> None:
    """The least loss is at the sample's own mean and variance."""
    (rules,) = rules_of([values("gaussian", ("a",))])
    true = torch.from_numpy(np.random.default_rng(0).normal(3.0, 0.5, (400, 1)).astype(np.float32))
    best = torch.tensor([[float(true.mean()), float(true.var(unbiased=False).log())]])
    least = float(rules.loss(best.expand(400, 2), true).mean())
    for step in ([0.1, 0.0], [-0.1, 0.0], [0.0, 0.2], [0.0, -0.2]):
        assert float(rules.loss((best + torch.tensor(step)).expand(400, 2), true).mean()) > least


def test_a_resumed_run_of_two_heads_is_the_whole_one(tmp_path: Path, spots) -> None:
    split = make_split(spots, "random", 0)
    whole = train(build, spots, split, RECIPE, tmp_path / "whole", threads=1)

    def stop(line: dict) -> None:
        if line["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(build, spots, split, RECIPE, tmp_path / "cut", threads=1, on_epoch=stop)
    again = train(build, spots, split, RECIPE, tmp_path / "cut", threads=1)
    assert again.weights.read_bytes() == whole.weights.read_bytes()
    found = predictions_of_run(whole.path, build, spots, split.val, threads=1)
    last = whole.history()[-1]
    loss = cross_entropy(found.answers["shape"], found.truth["shape"]).mean()
    assert last["val_shape_loss"] == pytest.approx(loss, rel=1e-6)
    assert metrics_of(found)["heads"]["shape"]["accuracy"] == pytest.approx(last["val_shape_accuracy"])


def test_a_recipe_gives_heads_their_loss_and_weight(tmp_path: Path, spots) -> None:
    recipe = replace(RECIPE, heads={"energy": {"loss": "gaussian", "weight": 0.5}}, epochs=1, options={"hidden": 8})
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    assert Recipe.read(tmp_path / "recipe.toml") == recipe
    run = train(build, spots, make_split(spots, "random", 0), recipe, tmp_path / "run", threads=1)
    energy = run.card().head("energy")
    assert (energy.loss, energy.weight, outputs_of(run.card().heads)) == ("gaussian", 0.5, (3, 2))
    assert run.load(build)[0](torch.zeros(1, 2, 16, 16))[1].shape == (1, 2)
    with pytest.raises(InputError, match="heads \\['mass'\\]"):
        changed(HEADS, {"mass": {"weight": 1}})
    with pytest.raises(InputError, match="entries \\['kind'\\]"):
        changed(HEADS, {"energy": {"kind": "classes"}})


def test_a_teacher_teaches_both_heads(tmp_path: Path, spots) -> None:
    split = make_split(spots, "random", 0)
    run = train(build, spots, split, RECIPE, tmp_path / "teacher", threads=1)
    teacher = Teacher([run.path], build)
    network, card = run.load(build)
    teacher.prepare(card.mean, card.std, torch.device("cpu"))
    images = torch.randn(4, 2, 16, 16)
    with torch.inference_mode():
        shape, energy = network(images)
    taught = teacher.taught(images, 2.0)
    torch.testing.assert_close(taught[0], torch.softmax(shape / 2, 1))
    torch.testing.assert_close(taught[1], energy)
    recipe = replace(RECIPE, epochs=1, distil=0.5, heads={"energy": {"loss": "gaussian"}})
    assert train(build, spots, split, recipe, tmp_path / "student", threads=1, teacher=teacher).history()
    with pytest.raises(InputError, match="the teacher knows the classes"):
        train(build, tiny.dataset(), tiny.split(), recipe, tmp_path / "other", threads=1, teacher=teacher)
    with pytest.raises(InputError, match="not values such as energy"):
        train(build, spots, split, replace(RECIPE, cutmix=0.5), tmp_path / "mixed", threads=1)


def test_cards_of_heads_survive_and_say_what_is_wrong() -> None:
    card = ModelCard("toy", ("near",), (), (16, 16), (0.0,), (1.0,), "counts", "h", heads=HEADS)
    assert card.classes == ("round", "long", "ring")
    assert ModelCard.from_json(card.to_json(), "x") == card
    assert '"classes":' not in card.to_json()
    only = replace(card, heads=(HEADS[1],))
    assert (only.classes, ModelCard.from_json(only.to_json(), "x")) == ((), only)
    with pytest.raises(InputError, match="x: not a valid model card"):
        ModelCard.from_json(card.to_json().replace('"huber"', '"hubris"'), "x")
    with pytest.raises(InputError, match="no head called 'mass'"):
        card.head("mass")


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("energy", np.zeros((120, 2)), "targets of 'energy'"),
        ("energy", np.full(120, np.inf), "targets of 'energy'"),
        ("shape", np.zeros(120), "targets of 'shape'"),
        ("shape", np.full(120, 3), "labels 3..3 outside 0..2"),
        ("shape", None, "no targets for the head 'shape'"),
    ],
)
def test_targets_that_do_not_fit(spots, name: str, wrong: np.ndarray | None, words: str) -> None:
    targets = {**spots.targets, name: wrong}
    if wrong is None:
        del targets[name]
    with pytest.raises(InputError, match=words.replace("..", r"\.\.")):
        labelled(spots.x, targets, spots.ids, spots.channels, HEADS)


def test_data_are_brought_to_the_models_heads(spots) -> None:
    heads = (replace(HEADS[0], names=("ring", "round", "long", "more")),)
    card = ModelCard("toy", ("far", "near"), (), (16, 16), (0.0,) * 2, (1.0,) * 2, "counts", "h", heads=heads)
    turned = align(spots, card)
    assert [heads[0].names[i] for i in turned.y] == [HEADS[0].names[i] for i in spots.targets["shape"]]
    assert set(turned.targets) == {"shape"}
    np.testing.assert_array_equal(turned.x, spots.x[:, ::-1])
    with pytest.raises(InputError, match="no targets for \\['mass'\\]"):
        align(spots, replace(card, heads=(Head("mass", "values", ("m",)),)))
    with pytest.raises(InputError, match="values in GeV"):
        align(spots, replace(card, heads=(replace(HEADS[1], unit="MeV"),)))
    assert (
        spots.content_hash
        != labelled(spots.x, {**spots.targets, "energy": np.ones(120)}, spots.ids, spots.channels, HEADS).content_hash
    )


def test_compare_takes_the_head_of_classes(tmp_path: Path, spots) -> None:
    truth = {name: value[:30] for name, value in spots.targets.items()}
    for name, flip in (("a", 0), ("b", 9)):
        guess = np.where(np.arange(30) < flip, (truth["shape"] + 1) % 3, truth["shape"])
        answers = {"shape": np.eye(3, dtype=np.float32)[guess] * 9, "energy": np.zeros((30, 1), np.float32)}
        write_predictions(tmp_path / name, predictions_of(spots.ids[:30], HEADS, truth, answers))
    found = compare_accuracy([tmp_path / "a"], [tmp_path / "b"])
    assert found["verdict"] == "worse"
    assert found["difference"]["estimate"] == pytest.approx(-0.3)
    assert "anything about energy" in found["limits"]
    with pytest.raises(InputError, match="no head of classes called 'energy'"):
        compare_accuracy([tmp_path / "a"], [tmp_path / "b"], head="energy")
    write_predictions(tmp_path / "c", predictions_of(spots.ids[:30], HEADS[1:], truth, answers))
    with pytest.raises(InputError, match="0 heads of classes"):
        compare_accuracy([tmp_path / "c"], [tmp_path / "c"])
