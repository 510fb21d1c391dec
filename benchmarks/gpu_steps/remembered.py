"""Teachers asked once: crops and changes come again after some epochs, and the answers to them are kept in a file.

Several teachers cost more than the student they teach. Epoch `e` draws what epoch `e % cycle` drew, so a long training
asks them `cycle` times and not in every epoch; two trainings that begin at different epochs share the work.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_steps.together import CLASSES, Together


@dataclass
class Remembered(Together):
    """`Together` without graphs, whose epochs repeat.

    Attributes
    ----------
    folder
        Where the answers are: float16 (cycle, steps, batch, classes), NaN where nobody has asked yet.
    cycle, first
        How many epochs differ, and with which of them the training begins.
    """

    folder: Path = Path()
    cycle: int = 32
    first: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.place: tuple[int, int] | None = None
        self.kept: dict[str, Any] = {}
        self.proven = False  # that answers which lie there are these teachers'

    def _epoch(self, progress: float, span: float, steps: int, done: int) -> None:
        epoch = (self.first + done) % self.cycle
        self.random = np.random.default_rng(epoch)
        torch.manual_seed(epoch)
        self.place = epoch, 0
        super()._epoch(progress, span, steps, done)
        self.place = None

    def step(self, side: int) -> None:
        super().step(side)
        if self.place:
            self.place = self.place[0], self.place[1] + 1

    def _answers(self, looks: str, images: Any, names: list[str]) -> dict[str, Any]:
        if self.place is None or not names:
            return super()._answers(looks, images, names)
        answers = self._file(looks, names)
        kept = answers[self.place]
        missing = np.isnan(kept).any()
        if missing or not self.proven:
            given = super()._answers(looks, images, names)
            found = torch.stack([given[n] for n in names]).mean(0).float().cpu().numpy()
            if not missing and not np.allclose(found, kept, atol=0.05):
                raise SystemExit(f"{answers.filename} holds answers of other teachers or tiles: delete it")
            self.proven = True
            answers[self.place] = kept = found
        mean = torch.from_numpy(kept.astype(np.float32)).to(self.device)
        return dict.fromkeys(names, mean)

    def _file(self, looks: str, names: list[str]) -> Any:
        """Answers under these looks, by a name that tells all that they follow from."""
        shape = self.cycle, max(1, len(self.y) // self.plan.batch), self.plan.batch, CLASSES
        classes = hashlib.sha256(np.ascontiguousarray(self.y)).hexdigest()
        facts = [asdict(self.looks[looks]), [m.looks for m in self.members], names, shape, self.plan.sides,
                 self.plan.cutmix, classes, np.round(self.mean, 1).tolist()]  # fmt: skip
        name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        if name not in self.kept:
            file = self.folder / f"answers-{name}.npy"
            if not file.exists():
                np.save(file.with_suffix(".part.npy"), np.full(shape, np.nan, np.float16))
                file.with_suffix(".part.npy").rename(file)
            self.kept[name] = np.load(file, mmap_mode="r+")
        return self.kept[name]
