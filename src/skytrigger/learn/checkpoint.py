"""The state of a training between two epochs, and its file: nothing is pickled."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skytrigger.core.errors import InputError
from skytrigger.core.files import write_text
from skytrigger.learn.run_folder import RunFolder, load_tensors, save_tensors
from skytrigger.learn.steps import Average

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer


@dataclass
class State:
    """What training changes.

    Attributes
    ----------
    average
        Moving average of the weights, or None.
    history
        A line per finished epoch.
    best
        Epoch of the lowest validation loss, from 1; 0 before the first.
    """

    network: nn.Module
    optimiser: Optimizer
    average: Average | None
    history: list[dict[str, Any]] = field(default_factory=list)
    best: int = 0

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept."""
        return self.average.network if self.average else self.network

    def folder_bytes(self, patience: bool) -> int:
        """What the run folder will hold: the checkpoint (weights, two moments of each, their average where one is
        kept) and the weights, twice with `patience`."""
        weights = sum(t.numel() * t.element_size() for t in self.judged.state_dict().values())
        moments = 2 * sum(p.numel() * p.element_size() for p in self.network.parameters() if p.requires_grad)
        size: int = (1 + bool(self.average) + 1 + patience) * weights + moments
        return size

    def save(self, folder: RunFolder, identity: str) -> None:
        """Write checkpoint and history."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        metadata = {"identity": identity, "history": json.dumps(self.history), "best": str(self.best)}
        if self.average:
            tensors |= {f"average.{k}": v for k, v in self.average.network.state_dict().items()}
            metadata["average_steps"] = str(self.average.steps)
        for number, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{k}": v for k, v in values.items()}
        save_tensors(folder.checkpoint, tensors, metadata)
        self._write_history(folder)

    def resume(self, folder: RunFolder, identity: str) -> None:
        """Go back to the checkpoint, if there is one.

        Raises
        ------
        InputError
            It belongs to other data, split or recipe.
        """
        if not folder.checkpoint.is_file():
            return
        tensors, metadata = load_tensors(folder.checkpoint)
        if metadata.get("identity") != identity:
            raise InputError(f"{folder.checkpoint} belongs to other data, split or recipe", remedy="another --out")

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.network.load_state_dict(part("network."))
        if self.average:
            self.average.network.load_state_dict(part("average."))
            self.average.steps = int(metadata["average_steps"])
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in part("adam.").items():
            number, name = key.split(".")
            moments.setdefault(int(number), {})[name] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        self.history, self.best = json.loads(metadata["history"]), int(metadata["best"])
        self._write_history(folder)

    def _write_history(self, folder: RunFolder) -> None:
        write_text(folder.history_file, "".join(json.dumps(line) + "\n" for line in self.history))
