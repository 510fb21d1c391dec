"""What each stage of `teacher_stages` trains: a function of a job each, which makes ready and returns the training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gpu_steps.card_tiles import listed
from gpu_steps.teacher_stages import (
    BANDS_LOOKS,
    FALLBACK,
    LARGE,
    LOOKS,
    MIDDLE,
    MILD,
    STUDENTS,
    TEACHERS,
    TWO,
    Job,
    group,
    ranking,
    statistics,
    taught_by,
    widened,
)
from gpu_steps.together import Member, Plan

Run = Callable[[float], None]
PLACES = {"east": listed("east"), "colour": listed("colour")}  # in no RGB list


def _plan(job: Job, plan: Plan) -> Plan:
    return replace(plan, batch=16, epochs=2, sides=plan.sides[-1:] if job.graphs else plan.sides) if job.tiny else plan


def choose(job: Job) -> Run:
    """Middling networks under every kind of looks, `TWO` seeds each."""
    train, held = listed("rgb_train") - listed("rgb_held"), {"held": listed("rgb_held"), **PLACES}
    members, options = [], {}
    for looks in LOOKS:
        for seed in range(TWO):
            name = f"{looks}-{seed}"
            members.append(Member(name, job.network(MIDDLE, seed, 3), looks))
            options[name] = job.options(MIDDLE)
    scale = statistics(job.part("rgb", train)[0])
    plan = _plan(job, Plan(rate=4e-3, epochs=120))
    return group(job, "rgb", train, {**held, "val": listed("rgb_val")}, members, LOOKS, {}, plan, scale, options)


def best_looks(job: Job) -> list[str]:
    """Names of looks, best first, by the stage `choose`."""
    facts = job.facts("choose")
    return ranking(facts) if facts else list(FALLBACK)


def teachers(job: Job) -> Run:
    """Large networks, one for each of the best looks."""
    train, names = listed("rgb_train"), best_looks(job)[:TEACHERS]
    members = [Member(f"t{i}", job.network(LARGE, 10 + i, 3), looks) for i, looks in enumerate(names)]
    scale = statistics(job.part("rgb", train)[0])
    plan = _plan(job, Plan(rate=2e-3, epochs=150))
    return group(job, "rgb", train, {**PLACES, "val": listed("rgb_val")}, members, {k: LOOKS[k] for k in names}, {},
                 plan, scale, {m.name: job.options(LARGE) for m in members})  # fmt: skip


def students(job: Job) -> Run:
    """The packaged architectures, taught by the teachers on all RGB training tiles."""
    return _students(job, listed("rgb_train"), {**PLACES, "val": listed("rgb_val")}, "teachers", list(STUDENTS))


def held_students(job: Job) -> Run:
    """The same without `rgb_held`, taught by the middling networks with the best looks, which lack it, too."""
    some = ["k4-a", "k4-b", "r4-a", "r4-b"]
    judged = {"held": listed("rgb_held"), **PLACES, "val": listed("rgb_val")}
    return _students(job, listed("rgb_train") - listed("rgb_held"), judged, "choose", some)


def _students(job: Job, train: set[str], judged: dict[str, set[str]], source: str, names: list[str]) -> Run:
    if not job.facts(source):
        source = "choose"
    best = best_looks(job)
    able = [m for m, v in job.facts(source)["members"].items() if source == "teachers" or v["looks"] in best[:TWO]]
    looks = {k: LOOKS[k] for k in (best[0], "plain")}
    taught = {name: taught_by(job, source, name) for name in able}
    members, options = [], {}
    for name in names:
        made, seed = STUDENTS[name]
        kind = "plain" if name in MILD else best[0]
        members.append(Member(name, job.network(made, 100 + seed, 3), kind, tuple(able)))
        options[name] = job.options(made)
    scale = statistics(job.part("rgb", train)[0])
    plan = _plan(job, Plan(rate=4e-3, epochs=600))
    return group(job, "rgb", train, judged, members, looks, taught, plan, scale, options)


def places_of(held: bool) -> tuple[set[str], dict[str, set[str]]]:
    """13-band training tiles, and what judges."""
    val = {"val": listed("ms_val")}
    return (listed("ms_train_held"), {**PLACES, **val}) if held else (listed("ms_train"), val)


def ms_teachers(job: Job) -> Run:
    """The large networks widened to 13 bands, under each strength of looks."""
    train, judged = places_of(job.name.endswith("_held"))
    scale = statistics(job.part("ms", train)[0])
    members = [Member(f"{t}-{looks}", widened(job, "teachers", t, LARGE, scale[1]), looks)
               for t in job.facts("teachers")["members"] for looks in BANDS_LOOKS]  # fmt: skip
    plan = _plan(job, Plan(batch=64, rate=1e-3, epochs=150, average=0.99))
    return group(job, "ms", train, judged, members, BANDS_LOOKS, {}, plan, scale,
                 {m.name: job.options(LARGE) for m in members})  # fmt: skip


def ms_students(job: Job) -> Run:
    """The packaged architectures from the RGB students, taught by the 13-band networks alone or with the RGB ones."""
    held = job.name.endswith("_held")
    source = "ms_teachers_held" if held else "ms_teachers"
    train, judged = places_of(held)
    scale = statistics(job.part("ms", train)[0])
    facts = job.facts("ms_teachers_held")
    looks = ranking(facts)[0] if facts else next(iter(BANDS_LOOKS))
    wide = [m for m, v in job.facts(source)["members"].items() if v["looks"] == looks]
    narrow = list(job.facts("teachers")["members"])
    taught = {m: taught_by(job, source, m) for m in wide} | {m: taught_by(job, "teachers", m, scale) for m in narrow}
    members: list[Member] = []
    options: dict[str, Any] = {}
    for name in STUDENTS:
        if name.startswith("p4"):
            continue
        for kind, by in (("ms", wide), ("both", [*wide, *narrow])):
            made, _ = STUDENTS[name]
            one = f"{name}-{kind}"
            members.append(Member(one, widened(job, "students", name, made, scale[1]), looks, tuple(by)))
            options[one] = job.options(made)
    # a small rate keeps what the RGB networks know of colours that few 13-band tiles show (results/packaged)
    plan = _plan(job, Plan(batch=64, rate=2e-4, epochs=1000, average=0.995))
    return group(job, "ms", train, judged, members, {looks: BANDS_LOOKS[looks]}, taught, plan, scale, options)


RUNS: dict[str, Callable[[Job], Run]] = {
    "choose": choose, "teachers": teachers, "students": students, "ms_teachers": ms_teachers,
    "ms_teachers_held": ms_teachers, "ms_students": ms_students, "ms_students_held": ms_students,
    "held_students": held_students,
}  # fmt: skip
