"""An application of one's own, in whole: spots on a small detector. Which shape, and what energy?"""

from __future__ import annotations

import numpy as np

from skytrigger.core.application import Application
from skytrigger.core.dataset import Dataset, labelled
from skytrigger.core.errors import InputError
from skytrigger.core.heads import CLASSES, VALUES, Head
from skytrigger.core.synthetic import synthetic
from skytrigger.learn.output_layer import output_layer
from skytrigger.optimize import students

SIDE = 16
HEADS = (
    Head("shape", CLASSES, ("round", "long", "ring")),
    Head("energy", VALUES, ("energy",), unit="GeV", loss="huber", weight=0.2),
)


def build(name, channels, size, outputs, hidden=16):
    import torch

    layers = [torch.nn.Conv2d(channels, hidden, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(4)]
    width = hidden * (size[0] // 4) * (size[1] // 4)
    layers += [torch.nn.Flatten(), torch.nn.Linear(width, 32), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, output_layer(32, outputs))


def load(sources, *, bands="all", skip_bad=False, channels=0, seed=0) -> Dataset:
    made = synthetic(sources[0], least=12)
    if made is None:
        raise InputError(f"--data {sources[0]}", expected="synthetic:COUNT")
    count = made.count or 240
    random = np.random.default_rng(made.seed or seed)
    shape, energy = random.integers(0, 3, count), random.uniform(1, 5, count).astype(np.float32)
    row, column = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    radius = np.stack([row**2 + column**2, row**2 + column**2 / 9, 4 * (np.hypot(row, column) - 5) ** 2])
    spots = energy[:, None, None] * np.exp(-radius[shape] / 8)
    x = (100 * spots[:, None] + random.normal(50, 5, (count, 2, SIDE, SIDE))).clip(0).astype(np.uint16)
    energy[::10] = np.nan  # nobody knows these
    ids = [f"spot_{i}" for i in range(count)]
    return labelled(
        x, {"shape": shape, "energy": energy}, ids, ("near", "far"), HEADS,
        units="counts", source={"kind": "synthetic", "count": count},
    )  # fmt: skip


TOY = Application(
    name="toy",
    title="spots on a small detector",
    units=("counts",),
    networks={"toy": build, "student": students.build},
    load=load,
)
