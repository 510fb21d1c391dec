"""Sections of a card's page for the steps that came later: many events, `basic` again, PyTorch eager over streams."""

from __future__ import annotations

import numpy as np

from gpu_card_text import find, spread, us
from skytrigger.measure.records import Record

Records = dict[str, list[Record]]


def own_many(records: list[Record]) -> list[Record]:
    """What the product does by itself, without a setting changed."""
    return [r for r in records if r.extra.get("usual")]


def many_section(records: list[Record]) -> list[str]:
    """One event by the threads that copy, many by threads and packs, and the limits."""
    lines = ["## CLUE: many events, and where one call's time goes", "",
             "Strategy 3 on one event, ms; the columns are copied and looked at by so many threads, in pieces of so "
             "many hits. `own`: what the product does unasked.", "",
             "| event | threads | piece | whole | copies in | kernels | copies out | replayed | labels | |",
             "|---|--:|--:|--:|--:|--:|--:|--:|---|---|"]  # fmt: skip
    for r in records:
        if r.kind == "latency":
            parts = [spread(r.samples[n].values, 1e3) if n in r.samples else ""
                     for n in ("call", "copied in", "kernels", "copied out", "graph")]  # fmt: skip
            lines.append(f"| {r.what['network'][5:]} | {r.what['copiers']} | {r.what['piece']:,} | {' | '.join(parts)} "
                         f"| {r.extra['labels']} | {'own' if r.extra['usual'] else ''} |")  # fmt: skip
    lines += ["", "Many events in one call, four different ones in turn:", "",
              "| events | backend | threads | hits a pack | events/s | labels | |",
              "|---|---|--:|---|--:|---|---|"]  # fmt: skip
    for r in records:
        if r.kind == "throughput":
            call = r.samples["call"]
            rate = spread(call.items / np.array(call.values))
            own = f"strategy {r.what['strategy']}" if r.what["strategy"] else "cpu"
            packs = " to ".join(f"{v:,}" for v in r.what["pack_hits"] or ())
            threads = r.what["threads"] if r.what["strategy"] != 3 else ""
            mark = "own" if r.extra["usual"] and r.what["strategy"] == 4 else ""
            lines.append(
                f"| {r.what['network'][5:]} | {own} | {threads} | {packs} | {rate} | {r.extra['labels']} | {mark} |"
            )
    limits = [r for r in records if r.kind == "limit"]
    if limits:
        lines += ["", "Limits, measured in the same run:", "", "| what | GB/s |", "|---|--:|"]
        for r in limits:
            rate = r.extra["bytes"] / np.array(r.samples["copy"].values) / 1e9
            threads = f", {r.what['threads']} threads, as much written" if "threads" in r.what else ""
            lines.append(f"| {r.what['network']}{threads} | {spread(rate)} |")
    said = [f"{r.what['network'][5:]}: {r.extra['said'] or 'failed'}" for r in records if r.kind == "control"]
    return [*lines, "", "Random cases on the card against brute force: " + "; ".join(said) + ".", ""] if said else [
        *lines, ""]  # fmt: skip


def paired(records: list[Record]) -> list[tuple[Record, Record, Record]]:
    """Each variant's bursts with PyTorch's two float32 of the same rounds."""
    found, eager, default = [], None, None
    for r in records:
        if r.what.get("scenario") == "burst":
            if r.what["runtime"] == "torch":
                eager, default = (eager, r) if r.what["precision"] == "default" else (r, default)
            elif eager and default:
                found.append((r, eager, default))
    return found


def fastest(records: Records) -> tuple[Record, Record, Record] | None:
    """`basic` in float16 on float32 tiles and one stream, the best variant where there are several; its rivals."""
    again = [p for p in paired(records.get("basic_again", [])) if p[0].what["input_type"] == "float32"]
    if again:
        return min(again, key=lambda p: float(np.median(us(p[0]))))
    bursts = [r for r in records.get("networks", []) if r.what.get("scenario") == "burst"]
    cell = {"network": "basic", "streams": 1, "input_type": "float32"}
    own = find(bursts, runtime="hopper", **cell)
    eager = find(bursts, runtime="torch", precision="fp32", **cell)
    default = find(bursts, runtime="torch", precision="default", **cell)
    return (own, eager, default) if own and eager and default else None


