"""Whole scenes to land-cover maps."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skytrigger import __version__
from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.files import read_json, sha256_json, write_json
from skytrigger.core.host import cores_in_mask
from skytrigger.core.progress import Advance, say, track
from skytrigger.eo.scene.cells import Cells
from skytrigger.eo.scene.checksums import check_files
from skytrigger.eo.scene.cloud_mask import with_cloud_mask
from skytrigger.eo.scene.decide import LandCover, decide
from skytrigger.eo.scene.engine import Lanes, ModelFile, ResidentNetwork, default_runtime, model_for, resident_runtime
from skytrigger.eo.scene.guard import check_offset
from skytrigger.eo.scene.model import Scene
from skytrigger.eo.scene.opening import open_scene
from skytrigger.eo.scene.page import write_page
from skytrigger.eo.scene.quicklook import write_quicklook
from skytrigger.eo.scene.raster_band import GDAL_OPTIONS
from skytrigger.eo.scene.reject import scene_facts
from skytrigger.eo.scene.results import CellRows, Parts
from skytrigger.eo.scene.stages import StageTimes
from skytrigger.eo.scene.summary import SCHEMA, map_facts
from skytrigger.eo.scene.write_item import write_item
from skytrigger.eo.scene.write_raster import BAND_NAMES, percent, write_cog
from skytrigger.eo.scene.write_vectors import write_geojson, write_parquet

SUMMARY = "summary.json"
CLOUDS = ("rules", "omnicloudmask")
FILES = (
    "landcover.tif", "landcover.parquet", "landcover.geojson", "quicklook.png", "map.html", "item.json", SUMMARY,
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How a scene is classified.

    Attributes
    ----------
    stride
        Pixels of a cell; None: those of the model's tiles.
    offset
        See `open_scene`.
    force
        Go on where the data contradict the metadata's offset, or files their checksums.
    runtime
        None: OpenVINO where it is installed, else ONNX Runtime; on a GPU PyTorch.
    threads
        Lanes, or on a GPU threads that decode; None: the cores of this process.
    device
        ``cpu``, ``cuda`` or ``cuda:N``: then bands are brought to 10 m there, too, where the runtime takes such tiles.
    clouds
        ``rules``: the product's SCL, else thresholds (`clouds`); or ``omnicloudmask`` (`cloud_mask`).
    """

    stride: int | None = None
    reduce: int = 0
    offset: str = "metadata"
    force: bool = False
    runtime: str | None = None
    threads: int | None = None
    device: str = "cpu"
    clouds: str = "rules"

    def __post_init__(self) -> None:
        if self.clouds not in CLOUDS:
            raise InputError(f"--clouds {self.clouds}", expected=" or ".join(CLOUDS))


Engine = Lanes | ResidentNetwork
OpenLanes = Callable[[ModelFile, Options], tuple[Engine, Callable[[], None]]]


def classify_scene(
    scene: Scene | str | Path,
    model: str | Path | ModelFile,
    out: str | Path,
    options: Options | None = None,
    open_lanes: OpenLanes | None = None,
) -> dict[str, Any]:
    """Classify a scene and write its map; what summary.json holds is returned.

    A map that is there already, of the same scene, model and options, is not made again; an interrupted one is gone on
    with.

    Parameters
    ----------
    scene
        Opened, or what `open_scene` takes.
    model
        Model file, its path, or a packaged name such as ``eurosat_ms``.
    open_lanes
        Gives the session's lanes and what is called when they are done with; None: opened and closed here.
    out
        Folder for landcover.tif, .parquet, .geojson, quicklook.png, map.html, item.json, summary.json.

    Raises
    ------
    InputError
        The scene cannot be read, lacks bands that the model needs, or contradicts its own metadata.
    """
    start, options, out = time.perf_counter(), options or Options(), Path(out)
    file = model if isinstance(model, ModelFile) else model_for(model)
    opened = scene if isinstance(scene, Scene) else open_scene(scene, reduce=options.reduce, offset=options.offset)
    try:
        key = run_key(opened, file, options)
        before = finished(out, key)
        if before is not None:
            say(f"{out} holds this map already")
            return before
        check_bands(opened, file)
        with require("rasterio", why="scenes").Env(**GDAL_OPTIONS):
            return _classify(opened, file, out, options, key, start, open_lanes or own_lanes)
    finally:
        if opened is not scene:
            opened.close()


