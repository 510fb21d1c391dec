"""EuroSAT: accuracies, comparisons, trainings, the packaged classifiers."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import numpy as np

from figures import figure
from figures.text import RESULTS, lines_of, loaded, percent, predictions, right, table
from skytrigger.core.files import sha256_file
from skytrigger.eo.packaged import packaged
from skytrigger.learn.metrics import metrics
from skytrigger.measure.seed_variance import SeedVariance, seed_variance
from skytrigger.measure.stats import wilson

NAMES = {"eurosat_ms": "ms", "eurosat_rgb": "rgb", "eurosat_ms_fast": "ms_fast", "eurosat_rgb_fast": "rgb_fast",
         "eurosat_l2a": "l2a"}  # fmt: skip
# classifier -> the study of `basic` on the same tiles; none on simulated ones
STUDIES = {"eurosat_ms": "eurosat-ms", "eurosat_ms_fast": "eurosat-ms", "eurosat_rgb": "eurosat-rgb",
           "eurosat_rgb_fast": "eurosat-rgb"}  # fmt: skip
SEEDS = {"eurosat-ms": "3 seeds, 25 epochs", "eurosat-rgb": "1 seed, 6 epochs"}
KINDS = {"eurosat-ms": "13-band tiles", "eurosat-rgb": "RGB tiles", "": "13-band tiles turned into simulated Level-2A"}


@cache
def cells(study: str, kind: str) -> dict[str, dict[int, str]]:
    """Network -> seed -> folder of a study's cells of a kind."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for path in sorted((RESULTS / study / "cells").glob(f"{kind}-*")):
        _, network, seed, _ = path.name.split("-")
        found[network][int(seed)] = f"{study}/cells/{path.name}"
    return dict(found)


@cache
def accuracy(study: str, network: str) -> SeedVariance:
    """Over the seeds there are, on the test tiles."""
    files = [f"{folder}/predictions.parquet" for _, folder in sorted(cells(study, "evaluate")[network].items())]
    return seed_variance(np.array([right(predictions(f)) for f in files]))


@figure("tiles.table")
def networks_table() -> str:
    """Accuracy of the seven networks on 13 bands."""
    rows = []
    for network, seeds in cells("eurosat-ms", "evaluate").items():
        found = accuracy("eurosat-ms", network)
        parameters = loaded(f"{cells('eurosat-ms', 'train')[network][0]}/result.json")["result"]["parameters"]
        rows.append(
            (found.accuracy.estimate, [f"`{network}`", f"{parameters:,}", percent(found.accuracy), str(len(seeds))])
        )
    head = "| network | parameters | test accuracy | seeds |\n|---|---:|---:|---:|"
    return table(head, [row for _, row in sorted(rows, key=lambda r: -r[0])])


@figure("tiles.accuracy")
def test_accuracy(study: str, network: str) -> str:
    """Test accuracy with its interval."""
    return percent(accuracy(study, network).accuracy)


@figure("tiles.seed_sd")
def seed_spread(network: str) -> str:
    """Standard deviation between seeds, points."""
    return f"{100 * accuracy('eurosat-ms', network).seed_sd:.1f}"


@figure("tiles.trainings")
def trainings() -> str:
    """How many trainings there are of three seeds of each network."""
    found = cells("eurosat-ms", "train")
    return f"{sum(map(len, found.values()))} of the {3 * len(found)}"


@cache
def history(study: str, network: str, seed: int = 0) -> tuple[dict[str, Any], ...]:
    """Epochs of a training."""
    return lines_of(f"{cells(study, 'train')[network][seed]}/history.jsonl")


@figure("tiles.epoch")
def epoch_accuracy(study: str, network: str, which: str) -> str:
    """Validation accuracy after the ``last`` epoch, the ``best``, or the one before the last."""
    values = [line["val_accuracy"] for line in history(study, network)]
    value = {"last": values[-1], "best": max(values), "previous": values[-2]}[which]
    return f"{100 * value:.1f} %"


@figure("tiles.ends")
def ends(network: str, what: str) -> str:
    """Range over seeds of the last epoch's accuracy (``train`` or ``val``)."""
    seeds = cells("eurosat-ms", "train")[network]
    values = [100 * history("eurosat-ms", network, seed)[-1][f"{what}_accuracy"] for seed in seeds]
    return f"{min(values):.0f} to {max(values):.0f} %"


@figure("tiles.loss_gap")
def loss_gap(network: str) -> str:
    """Largest validation loss over training loss of the last epochs, over seeds."""
    last = [history("eurosat-ms", network, seed)[-1] for seed in cells("eurosat-ms", "train")[network]]
    return f"{max(line['val_loss'] / line['train_loss'] for line in last):.0f} times"


@figure("tiles.minutes")
def minutes(study: str, network: str) -> str:
    """Length of a training."""
    seconds = sum(line["seconds"] for line in history(study, network))
    return f"{seconds / 60:.1f} minutes"


@figure("tiles.count")
def count(study: str, part: str) -> str:
    """Tiles in a part's list."""
    return f"{len((RESULTS / study / f'{part}.txt').read_text().split()):,}"


@figure("tiles.shared")
def shared() -> str:
    """How many 13-band validation tiles were RGB training tiles."""
    val, train = (set((RESULTS / f).read_text().split()) for f in ("eurosat-ms/val.txt", "eurosat-rgb/train.txt"))
    return f"{len(val & train)} of the {len(val)}"


@cache
def judged(name: str) -> dict[str, Any]:
    """Metrics of a packaged classifier from its predictions, which must be of the file that is shipped."""
    folder = f"packaged/{NAMES[name]}-test"
    if loaded(f"{folder}/metrics.json")["model_hash"] != sha256_file(packaged(name)):
        raise ValueError(f"{folder} is of another file than the shipped {name}")
    found = predictions(f"{folder}/predictions.parquet")
    return metrics(found.logits, found.true, found.classes)


