"""Training: any network on any dataset, deterministic by seed, a checkpoint every epoch."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skytrigger import __version__
from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.core.extras import require
from skytrigger.core.files import sha256_json, write_text
from skytrigger.core.seeds import derive, generator
from skytrigger.learn import distributed
from skytrigger.learn.augment import augment, cutmix
from skytrigger.learn.batches import Batches, channel_statistics
from skytrigger.learn.checkpoint import State
from skytrigger.learn.device import resolve_device, resolve_precision, use_threads
from skytrigger.learn.predict import evaluate_loss
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.run_folder import Build, RunFolder, load_tensors, save_tensors
from skytrigger.learn.start import start_from
from skytrigger.learn.steps import Average, learning_rate, make_optimiser, selected, targets_of
from skytrigger.learn.teacher import Teacher, weights_hash
from skytrigger.measure.meters.found import open_meters
from skytrigger.measure.meters.protocol import Meter, window_energy

if TYPE_CHECKING:
    from torch import device as Device
    from torch import nn


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
    meter: Meter | None = None,
    channels: Sequence[str] | None = None,
    teacher: Teacher | None = None,
    start: str | Path | None = None,
) -> RunFolder:
    """Train into the run folder `out`, or go on with the training that was interrupted there.

    A finished run of the same recipe, data and split is returned as it is. Under ``torchrun`` each
    batch is shared among the processes; the gradients are those of the whole batch.

    Parameters
    ----------
    build
        ``build(name, channels, size, classes, **options)``: the untrained network.
    on_epoch
        Called with each new line of history.
    keep_checkpoint
        Keep optimiser state and weights for further epochs after the last one.
    meter
        Adds ``joules`` (gross, of the meter's whole scope) to each line of history, where it gives a
        figure; by default the first sensor of this machine that works, see `doctor`.
    channels
        What the network sees of the dataset's channels (default: all); a teacher sees its own.
    teacher
        Its probabilities are mixed into the targets, by ``recipe.distil``.
    start
        Run folder whose weights training starts from, of other channels perhaps: see `start_from`.

    Raises
    ------
    InputError
        The folder holds another recipe's run, the split has no training or validation images, or
        teacher or start do not fit.
    SkytriggerError
        The loss is no longer finite.
    """
    if not len(split.train) or not len(split.val):
        raise InputError(
            f"training needs training and validation images, got {len(split.train)} and {len(split.val)}",
            remedy="another --split, or more data",
        )
    if teacher and teacher.classes != dataset.classes:
        raise InputError(f"the teacher knows the classes {teacher.classes}", expected=str(dataset.classes))
    if teacher and teacher.units != dataset.units:
        raise InputError(f"the teacher takes {teacher.units}, the images are in {dataset.units}")
    threads = use_threads(threads)
    with distributed.group(device) as ranks:
        folder = RunFolder(Path(out))
        where = resolve_device(ranks.device(device))
        seen = tuple(channels or dataset.channels)
        job = _Job(build, dataset, split, recipe, folder, ranks, on_epoch, where, seen, meter, teacher, start)
        if not job.finished():
            with contextlib.ExitStack() as stack:
                if meter is None and ranks.first:
                    found = open_meters(str(where))
                    for one in found:
                        stack.callback(one.close)
                    job.meter = found[0] if found else None
                job.run(threads)
            if ranks.first and not keep_checkpoint:
                folder.checkpoint.unlink(missing_ok=True)
        ranks.barrier()
        return folder


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
    meter: Meter | None = None
    teacher: Teacher | None = None
    start: str | Path | None = None

    def __post_init__(self) -> None:
        self.seen = self.dataset.positions(self.channels)
        self.taught = self.dataset.positions(self.teacher.channels) if self.teacher else []

    def identity(self) -> str:
        """What the result depends on; a checkpoint of anything else is refused."""
        return sha256_json(
            {
                "recipe": asdict(self.recipe),
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

    def run(self, threads: int) -> None:
        recipe, data, device = self.recipe, self.dataset, self.device
        precision = resolve_precision(recipe.precision, device)
        if self.ranks.first:
            write_text(self.folder.path / "recipe.toml", recipe.to_toml())
        mean, std = channel_statistics(data, self.split.train)
        batches = Batches(data, mean, std, device, channels_last=recipe.channels_last)
        if self.teacher:
            self.teacher.prepare([mean[i] for i in self.taught], [std[i] for i in self.taught], device)
        state = self._begin()
        state.resume(self.folder, self.identity())
        wrapped = self.ranks.wrap(selected(state.network, self.seen, len(data.channels)))
        judged = selected(state.judged, self.seen, len(data.channels))
        for epoch in range(len(state.history) + 1, recipe.epochs + 1):
            if recipe.patience and epoch - 1 - state.best >= recipe.patience:
                break
            if self.meter:
                self.meter.start()
            line = self._epoch(epoch, wrapped, state, batches, precision)
            val_loss, val_accuracy = evaluate_loss(judged, batches, self.split.val, precision)
            line |= {"val_loss": val_loss, "val_accuracy": val_accuracy}
            if not np.isfinite([line["train_loss"], val_loss]).all():
                raise SkytriggerError(
                    f"the loss is not finite in epoch {epoch} (train {line['train_loss']}, validation {val_loss})\n"
                    f"  remedy: a smaller learning rate than {recipe.learning_rate}, or --precision fp32"
                )
            if self.meter:
                energy = window_energy(self.meter.stop(), self.meter.facts)
                if energy.watts_mean is not None:  # the window holds the validation pass too
                    line |= {"joules": energy.watts_mean * line["seconds"], "joules_scope": self.meter.facts.scope}
            state.history.append(line)
            if min(h["val_loss"] for h in state.history) == val_loss:
                state.best = epoch
            if self.ranks.first:
                if recipe.patience and state.best == epoch:
                    save_tensors(self.folder.path / "best.safetensors", state.judged.state_dict(), {})
                state.save(self.folder, self.identity())
                if self.on_epoch:
                    self.on_epoch(line)
        if self.ranks.first:
            if recipe.patience:
                kept, _ = load_tensors(self.folder.path / "best.safetensors")
                state.judged.load_state_dict(kept)
            self._finish(state, mean, std, precision, threads)

    def _begin(self) -> State:
        torch = require("torch", why="training")
        recipe, data = self.recipe, self.dataset
        torch.manual_seed(derive(recipe.seed, "weights"))
        size = (int(data.x.shape[2]), int(data.x.shape[3]))
        network = self.build(recipe.model, len(self.channels), size, len(data.classes), **recipe.options)
        if self.start:
            start_from(network, self.start, self.channels)
        if recipe.channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network = network.to(self.device)
        average = Average(network, recipe.ema) if recipe.ema else None
        return State(network, make_optimiser(network, recipe), average)

    def _epoch(self, epoch: int, wrapped: nn.Module, state: State, batches: Batches, precision: str) -> dict[str, Any]:
        torch = require("torch", why="training")
        recipe, ranks, classes = self.recipe, self.ranks, len(self.dataset.classes)
        # every epoch draws from its own streams, so a resumed run needs no generator state
        order = generator(recipe.seed, "epoch", epoch).permutation(self.split.train)
        changes = generator(recipe.seed, "augment", epoch, ranks.rank)
        torch.manual_seed(derive(recipe.seed, "dropout", epoch, ranks.rank))
        start = time.perf_counter()
        wrapped.train()
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        firsts = range(0, len(order), recipe.batch_size)
        for step, first in enumerate(firsts):
            for group in state.optimiser.param_groups:
                group["lr"] = learning_rate(recipe, epoch, step, len(firsts))
            whole = np.arange(first, min(first + recipe.batch_size, len(order)))
            mine, weight = ranks.share(whole)
            images, labels = batches.take(order[mine])
            images = augment(images, batches.ratio, recipe, changes)
            targets = targets_of(labels, classes, recipe.label_smoothing)
            if recipe.cutmix and changes.random() < recipe.cutmix:
                images, targets = cutmix(images, targets, changes)
            if self.teacher and recipe.distil:
                taught = self.teacher.probabilities(images[:, self.taught], recipe.temperature)
                targets = (1 - recipe.distil) * targets + recipe.distil * taught
            state.optimiser.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bf16"):
                logits = wrapped(batches.laid_out(images))
            losses = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none") * weight
            # DDP averages over ranks: scaled so that the mean is over the whole batch
            (losses.sum() * (ranks.size / len(whole))).backward()
            state.optimiser.step()
            if state.average:
                state.average.update(state.network)
            hits = (logits.argmax(1) == labels) * weight
            totals += torch.stack([losses.detach().sum().double(), hits.sum().double()])
        train_loss, train_accuracy = (ranks.sum(totals) / len(order)).tolist()
        seconds = time.perf_counter() - start
        return {
            "epoch": epoch,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "seconds": seconds,
            "images_per_s": len(order) / seconds,
        }

    def _finish(
        self, state: State, mean: tuple[float, ...], std: tuple[float, ...], precision: str, threads: int
    ) -> None:
        torch = require("torch", why="training")
        data, recipe = self.dataset, self.recipe
        save_tensors(self.folder.weights, state.judged.state_dict(), {})
        notes = {
            "identity": self.identity(),
            "source": data.source,
            "training_precision": precision,
            "kept_epoch": state.best if recipe.patience else len(state.history),
            "device": str(self.device),
            "threads": threads,
            "processes": self.ranks.size,
        }
        self.folder.write_card(
            ModelCard(
                name=recipe.model,
                channels=self.channels,
                classes=data.classes,
                size=(int(data.x.shape[2]), int(data.x.shape[3])),
                mean=tuple(mean[i] for i in self.seen),
                std=tuple(std[i] for i in self.seen),
                units=data.units,
                data_hash=data.selection_hash(self.channels),
                split=dict(self.split.facts),
                seed=recipe.seed,
                versions={"skytrigger": __version__, "torch": torch.__version__, "numpy": np.__version__},
                options=recipe.options,
                notes=notes,
            )
        )
