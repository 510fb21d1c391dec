"""Untrained networks of every kind as model files, made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from skytrigger.core.card import ModelCard
from skytrigger.eo.networks import build
from skytrigger.model.export import export_onnx, with_normalisation

CHANNELS = ("B02", "B03", "B04", "B08")


def card_of(name: str) -> ModelCard:
    mean, std = (1100.0, 1000.0, 900.0, 2300.0), (200.0, 250.0, 300.0, 800.0)
    return ModelCard(name, CHANNELS, tuple("abcde"), (32, 32), mean, std, "DN", "hash")


class Made:
    """One network: module in raw units, model file, tiles and reference logits."""

    def __init__(self, name: str, folder: Path, precision: str = "fp32") -> None:
        torch.manual_seed(1)
        self.card = card_of(name)
        self.network = build(name, len(CHANNELS), (32, 32), 5)
        for module in self.network.modules():  # statistics that batch normalisation must not ignore
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
        self.network.eval()
        self.path = folder / f"{name}-{precision}.onnx"
        export_onnx(self.network, self.card, self.path, precision)
        random = np.random.default_rng(2)
        self.tiles = random.integers(0, 4000, (11, 4, 32, 32)).astype(np.float32)
        with torch.inference_mode():
            self.logits = with_normalisation(self.network, self.card)(torch.from_numpy(self.tiles)).numpy()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("models")
    kept: dict[tuple[str, str], Made] = {}

    def get(name: str = "basic", precision: str = "fp32") -> Made:
        if (name, precision) not in kept:
            kept[name, precision] = Made(name, folder, precision)
        return kept[name, precision]

    return get
