"""What only a Hopper GPU can show: the fused convolutions give the network's answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from skytrigger.core.card import ModelCard
from skytrigger.eo.networks import build
from skytrigger.hep.doublets.networks import build as build_filter
from skytrigger.model.export import export_onnx, with_normalisation
from skytrigger.model.parity import parity
from skytrigger.runtimes.cuda_lanes import page_locked
from skytrigger.runtimes.open import open_session

HOPPER = torch.cuda.is_available() and torch.cuda.get_device_capability() == (9, 0)
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not HOPPER, reason="needs a Hopper GPU")]
EO = ("basic", "1moreconv", "1lessconv", "from64", "from64_1moreconv", "from64_1lessconv")


def made(folder: Path, network: torch.nn.Module, channels: int, size: int) -> tuple[Path, torch.nn.Module, ModelCard]:
    names = tuple(f"c{i}" for i in range(channels))
    card = ModelCard("n", names, ("x", "y", "z"), (size, size), (700.0,) * channels, (350.0,) * channels, "DN", "h")
    for module in network.modules():  # biases that matter
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.normal_(module.bias, std=0.1)
    export_onnx(network.eval(), card, folder / "m.onnx", "fp16")
    return folder / "m.onnx", network, card


def check(path: Path, network: torch.nn.Module, card: ModelCard, **options: int | str) -> None:
    kind = str(options.get("input_type", "float32"))
    high = 255 if kind == "uint8" else 1500
    tiles = np.random.default_rng(0).integers(0, high, (37, len(card.channels), *card.size)).astype(kind)
    with torch.inference_mode():
        expected = with_normalisation(network, card)(torch.from_numpy(tiles.astype(np.float32))).numpy()
    session = open_session(path, "hopper", "fp16", device="cuda", **{"batch_size": 16, **options})  # type: ignore[arg-type]
    for given in (tiles, page_locked(tiles), tiles):
        assert parity(expected, session.run(given))["relative_error_max"] < 2e-2
    assert session.facts["cuda_graphs"]
    session.close()


@pytest.mark.parametrize("name", EO)
def test_networks(tmp_path: Path, name: str) -> None:
    torch.manual_seed(1)
    network = build(name, 13, (64, 64), 3)
    check(*made(tmp_path, network, 13, 64))


@pytest.mark.parametrize("pooling", ["origin", "image"])
@pytest.mark.parametrize("channels", [2, 20])
def test_doublet_filters(tmp_path: Path, pooling: str, channels: int) -> None:
    torch.manual_seed(1)
    network = build_filter("doublets_cnn", channels, (16, 16), 3, first_pooling=pooling)
    check(*made(tmp_path, network, channels, 16))


@pytest.mark.parametrize("kind", ["float32", "float16", "uint16", "uint8"])
@pytest.mark.parametrize("streams", [1, 3])
def test_input_types_and_streams(tmp_path: Path, kind: str, streams: int) -> None:
    torch.manual_seed(1)
    network = build("basic", 3, (64, 64), 3)
    check(*made(tmp_path, network, 3, 64), input_type=kind, streams=streams, batch_size=5)


def test_parts_of_a_large_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skytrigger.runtimes.hopper import session

    monkeypatch.setattr(session, "PART", 7)
    torch.manual_seed(1)
    check(*made(tmp_path, build("basic", 13, (64, 64), 3), 13, 64), batch_size=37)
