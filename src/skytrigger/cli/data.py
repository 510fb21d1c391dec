"""`skytrigger data pack|info|fetch`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from skytrigger.cli.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the three sub-commands."""
    from skytrigger.cli.data_options import add_reading_arguments

    commands = parser.add_subparsers(dest="data_command", metavar="pack|info|fetch", required=True)
    tiles = "folders, zips or tars of tiles in class folders at any depth (x.zip/FOLDER too), or packed stores"

    pack = commands.add_parser("pack", help="pack tiles into a store that opens at once")
    pack.add_argument("paths", nargs="+", metavar="PATH", help=tiles)
    pack.add_argument("--out", required=True, metavar="STORE", help="folder to make")
    pack.add_argument("--skip-bad", action="store_true", help="leave bad tiles out and list them")
    add_reading_arguments(pack)
    pack.add_argument("--workers", type=int, metavar="N", help="processes (default: the machine's cores)")

    info = commands.add_parser("info", help="classes, counts, channel statistics, contact sheet")
    info.add_argument("paths", nargs="+", metavar="PATH", help=f"{tiles}, or the word synthetic")
    info.add_argument("--bands", default="all", metavar="all|rgb|B02,...", help="channels, by name")
    info.add_argument("--skip-bad", action="store_true", help="leave bad tiles out and list them")
    add_reading_arguments(info)
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
    from skytrigger.cli.data_options import stated
    from skytrigger.core.errors import InputError
    from skytrigger.eo.pack import pack
    from skytrigger.eo.reading import Reading, names_of

    if args.workers is not None and args.workers < 1:
        raise InputError(f"--workers {args.workers}", expected="at least 1")
    said = stated(args)
    reading = Reading(**{**said, "band_names": names_of(said.get("band_names"))})
    dataset = pack(args.paths, args.out, skip_bad=args.skip_bad, workers=args.workers, reading=reading)
    facts = _facts(dataset) | {"store": str(args.out)}
    return Outcome(facts, "\n".join([f"{args.out}: {_one_line(facts)}", *_doubts(facts)]))


def _info(args: argparse.Namespace) -> Outcome:
    from skytrigger.cli.data_options import stated
    from skytrigger.eo.contact_sheet import write_contact_sheet
    from skytrigger.eo.load import load
    from skytrigger.eo.statistics import channel_statistics

    dataset = load(args.paths, bands=args.bands, skip_bad=args.skip_bad, **stated(args))
    facts = _facts(dataset)
    statistics = channel_statistics(dataset)
    facts["channel_statistics"] = [channel.to_dict() for channel in statistics]
    facts["contact_sheet"] = str(write_contact_sheet(dataset, Path(args.out) / "contact_sheet.png"))
    width = max(map(len, dataset.classes))
    lines = [_one_line(facts), ""]
    lines += [f"  {name:{width}}  {count:7,}" for name, count in facts["classes"].items()]
    lines += ["", f"  channel {'mean':>9} {'std':>9} {'min':>6} {'1 %':>6} {'50 %':>6} {'99 %':>6} {'max':>6}"]
    for c in statistics:
        cells = (c.min, c.p1, c.p50, c.p99, c.max)
        figures = "{:9.2f} {:9.2f}" if dataset.x.dtype.kind != "f" else "{:9.5g} {:9.5g}"
        lines.append(f"  {c.name:7} {figures.format(c.mean, c.std)} {' '.join(f'{v:6.5g}' for v in cells)}")
    lines += ["", f"  units {dataset.units}, hash {dataset.content_hash}"]
    lines += _doubts(facts)
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
        "assumptions": dataset.source.get("assumptions", {}),
    }
    facts |= {name: dataset.source[name] for name in ("band_names", "scale", "no_data") if name in dataset.source}
    if dataset.parts:
        facts["parts"] = {part: dataset.parts.count(part) for part in ("train", "val", "test")}
    if dataset.lonlat is not None:
        low, high = np.nanmin(dataset.lonlat, axis=0), np.nanmax(dataset.lonlat, axis=0)
        facts["lonlat_deg"] = {"min": low.tolist(), "max": high.tolist()}
    return facts


def _doubts(facts: dict[str, Any]) -> list[str]:
    """What was stated, assumed or left out of the statistics, a line each."""
    lines = [f"  assumed: {text} ({count:,} tiles)" for text, count in facts["assumptions"].items()]
    if "band_names" in facts:
        lines.append(f"  stated: bands {','.join(facts['band_names'])}")
    if "scale" in facts:
        lines.append(f"  stated: reflectance is {facts['scale']:g} x the stored values")
    if "no_data" in facts:
        empty = facts["no_data"]
        values = " and ".join(f"{value:g}" for value in empty["values"])
        where = f"{empty['pixels']:,} pixels of {empty['tiles']:,} tiles"
        lines.append(f"  no data: {where} (value {values}), left out of statistics")
    if "parts" in facts:
        lines.append(f"  by folders: {', '.join(f'{count:,} {part}' for part, count in facts['parts'].items())}")
    return lines


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
