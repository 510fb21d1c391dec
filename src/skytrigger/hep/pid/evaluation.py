"""What `evaluate` says about a network for particle identity and energy, beside the weighted sum of layers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError
from skytrigger.hep.pid.baselines import Trees, WeightedSum, layer_sums_of
from skytrigger.hep.pid.data import ENERGY, IDENTITY
from skytrigger.hep.pid.geometry import CLASSES, MUON
from skytrigger.hep.pid.response import FEWEST, Response, response
from skytrigger.hep.pid.separation import pair_rocs, temperature
from skytrigger.learn.evaluate import card_of
from skytrigger.learn.metrics import expected_calibration_error, metrics
from skytrigger.learn.predictions import Predictions
from skytrigger.measure.stats import wilson
from skytrigger.runtimes.registry import DEFAULT

Array = NDArray[np.float64]
BINS = 8
RANGE = (25.0, 400.0)  # GeV: trained range where the card does not tell
ONE_SIGMA, TWO_SIGMA = 0.6827, 0.9545
CALIBRATION = "calibration"
BASELINE = "weighted_sum"


def trained_range(card: ModelCard, quantity: str = "energy") -> tuple[float, float]:
    """Energies (GeV) or eta of the showers that a network was trained on."""
    source = card.notes.get("source")
    found = source.get(quantity) if isinstance(source, dict) else None
    default = RANGE if quantity == "energy" else (1.7, 2.7)
    return (float(found[0]), float(found[1])) if isinstance(found, (list, tuple)) and len(found) == 2 else default


def calibration_of(predictions: Predictions) -> dict[str, Any]:
    """Temperature of the probabilities and factor on the energies' sigma, from validation showers."""
    logits, label = predictions.answers[IDENTITY], predictions.truth[IDENTITY]
    found: dict[str, Any] = {"temperature": temperature(logits, label), "n": len(label)}
    pulls = _pulls(predictions)
    if pulls is not None:
        found["sigma_factor"] = float(np.quantile(np.abs(pulls), ONE_SIGMA))
    return found


def _pulls(predictions: Predictions, factor: float = 1.0) -> Array | None:
    """(true - predicted) / sigma of showers other than muons; None where the network tells no sigma."""
    values, true = predictions.answers[ENERGY], predictions.truth[ENERGY][:, 0].astype(np.float64)
    if values.shape[1] < 2:
        return None
    own = (predictions.truth[IDENTITY] != MUON) & np.isfinite(true)
    return np.asarray((true[own] - values[own, 0]) / (factor * np.exp(values[own, 1].astype(np.float64) / 2)))


def figures_of_merit(
    predictions: Predictions, dataset: Dataset, index: NDArray[np.int64], model: Path, trees: Trees | None = None
) -> dict[str, Any]:
    """Figures of a network's predictions on the rows `index`.

    Returns
    -------
    dict
        ``accuracy``, ``recall`` by class, ``resolution`` and ``bias`` by class (of those that shower), ``n``; then
        ``pairs``, ``response`` (bins with intervals, inside and outside the trained range), ``coverage``,
        ``baselines`` with the same figures.
    """
    card = card_of(model)
    label = predictions.truth[IDENTITY]
    true = _true_energy(dataset, index)
    low, high = trained_range(card)
    found = judge(predictions.answers[IDENTITY], predictions.answers[ENERGY][:, 0], label, true, (low, high))
    known = card.notes.get(CALIBRATION) or {}
    found["pairs"] = pair_rocs(predictions.answers[IDENTITY], label, CLASSES)
    found["calibration"] = _calibration(predictions, known)
    found["trained_range_GeV"] = [low, high]
    found["extrapolated"] = int(((true < low) | (true > high)).sum())
    baselines = {}
    if BASELINE in card.notes:
        line = WeightedSum.from_json(card.notes[BASELINE])
        energy = line.energy(layer_sums_of(dataset, index).sum(axis=1), label)
        baselines["weighted sum"] = judge(None, energy, label, true, (low, high))
    if trees is not None:
        logits, energy = trees.answer(dataset, index)
        baselines["boosted trees"] = judge(logits, energy, label, true, (low, high))
        baselines["boosted trees"]["pairs"] = pair_rocs(logits, label, CLASSES)
    found["baselines"] = baselines
    return found


def evaluate(
    model: Path,
    dataset: Dataset,
    *,
    part: str | None = None,
    trees: Dataset | None = None,
    runtime: str = DEFAULT,
    threads: int | None = None,
) -> tuple[dict[str, Any], Predictions]:
    """`figures_of_merit` and predictions of a run or model file on a part of `dataset`; trees fitted on `trees`."""
    from skytrigger.hep.pid.application import PID
    from skytrigger.learn.evaluate import evaluate as judged
    from skytrigger.learn.evaluate import part_for

    found, predictions = judged(PID, model, dataset, part=part, runtime=runtime, threads=threads)
    if trees is not None:
        _, index = part_for(PID, dataset, card_of(model), part)
        found |= figures_of_merit(predictions, dataset, index, model, Trees.fit(trees, np.arange(len(trees))))
    return found, predictions


def _true_energy(dataset: Dataset, index: NDArray[np.int64]) -> Array:
    return np.asarray(dataset.targets[ENERGY][index, 0], np.float64)


