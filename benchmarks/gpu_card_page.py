"""Page of one card's folder, from the records of `gpu_plan.py`: goals, tables, the 2019 study's figures beside.

    python benchmarks/gpu_page.py results/gpu      # this page for every card, and networks.jsonl's tables

Medians, with the extremes of the rounds in brackets. What was cut off is taken as far as it got, and said to be.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpu_card_again import basic_section, eager_section, fastest, many_section, own_many, teacher_section
from gpu_card_pictures import pictures
from gpu_card_text import engine, find, spread, us
from gpu_scene_page import scene_goals, scenes_section
from skytrigger.core.files import read_json, write_text
from skytrigger.core.host import host_label
from skytrigger.hep.doublets.throughput_table import table as doublet_rows
from skytrigger.measure.origin import read_origin
from skytrigger.measure.records import Record, read

Records = dict[str, list[Record]]
ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- card: made by benchmarks/gpu_page.py -->", "<!-- end of card -->"  # a test makes it again


def card_page(folder: Path) -> None:
    """Write ``README.md`` and the pictures of a card's folder."""
    records, cut = {}, []
    for path in sorted(folder.glob("*/records.jsonl")):
        name, _, partial = path.parent.name.partition(".")
        if not partial:
            records[name] = read(path)
        elif partial == "partial" and not (folder / name / "records.jsonl").is_file():
            records[name] = read(path)
            cut.append(name)
    if not records:
        return
    every = [r for found in records.values() for r in found]
    first = every[0]
    simulated = any(r.extra.get("simulated") for r in every)
    machine = f"{host_label(first.where)}, torch {first.where['packages'].get('torch')}"
    text = [BEGIN, "", f"# {folder.name}", "", machine, ""]
    if simulated:
        text += ["**Simulated: no GPU was there. The figures mean nothing; only that every step runs is shown.**", ""]
    if cut:
        text += [f"Cut off or failed, taken as far as they got: {', '.join(cut)}.", ""]
    summary = read_json(folder / "summary.json") if (folder / "summary.json").is_file() else {}
    text += ["Steps: " + "; ".join(f"{k} {v['outcome']} in {v['seconds']:.0f} s" for k, v in summary.items()), ""]
    if not simulated:
        text += ["| goal | measured | |", "|---|---|---|", *goals(records), ""]
    if "batch" in records:  # rows that were made up for later
        records["batch"] = records["batch"] + records.pop("batch_half", [])
    for name, section in SECTIONS.items():
        if name in records:
            text += section(records[name])
    text += pictures(records, folder)
    write_text(folder / "README.md", "\n".join(text).rstrip() + f"\n\n{END}\n")


def goals(records: Records) -> list[str]:
    """Every goal with what was measured; nothing where there is no record."""
    rows: list[tuple[str, str, bool]] = []
    clue = records.get("clue", [])
    again = own_many(records.get("clue_many", []))
    kept = find(again, network="clue pu200 300000", strategy=3) or find(clue, network="clue pu200 300000", strategy=3)
    if kept and "graph" in kept.samples:
        kernels, whole = (np.array(kept.samples[n].values) * 1e3 for n in ("graph", "call"))
        rows.append(("CLUE, 300,000 hits: kernels at most 0.5 ms", f"{spread(kernels)} ms", np.median(kernels) <= 0.5))
        rows.append(("whole call with copies at most 2 ms", f"{spread(whole)} ms", np.median(whole) <= 2))
    times = {s: r for s in (1, 2, 3) if (r := find(clue, network="clue pu200 300000", strategy=s))}
    if len(times) == 3:
        ms = [1e3 * float(np.median(times[s].samples["call"].values)) for s in (1, 2, 3)]
        rows.append(("strategies 1 > 2 > 3 in time", " > ".join(f"{v:.3g}" for v in ms) + " ms", ms[0] > ms[1] > ms[2]))
    for record in again or clue:
        if record.kind == "throughput" and record.what["strategy"] == 4:
            call = record.samples["call"]
            rate = call.items / np.array(call.values)
            size = record.what["hits"]
            rows.append(
                (f"strategy 4, at least 2,000 events/s, events of {size:,}", spread(rate), np.median(rate) >= 2000)
            )
    if found := fastest(records):
        own, eager, default = found
        each = "`basic` float16 in bursts, tiles on the card: 0.7 us an image"
        rows.append((each, spread(us(own)), np.median(us(own)) <= 0.7))
        ratio = us(eager) / us(own)
        rows.append(("20 times PyTorch eager in float32, TF32 off", spread(ratio), np.median(ratio) >= 20))
        rows.append(("the same against PyTorch as it comes (TF32 convolutions)", spread(us(default) / us(own)),
                     np.median(us(default) / us(own)) >= 20))  # fmt: skip
    joules = {n: j for n in ("hopper", "torch") if (j := _joules(records.get("power", []), n)) is not None}
    if len(joules) == 2:
        share = joules["hopper"] / joules["torch"]
        rows.append(("joules an image at most a tenth of PyTorch float32's, batch 1,024", f"{share:.3g}", share <= 0.1))
    rows += scene_goals(records.get("scenes", []))
    return [f"| {goal} | {found} | {'reached' if good else '**missed**'} |" for goal, found, good in rows]


