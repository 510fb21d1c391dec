"""The stages of the step `teacher`: which networks, which tiles, and the rules that choose between ways of training.

    choose        many looks, a middling network each, twice; trained without the clusters of colour `rgb_held`
    teachers      three large networks with the best looks, on all RGB training tiles
    students      the packaged architectures, taught by the three
    ms_teachers*  the three widened to 13 bands, on the few 13-band tiles, with two strengths of looks
    ms_students*  the packaged architectures, from the RGB students, taught by the better of these
    held_students the packaged architectures, taught without `rgb_held` by networks that have not seen it either

``*_held`` are trained without the places `east` and `colour`. Tiles that are held out choose; test tiles are not read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from gpu_steps.card_tiles import Tiles
from gpu_steps.looks import Looks
from gpu_steps.together import CLASSES, Member, Plan, Together
from skytrigger.optimize.students import build

LOOKS = {
    "plain": Looks(), "strong": Looks(2.0), "styled": Looks(1.0, style=0.5),
    "styled-strong": Looks(2.0, style=0.5), "sharp": Looks(1.5, sharp=0.5),
    "colours": Looks(1.5, colour=0.3, grey=0.1),
    "mixed": Looks(1.5, style=0.4, world=0.15, colour=0.3, grey=0.1, sharp=0.5),
    "mixed-strong": Looks(2.5, style=0.5, world=0.2, colour=0.4, grey=0.15, sharp=0.5),
}  # fmt: skip
BANDS_LOOKS = {"bands-plain": Looks(), "bands": Looks(1.0, style=0.3), "bands-strong": Looks(2.0, style=0.5, sharp=0.3)}
MIDDLE = {"widths": [32, 64, 96, 128], "depths": [0, 2, 2, 1], "stem": "k4"}
LARGE = {"widths": [64, 128, 192, 256], "depths": [1, 2, 2, 2], "stem": "k4"}
TINY = {"widths": [8, 8, 8], "depths": [0, 1, 0], "stem": "k4"}
STUDENTS = {  # name -> options, seed
    "k4-a": ({"widths": [16, 32, 48, 64], "depths": [0, 2, 2, 1], "stem": "k4"}, 0),
    "k4-b": ({"widths": [16, 32, 48, 64], "depths": [0, 2, 2, 1], "stem": "k4"}, 1),
    "k4-wide": ({"widths": [16, 32, 48, 72], "depths": [0, 2, 2, 1], "stem": "k4"}, 0),
    "r4-a": ({"widths": [32, 64, 128], "depths": [0, 1, 0], "stem": "r4"}, 0),
    "r4-b": ({"widths": [32, 64, 128], "depths": [0, 1, 0], "stem": "r4"}, 1),
    "p4-a": ({"widths": [32, 64, 128], "depths": [0, 1, 0], "stem": "p4"}, 0),
    "p4-deep": ({"widths": [32, 64, 128], "depths": [0, 2, 0], "stem": "p4"}, 0),
}  # fmt: skip
UNLIKE_AND_LIKE = (("held", "colour"), ("east", "val"))
MILD = ("k4-b", "r4-b")  # these get plain looks, whatever was chosen: then the choice can be judged once more
FALLBACK = ("mixed", "styled", "colours")  # should the stage `choose` fail
RGB_BANDS, DN_WHITE = (3, 2, 1), 2750.0  # places of B04, B03, B02; the DN that the JPEGs' 255 stands for
TEACHERS, TWO = 3, 2


@dataclass
class Job:
    """Where a stage runs and what it reads: `work` holds the tiles as arrays and what the stages before it left."""

    work: Path
    name: str
    device: torch.device
    graphs: bool
    tiny: bool
    tiles: dict[str, Tiles] = field(default_factory=dict)

    def data(self, kind: str) -> Tiles:
        """``rgb`` or ``ms`` tiles."""
        if kind not in self.tiles:
            names = tuple((self.work / f"{kind}.txt").read_text(encoding="utf-8").split())
            self.tiles[kind] = Tiles(np.load(self.work / f"{kind}.npy", mmap_mode="r"), names)
        return self.tiles[kind]

    def part(self, kind: str, wanted: set[str]) -> tuple[Any, Any]:
        """(tiles, classes) of these names; in a simulation a few."""
        tiles = self.data(kind)
        rows = tiles.rows(wanted)
        if self.tiny:
            rows = np.sort(np.random.default_rng(0).permutation(rows)[:96])
        return np.ascontiguousarray(tiles.x[rows]), tiles.y[rows]

    def options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Of the network; in a simulation of a tiny one with the same stem."""
        return options if not self.tiny else {**TINY, "stem": options["stem"]}

    def network(self, options: dict[str, Any], seed: int, channels: int) -> nn.Module:
        torch.manual_seed(seed)
        return build("student", channels, (64, 64), CLASSES, **self.options(options))

    def facts(self, stage: str) -> dict[str, Any]:
        """What a stage left, {} where it left nothing."""
        file = self.work / f"{stage}.json"
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        return found

    def weights(self, stage: str, name: str) -> dict[str, Any]:
        return load_file(self.work / stage / f"{name}.safetensors")


