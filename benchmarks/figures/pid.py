"""Particle identity and energy: the simulator's checks, the networks, their speed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from figures import figure
from figures.text import loaded, number, table
from skytrigger.core.card import ModelCard
from skytrigger.core.files import sha256_file
from skytrigger.hep.pid.packaged import NAME, PACKAGED
from skytrigger.learn.evaluate import card_of

CLASSES = ("photon", "electron", "muon", "charged_hadron")
SHOWERING = ("photon", "electron", "charged_hadron")
# CMS: HGCAL prototype in beams, technical design report
PUBLISHED = {
    "electron": "22.6 %/sqrt(E), 0.8 % (CMS HGCAL prototype, positrons)",
    "photon": "22 to 23 %/sqrt(E), 0.8 %",
    "charged_hadron": "120 to 150 %/sqrt(E) (raw pions)",
}
ENGINES = {
    "onnxruntime": "inference, batch {}, {} thread: ONNX Runtime",
    "openvino": "OpenVINO",
    "torch": "PyTorch, eager",
}


@cache
def _network() -> tuple[dict[str, Any], ModelCard]:
    """Figures of the shipped network, and its card."""
    found: dict[str, Any] = loaded("pid/networks.json")["networks"]["pid_small"]
    if found["model_hash"] != sha256_file(PACKAGED[NAME]):
        raise ValueError("results/pid is of another file than the shipped one")
    return found, card_of(PACKAGED[NAME])


def _rows() -> dict[str, dict[str, Any]]:
    """The network and what it is compared with, under the names of the tables."""
    found = _network()[0]
    return {
        f"`pid_small` = `{NAME}`": found,
        "boosted trees on layer sums": loaded("pid/networks.json")["trees"],
        "weighted sum, a line for each true class": found["baselines"]["weighted sum"],
    }


def _with(value: float, interval: Sequence[float], places: int, factor: float = 100.0) -> str:
    """``22.6 (21.9 to 23.5)``."""
    middle, low, high = (number(factor * v, places) for v in (value, *interval))
    return f"{middle} ({low} to {high})"


def _rate(value: float, interval: Sequence[float] | None = None) -> str:
    """``843 (778 to 873)``, showers/s."""
    return f"{value:,.0f}" + (f" ({interval[0]:,.0f} to {interval[1]:,.0f})" if interval else "")


def _spoken(kind: str) -> str:
    return kind.replace("_", " ")


@figure("pid.raw")
def raw_table() -> str:
    """Raw resolutions of plain sums of hits."""
    rows = []
    for kind, fit in loaded("pid/physics.json")["raw_resolution"].items():
        stochastic, constant = _with(fit["a"], fit["a_interval"], 1), _with(fit["b"], fit["b_interval"], 2)
        rows.append([_spoken(kind), f"{stochastic} %/sqrt(E), constant {constant} %", PUBLISHED[kind]])
    return table("| | sigma68(E), measured | published |\n|---|--:|--:|", rows)


@figure("pid.raw_showers")
def raw_showers() -> str:
    """How many showers at which energies."""
    found = loaded("pid/physics.json")
    ends = [
        " or ".join(str(e) for e in sorted({fit["energies"][end] for fit in found["raw_resolution"].values()}))
        for end in (0, -1)
    ]
    return f"{found['showers_at_each_energy']:,} showers at each energy ({ends[0]} to {ends[1]} GeV)"


@figure("pid.electron_photon")
def electron_photon() -> str:
    """Separation by trees, the simulator's own check."""
    found = loaded("pid/physics.json")["electron_photon_trees"]
    accuracy, low, high = (100 * v for v in (found["accuracy"], *found["interval_95"]))
    return f"{accuracy:.1f} % ({low:.1f} to {high:.1f}) of {found['n']:,} showers, trained on {found['trained']:,}"


@figure("pid.confused")
def confused() -> str:
    """Hadrons taken for anything else."""
    row = _network()[0]["confusion"][CLASSES.index("charged_hadron")]
    return f"{sum(row) - row[CLASSES.index('charged_hadron')]} hadrons of {sum(row):,}"


