"""Distillation (Hinton, Vinyals, Dean 2015): probabilities of trained networks as targets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.files import sha256_json
from skytrigger.core.heads import Head
from skytrigger.learn.heads import rules_of
from skytrigger.learn.output_layer import tensors_of
from skytrigger.learn.run_folder import Build, RunFolder
from skytrigger.model.file import read_model
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.registry import DEFAULT

if TYPE_CHECKING:
    from torch import Tensor
    from torch import device as Device


BATCH = 64  # of a model file's session


def weights_hash(run: str | Path) -> str:
    """SHA-256 of a run folder's weights, or of a model file."""
    file = Path(run) if Path(run).is_file() else RunFolder(Path(run)).weights
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"cannot read the weights of {run}: {error.strerror}", remedy="a finished run") from error


class Teacher:
    """The mean probabilities of one or several networks: run folders, or model files on ONNX Runtime."""

    def __init__(self, runs: Sequence[str | Path], build: Build) -> None:
        self.runs = tuple(Path(run) for run in runs)
        loaded = [_engine(run) if run.is_file() else RunFolder(run).load(build) for run in self.runs]
        if not loaded:
            raise InputError("a teacher of no run folder")
        self.networks: tuple[Any, ...]
        self.cards: tuple[ModelCard, ...]
        self.networks, self.cards = zip(*loaded, strict=True)
        first = self.cards[0]
        for run, card in zip(self.runs, self.cards, strict=True):
            if (card.channels, answers_of(card.heads), card.units) != (
                first.channels,
                answers_of(first.heads),
                first.units,
            ):
                raise InputError(f"{run} has other channels, classes or units than {self.runs[0]}")
        self.channels, self.heads, self.units = first.channels, first.heads, first.units
        self._scale: list[tuple[Tensor, Tensor]] = []

    def identity(self) -> str:
        """Hash of the networks' weights: what a student's result depends on."""
        return sha256_json([weights_hash(run) for run in self.runs])

    def prepare(self, mean: Sequence[float], std: Sequence[float], device: Device) -> None:
        """Take images that are standardised by `mean` and `std` (of the teacher's channels, in order)."""
        torch = require("torch", why="distillation")
        here_mean, here_std = torch.tensor(mean), torch.tensor(std)
        self._scale = []
        for network, card in zip(self.networks, self.cards, strict=True):
            if hasattr(network, "eval"):
                network.to(device).eval()
            its_mean, its_std = torch.tensor(card.mean), torch.tensor(card.std)
            factor, offset = here_std / its_std, (here_mean - its_mean) / its_std
            self._scale.append(tuple(v.view(1, -1, 1, 1).to(device) for v in (factor, offset)))

    def require(self, heads: Sequence[Head], units: str) -> None:
        """Raise InputError unless it teaches data with these heads and units."""
        if answers_of(self.heads) != answers_of(heads):
            mine, theirs = ("; ".join(f"{h.name} {h.names}" for h in some) for some in (self.heads, heads))
            raise InputError(f"the teacher knows the classes {mine}", expected=theirs)
        if self.units != units:
            raise InputError(f"the teacher takes {self.units}, the images are in {units}")

    def taught(self, images: Tensor, temperature: float) -> list[Tensor]:
        """Of each head the mean over the networks: softmax(logits / temperature) (n, classes), or values (n, k)."""
        torch = require("torch", why="distillation")
        rules = rules_of(self.heads)
        with torch.inference_mode():
            parts = [
                [
                    rule.taught(outputs.float(), temperature)
                    for rule, outputs in zip(rules, tensors_of(network(images * factor + offset)), strict=True)
                ]
                for network, (factor, offset) in zip(self.networks, self._scale, strict=True)
            ]
            means = [torch.stack(head).mean(0) for head in zip(*parts, strict=True)]
        return [mean.clone() for mean in means]

    def probabilities(self, images: Tensor, temperature: float) -> Tensor:
        """`taught` of the first head."""
        return self.taught(images, temperature)[0]


def answers_of(heads: Sequence[Head]) -> list[tuple[Any, ...]]:
    """What makes two networks answer the same questions, whatever they were trained by."""
    return [(head.name, head.kind, head.names, head.unit) for head in heads]


def _engine(file: Path) -> tuple[Callable[[Tensor], tuple[Tensor, ...]], ModelCard]:
    """A model file as a network for standardised images, and its card."""
    torch = require("torch", why="distillation")
    model = read_model(file)
    card = model.card
    # one thread: a second one would spin on the core that the student's training needs
    session = open_session(model, DEFAULT, card.precision, BATCH, threads=1)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (card.mean, card.std))

    def network(images: Tensor) -> tuple[Tensor, ...]:
        tiles = images.detach().cpu().contiguous().numpy() * std + mean
        answers = session.answers(np.ascontiguousarray(tiles, np.float32))
        return tuple(torch.from_numpy(answers[head.name]).to(images.device) for head in card.heads)

    return network, card
