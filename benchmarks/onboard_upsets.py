"""What bit flips by radiation leave of the classifier and of stored tiles, with and without what mends them.

Weights: the packaged classifier on the real test tiles, its constants hit by upsets; never mended, scrubbed from a
golden copy each time that many upsets have come (the mean over the time between two scrubs), with only scales, zero
points and biases checked, and with all of it checked by CRC before each use. Tiles: the test tiles in memory, raw and
as JPEG 2000, without protection, with a CRC that drops what is damaged, and with the (72, 64) code that mends single
flips. The record holds a share for each seed of the flips; intervals are Student's over them, for these tiles.

    python benchmarks/onboard_upsets.py --test MS_TEST.zip [--out results/onboard] [--seeds 20]
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from skytrigger.core.files import read_json, write_json
from skytrigger.core.host import host_facts, package_versions
from skytrigger.core.seeds import derive, generator
from skytrigger.eo.load import load
from skytrigger.eo.scene.engine import Lanes, model_for
from skytrigger.measure.stats import Interval, wilson
from skytrigger.model.file import ModelFile
from skytrigger.onboard.codecs import decode, encode
from skytrigger.onboard.edac import mend, protect
from skytrigger.onboard.metrics import interval
from skytrigger.onboard.upsets import KINDS, Guard, flip_bits, flip_tiles, flip_weights, flips_of, weight_bits
from skytrigger.report.charts import Trace, traces
from skytrigger.report.drawing import Drawing, write_png
from skytrigger.report.palette import FIRST, OTHER, SECOND

WEIGHT_LEVELS = (1, 3, 10, 30, 100, 300, 1000)  # upsets a million bits
TILE_LEVELS = (0.01, 0.1, 1, 10, 100, 1000)
HARM = 0.01  # of accuracy: a single flip that takes more is called harmful
LARGE = "int8 weights"  # the kind that holds nearly all bits
POLICIES = ("never mended", "scrubbed", "small constants checked", "checked before use")
Answers = Callable[[np.ndarray], np.ndarray]


def accuracy(model: ModelFile, tiles: np.ndarray, truth: np.ndarray) -> float:
    """Share of right answers; an engine that refuses the model has none, logits that are no numbers are wrong."""
    try:
        lanes = Lanes(model, "onnxruntime", 1, codes=False)
    except Exception:  # whatever the engine says to broken constants
        return 0.0
    try:
        return float(right(answers_of(lanes), tiles, truth).mean())
    finally:
        lanes.close()


def answers_of(lanes: Lanes) -> Answers:
    run = lanes.logits(0)

    def answers(tiles: np.ndarray) -> np.ndarray:
        parts = [run(tiles[i : i + 32].astype(np.float32)) for i in range(0, len(tiles), 32)]
        logits = np.concatenate(parts)
        return np.where(np.isfinite(logits).all(1), logits.argmax(1), -1)

    return answers


def right(answers: Answers, tiles: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return answers(tiles) == truth


def weights(model: ModelFile, tiles: np.ndarray, truth: np.ndarray, seeds: int) -> list[dict[str, object]]:
    guard, rows = Guard.of(model), []
    for level in WEIGHT_LEVELS:
        found: dict[str, list[float]] = {name: [] for name in POLICIES}
        missed = 0
        for seed in range(seeds):
            hit = flip_weights(model, derive(seed, level), per_mbit=level)
            found["never mended"].append(accuracy(hit, tiles, truth))
            since = level * generator(seed, "since", level).random()  # upsets since the last scrub: all times alike
            found["scrubbed"].append(
                accuracy(flip_weights(model, derive(seed, level, 1), per_mbit=since), tiles, truth)
            )
            mended, _, beyond = guard.mend(hit, model)
            missed += bool(beyond) or mended.graph() != model.graph()
            found["checked before use"].append(accuracy(mended, tiles, truth))
            small = flip_weights(model, derive(seed, level), per_mbit=level, kinds=[LARGE])
            found["small constants checked"].append(accuracy(small, tiles, truth))
        rows.append({"upsets_per_mbit": level, "not_mended_whole": missed, "policies": found})
        print(level, {n: round(float(np.mean(v)), 3) for n, v in found.items()}, missed, flush=True)
    return rows


def single(model: ModelFile, tiles: np.ndarray, truth: np.ndarray, plain: float, seeds: int) -> list[dict[str, object]]:
    """One flip in each kind of constant: how often it harms, and by how much at worst."""
    rows = []
    for kind, bits in weight_bits(model).items():
        values = [accuracy(flip_weights(model, seed, flips=1, kinds=[kind]), tiles, truth) for seed in range(seeds)]
        harmed = sum(plain - v > HARM for v in values)
        rows.append({"kind": kind, "bits": bits, "flips": seeds, "harmful": wilson(harmed, seeds).to_json(),
                     "worst_accuracy": min(values), "values": values})  # fmt: skip
        print(kind, bits, harmed, min(values), flush=True)
    return rows


def stored(tiles: np.ndarray, truth: np.ndarray, answers: Answers, seeds: int) -> list[dict[str, object]]:
    packed = [encode(t, "lossless") for t in tiles]
    right_before = right(answers, tiles, truth)
    rows = []
    for level in TILE_LEVELS:
        found: dict[str, list[tuple[float, float, float]]] = {}
        for seed in range(seeds):
            hit = flip_tiles(tiles, level, seed)
            same = (hit == tiles).all((1, 2, 3))
            ok = np.where(same, right_before, right(answers, hit, truth))
            note(found, "raw, unprotected", same.mean(), 1 - same.mean(), ok.mean())
            for name, values in hit_packed(packed, tiles, truth, right_before, answers, level, seed).items():
                note(found, name, *values)
        rows.append({"upsets_per_mbit": level, "ways": {name: summary(v) for name, v in found.items()}})
        print(
            level,
            {n: [round(float(np.mean(c)), 3) for c in zip(*v, strict=True)] for n, v in found.items()},
            flush=True,
        )
    return rows


def note(found: dict[str, list[tuple[float, float, float]]], name: str, *values: float) -> None:
    found.setdefault(name, []).append(tuple(float(v) for v in values))


def summary(values: list[tuple[float, float, float]]) -> dict[str, object]:
    """By what is counted: a share for each seed."""
    names = ("intact", "altered_unnoticed", "accuracy")
    return {n: list(c) for n, c in zip(names, zip(*values, strict=True), strict=True)}


def hit_packed(
    packed: list[bytes],
    tiles: np.ndarray,
    truth: np.ndarray,
    before: np.ndarray,
    answers: Answers,
    level: float,
    seed: int,
) -> dict[str, tuple[float, float, float]]:
    """Shares of tiles intact, altered without anyone noticing, and rightly classified (lost ones are not)."""
    rng = generator(seed, "packed", level)
    n = len(packed)
    intact, mended, altered, ok = np.zeros(n, bool), np.zeros(n, bool), np.zeros(n, bool), np.zeros(n, bool)
    for i, payload in enumerate(packed):
        hit = flip_bits(payload, flips_of(level, 8 * len(payload), rng), rng)
        intact[i] = zlib.crc32(hit) == zlib.crc32(payload)
        checks = protect(payload)
        checks = flip_bits(checks, flips_of(level, 8 * len(checks), rng), rng)
        mended[i] = mend(hit, checks).data == payload
        if intact[i]:
            ok[i] = before[i]
            continue
        try:
            back = decode(hit)
        except Exception:  # a decoder that gives up is a tile that is lost
            continue
        if back.shape == tiles[i].shape:
            altered[i] = bool((back != tiles[i]).any())
            ok[i] = right(answers, back[None], truth[i : i + 1])[0]
    return {
        "JPEG 2000, unprotected": (intact.mean(), altered.mean(), ok.mean()),
        "JPEG 2000, CRC": (intact.mean(), 0.0, (intact & before).mean()),
        "JPEG 2000, CRC and (72, 64) code": (mended.mean(), 0.0, (mended & before).mean()),
    }


def picture(result: dict) -> list[tuple[str, Drawing]]:
    def lines(rows: list[dict], group: str, names: dict[str, tuple[str, str]], key: str | None) -> list[Trace]:
        def value(row: dict, name: str) -> Interval:
            found = interval(row[group][name][key] if key else row[group][name])
            return Interval(found["value"], max(0.0, found["low"]), min(1.0, found["high"]))

        return [
            Trace(said, [(r["upsets_per_mbit"], value(r, n)) for r in rows], tone) for n, (said, tone) in names.items()
        ]

    policies = {"never mended": ("no check", SECOND), "scrubbed": ("scrubbed", OTHER),
                "small constants checked": ("4 %", f"{FIRST} dash"), "checked before use": ("all", FIRST)}  # fmt: skip
    ways = {"raw, unprotected": ("raw", SECOND), "JPEG 2000, unprotected": ("JPEG 2000", OTHER),
            "JPEG 2000, CRC and (72, 64) code": ("with code", FIRST)}  # fmt: skip
    unit = "upsets a million bits"
    weight_lines = lines(result["weights"], "policies", policies, None)
    tile_lines = lines(result["tiles"], "ways", ways, "accuracy")
    return [("", traces("Weights hit: accuracy", weight_lines, x_unit=unit, log=False, percent=True)),
            (" ", traces("Stored tiles hit: accuracy", tile_lines, x_unit=unit, log=False, percent=True))]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", nargs="+", default=[])
    parser.add_argument("--model", default="eurosat_ms")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--single", type=int, default=60, help="single flips of each kind")
    parser.add_argument("--out", default="results/onboard")
    parser.add_argument("--draw", action="store_true", help="only the picture, of the record that is there")
    args = parser.parse_args()
    if args.draw:
        write_png(picture(read_json(Path(args.out) / "upsets.json")), Path(args.out) / "upsets.png")
        return
    model = model_for(args.model)
    data = load(args.test).select(model.card.channels)
    tiles = np.ascontiguousarray(data.x)
    truth = np.array([model.card.classes.index(data.classes[k]) for k in data.y])
    lanes = Lanes(model, "onnxruntime", 1, codes=False)
    plain = int(right(answers_of(lanes), tiles, truth).sum())
    result = {
        "model": args.model, "model_sha256": model.sha256, "runtime": "onnxruntime", "test_tiles": len(tiles),
        "seeds": args.seeds, "accuracy": wilson(plain, len(tiles)).to_json(), "harm": HARM, "host": host_facts(),
        "packages": package_versions(("numpy", "imagecodecs", "onnxruntime")), "weight_bits": weight_bits(model),
        "kinds": sorted(KINDS.values()), "tile_seeds": max(2, args.seeds // 5),
    }  # fmt: skip
    stages = {
        "weights": lambda: weights(model, tiles, truth, args.seeds),
        "single_flips": lambda: single(model, tiles, truth, plain / len(tiles), args.single),
        "tiles": lambda: stored(tiles, truth, answers_of(lanes), result["tile_seeds"]),
    }
    out = Path(args.out)
    kept = out / "upsets.part.json"  # a run that is killed goes on after its last whole stage
    if kept.exists() and read_json(kept)["key"] == [model.sha256, args.seeds, args.single]:
        result |= read_json(kept)["stages"]
    for name, stage in stages.items():
        if name not in result:
            result[name] = stage()
            done = {n: result[n] for n in stages if n in result}
            write_json(kept, {"key": [model.sha256, args.seeds, args.single], "stages": done})
    lanes.close()
    write_json(out / "upsets.json", result)
    kept.unlink()
    write_png(picture(result), out / "upsets.png")


if __name__ == "__main__":
    main()