def statistics(x: Any) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel of stored tiles, summed in float64."""
    blocks = [x[i : i + 512] for i in range(0, len(x), 512)]
    pixels = x.size / x.shape[1]
    mean = sum(b.sum((0, 2, 3), dtype=np.float64) for b in blocks) / pixels
    square = sum(((b - mean[:, None, None].astype(np.float32)) ** 2).sum((0, 2, 3), dtype=np.float64) for b in blocks)
    return mean.tolist(), np.sqrt(square / pixels).tolist()


def taught_by(job: Job, stage: str, name: str, scale: tuple[Any, Any] | None = None) -> Callable[[Any], Any]:
    """Probabilities of a network that a stage left; with `scale` (mean, deviation of 13 bands) it is an RGB network."""
    facts = job.facts(stage)
    network = build("student", facts["channels"], (64, 64), CLASSES, **facts["members"][name]["options"])
    network.load_state_dict(job.weights(stage, name))
    network.to(job.device).to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
    mean, std = (torch.tensor(facts[k], device=job.device).view(1, -1, 1, 1) for k in ("mean", "std"))
    wide = [torch.tensor([v[b] for b in RGB_BANDS], device=job.device).view(1, -1, 1, 1) for v in scale or ()]

    def teach(images: Any) -> Any:
        if wide:
            dn = torch.stack([images[:, b] for b in RGB_BANDS], 1)  # a list of places would be sent from the CPU
            grey = ((dn * wide[1] + wide[0]) * (255 / DN_WHITE)).clamp(0, 255)
            images = ((grey - mean) / std).contiguous(memory_format=torch.channels_last)
        return network(images).float().softmax(1)

    return teach


def widened(job: Job, stage: str, name: str, options: dict[str, Any], std: list[float]) -> nn.Module:
    """A network for 13 bands that first answers as an RGB one does: the other bands' weights are zero."""
    network, facts, weights = job.network(options, 0, 13), job.facts(stage), job.weights(stage, name)
    first, old = next((k, v) for k, v in weights.items() if v.ndim == 4)
    new = torch.zeros(old.shape[0], 13, *old.shape[2:])
    for place, band in enumerate(RGB_BANDS):
        new[:, band] = old[:, place] * (std[band] * 255 / DN_WHITE / facts["std"][place])
    network.load_state_dict({**weights, first: new})
    return network


def group(job: Job, kind: str, train: set[str], judged: dict[str, set[str]], members: list[Member],
          looks: dict[str, Looks], teachers: dict[str, Any], plan: Plan, scale: Any, options: dict[str, Any],
          kind_of: Callable[..., Together] = Together) -> Callable[[float], None]:  # fmt: skip
    """Make ready; the function that is returned trains for so many seconds and writes what came of it."""
    x, y = job.part(kind, train)
    together = kind_of(members, looks, teachers, x, y, *scale, {k: job.part(kind, v) for k, v in judged.items()},
                        plan, job.device, job.graphs, seed=sum(map(ord, job.name)))  # fmt: skip

    def finish(seconds: float) -> None:
        together.run(seconds, lambda text: print(f"{job.name}: {text}", flush=True))
        figures, logits = together.judge()
        (job.work / job.name).mkdir(exist_ok=True)
        for name, state in together.weights().items():
            save_file(state, job.work / job.name / f"{name}.safetensors")
        np.savez_compressed(job.work / f"{job.name}.npz",
                            **{f"{m}/{s}": a for m, sets in logits.items() for s, a in sets.items()},
                            **{f"true/{s}": y for s, (_, y) in together.judged.items()})  # fmt: skip
        facts = {"stage": job.name, "channels": x.shape[1], "mean": scale[0], "std": scale[1], "tiles": len(y),
                 "plan": asdict(plan), "looks": {k: asdict(v) for k, v in looks.items()}, "graphs": job.graphs,
                 "epochs": len(together.history), "judged": {k: len(v) for k, v in judged.items()},
                 "members": {m.name: {"options": options[m.name], "looks": m.looks, "taught": list(m.taught),
                                      "figures": figures[m.name]} for m in members},
                 "history": together.history}  # fmt: skip
        (job.work / f"{job.name}.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")

    return finish


def ranking(facts: dict[str, Any]) -> list[str]:
    """Looks, best first: by the product of two shares of errors, means over networks.

    One is on tiles that look unlike the training ones (``held``, ``colour``), one on tiles that do not (``east``,
    ``val``), so that neither is bought with the other.
    """
    shares: dict[str, list[list[float]]] = {}
    for member in facts["members"].values():
        pair = []
        for sets in UNLIKE_AND_LIKE:
            known = [s for s in sets if s in member["figures"]]
            wrong = sum(facts["judged"][s] * (1 - member["figures"][s]["accuracy"]) for s in known)
            pair.append((wrong + 1) / (sum(facts["judged"][s] for s in known) + 2))
        finite = all(np.isfinite(f["loss"]) for f in member["figures"].values())
        shares.setdefault(member["looks"], []).append(pair if finite else [1.0, 1.0])
    return sorted(shares, key=lambda k: float(np.prod(np.mean(shares[k], axis=0))))
