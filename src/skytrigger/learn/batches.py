"""Batches for training and prediction: the stored dtype is moved, floats are made on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.core.extras import require

if TYPE_CHECKING:
    from torch import Tensor
    from torch import device as Device


def channel_statistics(
    dataset: Dataset, index: NDArray[np.int64], block: int = 256
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over the images `index`, in the data's units.

    Streamed in float64 about a shift (the first block's mean), so large DN lose no digits.
    A constant channel gets a standard deviation of 1. Pixels that hold no data, by the dataset's source, are left out.
    """
    if values := dataset.source.get("no_data", {}).get("values", ()):
        return _masked_statistics(dataset, index, block, values)
    shift = dataset.x[np.sort(index[:block])].astype(np.float64).mean(axis=(0, 2, 3))
    total, square = np.zeros_like(shift), np.zeros_like(shift)
    count = 0
    for start in range(0, len(index), block):
        part = dataset.x[np.sort(index[start : start + block])].astype(np.float64) - shift[:, None, None]
        total += part.sum(axis=(0, 2, 3))
        square += np.einsum("nchw,nchw->c", part, part)
        count += part.size // len(shift)
    mean = total / count
    std = np.sqrt(np.maximum(square / count - mean**2, 0))
    std[std < 1e-6] = 1.0
    return tuple(map(float, mean + shift)), tuple(map(float, std))


def _masked_statistics(
    dataset: Dataset, index: NDArray[np.int64], block: int, values: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """`channel_statistics` without the pixels of these values; two passes, so that no shift has to be guessed."""
    counts = np.zeros(len(dataset.channels))
    sums = np.zeros((2, len(dataset.channels)))
    empty = np.asarray(values, dataset.x.dtype)
    mean = np.zeros_like(counts)
    for power in (1, 2):
        for start in range(0, len(index), block):
            stored = dataset.x[np.sort(index[start : start + block])]
            held = ~np.isin(stored, empty)
            part = (stored - mean[:, None, None]) * held
            sums[power - 1] += (part**power).sum(axis=(0, 2, 3))
            counts += held.sum(axis=(0, 2, 3)) if power == 1 else 0
        counts = np.maximum(counts, 1)
        mean = sums[0] / counts
    std = np.sqrt(sums[1] / counts)
    std[std < 1e-6] = 1.0
    return tuple(map(float, mean)), tuple(map(float, std))


class Batches:
    """Images of a dataset as standardised float32 batches on a device.

    On a GPU the whole set is kept resident in its stored dtype when it takes at most half of the
    free memory; else batches travel from pinned memory. On the CPU a batch is gathered and cast:
    1 ms against the 100 ms of a training step, so there is nothing to prefetch.
    """

    def __init__(
        self,
        dataset: Dataset,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: Device,
        *,
        channels_last: bool = True,
    ) -> None:
        torch = require("torch", why="training")
        self._torch, self.dataset, self.device = torch, dataset, device
        self._mean = torch.tensor(mean, dtype=torch.float32, device=device).view(1, -1, 1, 1)
        # the same rounding as the exported graph's (x - mean) / std
        self._std = torch.tensor(std, dtype=torch.float32, device=device).view(1, -1, 1, 1)
        self.ratio = self._mean / self._std
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._unsigned = dataset.x.dtype == np.uint16
        self._resident: Tensor | None = None
        if device.type == "cuda" and dataset.x.nbytes * 2 <= torch.cuda.mem_get_info(device)[0]:
            self._resident = self._as_tensor(np.ascontiguousarray(dataset.x)).to(device)
        arrays = [np.ascontiguousarray(dataset.targets[head.name]) for head in dataset.heads]
        self._targets = tuple(torch.from_numpy(array) for array in arrays)

    def _as_tensor(self, array: NDArray[Any]) -> Tensor:
        # torch indexes int16 everywhere, uint16 hardly anywhere: carry the bits, mask on arrival
        tensor: Tensor = self._torch.from_numpy(array.view(np.int16) if self._unsigned else array)
        return tensor

    def _on_device(self, index: NDArray[np.int64]) -> Tensor:
        if self._resident is not None:
            return self._resident[self._torch.from_numpy(index).to(self.device)]
        stored = self._as_tensor(self.dataset.x[index])
        if self.device.type == "cuda":
            stored = stored.pin_memory()
        return stored.to(self.device, non_blocking=True)

    def truth(self, index: NDArray[np.int64]) -> tuple[Tensor, ...]:
        """Targets of each head, on the device."""
        rows = self._torch.from_numpy(index)
        return tuple(target[rows].to(self.device, non_blocking=True) for target in self._targets)

    def images(self, index: NDArray[np.int64]) -> Tensor:
        """(n, c, h, w) float32, standardised, on the device."""
        torch = self._torch
        if self.device.type == "cpu":  # memory bounds this: as few passes as there can be
            images = torch.from_numpy(self.dataset.x[index].astype(np.float32))
        else:
            stored = self._on_device(index)
            images = ((stored.to(torch.int32) & 0xFFFF) if self._unsigned else stored).to(torch.float32)
        return self.laid_out(images.sub_(self._mean).div_(self._std))

    def laid_out(self, images: Tensor) -> Tensor:
        """`images` in the memory format that the network wants."""
        return images.contiguous(memory_format=self._format)


def augment_d4(images: Tensor, symmetry: NDArray[np.int64]) -> Tensor:
    """Apply to image i the element symmetry[i] in 0..7 of the dihedral group D4.

    Element = 4 * mirror + quarter turns. Images that are not square have no quarter turn: 1 and 3 are 0 and 2 there,
    so that uniform elements are uniform in the group of four that is left.
    """
    torch = require("torch", why="augmentation")
    if images.shape[2] != images.shape[3]:
        symmetry = symmetry & ~1
    out: Tensor = torch.empty_like(images)
    for element in np.unique(symmetry):
        chosen = torch.from_numpy(np.flatnonzero(symmetry == element)).to(images.device)
        part = images[chosen]
        if element >= 4:
            part = part.flip(3)
        out[chosen] = torch.rot90(part, int(element) % 4, (2, 3))
    return out