@figure("pid.showers")
def showers() -> str:
    """What the network was trained and judged on."""
    found, card = _network()
    counts, source, data = card.split["counts"], card.notes["source"], found["data"]
    (low, high), (near, far) = data["energy"], data["eta"]
    if (source["energy"], source["eta"]) != (data["energy"], data["eta"]) or source["seed"] == data["seed"]:
        raise ValueError("showers to train and to judge must differ by the seed alone")
    return (
        f"{sum(counts.values()):,} showers (seed {source['seed']}: {counts['train']:,} to train, {counts['val']:,} to "
        f"validate, the rest unused) and {found['n']:,} of another seed ({data['seed']}) to judge, which chose "
        f"nothing; {low:.0f} to {high:.0f} GeV, eta {near} to {far}"
    )


@figure("pid.judged")
def judged(which: str) -> str:
    """``test`` showers, or those that the ``trees`` were trained on."""
    found = loaded("pid/networks.json")["trees"]["trained"] if which == "trees" else _network()[0]["n"]
    return f"{found:,}"


@figure("pid.identity")
def identity_table() -> str:
    """Accuracy and recall."""
    rows = [
        [name, _with(row["accuracy"], row["accuracy_interval_95"], 4, 1), *(f"{row['recall'][c]:.4f}" for c in CLASSES)]
        for name, row in _rows().items()
        if "accuracy" in row
    ]
    head = "| | accuracy | recall photon | electron | muon | charged hadron |\n|---|--:|--:|--:|--:|--:|"
    return table(head, rows)


@figure("pid.energy")
def energy_table() -> str:
    """Resolution and bias."""
    rows = []
    for name, row in _rows().items():
        cells = [name]
        for kind in SHOWERING:
            fit = row["resolution"][kind]
            bias = number(100 * row["bias"][kind]["median"], 2, sign=True)
            a, b = (_with(fit[k], fit[f"{k}_interval_95"], 1) for k in "ab")
            cells.append(f"{a} %/sqrt(E), {b} %; bias {bias} %")
        whole = row["resolution"]["charged_hadron"]
        rows.append([*cells, f"{_with(whole['sigma68'], whole['sigma68_interval_95'], 2)} %"])
    head = "| sigma68(E) and bias | photon | electron | charged hadron | charged hadron, all energies |"
    return table(f"{head}\n|---|--:|--:|--:|--:|", rows)


@figure("pid.pairs")
def pairs() -> str:
    """AUC of electrons against photons, and a bound on all others."""
    trees = dict(loaded("pid/networks.json")["trees"]["pairs"])
    network = {pair: row["auc"] for pair, row in _network()[0]["pairs"].items()}
    ours, theirs = (found.pop("photon/electron") for found in (network, trees))
    others = math.floor(1e4 * min(*network.values(), *trees.values())) / 1e4
    return f"AUC {ours:.3f} (trees {theirs:.3f}), all other pairs are at {others:.4f} or more"


@figure("pid.hadrons")
def hadrons(what: str) -> str:
    """Of charged hadrons: what is ``gained`` over the weighted sum, ``constant`` terms, ``response``."""
    found = _network()[0]
    ours, theirs = (r["resolution"]["charged_hadron"] for r in (found, found["baselines"]["weighted sum"]))
    if what == "gained":
        return f"{100 * (1 - ours['sigma68'] / theirs['sigma68']):.0f} %"
    if what == "constant":
        return f"{100 * theirs['b']:.1f} to {100 * ours['b']:.1f} %"
    bins = found["response"]["charged_hadron"]["bins"]
    first, last = (number(100 * (bins[i]["median"] - 1), 1, sign=True) for i in (0, -1))
    return f"{first} % in the lowest bin, {last} % in the highest"


@figure("pid.outside")
def outside() -> str:
    """Response above the trained energies."""
    found = _network()[0]["response_outside"]
    light = max(abs(b["median"] - 1) for kind in ("photon", "electron") for b in found[kind]["bins"])
    bins = found["charged_hadron"]["bins"]
    counts = ", ".join(f"{found[kind]['n']} {_spoken(kind)}s" for kind in SHOWERING)
    each = ", ".join(
        f"{number(100 * (b['median'] - 1), 1, sign=True)} % at {b['low']:.0f} to {b['high']:.0f} GeV" for b in bins
    )
    return (
        f"({counts} of up to {bins[-1]['high']:.0f} GeV) medians of photons and electrons stay within "
        f"{math.ceil(1000 * light) / 10:.1f} %; charged hadrons run low: {each}"
    )


