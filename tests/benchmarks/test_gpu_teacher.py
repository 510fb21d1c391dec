"""The step that trains on a card: what travels, what is drawn on the device, one vector of weights, what is chosen."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from gpu_steps import card_tiles  # noqa: E402
from gpu_steps.flat import Flat  # noqa: E402
from gpu_steps.looks import Looks, crops, cutmix  # noqa: E402
from gpu_steps.remembered import Remembered  # noqa: E402
from gpu_steps.teacher_stages import LOOKS, Job, ranking, statistics, taught_by  # noqa: E402
from gpu_steps.together import Member, Plan, Together  # noqa: E402
from skytrigger.optimize.students import build  # noqa: E402

torch.set_num_threads(1)  # two would wait for each other in networks of this size
TINY = {"widths": [8, 8], "depths": [0, 1], "stem": "k4"}


def test_tiles_travel_to_the_bit(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 1 << 16, (3, 2, 5, 7), dtype=np.uint16)
    x[0] = 65535
    x[1, :, ::2] = 0
    card_tiles.pack(x, ["River_1", "River_2", "Forest_1"], tmp_path / "ms_1.lzma")
    back = card_tiles.unpack(tmp_path / "ms_1.lzma")
    assert back.names == ("River_1", "River_2", "Forest_1")
    assert back.x.dtype == np.uint16
    np.testing.assert_array_equal(back.x, x)
    some = card_tiles.bands(tmp_path, {"River_2", "Forest_1"})
    assert some.names == ("Forest_1", "River_2")
    np.testing.assert_array_equal(some.y, [1, 8])
    np.testing.assert_array_equal(some.x, x[[2, 1]])
    with pytest.raises(SystemExit, match="2 tiles of the 3"):
        card_tiles.bands(tmp_path, {"River_2", "Forest_1", "Forest_9"})


def test_no_list_that_trains_or_chooses_holds_a_test_tile() -> None:
    for name in ("rgb_train", "rgb_val", "rgb_held", "ms_train", "ms_val", "ms_train_held", "ms_val_held"):
        assert card_tiles.listed(name)
    assert card_tiles.listed("rgb_held") <= card_tiles.listed("rgb_train")
    places = card_tiles.listed("east") | card_tiles.listed("colour")
    assert not places & (card_tiles.listed("rgb_train") | card_tiles.listed("rgb_val"))
    assert not places & card_tiles.listed("ms_train_held")


def test_a_crop_is_one_of_the_turned_and_mirrored_squares() -> None:
    torch.manual_seed(0)
    images = torch.arange(2 * 6 * 6, dtype=torch.int16).view(1, 2, 6, 6).repeat(64, 1, 1, 1)
    made = crops(images, 4)
    known = {
        image.rot90(turns, (1, 2))[:, top : top + 4, left : left + 4].numpy().tobytes()
        for image in (images[0], images[0].flip(2))
        for turns in range(4)
        for top in range(3)
        for left in range(3)
    }
    drawn = {one.numpy().tobytes() for one in made}
    assert len(known) == 72
    assert drawn <= known
    assert len(drawn) > 30  # of 72


def test_mixed_images_have_mixed_targets() -> None:
    torch.manual_seed(1)
    z = torch.arange(16.0).view(16, 1, 1, 1).expand(16, 1, 8, 8)
    mixed, goals = cutmix(z, torch.eye(16), 0.5)
    before = z.roll(1, 0)
    area = (mixed == before).float().mean((1, 2, 3))
    assert 0 < (area > 0).sum() < 16
    assert (area <= 0.5).all()
    torch.testing.assert_close(goals.diag(), 1 - area)
    torch.testing.assert_close(goals.sum(1), torch.ones(16))


@pytest.mark.parametrize("name", LOOKS)
def test_looks_keep_shapes_and_finite_values(name: str) -> None:
    torch.manual_seed(2)
    z = torch.randn(32, 3, 8, 8)
    z[0] = 0  # a flat tile has no deviation
    changed = LOOKS[name](z, torch.ones(1, 3, 1, 1))
    assert changed.shape == z.shape
    assert torch.isfinite(changed).all()
    assert torch.equal(Looks(0.0)(z, torch.ones(1, 3, 1, 1)), z)


def test_one_vector_learns_as_adamw_does() -> None:
    torch.manual_seed(3)
    mine, theirs = (build("student", 3, (16, 16), 4, **TINY) for _ in range(2))
    theirs.load_state_dict(mine.state_dict())
    flat = Flat([mine.to(memory_format=torch.channels_last)], 0.05, torch.device("cpu"))
    groups = [{"params": [p for p in theirs.parameters() if (p.ndim > 1) == wide], "weight_decay": 0.05 * wide}
              for wide in (True, False)]  # fmt: skip
    adamw = torch.optim.AdamW(groups, lr=0.01)
    for step in range(1, 4):
        images = torch.randn(8, 3, 16, 16)
        flat.gradient.zero_()
        flat.knobs.copy_(torch.tensor([0.01, 1 - 0.9**step, 1 - 0.999**step, 0.5]))
        mine(images).square().sum().backward()
        flat.update()
        adamw.zero_grad()
        theirs(images).square().sum().backward()
        adamw.step()
    for (name, a), b in zip(mine.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, msg=name)


class Elsewhere(TorchDispatchMode):
    """Notes what a CUDA graph cannot hold: tensors that are not on the device, and operations that wait for it."""

    WAIT = ("_local_scalar_dense", "nonzero", "masked_select", "equal.", "unique", "is_nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.calls += 1
        here = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, torch.Tensor)]
        masks = "index" in str(func) and any(t.dtype == torch.bool for t in here)
        if masks or any(w in str(func) for w in self.WAIT) or any(t.device.type != "meta" for t in here):
            self.found.append(str(func))
        return out


@pytest.mark.parametrize("channels", [3, 13])
def test_a_step_can_be_captured(channels: int, tmp_path: Path) -> None:
    """On torch's device without memory: nothing that a step uses or makes lies on the CPU or is waited for."""
    options = {**TINY, "stem": "k4"}
    member = {"options": options, "looks": "plain", "figures": {}}
    facts = {"channels": 3, "members": {"t": member}, "mean": [90.0, 95.0, 80.0], "std": [50.0, 40.0, 30.0]}
    (tmp_path / "teachers.json").write_text(json.dumps(facts))
    (tmp_path / "teachers").mkdir()
    save_file(build("student", 3, (64, 64), 10, **options).state_dict(), tmp_path / "teachers" / "t.safetensors")
    meta = torch.device("meta")
    scale = ([1000.0] * channels, [500.0] * channels)
    teach = taught_by(Job(tmp_path, "", meta, True, False), "teachers", "t", scale if channels == 13 else None)
    members = [Member(name, build("student", channels, (64, 64), 10, **options), name, ("t",) * (i % 2))
               for i, name in enumerate(LOOKS)]  # fmt: skip
    x, y = np.zeros((20, channels, 64, 64), np.uint16), np.zeros(20, np.int64)
    together = Together(members, LOOKS, {"t": teach}, x, y, *scale, {}, Plan(batch=16), meta, graphs=False)
    together._fast = contextlib.nullcontext  # type: ignore[method-assign]  # autocast knows no such device
    with Elsewhere() as elsewhere:
        together.step(48)
    assert not elsewhere.found
    assert elsewhere.calls > 1000
    with Elsewhere() as elsewhere:
        together._draw(np.arange(16))
    assert "aten.copy_.default" in elsewhere.found


