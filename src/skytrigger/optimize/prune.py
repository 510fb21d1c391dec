"""Structured pruning: a student with fewer channels in every stage and block, its weights copied from a trained one.

Channels are ranked by what they hand on: the size of their batch normalisation's scale and shift (a channel with both
zero is silent) times that of the weights that read them (Liu et al. 2017, "Learning efficient convolutional networks
through network slimming", with the readers' norm added).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.learn.batches import Batches, channel_statistics
from skytrigger.learn.device import resolve_device
from skytrigger.learn.run_folder import RunFolder, save_tensors
from skytrigger.learn.train import SETTLING_IMAGES
from skytrigger.learn.unpack import network_of_file, settle
from skytrigger.model.quantise import stratified
from skytrigger.optimize.candidates import Candidate, counted
from skytrigger.optimize.problem import FAMILY, Search
from skytrigger.optimize.students import DEFAULTS
from skytrigger.optimize.training import Trainer

if TYPE_CHECKING:
    from torch import Tensor, nn

MULTIPLE = 8  # vector units take channels in eights: a width between costs as much as the next
Index = NDArray[np.int64]


def narrowed(width: int, share: float) -> int:
    """`share` of a width, in multiples of eight where it is one, at least one channel."""
    step = MULTIPLE if width % MULTIPLE == 0 and width > MULTIPLE else 1
    return max(step, int(width * share / step + 0.5) * step)


def prune(network: nn.Module, options: dict[str, Any], share: float) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Options and weights of the student that keeps about `share` of the channels.

    Parameters
    ----------
    network
        A trained `students.build` network with these `options`.
    """
    return _Pruning(network, options, share).run()


