"""`skytrigger onboard`: the replay of a mission, from sensing to the ground."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from skytrigger.cli.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "mission", metavar="PRESET|SPEC.toml|explain",
        help="sentinel2, cubesat, l1 or a file; `explain DIR TILE`: why a tile was sent, kept or dropped",
    )  # fmt: skip
    parser.add_argument("more", nargs="*", metavar="DIR TILE", help="after explain: a replay's folder, a tile's name")
    parser.add_argument("--out", help="folder of the replay")
    parser.add_argument("--threads", type=int, help="of the classifier; default: the cores of this process")


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.core.errors import InputError

    if args.mission == "explain":
        from skytrigger.onboard.explain import explain

        if len(args.more) != 2:
            raise InputError(f"explain {' '.join(args.more)}", expected="skytrigger onboard explain DIR TILE")
        found = explain(*args.more)
        return Outcome(found, found.pop("text"))
    if args.more or not args.out:
        raise InputError(
            f"onboard {' '.join([args.mission, *args.more])}" + ("" if args.out else " without --out"),
            expected="skytrigger onboard PRESET|SPEC.toml --out DIR",
        )
    if args.threads is not None and not 1 <= args.threads <= 256:
        raise InputError(f"--threads {args.threads}", expected="1 to 256")
    if args.mission == "l1":
        from skytrigger.onboard.level1 import replay_level1
        from skytrigger.report.onboard_page import page

        summary = replay_level1(args.out)
        page(args.out)
        return Outcome(summary, summary["text"])
    from skytrigger.onboard.mission import replay_mission
    from skytrigger.onboard.spec_file import load_spec

    summary = replay_mission(load_spec(args.mission), args.out, args.threads)
    from skytrigger.onboard.ground import reassemble
    from skytrigger.report.onboard_page import page

    reassemble(args.out)
    page(args.out)
    return Outcome(summary, report(summary, Path(args.out)))


def report(summary: dict[str, Any], out: Path) -> str:
    """What a person reads."""
    facts = summary["facts"]
    share = facts["capacity_bit"] / facts["sensed_bit"]
    lines = [
        f"{summary['preset']}: {facts['hours']:g} h, {facts['tiles_sensed']:,} tiles sensed "
        f"({facts['tiles_classified']:,} really classified, {'synthetic' if summary['synthetic'] else 'given'} tiles; "
        f"the others by statistics), {facts['passes']} passes carry {share:.1%} of their bits",
        f"{'policy':14} {'value of oracle':>24} {'value/Gbit':>11} {'targets down':>13} {'bits sent':>10} "
        f"{'p50 latency':>12}",
    ]
    for name, m in sorted(summary["policies"].items(), key=lambda kv: -(kv[1]["value"]["value"] or 0)):
        of, latency = m["value_of_oracle"], m["target_latency_p50_s"]["value"]
        spread = "" if of["low"] is None else f" ({100 * of['low']:.1f} to {100 * of['high']:.1f})"
        lines.append(
            f"{name:14} {_percent(of['value']) + spread:>24} {m['value_per_Gbit']['value'] or 0:11.2f} "
            f"{_percent(m['target_recall']['value']):>13} {m['sent_bit']['value'] / 1e9:7.0f} Gb "
            f"{'none' if latency is None else f'{latency / 3600:.1f} h':>12}"
        )
    kind = {"exact": "the optimum", "bound": "an upper bound by a linear programme"}[summary["oracle"]["kind"]]
    lines.append(f"oracle: {kind}, whole tiles; latency: of targets; intervals: {summary['seeds']} orders")
    lines += [f"note: {n}" for n in facts["notes"]]
    lines.append(str(out / ("replay.html" if (out / "replay.html").exists() else "summary.json")))
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f} %"
