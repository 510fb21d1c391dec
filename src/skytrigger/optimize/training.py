"""Students trained from the teachers' answers, each in a folder of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skytrigger.core.heads import CLASSES
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.run_folder import Build
from skytrigger.learn.teacher import Teacher
from skytrigger.learn.train import train
from skytrigger.optimize.candidates import Candidate
from skytrigger.optimize.problem import Search

DISTIL = 0.7  # share of the teacher's probabilities in the targets
TUNE_RATE = 0.25  # fine-tuning's learning rate, as a share of training's


@dataclass
class Trainer:
    """Trains candidates on the problem's training part; `distil` is the teacher's share in the targets."""

    search: Search
    distil: float = DISTIL
    _teacher: Teacher | None = None

    def recipe(self, options: dict[str, Any], epochs: int, *, tuning: bool = False) -> Recipe:
        """Training on changed images, with the teacher's answers among the targets where `distil` says so.

        Few images get more epochs than `epochs`, many get fewer: see `Effort`.
        """
        settings = self.search.settings
        images, cost = len(self.search.problem.split.train), settings.cost
        batch = int(min(128, max(16, 2 ** round(math.log2(max(1, images / 40))))))
        share = epochs / cost.epochs
        least = math.ceil(cost.least_steps * share / math.ceil(images / batch))
        most = max(1, int(cost.most_images * share / images))
        # gains, styles and mixed images leave a class what it is, not a value
        mixed = settings.augment and all(head.kind == CLASSES for head in self.search.problem.dataset.heads)
        return Recipe(
            model="student",
            options=options,
            epochs=min(max(epochs, least), most),
            batch_size=batch,
            learning_rate=4e-3 * (TUNE_RATE if tuning else 1.0),
            optimiser="adamw",
            weight_decay=0.02,
            schedule="warm",
            augment=settings.augment,
            jitter=0.7 if mixed else 0.0,
            style=0.5 if mixed else 0.0,
            cutmix=0.3 if mixed else 0.0,
            seed=settings.seed,
            distil=self.distil,
            temperature=2.0,
            ema=0.98,
        )

    def fit(self, candidate: Candidate, epochs: int, start: Path | None = None, *, tuning: bool = False) -> Path:
        """The run folder of `candidate` trained for `epochs`, from the weights of the run folder `start`."""
        recipe = self.recipe(candidate.options, epochs, tuning=tuning)
        key = {**candidate.key(), "epochs": recipe.epochs, "start": start.name if start else None, "tuning": tuning,
               "distil": recipe.distil}  # fmt: skip
        label = candidate.name
        return self.run("train", key, recipe, label, self.search.problem.build, candidate.channels, epochs, start)

    def run(
        self, kind: str, key: dict[str, Any], recipe: Recipe, label: str, build: Build, channels: Sequence[str],
        cost: float, start: Path | None = None,
    ) -> Path:  # fmt: skip
        """The run folder of one training, a step of the search; `cost` is what it is announced with."""
        search = self.search
        device = search.settings.device

        def told(line: dict[str, Any]) -> None:
            known = f", validation {100 * line['val_accuracy']:.1f} %" if "val_accuracy" in line else ""
            search.advance(cost / recipe.epochs, f"{label}: epoch {line['epoch']} of {recipe.epochs}{known}")

        def make(folder: Path) -> dict[str, Any]:
            train(
                build, search.problem.dataset, search.problem.split, recipe, folder, threads=search.threads,
                device=device if device.startswith("cuda") else "cpu", on_epoch=told, keep_checkpoint=False,
                teacher=self.teacher() if recipe.distil else None, start=start, channels=channels,
            )  # fmt: skip
            return {"run": folder.name, "epochs": recipe.epochs}

        return search.folder / "work" / str(search.store.once(kind, key, make)["run"])

    def teacher(self) -> Teacher:
        """The problem's teachers, by default the given network; loaded once."""
        if self._teacher is None:
            problem = self.search.problem
            self._teacher = Teacher(problem.teachers or [problem.given], problem.build)
        return self._teacher
