"""Maps of whole scenes: rejection, decoding less, memory of a granule."""

from __future__ import annotations

import statistics
from typing import Any

from figures import figure
from figures.text import loaded, percent, table
from skytrigger.core.files import sha256_file
from skytrigger.eo.packaged import packaged
from skytrigger.measure.stats import wilson

REDUCED = {"tiles as they are": "tiles as they are", "reduce 0": "written and read back", "reduce 1": "`--reduce 1`",
           "reduce 2": "`--reduce 2`"}  # fmt: skip


def _reject() -> dict[str, Any]:
    found: dict[str, Any] = loaded("scene/reject/reject.json")
    if found["model_sha256"] != sha256_file(packaged(found["model"])):
        raise ValueError("results/scene/reject is of another file than the shipped one")
    return found


@figure("scene.reject")
def reject_table() -> str:
    """Accuracy of test tiles that are kept and rejected."""
    found = _reject()
    test, n = found["test"], found["test_tiles"]
    kept = test["tiles_kept"]
    both = test["rejected_by_distance"] + test["rejected_by_confidence"] - (n - kept)
    whole = wilson(round(test["accuracy_all"] * n), n)
    by = f"{test['rejected_by_distance']} by distance, {test['rejected_by_confidence']} by confidence; {both} by both"
    rows = [
        ["all", str(n), percent(whole)],
        ["kept", f"{kept} ({100 * kept / n:.1f} %)", f"{100 * test['accuracy_kept']:.1f} %"],
        ["rejected", f"{n - kept} ({by})", f"{100 * test['accuracy_rejected']:.1f} %"],
    ]
    return table("| | tiles | accuracy |\n|---|---:|---:|", rows)


@figure("scene.tiles")
def tiles(part: str) -> str:
    """``training`` (with validation) or ``test`` tiles, or ``all``."""
    found = _reject()
    if part == "all":
        return f"{found['training_tiles'] + found['test_tiles']:,}"
    return f"{found[f'{part}_tiles']:,}"


@figure("scene.cloud")
def cloud() -> str:
    """How many cloud-free tiles are called Cloud."""
    found = _reject()
    called = sum(round(found["called_cloud"][p] * found[f"{p}_tiles"]) for p in ("training", "test"))
    return "None" if not called else str(called)


@figure("scene.reduce")
def reduce_table() -> str:
    """Accuracy at fewer decoded pixels."""
    found = loaded("scene/reduce.json")
    rows = []
    for row in found["rows"]:
        changed = "" if row["what"] == "tiles as they are" else str(row["decisions_changed"])
        rows.append([REDUCED[row["what"]], percent(wilson(row["correct"], found["tiles"])), changed])
    return table("| | accuracy | decisions changed |\n|---|---:|---:|", rows)


@figure("scene.memory")
def memory(kind: str) -> str:
    """Largest peak of a granule's runs."""
    return f"{max(run['peak_mb'] for run in loaded('scene/granule.json')['runs'][kind]) / 1000:.1f} GB"


ARMS = (
    ("granule", "geotiff", "`eurosat_ms`, GeoTIFF, LERC_ZSTD"),
    ("granule", "zarr", "the same, EOPF Zarr"),
    ("granule_fast", "geotiff", "`eurosat_ms_fast`, GeoTIFF, LERC_ZSTD"),
    ("granule_fast", "zarr", "the same, EOPF Zarr"),
    ("granule_jp2", "jp2", "`eurosat_ms`, JPEG 2000"),
    ("granule_jp2", "jp2 reduce 1", "the same, `--reduce 1`"),
)
PAIRS = {
    "rival / ours": "the tile-by-tile method / ours",
    "rival / decode": "the tile-by-tile method / decoding alone, GeoTIFF",
    "rival / ours, basic": "the tile-by-tile method / ours, network `basic`",
    "ours / decode, GeoTIFF": "ours / decoding alone, GeoTIFF",
    "ours / decode, JP2": "ours / decoding alone, JPEG 2000",
    "JP2 / JP2 reduce 1": "JPEG 2000 / the same with `--reduce 1`",
}
STAGES = ("decode", "prepare", "infer")