@figure("pid.calibration")
def calibration() -> str:
    """Of probabilities and of sigma."""
    found = _network()[0]["calibration"]
    error, before = (100 * found[f"expected_calibration_error{k}"] for k in ("", "_uncalibrated"))
    one, two = (found["coverage"][k] for k in ("one_sigma", "two_sigma"))
    holds = [
        f"{100 * c['share']:.1f} % ({100 * c['interval_95'][0]:.1f} to {100 * c['interval_95'][1]:.1f})"
        for c in (one, two)
    ]
    return (
        f"temperature {found['temperature']:.3f}, expected calibration error {error:.2f} % ({before:.2f} % before). "
        f"One sigma holds {holds[0]} of the energies, two {holds[1]}, where a Gaussian's would hold "
        f"{100 * one['expected']:.1f} and {100 * two['expected']:.1f}"
    )


@figure("pid.origin")
def origin() -> str:
    """The origin's design as far as it was trained."""
    found, ours = loaded("pid/pid_origin.json"), _network()[0]
    epochs = ", ".join(f"{v:.3f}" for v in found["validation_accuracy_by_epoch"])
    photon, electron, hadron = (f"{100 * found['resolution'][k]['sigma68']:.1f} %" for k in SHOWERING)
    small = " and ".join(f"{100 * ours['resolution'][k]['sigma68']:.1f}" for k in ("photon", "electron"))
    bias = ", ".join(number(100 * found["bias"][k]["median"], 1, sign=True) for k in SHOWERING)
    return (
        f"accuracy on validation showers {epochs} after each epoch, still rising. On the same {found['n']:,} showers: "
        f"accuracy {_with(found['accuracy'], found['accuracy_interval_95'], 4, 1)}, recall of muons "
        f"{found['recall']['muon']:.4f}, of charged hadrons {found['recall']['charged_hadron']:.4f}; sigma68 over all "
        f"energies {photon} for photons, {electron} for electrons (`pid_small`: {small}), {hadron} for charged "
        f"hadrons; biases {bias} %"
    )


@figure("pid.speed")
def speed_table() -> str:
    """Showers/s by CPU time and by the wall clock."""
    simulated, found = loaded("pid/physics.json")["speed"], loaded("pid/speed.json")
    one, two = simulated["1"], simulated["2"]
    own, wall = ([r[k]["median"], r[k]["interval_95"]] for r, k in ((one, "per_cpu_s"), (one, "per_s")))
    rows = [
        ["simulation with clustering and writing, one process", _rate(*own), _rate(*wall)],
        ["the same, two processes", "", _rate(two["per_s"]["median"], two["per_s"]["interval_95"])],
    ]
    number_of = {1: "one", 2: "two"}
    for name, label in ENGINES.items():
        row = found["runtimes"][name]
        cpu = _rate(row["showers_per_cpu_s"], row["showers_per_cpu_s_interval_95"])
        words = label.format(found["batch_size"], number_of[found["threads"]])
        rows.append([words, cpu, _rate(row["showers_per_s"], row["interval_95"])])
    for threads, words in number_of.items():
        row = found["from_hits"][f"{threads}_threads"]
        cpu = _rate(row["showers_per_cpu_s"], row["showers_per_cpu_s_interval_95"])
        label = f"`pid run` from hits, {words} thread{'s' if threads > 1 else ''}"
        rows.append([label, cpu, _rate(row["showers_per_s"], row["interval_95"])])
    return table("| | showers/s of one core's CPU time | by the wall clock |\n|---|--:|--:|", rows)


@figure("pid.against")
def against(engine: str) -> str:
    """An engine's time over ONNX Runtime's."""
    ratio = loaded("pid/speed.json")["runtimes"][engine]["against_onnxruntime"]["ratio"]
    words = f"{ratio['estimate']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
    return words + (", no difference established" if ratio["low"] < 1 < ratio["high"] else "")


@figure("pid.stages")
def stages() -> str:
    """Where the time from hits to answers goes."""
    found = loaded("pid/speed.json")["from_hits"]
    each = ", ".join(f"{stage} {s:.2f}" for stage, s in found["2_threads"]["seconds_by_stage"].items())
    return f"{found['hits']:,} hits of {found['showers']:,} showers, two threads, seconds by stage: {each}"
