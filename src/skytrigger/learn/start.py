"""Training that starts from weights that another run has learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skytrigger.core.errors import InputError
from skytrigger.learn.run_folder import RunFolder, load_tensors

if TYPE_CHECKING:
    from torch import nn


def start_from(network: nn.Module, run: str | Path, channels: Sequence[str]) -> None:
    """Load the weights of `run` into `network`, which sees `channels`.

    Where the run saw other channels, the first convolution takes its weights channel by channel, by
    name; a channel that the run did not see starts at zero, so that the network first answers as the
    run does. Both must standardise the shared channels alike: the same ground in DN and in 8 bits is.

    Raises
    ------
    InputError
        No channel in common, or weights of another network.
    """
    folder = RunFolder(Path(run))
    known = folder.card().channels
    weights, _ = load_tensors(folder.weights)
    if known != tuple(channels):
        shared = [c for c in channels if c in known]
        if not shared:
            raise InputError(f"{run} saw the channels {known}", expected=f"some of {', '.join(channels)}")
        name, old = next((k, v) for k, v in weights.items() if v.ndim == 4)
        new = network.state_dict()[name].clone().zero_()
        if new.shape[0] != old.shape[0] or new.shape[2:] != old.shape[2:]:
            raise InputError(f"the first convolution of {run} is {tuple(old.shape)}", expected=f"{tuple(new.shape)}")
        for channel in shared:
            new[:, list(channels).index(channel)] = old[:, known.index(channel)]
        weights[name] = new
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"the weights of {run} do not fit this network: {error}") from error
