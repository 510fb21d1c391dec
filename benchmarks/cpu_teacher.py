"""The stages of `gpu_teacher.py` at a size that a CPU manages: middling teachers, students taught by them, 13 bands.

    PYTHONPATH=src python benchmarks/cpu_teacher.py tiles --data build/bring --work WORK
    PYTHONPATH=src python benchmarks/cpu_teacher.py choose --work WORK --seconds 300
    PYTHONPATH=src python benchmarks/cpu_teacher.py teachers --looks plain colours --name teachers-a --work WORK ...
    PYTHONPATH=src python benchmarks/cpu_teacher.py students --members k4-a --teachers teachers-a teachers-b ...

A stage trains for `--seconds` on one thread and leaves ``NAME.json``, ``NAME.npz`` and weights in WORK, as there.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import torch

from gpu_steps.card_tiles import listed
from gpu_steps.remembered import Remembered
from gpu_steps.teacher import prepare
from gpu_steps.teacher_runs import PLACES, Run, places_of
from gpu_steps.teacher_stages import (
    BANDS_LOOKS,
    LOOKS,
    MIDDLE,
    STUDENTS,
    Job,
    group,
    statistics,
    taught_by,
    widened,
)  # fmt: skip
from gpu_steps.together import Member, Plan, Together

TRIED = ("plain", "strong", "styled", "sharp", "colours", "mixed")
PART = 3  # one of so many tiles is enough to compare looks


def choose(job: Job, args: argparse.Namespace) -> Run:
    """`eurosat_rgb`'s architecture under each kind of looks, on a part of the tiles, without the clusters held out."""
    train = set(sorted(listed("rgb_train") - listed("rgb_held"))[::PART])
    made, _ = STUDENTS["k4-a"]
    members = [Member(f"{looks}-0", job.network(made, 0, 3), looks) for looks in TRIED]
    judged = {"held": listed("rgb_held"), **PLACES, "val": listed("rgb_val")}
    scale = statistics(job.part("rgb", train)[0])
    return group(job, "rgb", train, judged, members, {k: LOOKS[k] for k in TRIED}, {}, plan_of(args), scale,
                 {m.name: made for m in members})  # fmt: skip


def teachers(job: Job, args: argparse.Namespace) -> Run:
    """Middling networks, one for each of `--looks`; they go on from those of `--starts`, in that order."""
    train = listed("rgb_train")
    members = [Member(f"{job.name}-{looks}", job.network(MIDDLE, args.seed + i, 3), looks)
               for i, looks in enumerate(args.looks)]  # fmt: skip
    scale = statistics(job.part("rgb", train)[0])
    for member, (name, stage) in zip(members, known(job, args.starts).items(), strict=False):
        member.network.load_state_dict(job.weights(stage, name))
    return group(job, "rgb", train, {**PLACES, "val": listed("rgb_val")}, members, {k: LOOKS[k] for k in args.looks},
                 {}, plan_of(args), scale, {m.name: MIDDLE for m in members})  # fmt: skip


def known(job: Job, stages: list[str]) -> dict[str, str]:
    """Network -> the stage that left it; ``STAGE:NAME`` stands for one of its networks."""
    found = {}
    for stage in stages:
        stage, _, only = stage.partition(":")
        found.update({name: stage for name in job.facts(stage)["members"] if only in ("", name)})
    return found