SLOW_FAST = {
    "rival / ours": ("rival", "geotiff"), "rival / ours, basic": ("rival basic", "geotiff basic"),
    "ours / decode, GeoTIFF": ("geotiff", "geotiff decode"), "ours / decode, JP2": ("jp2", "jp2 decode"),
    "JP2 / JP2 reduce 1": ("jp2", "jp2 reduce 1"), "rival / decode": ("rival", "geotiff decode"),
}  # fmt: skip


def _pairs(source: str, name: str, clock: str) -> str:
    """Geometric mean of the pairs' ratios from the runs themselves, with the least and the most of them."""
    found = loaded(f"scene/{source}.json")
    slow, fast = ([run[clock] for run in found["runs"][arm]] for arm in SLOW_FAST[name])
    each = [a / b for a, b in zip(slow, fast, strict=True)]
    mean = statistics.geometric_mean(each)
    told = found["ratios"].get(f"{name} ({clock})")
    if told and abs(mean / told["ratio"] - 1) > 1e-9:
        raise ValueError(f"scene/{source}.json: {name} is not what its runs give")
    return f"{mean:.2f} ({min(each):.2f} to {max(each):.2f})"


@figure("scene.rate")
def rate(file: str, name: str) -> str:
    """Tiles a second by the clock: median and extremes of the runs."""
    clock = sorted(r["tiles"] / r["seconds"] for r in loaded(f"scene/{file}.json")["runs"][name])
    return f"{statistics.median(clock):,.0f} ({clock[0]:,.0f} to {clock[-1]:,.0f})"