def _joules(records: list[Record], runtime: str) -> float | None:
    precision = "fp16" if runtime == "hopper" else "fp32"
    record = find(records, network="basic", runtime=runtime, precision=precision, batch_size=1024)
    return None if record is None else record.energy.get("joules_gross", np.nan) / record.energy["items"]


def clue_section(records: list[Record]) -> list[str]:
    """Strategies on events, and events a second."""
    lines = ["## CLUE", "", "Milliseconds; `whole` is the Python call from arrays to arrays. The device's clock: "
             "copies in, kernels as launched, copies out; `replayed`: the captured kernels back to back.", "",
             "| event | backend | whole | copies in | kernels | copies out | replayed | labels |",
             "|---|---|--:|--:|--:|--:|--:|---|"]  # fmt: skip
    for r in records:
        if r.kind == "latency":
            own = f"strategy {r.what['strategy']}" if r.what["strategy"] else f"cpu, {r.what['threads']} threads"
            parts = [spread(r.samples[n].values, 1e3) if n in r.samples else ""
                     for n in ("call", "copied in", "kernels", "copied out", "graph")]  # fmt: skip
            lines.append(f"| {r.what['network'][5:]} | {own} | {' | '.join(parts)} | {r.extra.get('labels', '')} |")
    lines += ["", "| many events in one call | backend | events/s | labels |", "|---|---|--:|---|"]
    for r in records:
        if r.kind == "throughput":
            own = f"strategy {r.what['strategy']}" if r.what["strategy"] else f"cpu, {r.what['threads']} threads"
            call = r.samples["call"]
            lines.append(f"| {r.what['network'][5:]} | {own} | {spread(call.items / np.array(call.values))} | "
                         f"{r.extra['labels']} |")  # fmt: skip
    control = find(records, kind="control")
    if control:
        lines += [
            "",
            f"Random cases on the card against the brute-force reference: {control.extra['said'] or 'failed'}.",
        ]
    theirs = [t for t in read_origin()["time"] if t["task"].startswith("CLUE")]
    lines += ["", "The 2019 study's own, on its machines and its event: "
              + ", ".join(f"{t['runtime']} {t['ms']:g} ms" for t in theirs) + ".", ""]  # fmt: skip
    return lines


