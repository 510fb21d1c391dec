"""The 2019 study's own figures beside those of the machines that were measured: marked, and never mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skytrigger.eo.networks import NAMES
from skytrigger.measure.origin import read_origin
from skytrigger.measure.summary import energy_summary
from skytrigger.report.content import (
    NOTHING,
    Block,
    Columns,
    Prose,
    Section,
    Table,
    Value,
    estimate,
    number,
    table,
    words,
)
from skytrigger.report.energy import ABSENT
from skytrigger.report.speedups import Timing, is_framework
from skytrigger.report.timing import OWN, speedup_value

TASK = "EuroSAT classification, inference"
MARK = "the 2019 study's own"


def origin_section(timed: Sequence[Timing], hosts: dict[str, str], labels: dict[str, str]) -> Section | None:
    """One table; None where no EuroSAT network was timed.

    Parameters
    ----------
    labels
        Name on this page (``host 1``) -> what that machine is.
    """
    own = _best(timed)
    if not own:
        return None
    origin = read_origin()
    entries = [e for e in origin["time"] if e["task"] == TASK and "ms_per_image" in e]
    columns: Columns[Timing] = [
        ("whose", lambda t: words("measured here")),
        ("device", lambda t: words(_device(t, hosts, labels))),
        ("what", lambda t: words(f"{t.network}, {t.engine}")),
        ("batch", lambda t: number(t.setting[0], "{:d}")),
        ("ms/image", lambda t: estimate(t.summary.ms_per_item)),
        ("images/s", lambda t: estimate(t.summary.items_per_s, "{:.4g}")),
        ("speed-up over its framework", lambda t: OWN if is_framework(t.record) else speedup_value(t)),
        ("power", lambda t: estimate(e.power, "{:.3g}", unit=" W") if (e := energy_summary(t.record)) else ABSENT),
        ("calls timed (n)", lambda t: number(t.summary.call_s.n, "{:d}")),
    ]
    measured = table(own, columns)
    caption = (
        f"{MARK.capitalize()} figures ({origin['year']}) were measured by its authors on their machine and are shown "
        "as they gave them: number of samples, interval, batch size and network are not known, and their speed-up is "
        "the quotient of two of their figures. Measured here: each engine at that batch size which takes it the least "
        "time per image, chosen for being least. Other hardware, other network weights, other software: the rows say "
        "what each machine did, not that a difference has one cause."
    )
    rows = [*(_origin_row(e, entries) for e in entries), *measured.rows]
    blocks: list[Block] = [Table(measured.head, rows, caption)]
    unknown = "; ".join(f"{device}: {', '.join(map(str, what))}" for device, what in origin["unavailable"].items())
    if unknown:
        blocks.append(Prose(f"Of {MARK} figures these are not known here, and nothing stands in for them: {unknown}."))
    return Section("origin", "Beside the 2019 study", blocks)


def _origin_row(entry: dict[str, Any], entries: Sequence[dict[str, Any]]) -> list[Value]:
    ms = float(entry["ms_per_image"])
    base = next((e for e in entries if e["device"] == entry["device"] and e["runtime"] == "TensorFlow"), None)
    ratio = OWN if entry is base else NOTHING
    if base is not None and entry is not base:
        ratio = number(float(base["ms_per_image"]) / ms, "{:.1f}×", "quotient, no interval")
    watts = entry.get("watts")
    unknown = "no interval known"
    return [
        Value(f"{MARK}, not measured here", MARK, "", "mute"),
        words(entry["device"]),
        words(" ".join(str(entry[k]) for k in ("runtime", "precision") if k in entry)),
        NOTHING,
        number(ms, "{:g}", unknown),
        number(1e3 / ms, "{:.4g}", unknown),
        ratio,
        number(watts, "{:g} W", unknown) if watts else ABSENT,
        Value("unknown", None, "", "mute"),
    ]


def _best(timed: Sequence[Timing]) -> list[Timing]:
    """Each engine of each device at its best batch size, of `basic` if it was timed, else of the first network."""
    networks = list(dict.fromkeys(t.network for t in timed if t.network in NAMES))
    if not networks:
        return []
    chosen = "basic" if "basic" in networks else networks[0]
    found: dict[tuple[str, str, str], Timing] = {}
    for t in timed:
        key = (t.host, t.setting[1], t.engine)
        if t.network == chosen and (key not in found or t.summary.item_s.estimate < found[key].summary.item_s.estimate):
            found[key] = t
    return list(found.values())


def _device(t: Timing, hosts: dict[str, str], labels: dict[str, str]) -> str:
    """The GPU's name for a GPU, the machine otherwise."""
    device = t.setting[1]
    gpus = t.record.where.get("gpus") or []
    index = int(device.partition(":")[2] or 0) if device.startswith("cuda") else -1
    if 0 <= index < len(gpus):
        return str(gpus[index].get("name"))
    name = hosts.get(t.host, t.host)
    return f"{labels.get(name, name)} ({device}, {t.record.what.get('threads')} threads)"
