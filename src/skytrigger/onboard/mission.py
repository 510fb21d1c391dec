"""A whole mission: plan, classify, replay every policy, judge, write. A killed run goes on where it was."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger import __version__
from skytrigger.core.errors import InputError
from skytrigger.core.files import read_json, sha256_json, write_json
from skytrigger.core.progress import say
from skytrigger.core.synthetic import synthetic
from skytrigger.eo.scene.engine import ModelFile, model_for
from skytrigger.onboard import checkpoint, metrics, oracle, tally
from skytrigger.onboard.outputs import write_all
from skytrigger.onboard.plan import Plan, make_plan
from skytrigger.onboard.policies.base import Policy
from skytrigger.onboard.policies.found import policy_named
from skytrigger.onboard.pool import Pool, load_pool, scene_pool
from skytrigger.onboard.replay import Replay
from skytrigger.onboard.spec import Spec
from skytrigger.onboard.spec_file import check_classes
from skytrigger.onboard.stream import DayStream, check_pool
from skytrigger.onboard.summary import REGRET, summary_of
from skytrigger.onboard.tally import Tally
from skytrigger.onboard.value import Worth, worth_of
from skytrigger.onboard.windows import Classified, classify_windows, joined

WORK = "work"
AT_ONCE = 40  # windows classified between two files


@dataclass(frozen=True)
class Day:
    """All that replays of a mission share."""

    spec: Spec
    plan: Plan
    pool: Pool
    model: ModelFile
    found: Classified
    worth: Worth
    classify_s: float

    @property
    def classes(self) -> tuple[str, ...]:
        """The classifier's."""
        return self.pool.classes

    def stream(self, seed: int, known: str = "found") -> DayStream:
        """The day in one seed's order."""
        return DayStream(self.spec, self.plan, self.found, self.worth, self.classes, seed, known)

    def policy(self, name: str) -> Policy:
        """A policy by name or file, relative to the spec."""
        return policy_named(name, self.spec.folder)


def replay_mission(spec: Spec, out: str | Path, threads: int | None = None) -> dict[str, Any]:
    """Replay a mission into the folder `out`; see ARCHITECTURE.md for what it holds.

    Returns
    -------
    dict
        summary.json.

    Raises
    ------
    InputError
        A spec that cannot be replayed.
    """
    begun, out = time.perf_counter(), Path(out)
    names = tuple(dict.fromkeys([*spec.policy.compare, spec.policy.chosen]))
    for name in names:
        policy_named(name, spec.folder)
    work = fresh_work(spec, out)
    day = prepare(spec, work, threads)
    orders = [replay_order(day, names, seed, work) for seed in range(spec.seeds)]
    summary = summary_of(day, orders)
    write_all(day, day.stream(0), orders[0].chosen, out, summary)
    write_json(out / "timing.json", {"seconds": round(time.perf_counter() - begun, 2), "classify_s": day.classify_s})
    shutil.rmtree(work)
    return {**summary, "seconds": round(time.perf_counter() - begun, 2)}


def fresh_work(spec: Spec, out: Path) -> Path:
    """The folder of what is finished of this very spec; another spec's is removed."""
    work = out / WORK
    key = sha256_json([spec.text, __version__, spec.folder])
    if (work / "key.json").exists() and read_json(work / "key.json") != key:
        shutil.rmtree(work)
    if out.exists() and any(out.iterdir()) and not work.exists() and not (out / "summary.json").exists():
        raise InputError(f"{out} holds other files", expected="a new folder, or one of a replay")
    write_json(work / "key.json", key)
    (out / "summary.json").unlink(missing_ok=True)  # of an earlier replay: until this one is done there is none
    return work


def prepare(spec: Spec, work: Path | None = None, threads: int | None = None) -> Day:
    """Plan, pool and classified windows."""
    model = model_for(spec.classifier.model)
    classes = model.card.heads[0].names
    check_classes(spec, classes, spec.name)
    say("passes and imaging from the orbit")
    plan = make_plan(spec)
    for note in plan.notes:
        say(f"note: {note}")
    pool = _pool(spec, model)
    if spec.stream.scenes and not spec.stream.classes:  # the ground's shares are the scenes' own
        counts = np.bincount(pool.y, minlength=len(classes)) / len(pool.y)
        own = {c: float(s) for c, s in zip(classes, counts, strict=True) if s > 0}
        spec = replace(spec, stream=replace(spec.stream, classes=own))
    for note in pool.notes:
        say(f"note: {note}")
    check_pool(spec, pool.y, classes)
    found, seconds = _classified(spec, plan, pool, model, work, threads)
    return Day(spec, plan, pool, model, found, worth_of(spec, classes), seconds)