def own_lanes(model: ModelFile, options: Options) -> tuple[Engine, Callable[[], None]]:
    """The engine for one scene."""
    engine = open_engine(model, options)
    return engine, engine.close


def open_engine(model: ModelFile, options: Options) -> Engine:
    """Lanes, or on a GPU a network whose tiles are made there."""
    resident = resident_runtime(options.runtime, options.device)
    if resident is None:
        runtime, threads = options.runtime or default_runtime(), options.threads or cores_in_mask()
        return Lanes(model, runtime, threads, device=options.device)
    from skytrigger.eo.scene.device_tiles import BATCH

    return ResidentNetwork(model, resident, options.device, BATCH)


def engine_key(options: Options) -> tuple[str, str]:
    """(runtime, device) that decide a map's numbers."""
    runtime = resident_runtime(options.runtime, options.device) or options.runtime or default_runtime()
    return runtime, options.device


def classify_cells(
    scene: Scene, cells: Cells, model: ModelFile, engine: Engine, parts: Parts, advance: Advance, threads: int | None
) -> tuple[CellRows, tuple[str, ...], StageTimes]:
    """All cells; see `stream.classify_rows`."""
    card = model.card
    if isinstance(engine, ResidentNetwork):
        from skytrigger.eo.scene import device_stream

        return device_stream.classify_rows(scene, cells, card.channels, engine, parts, advance, threads)
    from skytrigger.eo.scene import stream

    return stream.classify_rows(scene, cells, card.channels, len(card.classes), engine, parts, advance)


def check_bands(scene: Scene, model: ModelFile) -> None:
    """Raise InputError where the scene has not the bands of the model, with the reason where it is known."""
    model.card.refuse_strangers(tuple(scene.bands), scene.source)
    missing = [c for c in model.card.channels if c not in scene.bands]
    if not missing:
        return
    why = ""
    if missing == ["B10"] and scene.level != "L1C":
        why = ": Level-2A products have none, since it shows clouds and no ground"
    raise InputError(
        f"{scene.source} has no {', '.join(missing)}{why}",
        expected=f"the bands of {model.path.stem}: {', '.join(model.card.channels)}",
        remedy="the Level-1C product of the same scene, or --model of a network without these bands"
        + (", such as eurosat_l2a" if missing == ["B10"] else ""),
    )


def run_key(scene: Scene, model: ModelFile, options: Options) -> str:
    """Hash of all that decides the map."""
    bands = {n: [b.reader.identity(), b.radiometry.gain, b.radiometry.shift] for n, b in sorted(scene.bands.items())}
    return sha256_json(
        [__version__, SCHEMA, bands, model.sha256, options.stride, scene.reduce, *engine_key(options), options.force,
         options.clouds]
    )  # fmt: skip


def finished(out: Path, key: str) -> dict[str, Any] | None:
    """The summary of this very map where it is whole."""
    if not all((out / name).is_file() for name in FILES):
        return None
    try:
        summary = read_json(out / SUMMARY)
    except InputError:
        return None
    return summary if isinstance(summary, dict) and summary.get("key") == key else None


