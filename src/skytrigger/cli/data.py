"""`skytrigger data pack|info|fetch`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from skytrigger.cli.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the three sub-commands."""
    commands = parser.add_subparsers(dest="data_command", metavar="pack|info|fetch", required=True)
    tiles = "folders or zips of <Class>/<Class>_<n>.tif|.jpg at any depth, or packed stores"

    pack = commands.add_parser("pack", help="pack tiles into a store that opens at once")
    pack.add_argument("paths", nargs="+", metavar="PATH", help=tiles)
    pack.add_argument("--out", required=True, metavar="STORE", help="folder to make")
    pack.add_argument("--skip-bad", action="store_true", help="leave bad tiles out and list them")
    pack.add_argument("--workers", type=int, metavar="N", help="processes (default: the machine's cores)")

    info = commands.add_parser("info", help="classes, counts, channel statistics, contact sheet")
    info.add_argument("paths", nargs="+", metavar="PATH", help=f"{tiles}, or the word synthetic")
    info.add_argument("--bands", default="all", metavar="all|rgb|B02,...", help="channels, by name")
    info.add_argument("--skip-bad", action="store_true", help="leave bad tiles out and list them")
    info.add_argument("--out", default=".", metavar="DIR", help="folder for contact_sheet.png (default: here)")

    fetch = commands.add_parser("fetch", help="download the official EuroSAT archive")
    fetch.add_argument("name", choices=("eurosat", "eurosat-rgb"), help="13 bands (2.1 GB) or RGB (95 MB)")
    fetch.add_argument("--out", default=".", metavar="DIR", help="folder for the archive (default: here)")
    fetch.add_argument("--url", help="another address of the file")
    checksum = fetch.add_mutually_exclusive_group()
    checksum.add_argument("--sha256", metavar="HEX", help="its checksum, where it is not the official file")
    checksum.add_argument("--md5", metavar="HEX", help="the same")


def run(args: argparse.Namespace) -> Outcome:
    """Run the sub-command."""
    return {"pack": _pack, "info": _info, "fetch": _fetch}[args.data_command](args)


def _pack(args: argparse.Namespace) -> Outcome:
    from skytrigger.core.errors import InputError
    from skytrigger.eo.pack import pack

    if args.workers is not None and args.workers < 1:
        raise InputError(f"--workers {args.workers}", expected="at least 1")
    dataset = pack(args.paths, args.out, skip_bad=args.skip_bad, workers=args.workers)
    facts = _facts(dataset) | {"store": str(args.out)}
    return Outcome(facts, f"{args.out}: {_one_line(facts)}")


def _info(args: argparse.Namespace) -> Outcome:
    from skytrigger.eo.contact_sheet import write_contact_sheet
    from skytrigger.eo.load import load
    from skytrigger.eo.statistics import channel_statistics

    dataset = load(args.paths, bands=args.bands, skip_bad=args.skip_bad)
    facts = _facts(dataset)
    statistics = channel_statistics(dataset)
    facts["channel_statistics"] = [channel.to_dict() for channel in statistics]
    facts["contact_sheet"] = str(write_contact_sheet(dataset, Path(args.out) / "contact_sheet.png"))
    width = max(map(len, dataset.classes))
    lines = [_one_line(facts), ""]
    lines += [f"  {name:{width}}  {count:7,}" for name, count in facts["classes"].items()]
    lines += ["", f"  channel {'mean':>9} {'std':>9} {'min':>6} {'1 %':>6} {'50 %':>6} {'99 %':>6} {'max':>6}"]
    for c in statistics:
        lines.append(f"  {c.name:7} {c.mean:9.2f} {c.std:9.2f} {c.min:6} {c.p1:6} {c.p50:6} {c.p99:6} {c.max:6}")
    lines += ["", f"  units {dataset.units}, hash {dataset.content_hash}"]
    if dataset.lonlat is not None:
        (west, south), (east, north) = facts["lonlat_deg"]["min"], facts["lonlat_deg"]["max"]
        lines.append(f"  longitude {west:.2f} to {east:.2f}, latitude {south:.2f} to {north:.2f} degrees")
    for place, reason in facts["skipped"]:
        lines.append(f"  left out: {place}: {reason}")
    return Outcome(facts, "\n".join([*lines, f"  contact sheet: {facts['contact_sheet']}"]))


def _facts(dataset: Any) -> dict[str, Any]:
    import numpy as np

    counts = np.bincount(dataset.y, minlength=len(dataset.classes)).tolist()
    n, c, h, w = dataset.x.shape
    facts: dict[str, Any] = {
        "tiles": n,
        "kind": dataset.source.get("kind"),
        "shape": [c, h, w],
        "dtype": dataset.x.dtype.name,
        "units": dataset.units,
        "channels": list(dataset.channels),
        "classes": dict(zip(dataset.classes, counts, strict=True)),
        "content_hash": dataset.content_hash,
        "skipped": dataset.source.get("skipped", []),
        "ignored_files": dataset.source.get("ignored_files", 0),
        "files": dataset.source.get("files", []),
    }
    if dataset.lonlat is not None:
        low, high = np.nanmin(dataset.lonlat, axis=0), np.nanmax(dataset.lonlat, axis=0)
        facts["lonlat_deg"] = {"min": low.tolist(), "max": high.tolist()}
    return facts


def _one_line(facts: dict[str, Any]) -> str:
    c, h, w = facts["shape"]
    kind = "synthetic tiles" if facts["kind"] == "synthetic" else "tiles"
    return (
        f"{facts['tiles']:,} {kind} of {len(facts['classes'])} classes, {c} channels of {w}x{h} {facts['dtype']}; "
        f"{len(facts['skipped'])} bad tiles left out, {facts['ignored_files']} other files ignored"
    )


def _fetch(args: argparse.Namespace) -> Outcome:
    from skytrigger.eo.eurosat import ARCHIVES
    from skytrigger.eo.fetch import Checksum, fetch

    official = ARCHIVES[args.name]
    own = next((Checksum(kind, text) for kind in ("md5", "sha256") if (text := getattr(args, kind))), None)
    target = Path(args.out) / official.url.rsplit("/", 1)[1]
    fetch(
        args.url or official.url,
        target,
        checksum=own or Checksum("md5", official.md5),
        expected_bytes=None if own else official.bytes,
    )
    facts = {"path": str(target), "bytes": target.stat().st_size, "title": official.title}
    return Outcome(facts, f"{target}: {official.title}, checked\nnext: skytrigger data info {target}")
