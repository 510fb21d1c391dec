"""Data-parallel training under `torchrun`; one process alone pays nothing for it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.extras import require

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Ranks:
    """This process's place among those that train together."""

    rank: int = 0
    local_rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """Each local process has a GPU of its own."""
        return f"cuda:{self.local_rank}" if self.size > 1 and name == "cuda" else name

    def share(self, whole: NDArray[np.int64]) -> tuple[NDArray[np.int64], float]:
        """This rank's part of a batch, and its weight.

        A batch smaller than the number of ranks leaves some with nothing: they run its first image
        with weight 0, because every rank has to take part in the gradient's reduction.
        """
        mine = whole[self.rank :: self.size]
        return (mine, 1.0) if len(mine) else (whole[:1], 0.0)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged over all ranks."""
        if self.size == 1:
            return network
        parallel = require("torch.nn.parallel").DistributedDataParallel
        wrapped: nn.Module = parallel(network)
        return wrapped

    def sum(self, values: Tensor) -> Tensor:
        """`values` summed over all ranks."""
        if self.size > 1:
            require("torch.distributed").all_reduce(values)
        return values

    def barrier(self) -> None:
        """Wait for every rank."""
        if self.size > 1:
            require("torch.distributed").barrier()


@contextlib.contextmanager
def group(device: str) -> Iterator[Ranks]:
    """Join the process group that `torchrun` describes in the environment, if it does."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks()
        return
    distributed = require("torch.distributed")
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Ranks(int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"]), size)
    finally:
        distributed.destroy_process_group()