def students(job: Job, args: argparse.Namespace) -> Run:
    """The packaged architectures `--members`, under the one of `--looks`, taught by `--teachers`.

    With ``--starts`` they go on from the weights of the network there that has their options.
    """
    train, able = listed("rgb_train"), known(job, args.teachers)
    (looks,) = args.looks
    taught = {name: taught_by(job, stage, name) for name, stage in able.items()}
    scale = statistics(job.part("rgb", train)[0])
    members = []
    for name in args.members:
        network = job.network(STUDENTS[name][0], 100 + STUDENTS[name][1], 3)
        for start, stage in known(job, args.starts).items():
            facts = job.facts(stage)
            if facts["members"][start]["options"] == STUDENTS[name][0]:
                network.load_state_dict(job.weights(stage, start))
                scale = facts["mean"], facts["std"]
        members.append(Member(name, network, looks, tuple(able)))
    kind = partial(Remembered, folder=args.work, cycle=args.cycle, first=args.first) if args.cycle else Together
    return group(job, "rgb", train, {**PLACES, "val": listed("rgb_val")}, members, {looks: LOOKS[looks]}, taught,
                 plan_of(args), scale, {n: STUDENTS[n][0] for n in args.members}, kind)  # fmt: skip


def ms_teachers(job: Job, args: argparse.Namespace) -> Run:
    """The teachers widened to 13 bands."""
    train, judged = places_of(args.held)
    scale = statistics(job.part("ms", train)[0])
    (looks,) = args.looks
    members = [Member(f"ms-{n}", widened(job, stage, n, MIDDLE, scale[1]), looks)
               for n, stage in known(job, args.teachers).items()]  # fmt: skip
    return group(job, "ms", train, judged, members, {looks: BANDS_LOOKS[looks]}, {}, plan_of(args), scale,
                 {m.name: MIDDLE for m in members})  # fmt: skip


def ms_students(job: Job, args: argparse.Namespace) -> Run:
    """The packaged architectures from RGB students of ``--starts``, taught by 13-band ``--teachers`` and RGB ones."""
    train, judged = places_of(args.held)
    scale = statistics(job.part("ms", train)[0])
    (looks,) = args.looks
    taught = {}
    for name, stage in known(job, args.teachers).items():
        taught[name] = taught_by(job, stage, name, None if job.facts(stage)["channels"] == 13 else scale)
    starts = known(job, args.starts)
    members = [Member(n, widened(job, starts[n], n, STUDENTS[n][0], scale[1]), looks, tuple(taught))
               for n in args.members]  # fmt: skip
    return group(job, "ms", train, judged, members, {looks: BANDS_LOOKS[looks]}, taught, plan_of(args), scale,
                 {n: STUDENTS[n][0] for n in args.members})  # fmt: skip


def plan_of(args: argparse.Namespace) -> Plan:
    return Plan(batch=args.batch, rate=args.rate, epochs=args.epochs, average=args.average, distil=args.distil,
                decay=args.decay, judged=4)  # fmt: skip


STAGES = {"choose": choose, "teachers": teachers, "students": students, "ms_teachers": ms_teachers,
          "ms_students": ms_students}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["tiles", *STAGES])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder of parts, as gpu_bring.py leaves them")
    parser.add_argument("--name", help="of what is left in WORK (default: the stage's)")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--looks", nargs="+", default=["plain"])
    parser.add_argument("--teachers", nargs="*", default=[], help="stages in WORK")
    parser.add_argument("--starts", nargs="*", default=[], help="stages in WORK")
    parser.add_argument("--members", nargs="*", default=[], choices=list(STUDENTS))
    parser.add_argument("--held", action="store_true", help="without the places that are held out")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--epochs", type=int, default=1000, help="at most")
    parser.add_argument("--average", type=float, default=0.998)
    parser.add_argument("--distil", type=float, default=0.9)
    parser.add_argument("--decay", type=float, default=0.05)
    parser.add_argument("--cycle", type=int, default=0, help="epochs after which crops and teachers' answers repeat")
    parser.add_argument("--first", type=int, default=0, help="of them the one to begin with")
    parser.add_argument("--seed", type=int, default=10)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.stage == "tiles":
        prepare(args.work, args.data)
        return
    torch.set_num_threads(1)
    until = time.time() + args.seconds
    job = Job(args.work, args.name or args.stage, torch.device("cpu"), graphs=False, tiny=False)
    STAGES[args.stage](job, args)(until - time.time())


if __name__ == "__main__":
    main()
