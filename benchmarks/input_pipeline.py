"""Is the input pipeline the bottleneck? Training images/s: packed store against a plain DataLoader over the files.

The same network, optimiser step, batch and precision; epochs of the three pipelines alternate, and each
figure is the ratio of neighbours in one run. The fourth column trains on one batch that is already
in memory: what the machine can do when input costs nothing.

    python benchmarks/input_pipeline.py [--data PATH ...] [--tiles 256] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tifffile
import torch

from skytrigger.core.dataset import Dataset
from skytrigger.core.host import host_facts, host_label
from skytrigger.eo.load import load
from skytrigger.eo.networks import build
from skytrigger.learn.batches import Batches, channel_statistics
from skytrigger.learn.device import resolve_precision
from skytrigger.measure.stats import bootstrap_interval

BATCH = 32


class Files(torch.utils.data.Dataset):
    """What most people write first: open, decode and standardise one file per item."""

    def __init__(self, paths: list[Path], labels: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.paths, self.labels = paths, labels
        self.mean, self.std = np.array(mean, np.float32)[:, None, None], np.array(std, np.float32)[:, None, None]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        pixels = tifffile.imread(self.paths[index]).transpose(2, 0, 1).astype(np.float32)
        return torch.from_numpy((pixels - self.mean) / self.std), int(self.labels[index])


def write_files(data: Dataset, folder: Path) -> list[Path]:
    paths = [folder / f"{name}.tif" for name in data.ids]
    for path, tile in zip(paths, data.x, strict=True):
        tifffile.imwrite(path, np.ascontiguousarray(tile.transpose(1, 2, 0)), photometric="minisblack", planarconfig=1)
    return paths


def epoch_s(network: torch.nn.Module, optimiser: torch.optim.Optimizer, batches: Iterable, bf16: bool) -> float:
    start = time.perf_counter()
    for images, labels in batches:
        optimiser.zero_grad(set_to_none=True)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = torch.nn.functional.cross_entropy(network(images).float(), labels)
        loss.backward()
        optimiser.step()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["synthetic:256"])
    parser.add_argument("--tiles", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    data = load(args.data)
    index = np.arange(min(args.tiles, len(data)) // BATCH * BATCH)
    mean, std = channel_statistics(data, index)
    network = build("basic", len(data.channels), data.x.shape[2:], len(data.classes)).to(
        memory_format=torch.channels_last
    )
    optimiser = torch.optim.Adam(network.parameters(), 1e-4, weight_decay=1e-4, foreach=True)
    bf16 = resolve_precision("auto", torch.device("cpu")) == "bf16"
    batches = Batches(data, mean, std, torch.device("cpu"))
    random = np.random.default_rng(0)
    one = batches.take(index[:BATCH])

    with tempfile.TemporaryDirectory() as folder:
        files = Files(write_files(data, Path(folder)), data.y, mean, std)
        subset = torch.utils.data.Subset(files, index.tolist())

        def loader(workers: int) -> Iterator:
            return iter(torch.utils.data.DataLoader(subset, BATCH, shuffle=True, num_workers=workers))

        pipelines = {
            "packed store": lambda: batches.over(random.permutation(index), BATCH),
            "DataLoader, no workers": lambda: loader(0),
            "DataLoader, 2 workers": lambda: loader(2),
            "no input at all": lambda: (one for _ in range(len(index) // BATCH)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in pipelines}
        for turn in range(args.rounds + 1):
            order = list(pipelines) if turn % 2 else list(pipelines)[::-1]
            for name in order:
                taken = epoch_s(network, optimiser, pipelines[name](), bf16)
                if turn:  # the first round warms up
                    seconds[name].append(taken)
    ours = np.array(seconds["packed store"])
    print(host_label(host_facts()), f"| basic, {len(index)} images, batch {BATCH}, {'bf16' if bf16 else 'fp32'}")
    print(f"{'pipeline':24} {'images/s':>9}   time of the packed store's epoch / this one's (95 % interval)")
    rows = {}
    for name, taken in seconds.items():
        ratio = bootstrap_interval(ours / np.array(taken), lambda resampled: np.median(resampled, axis=-1))
        rate = len(index) / float(np.median(taken))
        rows[name] = {"images_per_s": rate, "ratio": ratio.to_json(), "seconds": taken}
        print(f"{name:24} {rate:9.1f}   {ratio.estimate:.3f} ({ratio.low:.3f} to {ratio.high:.3f})")
    print(json.dumps({"rounds": args.rounds, "pipelines": rows}))


if __name__ == "__main__":
    main()
