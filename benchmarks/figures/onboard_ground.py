"""On board, the ground's side: sizes and accuracy of codecs, what upsets leave."""

from __future__ import annotations

from typing import Any

from figures import figure
from figures.text import loaded, percent, points, span, table
from skytrigger.core.files import sha256_file
from skytrigger.eo.packaged import packaged
from skytrigger.onboard.codecs import LOSSY_PSNR_DB
from skytrigger.onboard.metrics import interval

BANDS = {"13 x 64 x 64": "13 bands of 64 x 64", "native": "10, 20 and 60 m"}
SHOWN_DB = (48, 52, 56, 58, 60, 62, 64, 68, 72)
SHOWN_UPSETS = (0.1, 1, 10, 100)
POLICIES = {"never mended": "never mended", "scrubbed": "scrubbed after so many",
            "small constants checked": "small constants checked", "checked before use": "all checked"}  # fmt: skip
WAYS = ("raw, unprotected", "JPEG 2000, unprotected", "JPEG 2000, CRC", "JPEG 2000, CRC and (72, 64) code")


def _record(name: str) -> dict[str, Any]:
    found: dict[str, Any] = loaded(f"onboard/{name}.json")
    if found["model_sha256"] != sha256_file(packaged(found["model"])):
        raise ValueError(f"results/onboard/{name}.json is of another file than the shipped one")
    return found


def _interval(raw: dict[str, Any], factor: float) -> str:
    return span({"estimate": raw["mean"], "low": raw["low"], "high": raw["high"]}, factor)


@figure("codecs.lossless")
def lossless() -> str:
    """Bits a tile without loss."""
    rows = [
        [BANDS[r["bands"]], r["codec"], "" if r["codec"] == "raw" else _interval(r["bits"], 1e-3),
         f"{r['bits']['p5'] / 1e3:.0f} to {r['bits']['p95'] / 1e3:.0f}", f"{r['bits_a_sample']:.2f}"]
        for r in _record("codecs")["lossless"]
    ]  # fmt: skip
    return table(
        "| tile | codec | mean, kbit | of nine tiles in ten, kbit | bits a sample |\n|---|---|---:|---:|---:|", rows
    )


@figure("codecs.pace")
def pace(way: str) -> str:
    """How many times as long JPEG 2000 takes."""
    return f"{span(_record('codecs')['jpeg2000_times_ccsds121'][way])} times"


@figure("codecs.tiles")
def tiles(part: str) -> str:
    """``test`` or ``choosing`` tiles."""
    return f"{_record('codecs')[f'{part}_tiles']:,}"


@figure("codecs.accuracy")
def accuracy() -> str:
    """On the test tiles as they are."""
    return percent(_record("codecs")["accuracy"])


def _lossy(weights: str, psnr_db: float) -> dict[str, Any]:
    rows = _record("codecs")["lossy"]
    return next(r for r in rows if r["weights"] == weights and r["psnr_db"] == psnr_db)


@figure("codecs.lossy")
def lossy() -> str:
    """Sizes and accuracy at each quality, bands weighted."""
    found = _record("codecs")
    if found["chosen_std_db"] != LOSSY_PSNR_DB:
        raise ValueError("the default quality is not the one that was chosen")
    rows = []
    for psnr_db in SHOWN_DB:
        row = _lossy("std", psnr_db)
        test, mark = row["test"], " (default)" if psnr_db == LOSSY_PSNR_DB else ""
        same = f"{100 * row['choosing']['same_answers']['estimate']:.1f} %"
        size, change = _interval(test["bits"], 1e-3), points(test["change"])
        rows.append([f"{psnr_db} dB{mark}", size, percent(test["accuracy"]), change, same])
    head = "| quality | mean, kbit | accuracy | change | same answers, choosing tiles |\n|---|---:|---:|---:|---:|"
    return table(head, rows)


@figure("codecs.alike")
def alike() -> str:
    """What as many of the same answers cost without weights, of the bits with them; or that no quality gives them."""
    found = _record("codecs")
    if found["chosen_alike_db"] is None:
        best = max((r for r in found["lossy"] if r["weights"] == "alike"), key=lambda r: float(r["psnr_db"]))
        share = 100 * best["choosing"]["same_answers"]["estimate"]
        return f"no quality tried keeps as many: {share:.1f} % at {best['psnr_db']:.0f} dB"
    plain = _lossy("alike", found["chosen_alike_db"])["test"]["bits"]["mean"]
    weighted = _lossy("std", found["chosen_std_db"])["test"]["bits"]["mean"]
    return f"as many take {100 * (plain / weighted - 1):.0f} % more bits"


@figure("codecs.smaller")
def smaller() -> str:
    """How many times fewer bits the default lossy tile has than the lossless one."""
    found = _record("codecs")
    whole = next(r for r in found["lossless"] if r["bands"] != "native" and r["codec"].startswith("JPEG"))
    return f"{whole['bits']['mean'] / _lossy('std', LOSSY_PSNR_DB)['test']['bits']['mean']:.1f} times"


@figure("upsets.weights")
def weights() -> str:
    """Accuracy by upsets a million bits and policy."""
    rows = [
        [f"{r['upsets_per_mbit']:,}", *(percent(_within(r["policies"][p])) for p in POLICIES)]
        for r in _record("upsets")["weights"]
    ]
    head = "| upsets a million bits | " + " | ".join(POLICIES.values()) + " |\n|---:|" + "---:|" * len(POLICIES)
    return table(head, rows)


def _within(values: list[float]) -> dict[str, Any]:
    """A share over seeds with Student's interval, kept within 0 and 1."""
    found = interval(values)
    return {"estimate": found["value"], "low": max(0.0, found["low"]), "high": min(1.0, found["high"])}


@figure("upsets.single")
def single() -> str:
    """What one flip does, by kind of constant."""
    found = _record("upsets")
    whole = sum(found["weight_bits"].values())
    rows = [
        [r["kind"], f"{100 * r['bits'] / whole:.2g} %", percent(r["harmful"]), f"{100 * r['worst_accuracy']:.1f} %"]
        for r in found["single_flips"]
    ]
    return table("| constants | of the bits | flips that harm | worst accuracy |\n|---|---:|---:|---:|", rows)


@figure("upsets.small")
def small() -> str:
    """Share of the model's bits that are not 8-bit weights."""
    bits = _record("upsets")["weight_bits"]
    return f"{100 * (1 - bits['int8 weights'] / sum(bits.values())):.0f} %"


@figure("upsets.seeds")
def seeds(of: str) -> str:
    """Seeds of ``weights`` or ``tiles``."""
    return str(_record("upsets")["seeds" if of == "weights" else "tile_seeds"])


@figure("upsets.not_mended")
def not_mended() -> str:
    """Models that were not whole after mending, of all."""
    found = _record("upsets")
    return f"{sum(r['not_mended_whole'] for r in found['weights'])} of {len(found['weights']) * found['seeds']}"


@figure("upsets.tiles")
def stored() -> str:
    """Tiles intact and rightly classified by upsets and protection."""
    rows = []
    for r in (r for r in _record("upsets")["tiles"] if r["upsets_per_mbit"] in SHOWN_UPSETS):
        for name in WAYS:
            shares = (percent(_within(r["ways"][name][k])) for k in ("intact", "altered_unnoticed", "accuracy"))
            rows.append([f"{r['upsets_per_mbit']:g}", name, *shares])
    head = "| upsets a million bits | stored as | intact | altered, unnoticed | accuracy of all |"
    return table(f"{head}\n|---:|---|---:|---:|---:|", rows)