def basic_section(records: list[Record]) -> list[str]:
    """Variants, windows and layers."""
    lines = ["## `basic` again", "", "Batch 1,024, tiles on the card, bursts of 30 ms. `n x m`: parts of m images, n "
             "under way at once. `stem b/s`: the first two layers in one kernel, b blocks a multiprocessor, s squares "
             "of the first layer at once.", "",
             "| variant | us an image | times float32 (TF32 off) | times PyTorch as it comes | logits differ by |",
             "|---|--:|--:|--:|--:|"]  # fmt: skip
    differ = {_variant(r): r.extra for r in records if r.kind == "control"}
    for own, eager, default in paired(records):
        extra = differ.get(_variant(own))
        worst = "" if extra is None else f"{max(extra['largest_difference']):.2g} of {extra['largest_logit']:.3g}"
        lines.append(f"| {_variant(own)} | {spread(us(own))} | {spread(us(eager) / us(own))} "
                     f"| {spread(us(default) / us(own))} | {worst} |")  # fmt: skip
    lines += ["", "Windows without a pause:", "", "| variant | s | us an image | W | MHz |", "|---|--:|--:|--:|--:|"]
    for r in records:
        if r.what.get("scenario") == "window":
            e = r.energy
            clock = "" if e["clock_mhz"] is None else f"{e['clock_mhz']:.0f}"
            lines.append(
                f"| {_variant(r)} | {e['seconds']:.1f} | {spread(us(r))} | {e['watts_mean'] or 0:.0f} | {clock} |"
            )
    layers = [r for r in records if r.kind == "layer"]
    if layers:
        lines += ["", "Kernels alone, on so many random images, ten calls in a row:", "",
                  "| images | kernel | us an image | TFLOP/s | TB/s |", "|--:|---|--:|--:|--:|"]  # fmt: skip
        for r in layers:
            each = np.median(us(r)) / 1e6
            rates = [f"{r.extra[k] / each / 1e12:.3g}" if r.extra[k] else "" for k in ("operations", "bytes")]
            lines.append(f"| {r.what['images']:,} | {r.what['layer']} | {spread(us(r))} | {' | '.join(rates)} |")
    return [*lines, ""]


def _variant(r: Record) -> str:
    kind = "" if r.what["input_type"] == "float32" else f", {r.what['input_type']} tiles"
    return f"{r.what['variant']}{kind}"


def eager_section(records: list[Record]) -> list[str]:
    """PyTorch eager on several streams."""
    lines = ["## PyTorch eager on several streams", "", "The doublets' network as above, float16 tiles. One thread "
             "deals batches out to streams and waits by events; beside it a thread a stream, cuDNN's search off.", "",
             "| precision | batch | driven by | transfers | 1 stream, ms for all | 2 | 4 | images/s, best |",
             "|---|--:|---|---|--:|--:|--:|--:|"]  # fmt: skip
    rows: dict[tuple[str, int, str, str], dict[int, Record]] = {}
    for r in records:
        w = r.what
        rows.setdefault((w["precision"], w["batch_size"], w["driven"], w["transfers"]), {})[w["streams"]] = r
    for (precision, batch, driven, way), cells in rows.items():
        whole = {s: r.samples["whole"] for s, r in cells.items()}
        each = [spread(whole[s].values, 1e3) if s in whole else "" for s in (1, 2, 4)]
        best = max(w.items / float(np.median(w.values)) for w in whole.values())
        lines.append(f"| {precision} | {batch} | {driven} | {way} | {' | '.join(each)} | {best:,.0f} |")
    return [*lines, ""]


def teacher_section(records: list[Record]) -> list[str]:
    """What became of the stages; what they trained is told by the records beside and where it was packaged."""
    lines = ["## Teachers and students", "", "Stages of the step `teacher`; accuracies, weights and logits lie beside "
             "its records.", "", "| stage | outcome | s given | s taken |", "|---|---|--:|--:|"]  # fmt: skip
    for r in records:
        taken = r.samples["whole"].values[0]
        lines.append(f"| {r.what['network']} | {r.extra['outcome']} | {r.extra['given_s']:.0f} | {taken:.0f} |")
    return [*lines, ""]
