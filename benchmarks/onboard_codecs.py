"""What a tile costs on the link by each codec, and what the classifier makes of it after a lossy one.

Sizes: every test tile, as EuroSAT has it (13 bands of 64 x 64) and as the instrument has it (10, 20 and 60 m: 64, 32
and 11 pixels a side, averaged from the tile). Accuracy: the packaged classifier on the test tiles after JPEG 2000 at
each quality, with all bands weighing alike (noise 1 DN) and each by its standard deviation. The quality that the tier
``lossy`` has by default is the lowest that keeps 99 % of the answers on the *training and validation* tiles.

    python benchmarks/onboard_codecs.py --train MS_TRAIN.zip --test MS_TEST.zip [--out results/onboard]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image

from skytrigger.core.dataset import Dataset
from skytrigger.core.files import read_json, sha256_file, write_json
from skytrigger.core.host import host_facts, package_versions
from skytrigger.eo.bands import BY_NAME
from skytrigger.eo.load import load
from skytrigger.eo.packaged import packaged
from skytrigger.eo.scene.engine import Lanes, model_for
from skytrigger.measure.accuracy import mcnemar
from skytrigger.measure.stats import Interval, mean_interval, median_interval, percentile, wilson
from skytrigger.onboard.codecs import CCSDS121, CODEC_NAMES, JPEG2000, RAW, decode, encode
from skytrigger.report.charts import Spot, scatter
from skytrigger.report.content import interval_of
from skytrigger.report.drawing import Drawing, write_png
from skytrigger.report.palette import FIRST, SECOND

PSNR_DB = (40, 44, 48, 50, 52, 54, 56, 58, 60, 62, 64, 68, 72)  # with weights: against 16 bits' full scale
KEEP = 0.99  # of the answers on the tiles that choose
LOSSLESS = (JPEG2000, CCSDS121, RAW)


def native(tile: np.ndarray, channels: tuple[str, ...]) -> list[np.ndarray]:
    """Bands at the instrument's own pixel: averages of the tile's, whole pixels of 60 m over its edge filled up."""
    bands = []
    for name, band in zip(channels, tile, strict=True):
        side = -(-band.shape[0] * 10 // BY_NAME[name].resolution_m)
        if side != band.shape[0]:
            image = Image.fromarray(band.astype(np.float32))
            band = np.rint(np.asarray(image.resize((side, side), Image.Resampling.BOX))).astype(np.uint16)
        bands.append(band)
    return bands


def bits(payloads: list[bytes]) -> dict[str, float]:
    """Mean with its interval, and the spread from tile to tile."""
    sizes = np.array([8 * len(p) for p in payloads], float)
    mean = mean_interval(sizes)
    return {"mean": mean.estimate, "low": mean.low, "high": mean.high, "p5": percentile(sizes, 5),
            "p50": percentile(sizes, 50), "p95": percentile(sizes, 95)}  # fmt: skip


def lossless(data: Dataset) -> list[dict[str, object]]:
    rows = []
    for kind in ("13 x 64 x 64", "native"):
        tiles = [np.asarray(x) if kind != "native" else native(x, data.channels) for x in data.x]
        samples = sum(b.size for b in tiles[0])
        for codec in LOSSLESS:
            tier = "backlog" if codec == RAW else "lossless"
            row = bits([encode(t, tier, codec=codec) for t in tiles])
            rows.append({"bands": kind, "codec": CODEC_NAMES[codec], "bits": row, "samples": samples,
                         "bits_a_sample": row["mean"] / samples})  # fmt: skip
    return rows


def pace(data: Dataset, count: int = 100) -> dict[str, object]:
    """How many times as long JPEG 2000 takes as CCSDS 121, tile by tile in turn; one thread."""
    ratios = {"encode": [], "decode": []}
    for x in np.asarray(data.x[:count]):
        took = {}
        for codec in (CCSDS121, JPEG2000):
            t0 = time.perf_counter()
            payload = encode(x, "lossless", codec=codec)
            t1 = time.perf_counter()
            decode(payload)
            took[codec] = (t1 - t0, time.perf_counter() - t1)
        for i, way in enumerate(("encode", "decode")):
            ratios[way].append(took[JPEG2000][i] / took[CCSDS121][i])
    return {way: median_interval(values).to_json() for way, values in ratios.items()}


def lossy(
    data: Dataset, plain: np.ndarray, classes: tuple[str, ...], lanes: Lanes, psnr_db: float, noise: object
) -> dict[str, object]:
    """Sizes, and answers after against those before."""
    payloads = [encode(x, "lossy", psnr_db=psnr_db, noise_dn=noise) for x in data.x]
    back = np.stack([decode(p) for p in payloads])
    after = answers(back, lanes)
    truth = np.array([classes.index(data.classes[k]) for k in data.y])
    n, right = len(data), int((after == truth).sum())
    accuracy, same = wilson(right, n), wilson(int((after == plain).sum()), n)
    change = mcnemar(plain == truth, after == truth)
    error = back.astype(float) - np.asarray(data.x, float)
    rms = np.sqrt((error**2).mean((0, 2, 3))).round(1).tolist()
    return {"bits": bits(payloads), "correct": right, "accuracy": accuracy.to_json(), "same_answers": same.to_json(),
            "change": change.difference.to_json(), "rms_error_dn": rms}  # fmt: skip


def answers(tiles: np.ndarray, lanes: Lanes) -> np.ndarray:
    run = lanes.logits(0)
    return np.concatenate([run(tiles[i : i + 32].astype(np.float32)) for i in range(0, len(tiles), 32)]).argmax(1)


def picture(result: dict) -> Drawing:
    """Accuracy on the test tiles against bits a tile; the lossless size is the last point of each."""
    spots = []
    lossless = next(r["bits"] for r in result["lossless"] if r["bands"] != "native" and "2000" in r["codec"])
    for weights, tone in (("std", FIRST), ("alike", SECOND)):
        for row in (r for r in result["lossy"] if r["weights"] == weights):
            size = row["test"]["bits"]
            chosen = row["psnr_db"] == result[f"chosen_{weights}_db"]
            name = f"{row['psnr_db']} dB"
            spots.append(Spot(name, Interval(size["mean"] / 1000, size["low"] / 1000, size["high"] / 1000),
                              interval_of(row["test"]["accuracy"]), tone, chosen and weights == "std"))  # fmt: skip
    whole = Interval(lossless["mean"] / 1000, lossless["low"] / 1000, lossless["high"] / 1000)
    spots.append(Spot("lossless", whole, interval_of(result["accuracy"]), FIRST, True))
    n = result["test_tiles"]
    return scatter(f"Accuracy on {n} test tiles; blue: bands weighted by their spread, orange: alike", "kbit a tile",
                   "accuracy", spots)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", default=[])
    parser.add_argument("--test", nargs="+", default=[])
    parser.add_argument("--model", default="eurosat_ms")
    parser.add_argument("--out", default="results/onboard")
    parser.add_argument("--draw", action="store_true", help="only the picture, of the record that is there")
    args = parser.parse_args()
    if args.draw:
        write_png([("", picture(read_json(Path(args.out) / "codecs.json")))], Path(args.out) / "codecs.png")
        return
    model = model_for(args.model)
    card = model.card
    train, test = (load(p).select(card.channels) for p in (args.train, args.test))
    lanes = Lanes(model, "onnxruntime", 1, codes=False)
    truth = np.array([card.classes.index(test.classes[k]) for k in test.y])
    before = {id(d): answers(np.asarray(d.x), lanes) for d in (train, test)}
    plain = wilson(int((before[id(test)] == truth).sum()), len(test))
    result = {
        "model": args.model, "model_sha256": sha256_file(packaged(args.model)), "runtime": "onnxruntime",
        "test_tiles": len(test), "choosing_tiles": len(train), "keep": KEEP, "host": host_facts(),
        "packages": package_versions(("numpy", "imagecodecs", "onnxruntime")), "channels": list(card.channels),
        "accuracy": plain.to_json(), "lossless": lossless(test), "jpeg2000_times_ccsds121": pace(test), "lossy": [],
    }  # fmt: skip
    for weights, noise in (("std", card.std), ("alike", None)):
        chosen = None
        for psnr_db in PSNR_DB:
            choosing, row = (lossy(d, before[id(d)], card.classes, lanes, psnr_db, noise) for d in (train, test))
            result["lossy"].append({"weights": weights, "psnr_db": psnr_db, "test": row, "choosing": choosing})
            if chosen is None and choosing["same_answers"]["estimate"] >= KEEP:
                chosen = psnr_db
            print(f"{weights:6} {psnr_db} dB: {row['bits']['mean'] / 1000:6.1f} kbit a tile, "
                  f"{100 * row['accuracy']['estimate']:.1f} %; same answers on the choosing tiles: "
                  f"{100 * choosing['same_answers']['estimate']:.1f} %", flush=True)  # fmt: skip
        result[f"chosen_{weights}_db"] = chosen
    lanes.close()
    out = Path(args.out)
    write_json(out / "codecs.json", result)
    write_png([("", picture(result))], out / "codecs.png")


if __name__ == "__main__":
    main()
