"""Strong augmentation, averaged weights, students and teachers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from skytrigger.core.dataset import Dataset, Split, content_hash  # noqa: E402
from skytrigger.core.errors import InputError  # noqa: E402
from skytrigger.learn.augment import STYLE_SHARE, augment, cutmix, mix_style  # noqa: E402
from skytrigger.learn.evaluate import align  # noqa: E402
from skytrigger.learn.recipe import Recipe  # noqa: E402
from skytrigger.learn.steps import Average, learning_rate  # noqa: E402
from skytrigger.learn.teacher import Teacher  # noqa: E402
from skytrigger.learn.train import train  # noqa: E402
from skytrigger.optimize.students import build, multiply_adds  # noqa: E402

SMALL = {"widths": [8, 16], "depths": [0, 1], "stem": "k4"}
STRONG = {
    "optimiser": "adamw",
    "schedule": "warm",
    "augment": True,
    "crop": 12,
    "jitter": 0.5,
    "style": 0.5,
    "cutmix": 0.5,
    "label_smoothing": 0.1,
    "channel_dropout": 0.2,
    "ema": 0.9,
    "precision": "fp32",
    "batch_size": 16,
}


def dataset(count: int = 96, seed: int = 0) -> Dataset:
    """Three classes told apart by the mean of channel b and the texture of channel a."""
    random = np.random.default_rng(seed)
    y = np.arange(count) % 3
    x = random.normal(1000, 100, (count, 3, 16, 16))
    x[:, 1] += 400 * (y == 1)[:, None, None]
    x[:, 0, ::2] += 500 * (y == 2)[:, None, None]
    x = x.astype(np.uint16)
    ids = tuple(f"t{i}" for i in range(count))
    digest = content_hash(x, y, ids, ("a", "b", "c"), ("k", "l", "m"))
    return Dataset(x, y, ids, ("a", "b", "c"), ("k", "l", "m"), digest)


def split(count: int = 96) -> Split:
    return Split(np.arange(0, count - 30), np.arange(count - 30, count), np.arange(0))


def test_jitter_is_a_gain_in_the_datas_units() -> None:
    """With a gain alone, raw values are multiplied: checked on raw values, not on the formula."""
    recipe = Recipe("student", jitter=1.0)
    mean, std = torch.tensor([[[[1000.0]], [[300.0]]]]), torch.tensor([[[[50.0]], [[20.0]]]])
    flat = torch.zeros(1, 2, 4, 4)  # constant images: contrast does nothing
    out = augment(flat, mean / std, recipe, np.random.default_rng(0)) * std + mean
    drawn = np.random.default_rng(0)
    gain = np.exp(drawn.normal(0, 0.15, (1, 1, 1, 1)) + drawn.normal(0, 0.06, (1, 2, 1, 1)))
    drawn.normal(0, 0.15, (1, 1, 1, 1))
    offset = drawn.normal(0, 0.2, (1, 1, 1, 1)) + drawn.normal(0, 0.08, (1, 2, 1, 1))
    expected = mean.numpy() * gain + offset * std.numpy()
    np.testing.assert_allclose(out.numpy(), np.broadcast_to(expected, out.shape), rtol=1e-4)


def test_crop_keeps_pixels_and_size_bounds() -> None:
    images = torch.arange(2 * 1 * 16 * 16.0).view(2, 1, 16, 16)
    sizes = set()
    random = np.random.default_rng(1)
    for _ in range(40):
        out = augment(images, torch.zeros(1, 1, 1, 1), Recipe("student", crop=8), random)
        sizes.add(tuple(out.shape[2:]))
        step = out[0, 0, 1, 0] - out[0, 0, 0, 0]
        assert step == 16, "neighbouring rows stay neighbours"
    assert sizes == {(8, 8), (12, 12), (16, 16)}


def test_channel_dropout_sets_whole_channels_to_their_mean() -> None:
    out = augment(
        torch.ones(64, 5, 4, 4),
        torch.zeros(1, 5, 1, 1),
        Recipe("student", channel_dropout=0.8),
        np.random.default_rng(0),
    )
    assert set(out.unique().tolist()) == {0.0, 1.0}
    assert (out.amax((2, 3)) == out.amin((2, 3))).all()
    assert 0.2 < float((out == 0).float().mean()) < 0.6


def test_style_lies_between_two_images_and_keeps_the_pattern() -> None:
    """Each channel stays a rising line of its own pixels; its mean and deviation lie between those of two images."""
    random = np.random.default_rng(5)
    images = torch.from_numpy(random.normal(random.normal(0, 3, (12, 2, 1, 1)), 1.5, (12, 2, 8, 8)).astype(np.float32))
    out = mix_style(images, 0.6, random)
    changed = 0
    for before, after in zip(images, out, strict=True):
        for a, b in zip(before, after, strict=True):
            assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9999
        between = [
            o
            for o in images
            for share in [
                float((after.mean((1, 2)) - before.mean((1, 2)))[0] / (o.mean((1, 2)) - before.mean((1, 2)))[0])
            ]
            if torch.allclose(after.mean((1, 2)), torch.lerp(before.mean((1, 2)), o.mean((1, 2)), share), atol=1e-3)
            and -1e-3 <= share <= STYLE_SHARE + 1e-3
        ]
        same = torch.allclose(before, after, atol=1e-4)
        assert same or between
        changed += not same
    assert 0 < changed < 12


def test_cutmix_mixes_targets_by_area() -> None:
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 20, 20).clone()
    targets = torch.eye(6)
    random = np.random.default_rng(3)
    for _ in range(20):
        mixed, (mixed_targets,) = cutmix(images, [targets], random)
        for i in range(6):
            share = [float((mixed[i] == j).float().mean()) for j in range(6)]
            np.testing.assert_allclose(mixed_targets[i].numpy(), share, atol=1e-6)
            assert share[i] >= 0.5


def test_warm_schedule_rises_then_falls_to_zero() -> None:
    recipe = Recipe("student", epochs=10, schedule="warm", learning_rate=1.0)
    rates = [learning_rate(recipe, e, s, 20) for e in range(1, 11) for s in range(20)]
    top = int(np.argmax(rates))
    assert 5 <= top <= 12
    assert rates[0] < 0.2
    assert rates[-1] < 1e-3
    assert all(a >= b for a, b in zip(rates[top:], rates[top + 1 :], strict=False))


def test_average_of_constant_weights_is_the_weights() -> None:
    network = build("student", 3, (16, 16), 3, **SMALL)
    average = Average(network, 0.9)
    with torch.no_grad():
        for p in network.parameters():
            p.fill_(2.0)
    for _ in range(200):
        average.update(network)
    for p in average.network.parameters():
        torch.testing.assert_close(p, torch.full_like(p, 2.0))


def test_strong_training_learns_and_resumes(tmp_path: Path) -> None:
    data, parts = dataset(), split()
    recipe = Recipe("student", epochs=12, learning_rate=5e-3, options=SMALL, **STRONG)
    whole = train(build, data, parts, recipe, tmp_path / "whole")
    assert whole.history()[-1]["val_accuracy"] > 0.8

    class Killed(Exception):
        pass

    def kill(line: dict[str, object]) -> None:
        if line["epoch"] == 4:
            raise Killed

    with pytest.raises(Killed):
        train(build, data, parts, recipe, tmp_path / "cut", on_epoch=kill)
    again = train(build, data, parts, recipe, tmp_path / "cut")
    strip = [{k: v for k, v in h.items() if k not in ("seconds", "images_per_s")} for h in whole.history()]
    assert strip == [{k: v for k, v in h.items() if k not in ("seconds", "images_per_s")} for h in again.history()]
    assert whole.weights.read_bytes() == again.weights.read_bytes()


def test_student_with_fewer_channels_learns_from_its_teacher(tmp_path: Path) -> None:
    data, parts = dataset(), split()
    teacher_run = train(
        build, data, parts, Recipe("student", epochs=8, learning_rate=5e-3, options=SMALL, **STRONG), tmp_path / "t"
    )
    teacher = Teacher([teacher_run.path], build)
    values = {**STRONG, "cutmix": 0.0, "channel_dropout": 0.0, "ema": 0.0}
    recipe = Recipe("student", epochs=6, learning_rate=5e-3, options=SMALL, distil=0.9, temperature=2.0, **values)
    run = train(build, data, parts, recipe, tmp_path / "s", teacher=teacher, channels=("b", "a"))
    card = run.card()
    assert card.channels == ("b", "a")
    assert align(data, card).content_hash == card.data_hash
    network, _ = run.load(build)
    assert network(torch.zeros(1, 2, 16, 16)).shape == (1, 3)
    with pytest.raises(InputError, match="other data or another split"):
        train(build, data, parts, recipe, tmp_path / "s", channels=("b", "a"))  # no teacher: another run


def test_teacher_sees_its_own_scale(tmp_path: Path) -> None:
    data, parts = dataset(), split()
    run = train(build, data, parts, Recipe("student", epochs=1, options=SMALL, precision="fp32"), tmp_path / "t")
    network, card = run.load(build)
    teacher = Teacher([run.path], build)
    teacher.prepare([10.0, 20.0, 30.0], [2.0, 3.0, 4.0], torch.device("cpu"))
    raw = torch.rand(5, 3, 16, 16) * 1000
    here = (raw - torch.tensor([10.0, 20, 30]).view(1, 3, 1, 1)) / torch.tensor([2.0, 3, 4]).view(1, 3, 1, 1)
    own = (raw - torch.tensor(card.mean).view(1, 3, 1, 1)) / torch.tensor(card.std).view(1, 3, 1, 1)
    with torch.inference_mode():
        expected = torch.softmax(network(own), 1)
    torch.testing.assert_close(teacher.probabilities(here, 1.0), expected, atol=1e-5, rtol=1e-4)


def test_start_takes_the_weights(tmp_path: Path) -> None:
    data, parts = dataset(), split()
    run = train(build, data, parts, Recipe("student", epochs=3, options=SMALL, precision="fp32"), tmp_path / "a")
    still = Recipe("student", epochs=1, learning_rate=1e-12, weight_decay=0.0, options=SMALL, precision="fp32")
    again = train(build, data, parts, still, tmp_path / "b", start=run.path)
    first, _ = run.load(build)
    second, _ = again.load(build)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    other = Recipe("student", options={**SMALL, "widths": [8, 24]}, precision="fp32")
    with pytest.raises(InputError, match="do not fit"):
        train(build, data, parts, other, tmp_path / "c", start=run.path)


@pytest.mark.parametrize(
    "options",
    [{"stem": "none"}, {"widths": [8], "depths": [1, 1]}, {"widths": [0, 8], "depths": [0, 0]}, {"colour": 1}],
)
def test_impossible_students_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        build("student", 3, (64, 64), 10, **options)
    with pytest.raises(InputError, match="at least"):
        build("student", 3, (8, 8), 10)


def test_multiply_adds_by_hand() -> None:
    network = build("student", 3, (16, 16), 3, widths=[8], depths=[1], stem="p4", block="dw")
    # patch 4x4 to 4x4 positions; 5x5 depthwise; 8 -> 16 -> 8; dense
    by_hand = 16 * 8 * 3 * 16 + 16 * 8 * 25 + 2 * 16 * 8 * 16 + 8 * 3
    assert multiply_adds(network, 3, (16, 16)) == by_hand


def test_start_from_fewer_channels_answers_the_same_at_first(tmp_path: Path) -> None:
    data, parts = dataset(), split()
    learned = Recipe("student", epochs=3, options=SMALL, precision="fp32")
    run = train(build, data.select(("b", "a")), parts, learned, tmp_path / "two")
    still = Recipe("student", epochs=1, learning_rate=1e-12, weight_decay=0.0, options=SMALL, ema=0.5, precision="fp32")
    again = train(build, data, parts, still, tmp_path / "three", start=run.path)
    two, three = run.load(build)[0], again.load(build)[0]
    state = two.state_dict()
    images = torch.randn(4, 3, 16, 16)
    # the statistics of batch normalisation have moved: compare with the run's
    three.load_state_dict(
        {k: v for k, v in state.items() if k != "0.weight"} | {"0.weight": three.state_dict()["0.weight"]}
    )
    torch.testing.assert_close(three(images), two(images[:, [1, 0]]), atol=1e-5, rtol=1e-4)
    other = Recipe("student", epochs=1, options=SMALL, precision="fp32")
    with pytest.raises(InputError, match="saw the channels"):
        train(build, data.select(("c",)), parts, other, tmp_path / "none", start=run.path)


def test_a_model_file_teaches_as_its_run_does(tmp_path: Path) -> None:
    from skytrigger.model.export import export_onnx

    data, parts = dataset(), split()
    run = train(build, data, parts, Recipe("student", epochs=1, options=SMALL, precision="fp32"), tmp_path / "t")
    network, card = run.load(build)
    export_onnx(network, card, tmp_path / "t.onnx")
    both = [Teacher([path], build) for path in (run.path, tmp_path / "t.onnx")]
    images = torch.randn(5, 3, 16, 16)
    answers = []
    for teacher in both:
        teacher.prepare([900.0, 1000.0, 1100.0], [80.0, 90.0, 100.0], torch.device("cpu"))
        answers.append(teacher.probabilities(images, 2.0))
    torch.testing.assert_close(answers[0], answers[1], atol=1e-5, rtol=1e-4)
    assert both[0].identity() != both[1].identity()
    with pytest.raises(InputError, match="the teacher takes DN, the images are in rgb8"):
        train(
            build, replace(data, units="rgb8"), parts, Recipe("student", options=SMALL), tmp_path / "s", teacher=both[1]
        )