class _Pruning:
    """Walks the student's layers, carrying which channels of the stage are kept."""

    def __init__(self, network: nn.Module, options: dict[str, Any], share: float) -> None:
        self.layers = list(network.children())
        self.state = network.state_dict()
        self.share = share
        torch = require("torch", why="pruning")
        self.convolution, self.linear = torch.nn.Conv2d, torch.nn.Linear
        block = options.get("block", "plain")
        widths = list(options["widths"])
        inner = list(options.get("inner") or [w * (2 if block == "dw" else 1) for w in widths])
        self.options = {**options, "widths": [narrowed(w, share) for w in widths],
                        "inner": [narrowed(w, share) for w in inner]}  # fmt: skip
        self.mixed = options.get("stem") == "mix"
        self.depthwise = block == "dw"
        self.stages = self._stages()
        self.kept = [
            _largest(self._trunk_scores(stage), count)
            for stage, count in zip(self.stages, self.options["widths"], strict=True)
        ]

    def run(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Slice every tensor."""
        out: dict[str, Tensor] = {}
        if self.mixed:
            out |= {k: v for k, v in self.state.items() if k.split(".")[0] in ("0", "1")}
        before: Index | None = None
        for number, (places, kept) in enumerate(zip(self.stages, self.kept, strict=True)):
            first = places[0]
            self._convolution(out, f"{first}", kept, before)
            self._norm(out, f"{first + 1}", kept)
            for place in places[1:]:
                self._block(out, f"{place}.branch", kept, self.options["inner"][number])
            before = kept
        for name, value in self.state.items():  # the last layer: of one head or of several
            if name.startswith(f"{len(self.layers) - 1}."):
                out[name] = (value[:, before] if name.endswith("weight") else value).clone()
        return self.options, out

    def _stages(self) -> list[list[int]]:
        """For each stage the places of its first convolution and of its blocks."""
        stages: list[list[int]] = []
        for place, layer in enumerate(self.layers):
            if isinstance(layer, self.convolution):
                if not (self.mixed and place == 0):
                    stages.append([place])
            elif hasattr(layer, "branch"):
                stages[-1].append(place)
        return stages

    def _trunk_scores(self, places: Sequence[int]) -> NDArray[np.float64]:
        """Of each channel that the stage's blocks add to."""
        last = 7 if self.depthwise else 4
        size = self._norm_size(f"{places[0] + 1}")
        for place in places[1:]:
            size = size + self._norm_size(f"{place}.branch.{last}")
        stage = next(i for i, p in enumerate(self.stages) if p == places)
        reader = self.stages[stage + 1][0] if stage + 1 < len(self.stages) else len(self.layers) - 1
        return size * self._read_size(f"{reader}")

    def _block(self, out: dict[str, Tensor], name: str, kept: Index, count: int) -> None:
        a, b = (3, 6) if self.depthwise else (0, 3)
        inner = _largest(self._norm_size(f"{name}.{a + 1}") * self._read_size(f"{name}.{b}"), count)
        if self.depthwise:
            out[f"{name}.0.weight"] = self.state[f"{name}.0.weight"][kept].clone()
            self._norm(out, f"{name}.1", kept)
        self._convolution(out, f"{name}.{a}", inner, kept)
        self._norm(out, f"{name}.{a + 1}", inner)
        self._convolution(out, f"{name}.{b}", kept, inner)
        self._norm(out, f"{name}.{b + 1}", kept)

    def _convolution(self, out: dict[str, Tensor], name: str, kept: Index, source: Index | None) -> None:
        weight = self.state[f"{name}.weight"][kept]
        out[f"{name}.weight"] = (weight if source is None else weight[:, source]).clone()

    def _norm(self, out: dict[str, Tensor], name: str, kept: Index) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            out[f"{name}.{part}"] = self.state[f"{name}.{part}"][kept].clone()
        out[f"{name}.num_batches_tracked"] = self.state[f"{name}.num_batches_tracked"].clone()

    def _norm_size(self, name: str) -> NDArray[np.float64]:
        scale, shift = (self.state[f"{name}.{p}"].double().numpy() for p in ("weight", "bias"))
        return np.asarray(np.hypot(scale, shift))

    def _read_size(self, name: str) -> NDArray[np.float64]:
        weights = [self.state[k].double().numpy() for k in self.state if _is_weight_of(k, name)]
        return np.asarray(np.sqrt(sum(np.square(w).reshape(*w.shape[:2], -1).sum((0, 2)) for w in weights)))


def _is_weight_of(key: str, name: str) -> bool:
    """Of the layer `name`, or of one of the heads that the last layer consists of."""
    return key == f"{name}.weight" or (key.startswith(f"{name}.heads.") and key.endswith(".weight"))


def _largest(scores: NDArray[np.float64], count: int) -> Index:
    """Places of the `count` largest, ascending; the first of equals."""
    return np.sort(np.argsort(-scores, kind="stable")[:count])


def given_student(search: Search) -> tuple[Candidate, Path] | None:
    """The given network as one of the family, with a run folder of its weights; None where it is none.

    A model file's weights become a run folder again, its normalisations settled on training images.
    """
    problem = search.problem
    card = problem.card
    if card.name != FAMILY:
        return None
    candidate = counted({**DEFAULTS, **card.options}, card.channels, problem.size, problem.outputs)
    if candidate is None or problem.given.is_dir():
        return (candidate, problem.given) if candidate else None

    def make(folder: Path) -> dict[str, Any]:
        try:
            network, own = network_of_file(problem.given, problem.build)
        except InputError as error:
            return {"why": error.problem}
        rows = np.sort(stratified(problem.split.train, problem.dataset.y, SETTLING_IMAGES))
        batches = Batches(problem.dataset, *channel_statistics(problem.dataset, problem.split.train),
                          resolve_device("cpu"))  # fmt: skip
        settle(network, batches.images(rows))
        begun = RunFolder(folder)
        save_tensors(begun.weights, network.state_dict(), {})
        begun.write_card(dataclasses.replace(own, precision="fp32"))
        return {"folder": folder.name}

    done = search.store.once("unpacked", {"sha256": problem.weights}, make)
    return (candidate, search.folder / "work" / done["folder"]) if "folder" in done else None


def pruned(trainer: Trainer, candidate: Candidate, run: Path, share: float) -> tuple[Candidate, Path] | None:
    """`candidate` with `share` of its channels, fine-tuned; None where nothing would go."""
    search = trainer.search
    network, card = search.network(run)
    options, weights = prune(network, candidate.options, share)
    if options["widths"] == list(candidate.options["widths"]):
        return None
    smaller = counted(options, candidate.channels, search.problem.size, search.problem.outputs)
    if smaller is None:
        return None

    def make(folder: Path) -> dict[str, Any]:
        begun = RunFolder(folder)
        save_tensors(begun.weights, weights, {})
        begun.write_card(dataclasses.replace(card, options=options))
        return {"folder": folder.name}

    done = search.store.once("pruned", {"run": run.name, "share": share}, make)
    start = search.folder / "work" / done["folder"]
    return smaller, trainer.fit(smaller, search.settings.cost.tune_epochs, start, tuning=True)
