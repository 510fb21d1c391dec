"""Training that starts from weights that another network has learned: a run folder, or a model file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.heads import Head
from skytrigger.learn.run_folder import Build, RunFolder, load_tensors
from skytrigger.learn.unpack import network_of_file

if TYPE_CHECKING:
    from torch import Tensor, nn

Weights = dict[str, "Tensor"]
ALL = "all weights"


def start_from(
    network: nn.Module, run: str | Path, channels: Sequence[str], heads: Sequence[Head], build: Build
) -> str:
    """Load the weights of `run` into `network`, which sees `channels` and answers `heads`; what was taken, in words.

    Where the run saw other channels, the first convolution takes its weights channel by channel, by name; a channel
    that the run did not see starts at zero, so that the network first answers as the run does. Where one head of
    classes knows others, the last layer is taken class by class, by name; a class that is new starts untrained. Both
    must standardise the shared channels alike: the same ground in DN and in 8 bits is.

    Raises
    ------
    InputError
        No channel in common, or weights of another network.
    """
    weights, card = _weights(Path(run), build)
    told = []
    if card.channels != tuple(channels):
        shared = _first_layer(weights, network, card, channels, run)
        rest = "" if len(shared) == len(channels) else ", the others at zero"
        told.append(f"{len(shared)} of {len(channels)} channels by name ({', '.join(shared)}){rest}")
    if classes := _last_layer(weights, network, card, heads):
        told.append(classes)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"the weights of {run} do not fit this network: {error}",
            remedy="leave --model and --recipe out: --start then names its own network",
        ) from error
    return "; ".join(told) or ALL


def _weights(run: Path, build: Build) -> tuple[Weights, ModelCard]:
    if run.is_file():
        file, card = network_of_file(run, build)
        return dict(file.state_dict()), card
    folder = RunFolder(run)
    return load_tensors(folder.weights)[0], folder.card()


def _first_layer(
    weights: Weights, network: nn.Module, card: ModelCard, channels: Sequence[str], run: str | Path
) -> list[str]:
    """The first convolution's weights for `channels`; which of them the start knew."""
    shared = [c for c in channels if c in card.channels]
    if not shared:
        raise InputError(
            f"{run} saw the channels {', '.join(card.channels)}", expected=f"some of {', '.join(channels)}"
        )
    name, old = next((k, v) for k, v in weights.items() if v.ndim == 4)
    new = network.state_dict()[name].clone().zero_()
    if new.shape[0] != old.shape[0] or new.shape[2:] != old.shape[2:]:
        raise InputError(f"the first convolution of {run} is {tuple(old.shape)}", expected=f"{tuple(new.shape)}")
    for channel in shared:
        new[:, list(channels).index(channel)] = old[:, card.channels.index(channel)]
    weights[name] = new
    return shared


def _last_layer(weights: Weights, network: nn.Module, card: ModelCard, heads: Sequence[Head]) -> str:
    """The last layer's rows by the names of classes, where one head of classes has others or another order."""
    if len(heads) != 1 or len(card.heads) != 1 or heads[0].names == card.heads[0].names:
        return ""
    mine, theirs = heads[0], card.heads[0]
    layer = _last_dense(network)
    if (mine.kind, theirs.kind) != ("classes", "classes") or layer is None:
        return ""
    shared = [name for name in mine.names if name in theirs.names]
    state: dict[str, Any] = network.state_dict()
    for part in ("weight", "bias"):
        key = f"{layer}.{part}"
        if key not in weights or len(weights[key]) != len(theirs.names):
            return ""
        new = state[key].clone()
        for name in shared:
            new[mine.names.index(name)] = weights[key][theirs.names.index(name)]
        weights[key] = new
    others = "" if len(shared) == len(mine.names) else ", the others untrained"
    return f"{len(shared)} of {len(mine.names)} classes by name{others}"


def _last_dense(network: nn.Module) -> str | None:
    layer = require("torch", why="training").nn
    found = [name for name, module in network.named_modules() if isinstance(module, layer.Linear)]
    return found[-1] if found else None