@figure("scene.pace")
def pace_table() -> str:
    """Stages' CPU time, and tiles a second, of a granule's runs."""
    rows = []
    for file, name, title in ARMS:
        runs = loaded(f"scene/{file}.json")["runs"][name]
        cheapest = min(runs, key=lambda r: r["cpu_s"])
        n = cheapest["tiles"]
        stages = [cheapest["stage_cpu_s"][k] for k in STAGES]
        cpu = [*stages, cheapest["cpu_s"] - sum(stages), cheapest["cpu_s"]]
        bound = cheapest["threads"] * n / cheapest["cpu_s"]
        rows.append([title, f"{n:,}", *(f"{1e6 * v / n:.0f}" for v in cpu), rate(file, name), f"{bound:,.0f}"])
    head = (
        "| | tiles | decode | prepare | infer | the rest | all, ms of CPU a 1,000 tiles | tiles/s by the clock "
        "| cores x tiles / CPU s |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    return table(head, rows)


def _beside_decoding(runs: dict[str, Any]) -> dict[str, Any]:
    """The tile-by-tile method by decoding alone: what no way of doing the rest could pass."""
    if not {"rival", "geotiff decode"} <= set(runs):
        return {}
    pairs = list(zip(runs["rival"], runs["geotiff decode"], strict=True))
    return {
        f"rival / decode ({k})": {
            "ratio": statistics.geometric_mean(a[k] / b[k] for a, b in pairs),
            "pairs": len(pairs),
        }
        for k in ("seconds", "cpu_s")
    }


@figure("scene.ratios")
def ratio_table() -> str:
    """Pairs of one run."""
    rows = []
    packaged = {"granule": ", `eurosat_ms`", "granule_fast": ", `eurosat_ms_fast`"}
    sources = packaged | {"granule_basic": "", "granule_jp2": ""}
    for source, model in sources.items():
        record = loaded(f"scene/{source}.json")
        ratios = record["ratios"] | _beside_decoding(record["runs"])
        for name, title in PAIRS.items():
            if f"{name} (seconds)" in ratios:
                clock, cpu = (_pairs(source, name, k) for k in ("seconds", "cpu_s"))
                rows.append([title + model, clock, cpu, str(ratios[f"{name} (seconds)"]["pairs"])])
    return table("| | wall clock | CPU | pairs |\n|---|---:|---:|---:|", rows)


@figure("scene.native")
def native_table() -> str:
    """Networks on native pixels."""
    rows = []
    for name, run in loaded("scene/native.json")["runs"].items():
        plain, native = (statistics.median(run[f"{k}_s"]) * 1e6 for k in ("plain", "native"))
        changed = f"{run['decisions_changed']} of {run['tiles']:,}"
        largest = f"{run['largest_difference'] / run['logits_std']:.3f}"
        rows.append([name, f"{plain:,.0f}", f"{native:,.0f}", changed, largest])
    head = (
        "| | resampled tiles, us | native tiles, us | decisions changed | largest difference of a logit, "
        "in their standard deviation |\n|---|---:|---:|---:|---:|"
    )
    return table(head, rows)


@figure("scene.numbers")
def numbers(kind: str) -> str:
    """Numbers a tile that go in: ``plain`` or ``native``."""
    return f"{loaded('scene/native.json')['runs']['eurosat_ms, float']['numbers_in'][kind]:,}"


@figure("scene.flat")
def flat() -> str:
    """Peak memory after each of several scenes of one process."""
    peaks = loaded("scene/memory.json")["peaks_mb"]
    return ", ".join(f"{p:,.0f}" for p in peaks[:-1]) + f" and {peaks[-1]:,.0f} MB"


@figure("scene.device")
def device_table() -> str:
    """Packaged networks as float ones on test tiles."""
    rows = []
    for name, run in loaded("scene/device.json")["answers"].items():
        n = run["tiles"]
        rows.append([f"`{name}`", *(percent(wilson(run[k]["right"], n)) for k in ("int8", "fp16")),
                     f"{run['fp16']['decisions_changed']} of {n}",
                     f"{run['fp16']['largest_difference'] / run['fp16']['logits_std']:.2f}"])  # fmt: skip
    head = (
        "| | INT8 file | float16 | decisions changed | largest difference of a logit, in their standard deviation |\n"
        "|---|---:|---:|---:|---:|"
    )
    return table(head, rows)


@figure("scene.ways")
def ways() -> str:
    """Pixels that differ between the two ways to make tiles."""
    found = loaded("scene/device.json")["ways"]
    return f"{found['differ']:,} of {found['numbers']:,}"


KINDS = {"inside, whole": "whole tiles, inside", "outermost": "whole tiles at the scene's edges",
         "with gaps": "tiles with gaps"}  # fmt: skip


@figure("scene.native_scene")
def native_scene_table() -> str:
    """Answers on native pixels against those on whole bands at 10 m."""
    rows = []
    for name, run in loaded("scene/native_scene.json")["runs"].items():
        for kind, title in KINDS.items():
            found = run["kinds"][kind]
            if found["tiles"]:
                rows.append([name, title, f"{found['decisions_changed']} of {found['tiles']:,}",
                             f"{found['largest_difference_in_std']:.2f}"])  # fmt: skip
    head = (
        "| scene | | decisions changed | largest difference of a logit, in their standard deviation |\n"
        "|---|---|---:|---:|"
    )
    return table(head, rows)


@figure("scene.native_cost")
def native_cost() -> str:
    """CPU time of the native way, as a multiple of the resampled one's."""
    taken = loaded("scene/native_scene.json")["runs"]["synthetic granule"]["cpu_s"]
    return f"{min(taken['native']) / min(taken['plain']):.1f}"


@figure("scene.native_student")
def native_student_table() -> str:
    """A student on native pixels beside the packaged network of its body."""
    found = loaded("scene/native_student.json")
    titles = {"native": f"student on native pixels, {found['epochs']} epochs"}
    rows = []
    for name, run in found["arms"].items():
        us = [statistics.median(found["cpu_s_a_tile"][r][name]) * 1e6 for r in ("openvino", "onnxruntime")]
        rows.append([titles.get(name, f"`{name}`"), percent(wilson(run["int8"]["right"], run["int8"]["tiles"])),
                     f"{run['numbers_in']:,}", *(f"{v:.0f}" for v in us)])  # fmt: skip
    head = (
        "| INT8 | accuracy on test tiles | numbers that go in | OpenVINO, us of CPU a tile | ONNX Runtime |\n"
        "|---|---:|---:|---:|---:|"
    )
    return table(head, rows)
