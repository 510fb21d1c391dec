"""The run folder: what training leaves and what everything after it reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.files import atomic_path, read_lines, write_text
from skytrigger.core.heads import outputs_of
from skytrigger.core.progress import say
from skytrigger.learn.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

ANNOUNCED_BYTES = 200_000_000  # of a run folder
# build(name, channels, size, outputs, **options); see core.application
Build = Callable[..., "nn.Module"]


@dataclass(frozen=True)
class RunFolder:
    """Paths and parsed contents of a run folder."""

    path: Path

    @property
    def weights(self) -> Path:
        return self.path / "weights.safetensors"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def history_file(self) -> Path:
        return self.path / "history.jsonl"

    def history(self) -> list[dict[str, Any]]:
        """One object per finished epoch."""
        return read_lines(self.history_file)

    def recipe(self) -> Recipe:
        """The recipe it was trained with."""
        return Recipe.read(self.path / "recipe.toml")

    def card(self) -> ModelCard:
        """The model card."""
        file = self.path / "model.json"
        if not file.is_file():
            raise InputError(
                f"{self.path} is not a finished run folder: it has no model.json",
                remedy="train it (skytrigger train), or go on with the interrupted training by the same command",
            )
        return ModelCard.from_json(file.read_text(), str(file))

    def announce(self, size: int) -> None:
        """Say that the folder will hold `size` bytes, where that is much.

        Raises
        ------
        InputError
            The disk has no room for them.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if size < ANNOUNCED_BYTES:
            return
        free = shutil.disk_usage(self.path).free
        if size > free and not self.checkpoint.exists():
            raise InputError(
                f"{self.path} will hold {size / 1e9:.2f} GB, {free / 1e9:.2f} GB are free there",
                remedy="free space, another --out, or a smaller network",
            )
        say(f"{self.path} will hold {size / 1e9:.2f} GB: weights, and what an interrupted run goes on from")

    def write_card(self, card: ModelCard) -> None:
        """Write model.json."""
        write_text(self.path / "model.json", json.dumps(json.loads(card.to_json()), indent=1) + "\n")

    def load(self, build: Build) -> tuple[nn.Module, ModelCard]:
        """The trained network in evaluation mode, on the CPU, and its card.

        Raises
        ------
        InputError
            Missing or corrupt files, or weights that are not this network's.
        """
        card = self.card()
        module = build(card.name, len(card.channels), card.size, outputs_of(card.heads), **card.options)
        tensors, _ = load_tensors(self.weights)
        try:
            module.load_state_dict(tensors)
        except RuntimeError as error:
            raise InputError(f"{self.weights} does not fit the network {card.name!r}: {error}") from error
        return module.eval(), card


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, whole or not at all."""
    save_file = require("safetensors.torch").save_file
    held = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(held, temporary, metadata=dict(metadata))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; never unpickles anything."""
    safetensors = require("safetensors")
    try:
        with safetensors.safe_open(path, framework="pt") as held:
            return {k: held.get_tensor(k) for k in held.keys()}, held.metadata() or {}  # noqa: SIM118
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing", remedy="train the run to its end") from error
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is not a valid safetensors file: {error}", remedy="train again") from error