def test_tensors_of_the_vector_lie_where_libraries_want_them() -> None:
    networks = [build("student", 3, (16, 16), 10, **TINY) for _ in range(2)]
    flat = Flat([n.to(memory_format=torch.channels_last) for n in networks], 0.05, torch.device("cpu"))
    base = flat.all.data_ptr()
    for network in networks:
        for tensor in (*network.parameters(), *(b for b in network.buffers() if b.is_floating_point())):
            assert (tensor.data_ptr() - base) % 256 == 0
            assert base <= tensor.data_ptr() < base + 4 * flat.all.numel()


def test_a_group_learns_what_can_be_learned() -> None:
    """Classes that differ by brightness; the taught one learns from the teacher alone."""
    random = np.random.default_rng(4)
    y = random.integers(0, 10, 320)
    x = (y[:, None, None, None] * 20 + random.integers(0, 8, (320, 3, 16, 16))).astype(np.uint8)
    mean, std = statistics(x)
    np.testing.assert_allclose(mean, x.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(std, x.std((0, 2, 3)), rtol=1e-5)

    def teach(z: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot((z.mean((1, 2, 3)) > 0).long(), 10).float()

    members = [Member(n, build("student", 3, (16, 16), 10, **TINY), "none", t) for n, t in (("a", ()), ("b", ("t",)))]
    plan = Plan(batch=64, rate=0.02, epochs=15, average=0.9, cutmix=0.0, distil=1.0, sides=(12, 16))
    together = Together(members, {"none": Looks(0.0)}, {"t": teach}, x, y, mean, std, {"own": (x, y)}, plan,
                        torch.device("cpu"), graphs=False)  # fmt: skip
    together.run(600, lambda text: None)
    figures, logits = together.judge()
    assert len(together.history) == 15
    assert together.history[-1]["progress"] == 1
    assert figures["a"]["own"]["accuracy"] > 0.6
    assert set(logits["b"]["own"].argmax(1).tolist()) <= {0, 1}
    again = build("student", 3, (16, 16), 10, **TINY)
    again.load_state_dict(together.weights()["a"])
    z = (torch.from_numpy(x).float() - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    np.testing.assert_allclose(again.eval()(z).detach().numpy(), logits["a"]["own"], atol=0.05)


def test_the_best_looks_have_few_errors_on_both_kinds_of_tiles() -> None:
    def member(looks: str, colour: float, val: float, loss: float = 1.0) -> dict[str, object]:
        return {"looks": looks, "figures": {"held": {"accuracy": colour, "loss": loss},
                                            "val": {"accuracy": val, "loss": loss}}}  # fmt: skip

    facts = {"judged": {"held": 998, "val": 498}, "members": {
        "a": member("one", 0.7, 0.97), "b": member("one", 0.7, 0.97), "c": member("bought", 0.75, 0.95),
        "d": member("two", 0.72, 0.97), "e": member("broken", 1.0, 1.0, float("nan")),
    }}  # fmt: skip
    assert ranking(facts) == ["two", "one", "bought", "broken"]


def test_a_student_goes_on_from_weights_and_standardisation_of_another(tmp_path: Path, monkeypatch) -> None:
    import cpu_teacher

    names = [f"{kind}_{i}" for kind in ("River", "Forest") for i in range(40)]
    x = np.random.default_rng(5).integers(0, 256, (80, 3, 64, 64), dtype=np.uint8)
    np.save(tmp_path / "rgb.npy", x)
    (tmp_path / "rgb.txt").write_text("\n".join(names))
    parts = {"rgb_train": set(names[:70]), "rgb_val": set(names[70:])}
    monkeypatch.setattr(cpu_teacher, "listed", parts.__getitem__)
    monkeypatch.setattr(cpu_teacher, "PLACES", {})
    common = ["--work", str(tmp_path), "--seconds", "30", "--epochs", "1", "--batch", "32", "--members", "r4-a"]
    for name, more in (("first", ["--rate", "1e-3"]), ("second", ["--rate", "1e-9", "--starts", "first"])):
        monkeypatch.setattr(sys, "argv", ["cpu_teacher.py", "students", "--name", name, *common, *more])
        if more[-1] == "first":
            facts = Job(tmp_path, "", torch.device("cpu"), False, False).facts("first")
            facts["mean"] = [m + 1 for m in facts["mean"]]
            (tmp_path / "first.json").write_text(json.dumps(facts))
        cpu_teacher.main()
    job = Job(tmp_path, "", torch.device("cpu"), False, False)
    assert job.facts("second")["mean"] == job.facts("first")["mean"]
    for key, value in job.weights("first", "r4-a").items():
        if key.endswith("weight"):
            torch.testing.assert_close(job.weights("second", "r4-a")[key], value, atol=1e-5, rtol=1e-4)


def test_teachers_are_asked_once_for_crops_that_come_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 256, (16, 3, 16, 16), dtype=np.uint8), rng.integers(0, 10, 16)
    plan = Plan(batch=4, epochs=5, sides=(8, 12), judged=1)

    def trained(first: int, cycle: int, folder: Path, asked: list[bytes]) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        network = build("student", 3, (16, 16), 10, **TINY)

        def teach(images: torch.Tensor) -> torch.Tensor:
            asked.append(images.numpy().tobytes())
            return (images.mean((2, 3)) @ torch.ones(3, 10) + torch.arange(10)).softmax(1)

        group = Remembered([Member("s", network, "plain", ("t",))], {"plain": LOOKS["plain"]}, {"t": teach}, x, y,
                           [128.0] * 3, [60.0] * 3, {"val": (x, y)}, plan, torch.device("cpu"), graphs=False,
                           folder=folder, cycle=cycle, first=first)  # fmt: skip
        group.run(1e9, lambda _: None)
        assert len(group.history) == 5
        return group.weights()["s"]

    once: list[bytes] = []
    trained(0, 2, tmp_path, once)
    tried = 3 * len(plan.sides)  # to find the pace
    assert len(once) == tried + 2 * 4
    assert len(set(once[tried:])) == 8
    again: list[bytes] = []
    trained(1, 2, tmp_path, again)
    assert len(again) == tried + 1  # another training finds the answers, and asks for one to see that they are its own
    for file in tmp_path.glob("answers-*.npy"):
        np.save(file, np.load(file)[..., ::-1])
    with pytest.raises(SystemExit, match="of other teachers or tiles"):
        trained(1, 2, tmp_path, [])
    anew: list[bytes] = []
    (tmp_path / "other").mkdir()
    weights = trained(1, 2, tmp_path / "other", anew)
    assert set(anew[tried:]) == set(once[tried:])
    for name, value in trained(1, 2, tmp_path / "other", []).items():
        torch.testing.assert_close(value, weights[name])