def _classify(
    scene: Scene, model: ModelFile, out: Path, options: Options, key: str, start: float, open_lanes: OpenLanes
) -> dict[str, Any]:
    card = model.card
    cells = Cells(scene.grid, card.size[0], options.stride or card.size[0])
    checked = 0 if options.force else check_files(scene)
    offset = check_offset(scene, card, force=options.force)
    if options.clouds == "omnicloudmask":
        scene = with_cloud_mask(scene, options.device)
    facts = scene_facts(model)
    if scene.off_scale:
        say(f"off scale: pixels of {scene.grid.pixel_m:.4g} m, the model was trained on 10 m")
    lanes, release = open_lanes(model, options)
    try:
        parts = Parts(out, key)
        opened = time.perf_counter()
        with track(f"{scene.name}: tiles", cells.rows * cells.columns) as advance:
            rows, planes, times = classify_cells(scene, cells, model, lanes, parts, advance, options.threads)
        streamed = time.perf_counter()
        cover = decide(rows, planes, card.classes, facts.reject if facts else None)
        summary = {
            "schema": SCHEMA, "key": key, "scene": scene.name, "source": scene.source, "kind": scene.kind,
            "level": scene.level, "time": scene.time, "baseline": scene.baseline, "model": model.path.stem,
            "model_sha256": model.sha256, "radiometry": offset, "files_checked": checked, "engine": lanes.facts,
            "version": __version__, "stride": cells.stride, "reduce": scene.reduce,
            **map_facts(scene, cells, cover, facts),
        }  # fmt: skip
        write_outputs(out, scene, cells, cover, model, lanes.facts, summary)
        summary |= _pace(start, opened, streamed, times, len(lanes), summary["tiles"])
        write_json(out / SUMMARY, summary)
        parts.clear()
    finally:
        release()
    return summary


def _pace(start: float, opened: float, streamed: float, times: StageTimes, lanes: int, tiles: int) -> dict[str, Any]:
    """Elapsed seconds, and CPU seconds of the stages that overlap."""
    end = time.perf_counter()
    return {
        "seconds": round(end - start, 3),
        "tiles_per_s": round(tiles / (end - start), 1),
        "stream_tiles_per_s": round(tiles / (streamed - opened), 1),
        "stages_s": {
            "open": round(opened - start, 3), "stream": round(streamed - opened, 3), "write": round(end - streamed, 3),
        },
        "stage_cpu_s": {k: round(getattr(times, k), 3) for k in ("decode", "prepare", "infer")},
        "threads": lanes,
    }  # fmt: skip


def write_outputs(
    out: Path,
    scene: Scene,
    cells: Cells,
    cover: LandCover,
    model: ModelFile,
    engine: dict[str, Any],
    summary: dict[str, Any],
) -> None:
    """All files but the summary, each whole or absent."""
    grid, codes = cells.map_grid, cover.codes
    bands = (codes, percent(cover.confidence, codes), percent(cover.cells.valid, codes))
    tags = {
        "SCENE": scene.name,
        "MODEL": model.path.stem,
        "MODEL_SHA256": model.sha256,
        "SOFTWARE": f"skytrigger {__version__}",
    }
    if scene.time:
        tags["TIFFTAG_DATETIME"] = scene.time[:19].replace("-", ":").replace("T", " ")
    jobs: list[Callable[[], object]] = [
        lambda: write_quicklook(out / "quicklook.png", scene, cells, cover, summary),
        lambda: write_geojson(out / "landcover.geojson", cover, scene.grid, grid),
        lambda: write_parquet(out / "landcover.parquet", cover, scene.grid, grid),
        lambda: write_cog(out / "landcover.tif", bands, BAND_NAMES, grid, cover.entries, tags),
        lambda: write_page(out / "map.html", scene, cells, cover, summary),
        lambda: write_item(out / "item.json", scene, grid, cover, model, engine),
    ]
    for module in ("PIL.Image", "pyarrow.parquet", "rasterio.shutil", "rasterio.warp"):
        importlib.import_module(module)  # here: two threads that import one another's packages can wait for ever
    with ThreadPoolExecutor(min(len(jobs), cores_in_mask())) as pool:
        for done in [pool.submit(job) for job in jobs]:
            done.result()