def _pool(spec: Spec, model: ModelFile) -> Pool:
    """Of whole scenes where the spec names some, else of tiles; paths start from the spec's folder."""

    def path(name: str) -> str:
        return name if synthetic(name) else str(Path(spec.folder) / name)

    if spec.stream.scenes:
        say("clear tiles of the scenes")
        return scene_pool([path(s) for s in spec.stream.scenes], model, spec.classifier.runtime)
    return load_pool([path(t) for t in spec.stream.tiles], model)


def _classified(
    spec: Spec, plan: Plan, pool: Pool, model: ModelFile, work: Path | None, threads: int | None
) -> tuple[Classified, float]:
    wanted = list(range(0, len(plan.blocks.t_s), spec.stream.every))
    if not wanted:
        raise InputError("nothing is sensed in this mission", expected="hours, imaging_s and power that allow some")
    parts, seconds = [], 0.0
    tiles = len(wanted) * spec.stream.window[0] * spec.stream.window[1]
    say(f"classifying {tiles:,} tiles in {len(wanted):,} windows")
    for i in range(0, len(wanted), AT_ONCE):
        path = work / f"classified-{i // AT_ONCE:05d}.npz" if work else None
        if path and (state := checkpoint.load(path)):
            parts.append(Classified(**state))
            continue
        part, fed = classify_windows(spec, pool, model, wanted[i : i + AT_ONCE], threads)
        seconds += fed.wall_s
        parts.append(part)
        if path:
            checkpoint.save(path, vars(part))
    return joined(parts), round(seconds, 2)


@dataclass(frozen=True)
class Order:
    """All replays of one seed's order: metrics by policy, the oracle, the chosen policy's tally and its regrets."""

    metrics: dict[str, metrics.Metrics]
    best: dict[str, Any]
    chosen: Tally
    regret: dict[str, float | None]


def replay_order(day: Day, names: tuple[str, ...], seed: int, work: Path) -> Order:
    """Every policy on one order of the scenes."""
    stream = day.stream(seed)
    best = _best(day, stream, work)
    runs = {name: _run(day, name, stream, work) for name in names}
    chosen = runs[day.spec.policy.chosen]
    regret: dict[str, float | None] = {}
    for cause, known in REGRET.items():
        other = _run(day, day.spec.policy.chosen, day.stream(seed, known), work)
        lost = tally.total(other, "value") - tally.total(chosen, "value")
        regret[cause] = lost / best["value"] if best["value"] else None
    return Order({n: metrics.metrics_of(r, stream, best["value"]) for n, r in runs.items()}, best, chosen, regret)


def _run(day: Day, name: str, stream: DayStream, work: Path) -> Tally:
    """One policy's replay of one order, or what was kept of it."""
    seed, known = stream.order_seed, stream.known
    label = f"{''.join(c if c.isalnum() else '_' for c in name)}-{known}-{seed}"
    done = work / f"{label}.tally"
    if state := checkpoint.load(done):
        return tally.restored(state)
    begun = time.perf_counter()
    run = Replay(stream, day.policy(name)).run(work / f"{label}.replay")
    say(f"{name}, order {seed}{'' if known == 'found' else ', ' + known}: {time.perf_counter() - begun:.1f} s")
    checkpoint.save(done, run.state())
    (work / f"{label}.replay").unlink(missing_ok=True)
    return run


def _best(day: Day, stream: DayStream, work: Path) -> dict[str, Any]:
    path = work / f"oracle-{stream.order_seed}.json"
    if not path.exists():
        plan = day.plan
        passes = [p for i, p in enumerate(plan.passes) if i not in plan.missed]
        mission = day.spec.mission
        best = oracle.best(metrics.offers_of(stream), passes, mission.downlink_bit_s, mission.memory_bit)
        write_json(path, {"kind": best.kind, "value": best.value, "bits": best.bits})
    result: dict[str, Any] = read_json(path)
    return result
