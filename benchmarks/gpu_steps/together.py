"""Several networks trained together on one card: the same crops, one vector of weights, a step that is one CUDA graph.

A small network leaves a card idle: its kernels end before Python has sent the next. Here a step of all networks, their
augmentation, their teachers' answers, optimiser and average is captured once for each size of crop and replayed. How
many epochs there are follows from the seconds that are given and the pace that is found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import log_softmax

from gpu_steps.flat import BETAS, Flat
from gpu_steps.looks import Looks, crops, cutmix

WARM_UP, CLASSES, EVALUATION = 0.05, 10, 512
Teach = Callable[[Any], Any]  # standardised images -> probabilities


@dataclass(frozen=True)
class Member:
    """One network of the group; `looks` and `taught` name what it is given."""

    name: str
    network: nn.Module
    looks: str
    taught: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """How a group is trained; `epochs` at most, `judged` so many times."""

    batch: int = 256
    rate: float = 4e-3
    epochs: int = 400
    average: float = 0.998
    decay: float = 0.05
    cutmix: float = 0.3
    smoothing: float = 0.1
    distil: float = 0.9
    sides: tuple[int, ...] = (48, 56, 64)
    judged: int = 10


@dataclass
class Together:
    """Networks, the tiles they learn from, and those that judge them (never test tiles).

    Attributes
    ----------
    x, y
        Stored tiles (n, c, h, w) uint8 or uint16 below 32,768, classes (n,).
    judged
        Name -> (tiles, classes).
    """

    members: Sequence[Member]
    looks: Mapping[str, Looks]
    teachers: Mapping[str, Teach]
    x: Any
    y: Any
    mean: Any
    std: Any
    judged: Mapping[str, tuple[Any, Any]]
    plan: Plan
    device: torch.device
    graphs: bool = True
    seed: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.random = np.random.default_rng(self.seed)
        self.centre, self.spread = (torch.tensor(v, dtype=torch.float32, device=self.device).view(1, -1, 1, 1)
                                    for v in (self.mean, self.std))  # fmt: skip
        self.stored = self._stored(self.x)
        self.true = torch.from_numpy(np.ascontiguousarray(self.y)).to(self.device)
        self.sure = torch.eye(CLASSES, device=self.device)
        for member in self.members:
            member.network.to(self.device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.flat = Flat([m.network for m in self.members], self.plan.decay, self.device)
        self.index = torch.zeros(self.plan.batch, dtype=torch.int64, device=self.device)
        self.totals = torch.zeros((len(self.members), 2), device=self.device)
        self.replay: dict[int, Callable[[], None]] = {}

    def _stored(self, x: Any) -> Any:
        array = np.ascontiguousarray(x)
        return torch.from_numpy(array.view(np.int16) if array.dtype == np.uint16 else array).to(self.device)

    def _standard(self, stored: Any) -> Any:
        return ((stored.float() - self.centre) / self.spread).contiguous(memory_format=torch.channels_last)

    def _fast(self) -> Any:
        # without the cache: casts of weights must be made anew at each replay
        return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False)

    def step(self, side: int) -> None:
        """One step of every network on the tiles of `index`."""
        self.flat.gradient.zero_()
        true = self.true[self.index]
        z = self._standard(crops(self.stored[self.index], side))
        smooth = self.plan.smoothing
        hard = self.sure[true] * (1 - smooth) + smooth / CLASSES
        for name, looks in self.looks.items():
            mine = [(i, m) for i, m in enumerate(self.members) if m.looks == name]
            if not mine:
                continue
            with torch.no_grad():
                images, goals = cutmix(looks(z, self.centre / self.spread), hard, self.plan.cutmix)
                images = images.contiguous(memory_format=torch.channels_last)
                with self._fast():
                    taught = self._answers(name, images, sorted({t for _, m in mine for t in m.taught}))
            for i, member in mine:
                goal = goals
                if member.taught:
                    soft = torch.stack([taught[t] for t in member.taught]).mean(0)
                    goal = (1 - self.plan.distil) * goals + self.plan.distil * soft
                with self._fast():
                    out = member.network(images).float()
                loss = -(goal * log_softmax(out, 1)).sum(1).mean()
                loss.backward()
                with torch.no_grad():
                    right = (out.argmax(1) == true).float().mean()
                    self.totals[i] += torch.stack([loss.detach(), right])
        self.flat.update()

    def _answers(self, looks: str, images: Any, names: list[str]) -> dict[str, Any]:
        """Teacher -> its probabilities of these images."""
        return {name: self.teachers[name](images) for name in names}

    def prepare(self) -> float:
        """Capture the steps; seconds of one, by trying it. Weights are as they were afterwards."""
        start = self.flat.all.clone()
        self.flat.knobs.copy_(torch.tensor([1e-4, 1.0, 1.0, 0.5]))
        self._draw(self.random.permutation(len(self.y))[: self.plan.batch])
        if self.graphs:
            self._capture()
        else:
            self.replay = {side: (lambda side=side: self.step(side)) for side in self.plan.sides}
        taken = []
        for _ in range(3):
            self._wait()
            begin = time.perf_counter()
            for replay in self.replay.values():
                replay()
            self._wait()
            taken.append((time.perf_counter() - begin) / len(self.replay))
        self.flat.reset(start)
        return min(taken)

    def _capture(self) -> None:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for side in self.plan.sides:
                for _ in range(2):
                    self.step(side)
        torch.cuda.current_stream().wait_stream(aside)
        torch.cuda.synchronize()
        pool = None
        for side in self.plan.sides:
            graph = torch.cuda.CUDAGraph()
            # on the stream of the warm-up: a gradient's node that was made there would break another stream's capture
            with torch.cuda.graph(graph, pool=pool, stream=aside):
                self.step(side)
            pool = pool or graph.pool()
            self.replay[side] = graph.replay

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _draw(self, rows: Any) -> None:
        self.index.copy_(torch.from_numpy(np.resize(rows, self.plan.batch)))

    def run(self, seconds: float, say: Callable[[str], None]) -> None:
        """Train for about `seconds`; a line of history for each epoch."""
        plan, begin = self.plan, time.perf_counter()
        steps = max(1, len(self.y) // plan.batch)
        pace = steps * self.prepare()
        spent = time.perf_counter() - begin
        say(f"prepared in {spent:.1f} s, {1e3 * pace / steps:.2f} ms a step, {pace:.2f} s an epoch")
        progress, done, judged = 0.0, 0, 0
        while progress < 1:
            left = seconds - (time.perf_counter() - begin)
            rest = max(1, min(plan.epochs - done, round(left / pace)))
            first, span = time.perf_counter(), (1 - progress) / rest
            self._epoch(progress, span, steps, done)
            progress, done = (1.0 if rest == 1 else progress + span), done + 1
            line = {"epoch": done, "progress": round(progress, 5), **self._means(steps)}
            pace = 0.5 * pace + 0.5 * (time.perf_counter() - first)
            if int(progress * plan.judged) > judged:
                judged = int(progress * plan.judged)
                line["judged"] = self.judge()[0]
                best = {k: max(m[k]["accuracy"] for m in line["judged"].values()) for k in self.judged}
                say(f"{100 * progress:.0f} %, epoch {done}, {time.perf_counter() - begin:.0f} s, best: "
                    + ", ".join(f"{k} {100 * v:.2f} %" for k, v in best.items()))  # fmt: skip
            self.history.append(line | {"seconds": round(time.perf_counter() - first, 4)})

    def _epoch(self, progress: float, span: float, steps: int, done: int) -> None:
        plan = self.plan
        order = torch.from_numpy(np.resize(self.random.permutation(len(self.y)), steps * plan.batch)).to(self.device)
        table = []
        for k in range(steps):
            t, now = done * steps + k + 1, progress + span * k / steps
            rising = min(1.0, (now + span / steps) / WARM_UP)
            falling = max(0.0, now - WARM_UP) / (1 - WARM_UP)
            rate = plan.rate * rising * 0.5 * (1 + np.cos(np.pi * falling))
            table.append([rate, 1 - BETAS[0] ** t, 1 - BETAS[1] ** t, 1 - min(plan.average, t / (t + 9))])
        knobs = torch.tensor(table, dtype=torch.float32).to(self.device)
        self.totals.zero_()
        for k, side in enumerate(self.random.choice(list(plan.sides), steps).tolist()):
            self.index.copy_(order[k * plan.batch : (k + 1) * plan.batch])
            self.flat.knobs.copy_(knobs[k])
            self.replay[side]()

    def _means(self, steps: int) -> dict[str, Any]:
        means = (self.totals / steps).cpu().numpy()
        return {"train": {m.name: [round(float(a), 4), round(float(b), 4)]
                          for m, (a, b) in zip(self.members, means, strict=True)}}  # fmt: skip

    def judge(self) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        """Member -> set -> accuracy and loss of the averaged weights; and the logits (n, classes) float16."""
        figures: dict[str, dict[str, Any]] = {m.name: {} for m in self.members}
        logits: dict[str, dict[str, Any]] = {m.name: {} for m in self.members}
        self.flat.swap()
        for member in self.members:
            member.network.eval()
            for name, (x, y) in self.judged.items():
                with torch.inference_mode():
                    found = torch.cat([member.network(self._standard(self._stored(x[i : i + EVALUATION])))
                                       for i in range(0, len(x), EVALUATION)]).float()  # fmt: skip
                    loss = nn.functional.cross_entropy(found, torch.from_numpy(y).to(self.device))
                answers = found.cpu().numpy()
                figures[member.name][name] = {"accuracy": float((answers.argmax(1) == y).mean()), "loss": float(loss)}
                logits[member.name][name] = answers.astype(np.float16)
            member.network.train()
        self.flat.swap()
        return figures, logits

    def weights(self) -> dict[str, dict[str, Any]]:
        """Member -> state of the averaged network, on the CPU."""
        self.flat.swap()
        states = {m.name: {k: v.detach().cpu().clone().contiguous() for k, v in m.network.state_dict().items()}
                  for m in self.members}  # fmt: skip
        self.flat.swap()
        return states