def _calibration(predictions: Predictions, known: Mapping[str, Any]) -> dict[str, Any]:
    """Calibration error before and after the card's temperature; coverage of the energies' intervals."""
    logits, label = predictions.answers[IDENTITY], predictions.truth[IDENTITY]
    t, factor = float(known.get("temperature", 1.0)), float(known.get("sigma_factor", 1.0))
    found: dict[str, Any] = {
        "temperature": t,
        "expected_calibration_error": expected_calibration_error(logits / t, label),
        "expected_calibration_error_uncalibrated": expected_calibration_error(logits, label),
        "coverage": None,
    }
    pulls = _pulls(predictions, factor)
    if pulls is not None:
        coverage = {}
        for name, width, expected in (("one_sigma", 1.0, ONE_SIGMA), ("two_sigma", 2.0, TWO_SIGMA)):
            inside = int((np.abs(pulls) < width).sum())
            interval = wilson(inside, len(pulls))
            coverage[name] = {
                "share": inside / len(pulls), "interval_95": [interval.low, interval.high], "expected": expected,
            }  # fmt: skip
        found["coverage"] = coverage | {"sigma_factor": factor, "n": len(pulls)}
    return found


def judge(
    logits: NDArray[np.float32] | None,
    energy: NDArray[np.floating],
    label: NDArray[np.int64],
    true: Array,
    trained: tuple[float, float],
) -> dict[str, Any]:
    """Figures of answers: classes from `logits` (None: no classes), energies of those that shower."""
    found: dict[str, Any] = {"n": len(label)}
    if logits is not None:
        about = metrics(logits, label, CLASSES)
        found |= {k: about[k] for k in ("accuracy", "accuracy_interval_95", "confusion", "classes")}
        found["recall"] = {c: about["per_class"][c]["recall"] for c in CLASSES}
        found["recall_interval_95"] = {c: about["per_class"][c]["recall_interval_95"] for c in CLASSES}
    inside, outside, resolution, bias = {}, {}, {}, {}
    for kind, name in enumerate(CLASSES):
        own = (label == kind) & np.isfinite(true)
        if kind == MUON:
            continue
        bins = int(np.clip(own.sum() // (2 * FEWEST), 2, BINS))
        answer = _response(true[own], energy[own], np.linspace(*trained, bins + 1))
        if answer is not None:
            inside[name] = answer.to_json()
            resolution[name] = {
                "a": answer.a, "a_interval_95": answer.a_interval, "b": answer.b, "b_interval_95": answer.b_interval,
                "sigma68": answer.sigma68, "sigma68_interval_95": answer.sigma68_interval,
            }  # fmt: skip
            bias[name] = {"median": answer.bias, "interval_95": answer.bias_interval}
        beyond = own & ((true < trained[0]) | (true > trained[1]))
        if beyond.sum() >= FEWEST:
            low, high = float(true[beyond].min()), float(true[beyond].max())
            far = _response(true[beyond], energy[beyond], _beyond(low, high, trained))
            if far is not None:
                outside[name] = far.to_json()
    found |= {"resolution": resolution, "bias": bias, "response": inside, "response_outside": outside}
    return found


def _beyond(low: float, high: float, trained: tuple[float, float]) -> Array:
    """Edges of two bins below the trained range and four above, as far as there are showers."""
    below = np.linspace(low, trained[0], 3) if low < trained[0] else np.array([trained[0]])
    above = np.linspace(trained[1], np.nextafter(high, np.inf), 5) if high > trained[1] else np.array([trained[1]])
    return np.concatenate([below, above])


def _response(true: Array, energy: NDArray[np.floating], edges: Array) -> Response | None:
    try:
        return response(true, energy, edges)
    except InputError:  # too few showers of this class
        return None


def describe(found: Mapping[str, Any]) -> str:
    """A few lines."""
    low, high = found["accuracy_interval_95"]
    lines = [
        f"{found.get('part', '')}: accuracy {100 * found['accuracy']:.2f} % of {found['n']} showers "
        f"(95 % interval {100 * low:.2f} to {100 * high:.2f})",
        f"{'class':15} {'recall':>7} {'sigma68(E)':>28} {'bias':>8} {'weighted sum':>28}",
    ]
    line = found["baselines"].get("weighted sum", {"resolution": {}})
    for name in CLASSES:
        recall = found["recall"][name]
        own, theirs = found["resolution"].get(name), line["resolution"].get(name)
        bias = f"{100 * found['bias'][name]['median']:+.2f} %" if own else "-"
        lines.append(
            f"{name:15} {'-' if recall is None else f'{recall:.4f}':>7} {_fit(own):>28} {bias:>8} {_fit(theirs):>28}"
        )
    calibration = found["calibration"]
    words = f"expected calibration error {100 * calibration['expected_calibration_error']:.1f} %"
    if calibration["coverage"]:
        words += f"; one sigma holds {100 * calibration['coverage']['one_sigma']['share']:.1f} % of the energies"
    if found["extrapolated"]:
        words += f"; {found['extrapolated']} showers lie outside the trained range of energies"
    return "\n".join([*lines, words])


def _fit(row: Mapping[str, Any] | None) -> str:
    return "-" if row is None else f"{100 * row['a']:.1f} %/sqrt(E) + {100 * row['b']:.1f} %"
