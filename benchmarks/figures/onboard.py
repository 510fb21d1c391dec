"""On board: policies on one stream, faults, speed."""

from __future__ import annotations

from typing import Any

from figures import figure
from figures.text import loaded, table

MISSIONS = {
    "matera": "peak imaging, Matera",
    "svalbard": "peak imaging, Svalbard",
    "four": "mean imaging, four stations",
    "flat": "peak imaging, Matera, every clear tile worth the same",
}
SHOWN = {
    "fifo": "first in, first out",
    "cloud-drop": "cloudy dropped, then first in, first out",
    "tile-filter": "fixed tile filter",
    "elide": "below mean value dropped",
    "change": "unchanged dropped",
    "class": "by class",
    "deadline": "earliest deadline first",
    "age": "value per bit, by age",
    "value": "value per bit",
    "tiers": "value per bit, in tiers",
}
# policy -> whose rule, what was published of it
RULES = {
    "cloud-drop": ("PhiSat-1", "30 % of the bits saved"),
    "tile-filter": ("KTH/Unibap", "22.3 % transmitted"),
    "change": ("Earth+", "3.3 times fewer bits"),
    "elide": ("Kodan", "97 % more value per bit"),
}


def _mission(code: str) -> dict[str, Any]:
    found: dict[str, Any] = loaded("onboard/policies.json")["missions"][MISSIONS[code]]
    return found


def _span(raw: dict[str, Any], factor: float = 1.0, places: int = 1, unit: str = "") -> str:
    if raw["value"] is None:
        return "none"
    value, low, high = (None if raw[k] is None else f"{factor * raw[k]:,.{places}f}" for k in ("value", "low", "high"))
    return f"{value}{unit} ({low} to {high})" if low is not None else f"{value}{unit}"


@figure("onboard.policies")
def policies(code: str) -> str:
    """All policies of a mission."""
    found = _mission(code)["policies"]
    rows = [
        [
            SHOWN[name],
            _span(m["value_of_oracle"], 100, 1, " %"),
            f"{m['target_recall']['value']:.1%}".replace("%", " %"),
            f"{m['sent_bit']['value'] / 1e9:,.0f}",
            f"{m['evicted_tiles']['value'] / 1e6:,.1f}",
            _hours(m["target_latency_p50_s"]["value"]),
            _hours(m["latency_p90_s"]["value"]),
        ]
        for name, m in sorted(found.items(), key=lambda kv: kv[1]["value_of_oracle"]["value"])
    ]
    head = (
        "| policy | value, of the oracle's bound | targets down | Gbit sent | million tiles evicted | "
        "targets' median latency, h | 90 % of all within, h |\n|---|---:|---:|---:|---:|---:|---:|"
    )
    return table(head, rows)


def _hours(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds / 3600:.1f}"


@figure("onboard.gain")
def gain(code: str) -> str:
    """Value per bit over first in, first out."""
    return _span(_mission(code)["value_over_fifo"], 1, 2 if code == "four" else 1)


@figure("onboard.of_oracle")
def of_oracle(code: str, policy: str) -> str:
    """Share of the oracle's value."""
    return _span(_mission(code)["policies"][policy]["value_of_oracle"], 100, 1, " %")


def _at(share: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        c for c in loaded("onboard/recall.json")["curve"] if c["share_of_bits"] == float(share)
    )
    return found


@figure("onboard.recall")
def recall(share: str) -> str:
    """Recall of targets at a share of the bits, by their shares in the stream."""
    return _span(_at(share), 100, 1, " %")


@figure("onboard.recall_of_tiles")
def recall_of_tiles(share: str) -> str:
    """The same of the set's target tiles, each counted once."""
    t = _at(share)["targets"]
    return (
        f"{t['down']:.1f} of {t['n']}, {100 * t['down'] / t['n']:.1f} % ({100 * t['low']:.1f} to {100 * t['high']:.1f})"
    )


@figure("onboard.regret")
def regret(code: str, cause: str) -> str:
    """Share of the oracle's value lost to wrong classes, or to wrong confidence."""
    return _span(_mission(code)["regret"][cause], 100, 1, " %")


@figure("onboard.recall_tiles")
def recall_tiles() -> str:
    """How many tiles of the set were used."""
    return str(_at("0.1")["tiles"])


@figure("onboard.fact")
def fact(code: str, name: str, places: str = "0", factor: str = "1") -> str:
    """A fact of a mission."""
    return f"{_mission(code)['facts'][name] * float(factor):,.{int(places)}f}"


@figure("onboard.link")
def link(code: str) -> str:
    """What the passes carry of what is sensed."""
    facts = _mission(code)["facts"]
    return f"{100 * facts['capacity_bit'] / facts['sensed_bit']:.0f} %"


@figure("onboard.metric")
def metric(code: str, policy: str, name: str, places: str = "1", factor: str = "1") -> str:
    """Any metric of a policy."""
    return _span(_mission(code)["policies"][policy][name], float(factor), int(places))


@figure("onboard.over")
def over(policy: str) -> str:
    """Value of value-per-bit over another policy's, over Matera; means over the orders."""
    found = _mission("matera")["policies"]
    return f"{found['value']['value_of_oracle']['value'] / found[policy]['value_of_oracle']['value']:.2f}"


@figure("onboard.rules")
def rules() -> str:
    """Rules of others on the same stream."""
    found = _mission("matera")["policies"]
    best, plain = found["value"], found["fifo"]
    rows = []
    for name, (whose, published) in RULES.items():
        m = found[name]
        density = m["value_per_Gbit"]["value"] / plain["value_per_Gbit"]["value"]
        rows.append(
            [
                whose,
                published,
                f"{100 * m['kept_share']['value']:.1f} %",
                f"{density:.2f}",
                f"{best['value_of_oracle']['value'] / m['value_of_oracle']['value']:.2f}",
            ]
        )
    own = best["value_per_Gbit"]["value"] / plain["value_per_Gbit"]["value"]
    rows.append(["value per bit", "", "100.0 %", f"{own:.2f}", "1.00"])
    return table(
        "| rule | published | kept of this stream | value per bit over first in, first out | "
        "value of value-per-bit over it |\n|---|---|---:|---:|---:|",
        rows,
    )


@figure("onboard.faults")
def faults() -> str:
    """Faults at random moments."""
    record = loaded("onboard/faults.json")
    rows = [
        [
            kind,
            str(f["moments"]),
            str(f["sent_twice"]),
            str(f["higher_lost_before_lower"]),
            "yes" if f["books_balance"] else "no",
            f"{100 * f['value_kept_mean']:.1f} % ({100 * f['value_kept_least']:.1f} %)",
        ]
        for kind, f in record["on_board"].items()
    ]
    return table(
        "| fault | moments | tiles sent twice | higher lost before lower | every tile accounted for | "
        "value left: mean (least) |\n|---|---:|---:|---:|---|---:|",
        rows,
    )


@figure("onboard.killed")
def killed() -> str:
    """kill -9."""
    k = loaded("onboard/faults.json")["kill -9"]
    return f"{k['ended_as_undisturbed']} of {k['moments']}"


@figure("onboard.speed")
def speed(name: str, part: str = "") -> str:
    """Of a day in full."""
    found = loaded("onboard/speed.json")
    value = found[name][part] if part else found[name]
    return f"{value:,.0f}"
