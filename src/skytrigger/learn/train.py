"""Training: any network on any dataset, deterministic by seed, a checkpoint every epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skytrigger import __version__
from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.core.extras import require
from skytrigger.core.files import sha256_json, write_text
from skytrigger.core.heads import outputs_of
from skytrigger.core.progress import say
from skytrigger.core.seeds import derive
from skytrigger.core.seen import NOTE
from skytrigger.learn import distributed
from skytrigger.learn.batches import Batches, channel_statistics
from skytrigger.learn.checkpoint import State
from skytrigger.learn.device import resolve_device, resolve_precision, use_threads
from skytrigger.learn.energy import EpochMeter, watching
from skytrigger.learn.epoch import Epochs
from skytrigger.learn.evaluate import card_of
from skytrigger.learn.heads import changed
from skytrigger.learn.leakage import Source, require_unseen, seen_after
from skytrigger.learn.predict import judge
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.run_folder import Build, RunFolder, load_tensors, save_tensors
from skytrigger.learn.start import ALL, start_from
from skytrigger.learn.steps import Average, make_optimiser, selected
from skytrigger.learn.teacher import Teacher, weights_hash
from skytrigger.learn.unpack import settle
from skytrigger.measure.meters.protocol import Meter
from skytrigger.model.quantise import stratified

if TYPE_CHECKING:
    from torch import device as Device

SETTLING_IMAGES = 512  # whose statistics the normalisations of a network from a file get


def train(
    build: Build,
    dataset: Dataset,
    split: Split,
    recipe: Recipe,
    out: str | Path,
    *,
    device: str = "cpu",
    threads: int | None = None,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
    keep_checkpoint: bool = True,
    meter: Meter | EpochMeter | None = None,
    channels: Sequence[str] | None = None,
    teacher: Teacher | None = None,
    start: str | Path | None = None,
    allow_seen: bool = False,
) -> RunFolder:
    """Train into the run folder `out`, or go on with the training that was interrupted there.

    A finished run of the same recipe, data and split is returned as it is. Under ``torchrun`` each
    batch is shared among the processes; the gradients are those of the whole batch.

    Parameters
    ----------
    build
        ``build(name, channels, size, outputs, **options)``: the untrained network; see `core.application`.
    on_epoch
        Called with each new line of history.
    keep_checkpoint
        Keep optimiser state and weights for further epochs after the last one.
    meter
        Adds ``joules`` to each line of history, where it gives a figure, see `EpochMeter` (which keeps its windows);
        by default the first sensor of this machine that works, see `doctor`.
    channels
        What the network sees of the dataset's channels (default: all); a teacher sees its own.
    teacher
        Its probabilities and values are mixed into the targets, by ``recipe.distil``.
    start
        Run folder or model file whose weights training starts from, of other channels or classes perhaps: see
        `start_from`.
    allow_seen
        Go on where start or teacher have seen images that judge here; the card then says so.

    Raises
    ------
    InputError
        The folder holds another recipe's run, the split has no training or validation images,
        teacher or start do not fit, or have learned from validation or test images of this split.
    SkytriggerError
        The loss is no longer finite.
    """
    _require(dataset, split, teacher)
    sources = learned_from(start, teacher)
    warnings = require_unseen(sources, dataset, split, allow_seen)
    threads = use_threads(threads)
    with distributed.group(device) as ranks:
        folder, where = RunFolder(Path(out)), resolve_device(ranks.device(device))
        seen = tuple(channels or dataset.channels)
        job = _Job(build, dataset, split, recipe, folder, ranks, on_epoch, where, seen, teacher, start)
        job.notes[NOTE] = seen_after(dataset, split, sources, warnings)
        if not job.finished():
            with watching(meter if ranks.first else EpochMeter(), str(where)) as energy:
                job.run(threads, energy)
            if ranks.first and not keep_checkpoint:
                folder.checkpoint.unlink(missing_ok=True)
        ranks.barrier()
        return folder


def learned_from(start: str | Path | None, teacher: Teacher | None) -> list[Source]:
    """The networks whose weights or answers a training begins with, and their cards."""
    sources = [Source(Path(start).name, card_of(start))] if start else []
    taught = zip(teacher.runs, teacher.cards, strict=True) if teacher else ()
    return sources + [Source(run.name, card) for run, card in taught]


def _require(dataset: Dataset, split: Split, teacher: Teacher | None) -> None:
    """Raise InputError where nothing can be trained, or the teacher knows other things."""
    if teacher:
        teacher.require(dataset.heads, dataset.units)
    if not len(split.train) or not len(split.val):
        raise InputError(
            f"training needs training and validation images, got {len(split.train)} and {len(split.val)}",
            remedy="another --split, or more data",
        )


@dataclass
class _Job:
    build: Build
    dataset: Dataset
    split: Split
    recipe: Recipe
    folder: RunFolder
    ranks: distributed.Ranks
    on_epoch: Callable[[dict[str, Any]], None] | None
    device: Device
    channels: tuple[str, ...]
    teacher: Teacher | None = None
    start: str | Path | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    statistics: tuple[tuple[float, ...], tuple[float, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self.heads = changed(self.dataset.heads, self.recipe.heads)
        self.seen = self.dataset.positions(self.channels)
        self.taught = self.dataset.positions(self.teacher.channels) if self.teacher else []
        self.size = (int(self.dataset.x.shape[2]), int(self.dataset.x.shape[3]))

    def identity(self) -> str:
        """What the result depends on; a checkpoint of anything else is refused."""
        return sha256_json(
            {
                "recipe": self.recipe.to_json(),
                "data": self.dataset.content_hash,
                "split": [self.split.train.tolist(), self.split.val.tolist()],
                "channels": self.channels,
                "teacher": self.teacher.identity() if self.teacher else None,
                "start": weights_hash(self.start) if self.start else None,
            }
        )

    def finished(self) -> bool:
        path = self.folder.path
        if (path / "recipe.toml").is_file():
            found = self.folder.recipe()
            if found != self.recipe:
                mine, theirs = asdict(self.recipe), asdict(found)
                other = {k: (theirs[k], mine[k]) for k in mine if mine[k] != theirs[k]}
                raise InputError(
                    f"{path} holds a run of another recipe (there, here): {other}",
                    remedy="another --out, or the same options to go on with it",
                )
        if not (path / "model.json").is_file():
            return False
        if self.folder.card().notes.get("identity") != self.identity():
            raise InputError(f"{path} holds a run on other data or another split", remedy="another --out")
        return True

    def run(self, threads: int, energy: EpochMeter) -> None:
        recipe, data = self.recipe, self.dataset
        precision = resolve_precision(recipe.precision, self.device)
        if self.ranks.first:
            write_text(self.folder.path / "recipe.toml", recipe.to_toml())
        self.statistics = mean, std = channel_statistics(data, self.split.train)
        batches = Batches(data, mean, std, self.device, channels_last=recipe.channels_last)
        if self.teacher:
            self.teacher.prepare([mean[i] for i in self.taught], [std[i] for i in self.taught], self.device)
        epochs = Epochs(recipe, self.heads, self.ranks, batches, precision, self.teacher, self.taught)
        state = self._begin(batches)
        if self.ranks.first:
            self.folder.announce(state.folder_bytes(bool(recipe.patience)))
        state.resume(self.folder, self.identity())
        wrapped = self.ranks.wrap(selected(state.network, self.seen, len(data.channels)))
        judged = selected(state.judged, self.seen, len(data.channels))
        for epoch in range(len(state.history) + 1, recipe.epochs + 1):
            if recipe.patience and epoch - 1 - state.best >= recipe.patience:
                break
            energy.start()
            line = epochs.train(epoch, wrapped, state, self.split.train)
            line |= judge(judged, self.heads, batches, self.split.val, precision)
            self._keep(state, line | energy.stop())
        if self.ranks.first:
            if recipe.patience:
                kept, _ = load_tensors(self.folder.path / "best.safetensors")
                state.judged.load_state_dict(kept)
            self._finish(state, precision, threads)

    def _keep(self, state: State, line: dict[str, Any]) -> None:
        """Take in a finished epoch: history, the best weights, the checkpoint."""
        epoch, recipe = line["epoch"], self.recipe
        if not np.isfinite([line["train_loss"], line["val_loss"]]).all():
            raise SkytriggerError(
                f"the loss is not finite in epoch {epoch} (train {line['train_loss']}, validation {line['val_loss']})\n"
                f"  remedy: a smaller learning rate than {recipe.learning_rate}, or --precision fp32"
            )
        state.history.append(line)
        if min(h["val_loss"] for h in state.history) == line["val_loss"]:
            state.best = epoch
        if self.ranks.first:
            if recipe.patience and state.best == epoch:
                save_tensors(self.folder.path / "best.safetensors", state.judged.state_dict(), {})
            state.save(self.folder, self.identity())
            if self.on_epoch:
                self.on_epoch(line)

    def _begin(self, batches: Batches) -> State:
        torch = require("torch", why="training")
        recipe = self.recipe
        torch.manual_seed(derive(recipe.seed, "weights"))
        network = self.build(recipe.model, len(self.channels), self.size, outputs_of(self.heads), **recipe.options)
        if self.start:
            taken = start_from(network, self.start, self.channels, self.heads, self.build)
            if Path(self.start).is_file():
                rows = np.sort(stratified(self.split.train, self.dataset.y, SETTLING_IMAGES))
                settle(network, batches.images(rows)[:, self.seen].to("cpu"))
            if self.ranks.first and taken != ALL:
                say(f"start from {self.start}: {taken}")
        if recipe.channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network = network.to(self.device)
        average = Average(network, recipe.ema) if recipe.ema else None
        return State(network, make_optimiser(network, recipe), average)

    def _finish(self, state: State, precision: str, threads: int) -> None:
        torch = require("torch", why="training")
        data, recipe = self.dataset, self.recipe
        mean, std = self.statistics
        save_tensors(self.folder.weights, state.judged.state_dict(), {})
        notes = {
            "identity": self.identity(),
            "source": data.source,
            "training_precision": precision,
            "kept_epoch": state.best if recipe.patience else len(state.history),
            "device": str(self.device),
            "threads": threads,
            "processes": self.ranks.size,
            **self.notes,
        }
        self.folder.write_card(
            ModelCard(
                name=recipe.model,
                channels=self.channels,
                classes=data.classes,
                size=self.size,
                mean=tuple(mean[i] for i in self.seen),
                std=tuple(std[i] for i in self.seen),
                units=data.units,
                data_hash=data.selection_hash(self.channels),
                split=dict(self.split.facts),
                seed=recipe.seed,
                versions={"skytrigger": __version__, "torch": torch.__version__, "numpy": np.__version__},
                options=recipe.options,
                notes=notes,
                heads=self.heads,
            )
        )