@figure("packaged.accuracy")
def packaged_accuracy(name: str) -> str:
    """On the test tiles."""
    found = judged(name)
    return percent(wilson(found["correct"], found["images"]))


@figure("packaged.calibration")
def packaged_calibration(name: str) -> str:
    """Expected calibration error on the test tiles."""
    return f"{100 * judged(name)['expected_calibration_error']:.1f} %"


@figure("packaged.size")
def packaged_size(name: str) -> str:
    """Of the file."""
    return f"{packaged(name).stat().st_size / 1000:.0f} kB"


@figure("packaged.hash")
def packaged_hash(name: str) -> str:
    """Beginning of the file's SHA-256."""
    return f"`{sha256_file(packaged(name))[:12]}`"


@figure("packaged.val")
def last_validation(recipe: str) -> str:
    """Validation accuracy after the last epoch of a recipe beside the page."""
    return f"{100 * lines_of(f'packaged/{recipe}.history.jsonl')[-1]['val_accuracy']:.1f} %"


@figure("packaged.epochs")
def epochs(*recipes: str) -> str:
    """Epochs of recipes, together."""
    return str(sum(len(lines_of(f"packaged/{r}.history.jsonl")) for r in recipes))


@figure("packaged.minutes")
def training_minutes(*recipes: str) -> str:
    """Length of the trainings, together."""
    return (
        f"{sum(line['seconds'] for r in recipes for line in lines_of(f'packaged/{r}.history.jsonl')) / 60:.0f} minutes"
    )


@figure("packaged.recall")
def recall(name: str, true: str) -> str:
    """Share of a class that is found."""
    return f"{100 * judged(name)['per_class'][true]['recall']:.0f} %"


@figure("packaged.taken")
def taken(name: str, true: str, answer: str) -> str:
    """Share of a class that is taken for another."""
    found = predictions(f"packaged/{NAMES[name]}-test/predictions.parquet")
    of, called = (found.classes.index(n) for n in (true, answer))
    return f"{100 * float((found.logits.argmax(axis=1)[found.true == of] == called).mean()):.0f} %"


@figure("packaged.table")
def packaged_table() -> str:
    """All on the test tiles, with `basic`."""
    from figures.trainings import basic_on  # which reads this module's studies

    rows = []
    for name in NAMES:
        found, study = judged(name), STUDIES.get(name, "")
        basic = basic_on(study) if study else "not trained"
        own = percent(wilson(found["correct"], found["images"]))
        rows.append([f"`{name}`", packaged_hash(name), packaged_size(name),
                     f"{found['images']:,} {KINDS[study]}, east of all training tiles", f"{found['correct']:,}", own,
                     packaged_calibration(name), basic])  # fmt: skip
    head = (
        "| model | file | size | judged on | correct | accuracy (95 %, Wilson) | calibration error "
        "| `basic` on the same tiles |\n|---|---|---:|---|---:|---:|---:|---|"
    )
    return table(head, rows)


@figure("packaged.choice")
def choice(*path: str) -> str:
    """A figure of the choices made on places held out, `packaged/choices.json`; a share as a percentage."""
    value = loaded("packaged/choices.json")
    for key in path:
        value = value[key]
    return f"{100 * value:.1f} %" if isinstance(value, float) else f"{value:,}"


@figure("packaged.stage")
def stage_accuracy(stage: str, member: str, tiles: str) -> str:
    """Accuracy of a network of `cpu_teacher.py`'s stages on one of the sets that judged it."""
    found = loaded(f"packaged/stages/{stage}.json")["members"][member]["figures"][tiles]
    return f"{100 * found['accuracy']:.1f} %"


@figure("packaged.stage_rate")
def stage_rate(stage: str) -> str:
    """Highest learning rate of a stage."""
    return f"{loaded(f'packaged/stages/{stage}.json')['plan']['rate']:g}"


@figure("packaged.stage_sum")
def stage_correct(stage: str, member: str) -> str:
    """Tiles that it has right, of all sets that judged it together."""
    found = loaded(f"packaged/stages/{stage}.json")
    counts, figures = found["judged"], found["members"][member]["figures"]
    right = sum(round(figures[name]["accuracy"] * n) for name, n in counts.items())
    return f"{right} of {sum(counts.values())}"


@figure("packaged.stage_epochs")
def stage_epochs(*stages: str) -> str:
    """Epochs of stages, together."""
    return str(sum(loaded(f"packaged/stages/{stage}.json")["epochs"] for stage in stages))


@figure("packaged.tried")
def tried(name: str) -> str:
    """Test accuracy of a model that is not shipped, from its own metadata."""
    found = loaded("packaged/tried.json")[name]["test"]
    return percent(wilson(round(found["accuracy"] * found["images"]), found["images"]))


@figure("packaged.tried_taken")
def tried_taken(name: str, true: str, answer: str) -> str:
    """Tiles of a class that a model that is not shipped takes for another."""
    found = loaded("packaged/tried.json")[name]
    row = found["confusion"][found["classes"].index(true)]
    return f"{row[found['classes'].index(answer)]} of {sum(row)}"


@figure("packaged.agreement")
def agreement(name: str) -> str:
    """Share of test tiles with the same class on both engines, `packaged/engines.json`."""
    found = loaded("packaged/engines.json")[name]
    if found["model_sha256"] != sha256_file(packaged(name)):
        raise ValueError(f"packaged/engines.json is of another file than the shipped {name}")
    return f"{found['same']:,} of {found['tiles']:,}"
