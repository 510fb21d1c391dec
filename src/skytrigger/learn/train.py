"""Training: any network on any dataset, deterministic by seed, a checkpoint every epoch."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
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
from skytrigger.learn.batches import Batches, augment_d4, channel_statistics
from skytrigger.learn.device import resolve_device, resolve_precision, use_threads
from skytrigger.learn.predict import evaluate_loss
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.run_folder import Build, RunFolder, load_tensors, save_tensors
from skytrigger.measure.meters.found import open_meters
from skytrigger.measure.meters.protocol import Meter, window_energy

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch import device as Device
    from torch.optim import Optimizer


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

    Raises
    ------
    InputError
        The folder holds another recipe's run, or the split has no training or validation images.
    SkytriggerError
        The loss is no longer finite.
    """
    if not len(split.train) or not len(split.val):
        raise InputError(
            f"training needs training and validation images, got {len(split.train)} and {len(split.val)}",
            remedy="another --split, or more data",
        )
    threads = use_threads(threads)
    with distributed.group(device) as ranks:
        folder = RunFolder(Path(out))
        where = resolve_device(ranks.device(device))
        job = _Job(build, dataset, split, recipe, folder, ranks, on_epoch, where, meter)
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
    meter: Meter | None = None

    def identity(self) -> str:
        """What the result depends on; a checkpoint of anything else is refused."""
        return sha256_json(
            {
                "recipe": asdict(self.recipe),
                "data": self.dataset.content_hash,
                "split": [self.split.train.tolist(), self.split.val.tolist()],
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
        torch = require("torch", why="training")
        recipe, data, device = self.recipe, self.dataset, self.device
        precision = resolve_precision(recipe.precision, device)
        if self.ranks.first:
            write_text(self.folder.path / "recipe.toml", recipe.to_toml())
        mean, std = channel_statistics(data, self.split.train)
        batches = Batches(data, mean, std, device, channels_last=recipe.channels_last)
        torch.manual_seed(derive(recipe.seed, "weights"))
        size = (int(data.x.shape[2]), int(data.x.shape[3]))
        network = self.build(recipe.model, len(data.channels), size, len(data.classes), **recipe.options)
        if recipe.channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network = network.to(device)
        optimiser = torch.optim.Adam(
            network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, foreach=True
        )
        history, best = self._resume(network, optimiser)
        wrapped = self.ranks.wrap(network)
        for epoch in range(len(history) + 1, recipe.epochs + 1):
            if recipe.patience and epoch - 1 - best >= recipe.patience:
                break
            if self.meter:
                self.meter.start()
            line = self._epoch(epoch, wrapped, network, optimiser, batches, precision)
            if self.meter:
                energy = window_energy(self.meter.stop(), self.meter.facts)
                if energy.watts_mean is not None:  # the window holds the validation pass too
                    line |= {"joules": energy.watts_mean * line["seconds"], "joules_scope": self.meter.facts.scope}
            history.append(line)
            if min(h["val_loss"] for h in history) == line["val_loss"]:
                best = epoch
            if self.ranks.first:
                self._save(network, optimiser, history, best)
                if self.on_epoch:
                    self.on_epoch(line)
        if self.ranks.first:
            self._finish(network, mean, std, best, precision, threads)

    def _epoch(
        self,
        epoch: int,
        wrapped: nn.Module,
        network: nn.Module,
        optimiser: Optimizer,
        batches: Batches,
        precision: str,
    ) -> dict[str, Any]:
        torch = require("torch", why="training")
        recipe, ranks = self.recipe, self.ranks
        # every epoch draws from its own streams, so a resumed run needs no generator state
        random = generator(recipe.seed, "epoch", epoch)
        torch.manual_seed(derive(recipe.seed, "dropout", epoch, ranks.rank))
        order = random.permutation(self.split.train)
        symmetry = random.integers(0, 8, len(order)) if recipe.augment else None
        for group in optimiser.param_groups:
            group["lr"] = _learning_rate(recipe, epoch)
        start = time.perf_counter()
        wrapped.train()
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        for first in range(0, len(order), recipe.batch_size):
            whole = np.arange(first, min(first + recipe.batch_size, len(order)))
            mine, weight = ranks.share(whole)
            images, labels = batches.take(order[mine])
            if symmetry is not None:
                images = augment_d4(images, symmetry[mine])
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bf16"):
                logits = wrapped(images)
            losses = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none") * weight
            # DDP averages over ranks: scaled so that the mean is over the whole batch
            (losses.sum() * (ranks.size / len(whole))).backward()
            optimiser.step()
            hits = (logits.argmax(1) == labels) * weight
            totals += torch.stack([losses.detach().sum().double(), hits.sum().double()])
        totals = ranks.sum(totals) / len(order)
        seconds = time.perf_counter() - start
        train_loss, train_accuracy = totals.tolist()
        val_loss, val_accuracy = evaluate_loss(network, batches, self.split.val, precision)
        if not np.isfinite([train_loss, val_loss]).all():
            raise SkytriggerError(
                f"the loss is not finite in epoch {epoch} (train {train_loss}, validation {val_loss})\n"
                f"  remedy: a smaller learning rate than {recipe.learning_rate}, or --precision fp32"
            )
        return {
            "epoch": epoch,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "seconds": seconds,
            "images_per_s": len(order) / seconds,
        }

    def _save(self, network: nn.Module, optimiser: Optimizer, history: list[dict[str, Any]], best: int) -> None:
        if self.recipe.patience and best == len(history):
            save_tensors(self.folder.path / "best.safetensors", network.state_dict(), {})
        state = optimiser.state_dict()["state"]
        tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
        for number, values in state.items():
            tensors |= {f"adam.{number}.{k}": v for k, v in values.items()}
        metadata = {"identity": self.identity(), "history": json.dumps(history), "best": str(best)}
        save_tensors(self.folder.checkpoint, tensors, metadata)
        write_text(self.folder.history_file, "".join(json.dumps(h) + "\n" for h in history))

    def _resume(self, network: nn.Module, optimiser: Optimizer) -> tuple[list[dict[str, Any]], int]:
        if not self.folder.checkpoint.is_file():
            return [], 0
        tensors, metadata = load_tensors(self.folder.checkpoint)
        if metadata.get("identity") != self.identity():
            raise InputError(f"{self.folder.checkpoint} belongs to other data, split or recipe", remedy="another --out")
        network.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("network.")})
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("adam."):
                _, number, name = key.split(".")
                state.setdefault(int(number), {})[name] = value
        whole = optimiser.state_dict()
        optimiser.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
        history: list[dict[str, Any]] = json.loads(metadata["history"])
        if self.ranks.first:
            write_text(self.folder.history_file, "".join(json.dumps(h) + "\n" for h in history))
        return history, int(metadata["best"])

    def _finish(
        self,
        network: nn.Module,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        best: int,
        precision: str,
        threads: int,
    ) -> None:
        torch = require("torch", why="training")
        data, recipe = self.dataset, self.recipe
        if recipe.patience:
            kept, _ = load_tensors(self.folder.path / "best.safetensors")
            network.load_state_dict(kept)
        save_tensors(self.folder.weights, network.state_dict(), {})
        self.folder.write_card(
            ModelCard(
                name=recipe.model,
                channels=data.channels,
                classes=data.classes,
                size=(int(data.x.shape[2]), int(data.x.shape[3])),
                mean=mean,
                std=std,
                units=data.units,
                data_hash=data.content_hash,
                split=dict(self.split.facts),
                seed=recipe.seed,
                versions={"skytrigger": __version__, "torch": torch.__version__, "numpy": np.__version__},
                options=recipe.options,
                notes={
                    "identity": self.identity(),
                    "source": data.source,
                    "training_precision": precision,
                    "kept_epoch": best if recipe.patience else len(self.folder.history()),
                    "device": str(self.device),
                    "threads": threads,
                    "processes": self.ranks.size,
                },
            )
        )


def _learning_rate(recipe: Recipe, epoch: int) -> float:
    if recipe.schedule == "cosine":
        return float(recipe.learning_rate * 0.5 * (1 + np.cos(np.pi * (epoch - 1) / recipe.epochs)))
    return recipe.learning_rate
