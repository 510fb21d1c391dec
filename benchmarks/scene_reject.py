"""What scenes need to know of the packaged 13-band classifier, fitted on training tiles and judged on test tiles.

Writes ``NAME.scene.json`` beside the model file: the confusion on test tiles, the limits of the reject option, all of
them from training tiles; and, under --out, the accuracy-against-coverage curve on the test tiles.

    python benchmarks/scene_reject.py --train MS_TRAIN.zip --test MS_TEST.zip [--out results/scene/reject]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from skytrigger.core.dataset import Dataset
from skytrigger.core.files import atomic_path, write_json
from skytrigger.eo.load import load
from skytrigger.eo.scene.clouds import CLOUDY_SHARE, LIMITS_DN
from skytrigger.eo.scene.decide import softmax
from skytrigger.eo.scene.engine import model_for
from skytrigger.eo.scene.reject import Reject, fit
from skytrigger.eo.scene.tile_measures import screen_clouds
from skytrigger.measure.stats import wilson
from skytrigger.runtimes.open import open_session

KEPT = 0.99  # of the training tiles, by each of the two limits


def measures(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    x = np.asarray(data.x, np.float32)
    return x.mean(axis=(2, 3)), x.std(axis=(2, 3))


def cloudy(data: Dataset) -> float:
    """Share of tiles that the threshold screen calls Cloud; EuroSAT was picked to be free of clouds."""
    planes = [np.ascontiguousarray(data.x[:, data.channels.index(b)]) for b in ("B01", "B02", "B10", "B11")]
    share = np.empty(len(data), np.float32)
    screen_clouds(*planes, LIMITS_DN, share)
    return float((share > CLOUDY_SHARE).mean())


def curve(correct: np.ndarray, score: np.ndarray) -> list[dict[str, float]]:
    """Accuracy of the surest share of the tiles, with Wilson's interval."""
    order = np.argsort(-score, kind="stable")
    rows = []
    for share in (1.0, 0.99, 0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5):
        kept = max(1, round(share * len(order)))
        right = int(correct[order[:kept]].sum())
        interval = wilson(right, kept)
        rows.append({"coverage": kept / len(order), "tiles": kept, "accuracy": right / kept,
                     "low": interval.low, "high": interval.high})  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="eurosat_ms")
    parser.add_argument("--train", nargs="+", required=True)
    parser.add_argument("--test", nargs="+", required=True)
    parser.add_argument("--out", default="results/scene/reject")
    args = parser.parse_args()
    model = model_for(args.model)
    session = open_session(model, "onnxruntime", model.card.precision, 64)
    train, test = (load(paths).select(model.card.channels) for paths in (args.train, args.test))
    names = tuple(model.card.classes)
    y_train, y_test = (np.array([names.index(d.classes[k]) for k in d.y]) for d in (train, test))
    p_train, p_test = (softmax(session.run(np.asarray(d.x, np.float32))) for d in (train, test))

    means, spreads = measures(train)
    reject, left_out = fit(means, spreads, y_train, train.lonlat[:, 0], tuple(model.card.channels), KEPT)
    right = p_train.argmax(1) == y_train
    confidence = float(np.quantile(p_train.max(1)[right], 1 - KEPT))
    reject = Reject(reject.bands, reject.centres, reject.whitening, reject.distance, confidence)

    predicted, distance = p_test.argmax(1), reject.distances(*measures(test), reject.bands)
    correct = predicted == y_test
    confusion = np.zeros((len(names), len(names)), int)
    np.add.at(confusion, (y_test, predicted), 1)
    taken = (distance <= reject.distance) & (p_test.max(1) >= confidence)
    result = {
        "model": model.path.stem, "model_sha256": model.sha256, "training_tiles": len(train), "test_tiles": len(test),
        "limits": {"distance": reject.distance, "confidence": confidence, "kept_of_training_by_each": KEPT},
        "training_left_out_distance": {q: float(np.quantile(left_out, q)) for q in (0.5, 0.9, 0.99, 1.0)},
        "test": {
            "accuracy_all": float(correct.mean()), "kept": float(taken.mean()), "tiles_kept": int(taken.sum()),
            "accuracy_kept": float(correct[taken].mean()), "accuracy_rejected": float(correct[~taken].mean()),
            "rejected_by_distance": int((distance > reject.distance).sum()),
            "rejected_by_confidence": int((p_test.max(1) < confidence).sum()),
        },
        "called_cloud": {"training": cloudy(train), "test": cloudy(test)},
        "curve_confidence": curve(correct, p_test.max(1)), "curve_distance": curve(correct, -distance),
    }  # fmt: skip
    print(result)
    facts = {
        "model_sha256": model.sha256, "confusion": confusion.tolist(),
        "confusion_source": f"{len(test)} test tiles of EuroSAT, further east than all training tiles",
        "reject": {
            "bands": list(reject.bands), "centres": np.round(reject.centres, 6).tolist(),
            "whitening": np.round(reject.whitening, 6).tolist(), "distance": round(reject.distance, 4),
            "confidence": round(confidence, 4), "fitted_on": f"{len(train)} training tiles",
        },
    }  # fmt: skip
    write_json(model.path.with_suffix(".scene.json"), facts)
    out = Path(args.out)
    write_json(out / "reject.json", result)
    picture(out / "coverage.png", result)


def picture(path: Path, result: dict) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for key, label, colour in (
        ("curve_confidence", "by confidence", "#1d4f91"),
        ("curve_distance", "by distance", "#b5762a"),
    ):
        rows = result[key]
        x = [100 * r["coverage"] for r in rows]
        axes.plot(x, [100 * r["accuracy"] for r in rows], "o-", ms=3.5, color=colour, label=label)
        if key == "curve_confidence":
            axes.fill_between(
                x, [100 * r["low"] for r in rows], [100 * r["high"] for r in rows], color=colour, alpha=0.15
            )
    t = result["test"]
    axes.plot(100 * t["kept"], 100 * t["accuracy_kept"], "k*", ms=10, label="the limits that are used")
    axes.set(xlabel="test tiles kept, %", ylabel="accuracy on them, %", xlim=(102, 48), ylim=(85, 100.5))
    axes.set_title(f"{result['model']}, {result['test_tiles']} test tiles; band: 95 % (Wilson)", fontsize=9)
    axes.legend(fontsize=8, loc="lower right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png", metadata={"Software": "skytrigger"})


if __name__ == "__main__":
    main()
