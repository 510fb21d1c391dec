"""Students trained from the given network's answers, each in a folder of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skytrigger.core.extras import require
from skytrigger.learn.batches import Batches
from skytrigger.learn.predict import predict
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.run_folder import RunFolder
from skytrigger.learn.teacher import Teacher
from skytrigger.learn.train import train
from skytrigger.optimize.candidates import Candidate
from skytrigger.optimize.metric import Logits
from skytrigger.optimize.settings import Problem, Settings
from skytrigger.optimize.store import Store

if TYPE_CHECKING:
    from torch import nn

Advance = Callable[[float, str], None]
DISTIL = 0.7  # share of the teacher's probabilities in the targets
TUNE_RATE = 0.25  # fine-tuning's learning rate, as a share of training's


@dataclass
class Trainer:
    """Trains candidates on the problem's training part."""

    problem: Problem
    settings: Settings
    store: Store
    advance: Advance
    threads: int | None = None
    teacher: Teacher | None = None
    distil: float = DISTIL

    def recipe(self, options: dict[str, Any], epochs: int, *, tuning: bool = False) -> Recipe:
        """Training on changed images, with the teacher's answers among the targets where `distil` says so.

        Few images get more epochs than `epochs`, many get fewer: see `Effort`.
        """
        images, cost = len(self.problem.split.train), self.settings.cost
        batch = int(min(128, max(16, 2 ** round(math.log2(max(1, images / 40))))))
        share = epochs / cost.epochs
        least = math.ceil(cost.least_steps * share / math.ceil(images / batch))
        most = max(1, int(cost.most_images * share / images))
        return Recipe(
            model="student",
            options=options,
            epochs=min(max(epochs, least), most),
            batch_size=batch,
            learning_rate=4e-3 * (TUNE_RATE if tuning else 1.0),
            optimiser="adamw",
            weight_decay=0.02,
            schedule="warm",
            augment=self.settings.augment,
            jitter=0.7 if self.settings.augment else 0.0,
            style=0.5 if self.settings.augment else 0.0,
            cutmix=0.3 if self.settings.augment else 0.0,
            seed=self.settings.seed,
            distil=self.distil,
            temperature=2.0,
            ema=0.98,
        )

    def fit(self, candidate: Candidate, epochs: int, start: Path | None = None, *, tuning: bool = False) -> Path:
        """The run folder of `candidate` trained for `epochs`, from the weights of the run folder `start`."""
        recipe = self.recipe(candidate.options, epochs, tuning=tuning)
        key = {**candidate.key(), "epochs": recipe.epochs, "start": start.name if start else None, "tuning": tuning,
               "distil": recipe.distil}  # fmt: skip

        def make(folder: Path) -> dict[str, Any]:
            train(
                self.problem.build,
                self.problem.dataset,
                self.problem.split,
                recipe,
                folder,
                threads=self.threads,
                device=self.settings.device if self.settings.device.startswith("cuda") else "cpu",
                on_epoch=lambda line: self.advance(
                    epochs / recipe.epochs,
                    f"{candidate.name}: epoch {line['epoch']} of {recipe.epochs}, "
                    f"validation {100 * line['val_accuracy']:.1f} %",
                ),
                keep_checkpoint=False,
                teacher=self.loaded_teacher() if recipe.distil else None,
                start=start,
                channels=candidate.channels,
            )
            return {"run": folder.name, "epochs": recipe.epochs}

        done = self.store.once("train", key, make)
        return self.store.folder / "work" / str(done["run"])

    def logits(self, run: Path, part: str) -> Logits:
        """The network's logits on a part, in torch."""
        network, card = RunFolder(run).load(self.problem.build)
        dataset = self.problem.dataset.select(card.channels)
        torch = require("torch", why="evaluation")
        batches = Batches(dataset, card.mean, card.std, torch.device("cpu"))
        return predict(network, batches, self.problem.split.part(part))

    def network(self, run: Path) -> tuple[nn.Module, Any]:
        """The trained network and its card."""
        return RunFolder(run).load(self.problem.build)

    def loaded_teacher(self) -> Teacher:
        """The problem's teachers, by default the given network; loaded once."""
        if self.teacher is None:
            self.teacher = Teacher(self.problem.teachers or [self.problem.run], self.problem.build)
        return self.teacher