def networks_section(records: list[Record]) -> list[str]:
    """Bursts and windows."""
    bursts = [r for r in records if r.what.get("scenario") == "burst"]
    windows = [r for r in records if r.what.get("scenario") == "window"]
    visit_ms = 1e3 * bursts[0].extra["visit_s"] if bursts else 0.0
    lines = ["## Networks, batch 1,024, tiles on the card", "",
             f"us an image in bursts of {visit_ms:.0f} ms; ratios round by round.", "",
             "| network | engine | 1 stream | 2 | 4 | 8 | times float32 (TF32 off) | times PyTorch as it comes |",
             "|---|---|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    for r in bursts:
        if r.what["streams"] != 1:
            continue
        same = {"network": r.what["network"], "streams": 1, "runtime": "torch", "input_type": "float32"}
        others = [find(bursts, **same, precision=p) for p in ("fp32", "default")]
        ratios = [spread(us(o) / us(r)) if o else "" for o in others]
        cell = {k: r.what[k] for k in ("network", "runtime", "precision", "input_type")}
        more = [spread(us(o)) if (o := find(bursts, **cell, streams=s)) else "" for s in (1, 2, 4, 8)]
        lines.append(f"| {r.what['network']} | {engine(r)} | {' | '.join(more + ratios)} |")
    lines += ["", "Windows without a pause:", "", "| engine | s | us/image | W | MHz | mJ/image | doubts |",
              "|---|--:|--:|--:|--:|--:|---|", *(_window(r, with_batch=False) for r in windows), ""]  # fmt: skip
    p100 = [t for t in read_origin()["time"] if "ms_per_image" in t]
    told = ", ".join(f"{t['runtime']} {t.get('precision', '')} {t['ms_per_image']:g}" for t in p100)
    return [*lines, f"The 2019 study on a P100, ms an image: {told}.", ""]


def _window(r: Record, with_batch: bool = True) -> str:
    e = r.energy
    joules = e.get("joules_gross")
    name = f"{r.what['network']} {engine(r)} | {r.what['batch_size']}" if with_batch else engine(r)
    clock = "" if e["clock_mhz"] is None else f"{e['clock_mhz']:.0f}"
    watts = "" if e["watts_mean"] is None else f"{e['watts_mean']:.0f} ({e['watts_min']:.0f} to {e['watts_max']:.0f})"
    each = "" if joules is None else f"{1e3 * joules / e['items']:.3g}"
    more = ""
    if with_batch:
        accuracy = _accuracy(r.what["network"])
        right = "" if accuracy is None or joules is None else f"{1e3 * joules / e['items'] / accuracy:.3g}"
        other = "" if e["integrated_watts"] is None else f"{e['integrated_watts']:.0f}"
        more = f" {right} | {other} | {100 * (e['utilisation'] or 0):.0f} | {e['temperature_c'] or 0:.0f} |"
    doubts = "; ".join(e["flags"])
    return f"| {name} | {e['seconds']:.1f} | {spread(us(r))} | {watts} | {clock} | {each} |{more} {doubts} |"


def _accuracy(network: str) -> float | None:
    """On test images, as committed: of the network given to the search, and of its winner."""
    found = read_json(ROOT / "results/optimize/test.json")["accuracy"]
    entry = found.get({"basic": "given", "winner": "winner"}.get(network, ""))
    return None if entry is None else float(entry["estimate"])


def power_section(records: list[Record]) -> list[str]:
    """Watts and joules."""
    idle = [r for r in records if str(r.what.get("scenario", "")).startswith("idle")]
    told = "; ".join(f"{r.what['scenario']} {r.energy['watts_mean']:.0f} W" for r in idle if r.energy["watts_mean"])
    return ["## Power", "", f"The board's energy counter, idle power inside; {told}. Joules a correct image: by the "
            "test accuracies of `results/optimize` (276 images).", "",
            "| engine | batch | s | us/image | W (least to most) | MHz | mJ/image | mJ/correct image "
            "| W, integrated | % busy | °C | doubts |", "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
            *(_window(r) for r in records if r.what.get("scenario") == "window"), ""]  # fmt: skip


def doublets_section(records: list[Record]) -> list[str]:
    """Images a second."""
    lines = ["## Doublets", "", "The origin's network (random weights), 30,000 images. PyTorch eager on two streams "
             "falls far behind itself on one: the benchmark is to blame, not PyTorch (each stream's thread is new "
             "and searches cuDNN's algorithms again), so compare with one stream, or with the table of streams driven "
             "by one thread.", "",
             "| runtime | precision | way | batch | streams | ms for all | images/s |",
             "|---|---|---|--:|--:|--:|--:|"]  # fmt: skip
    for r in doublet_rows(records):
        whole = "" if r.whole_ms is None else f"{r.whole_ms[1]:.3g} ({r.whole_ms[0]:.3g} to {r.whole_ms[2]:.3g})"
        way = f"{r.transfers} transfers, {r.memory}"
        lines.append(f"| {r.runtime} | {r.precision} | {way} | {r.batch_size} | {r.streams} "
                     f"| {whole} | {r.images_per_s[1]:,.0f} |")  # fmt: skip
    return [*lines, ""]


def batch_section(records: list[Record]) -> list[str]:
    """Inference and training."""
    bursts = [r for r in records if r.what.get("scenario") == "burst"]
    names = list(dict.fromkeys(engine(r) for r in bursts))
    lines = ["## Batch size", "", "Inference of `basic`, us an image:", "", "| batch | " + " | ".join(names) + " |",
             "|--:|" + "--:|" * len(names)]  # fmt: skip
    for size in dict.fromkeys(r.what["batch_size"] for r in bursts):
        cells = {engine(r): spread(us(r)) for r in bursts if r.what["batch_size"] == size}
        lines.append(f"| {size} | " + " | ".join(cells.get(n, "") for n in names) + " |")
    lines += ["", "Training, one epoch of random tiles (time and joules only):", "",
              "| precision | batch | images/s | J/1,000 images |", "|---|--:|--:|--:|"]  # fmt: skip
    for r in records:
        if r.kind == "training":
            images, joules = r.extra["images"], r.extra.get("joules")
            each = "" if joules is None else f"{1e3 * joules / images:.3g}"
            rate = images / r.samples["epoch"].values[0]
            lines.append(f"| {r.what['precision']} | {r.what['batch_size']} | {rate:,.0f} | {each} |")
    return [*lines, ""]


def training_section(records: list[Record]) -> list[str]:
    """Accuracy on the test tiles, each seed; the validation tiles' loss chose the best epoch."""
    lines = ["## Training on RGB", "",
             "25 epochs, batch 32, float32 as PyTorch comes, on the parts of `results/eurosat-rgb`. Test accuracy of "
             "each seed, after the last epoch and after that of the least validation loss:", "",
             "| network | seeds | last epoch | least validation loss | s a run, several at once |",
             "|---|--:|---|---|--:|"]  # fmt: skip
    for name in dict.fromkeys(r.what["network"] for r in records):
        own = [r for r in records if r.what["network"] == name]
        last, best = (", ".join(f"{_right(r, which):.4f}" for r in own) for which in ("last", "best"))
        lines.append(
            f"| {name} | {len(own)} | {last} | {best} | {spread([r.samples['whole'].values[0] for r in own])} |"
        )
    return [*lines, ""]


def _right(record: Record, which: str) -> float:
    """Share of the test tiles that the weights of that epoch get right."""
    test = record.extra["test"]
    return float(np.unpackbits(np.frombuffer(bytes.fromhex(test[which]), np.uint8))[: test["tiles"]].mean())


def checks_section(records: list[Record]) -> list[str]:
    """What the tests said."""
    counts = records[-1].extra["counts"]
    return ["## Tests", "", "`pytest tests/gpu`: " + ", ".join(f"{n} {word}" for word, n in counts.items()) + ".", ""]


SECTIONS = {
    "clue": clue_section, "clue_many": many_section, "networks": networks_section, "basic_again": basic_section,
    "power": power_section, "doublets": doublets_section, "eager_streams": eager_section, "batch": batch_section,
    "scenes": scenes_section, "training": training_section, "teacher": teacher_section,
    "checks": checks_section,
}  # fmt: skip
