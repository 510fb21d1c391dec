"""Many scenes: one after another here, or one granule a task on Dask, the model opened once by each worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.core.extras import require
from skytrigger.core.files import write_json
from skytrigger.core.host import cores_in_mask
from skytrigger.core.progress import say, track
from skytrigger.eo.scene.classify import Engine, Options, classify_scene, engine_key, open_engine
from skytrigger.eo.scene.engine import model_for

LOCAL, INDEX = "local", "scenes.json"
_SUFFIXES = (".zip", ".SAFE", ".zarr", ".json", ".geojson", ".tif", ".tiff")
_opened: dict[tuple[str, str, str, int], Engine] = {}  # of this process, kept for its next scene


def scene_folders(scenes: Sequence[str], out: Path) -> dict[str, Path]:
    """Scene -> its folder in `out`, named as the scene.

    Raises
    ------
    InputError
        Two scenes of one name.
    """
    folders: dict[str, Path] = {}
    for scene in scenes:
        name = scene.rstrip("/").rpartition("/")[2]
        for suffix in _SUFFIXES:
            name = name.removesuffix(suffix)
        folder = out / (name or "scene")
        if folder in folders.values():
            raise InputError(f"two scenes are called {name!r}: {scene}", remedy="a call and an --out for each")
        folders[scene] = folder
    return folders


def classify_scenes(
    scenes: Sequence[str], model: str, out: str | Path, options: Options | None = None, scheduler: str | None = None
) -> dict[str, Any]:
    """Classify scenes, each into a folder of its own in `out`; finished ones are not made again.

    Parameters
    ----------
    scheduler
        None: one after another in this process. ``local``: as many processes as cores. Else the address of a Dask
        scheduler, whose workers see the same paths.

    Returns
    -------
    dict
        ``scenes``: for each its summary, or its ``error``; ``done`` and ``failed``. Also written to OUT/scenes.json.

    Raises
    ------
    InputError
        The model is not for scenes, two scenes of one name, no scheduler at the address.
    """
    out, options = Path(out), options or Options()
    folders = scene_folders(scenes, out)
    model_for(model)  # a wrong model is refused once, not in every task
    found: dict[str, dict[str, Any]] = {}
    with track("scenes", len(scenes)) as advance:
        for scene, result in _results(folders, model, options, scheduler):
            found[scene] = result
            if "error" in result:
                say(f"{scene}: {result['error']}")
            advance(1, f"{len(found)} of {len(scenes)}")
    results = [found[scene] for scene in scenes]
    failed = sum("error" in r for r in results)
    summary = {"scenes": results, "done": len(results) - failed, "failed": failed}
    write_json(out / INDEX, summary)
    return summary


def _results(
    folders: dict[str, Path], model: str, options: Options, scheduler: str | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """As they are done."""
    if scheduler is None:
        for scene, folder in folders.items():
            yield scene, one_scene(scene, model, str(folder), asdict(options))
        close_lanes()
        return
    distributed = require("distributed", why="--scheduler")
    with _client(scheduler, len(folders)) as (client, threads):
        words = {**asdict(options), "threads": options.threads or threads}
        tasks = {
            client.submit(
                one_scene, scene, model, str(folder.resolve()), words, key=f"scene-{folder}", pure=False
            ): scene
            for scene, folder in folders.items()
        }
        for task in distributed.as_completed(tasks):
            try:
                yield tasks[task], task.result()
            except Exception as error:  # a worker that died too often, or cannot load the package
                yield tasks[task], {"scene": tasks[task], "error": f"{type(error).__name__}: {error}"}


@contextmanager
def _client(scheduler: str, scenes: int) -> Iterator[tuple[Any, int | None]]:
    """A client, and the threads of a scene where they are known: the cores are shared out to local processes."""
    distributed = require("distributed", why="--scheduler")
    if scheduler != LOCAL:
        try:
            client = distributed.Client(scheduler, timeout="15s")
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(
                f"no Dask scheduler at {scheduler}: {error}", expected="local, or tcp://host:8786"
            ) from error
        with client:
            yield client, None
        return
    cores = cores_in_mask()
    workers = max(1, min(cores, scenes))
    with (
        distributed.LocalCluster(workers, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client, max(1, cores // workers)


def one_scene(scene: str, model: str, out: str, options: dict[str, Any]) -> dict[str, Any]:
    """A task: the scene's summary, or ``{"scene", "error"}`` where it is the scene's own fault."""
    try:
        return classify_scene(scene, model, out, Options(**options), open_lanes=kept_lanes)
    except SkytriggerError as error:
        return {"scene": scene, "error": str(error)}


def kept_lanes(model: Any, options: Options) -> tuple[Engine, Callable[[], None]]:
    """An engine that this process has open already, or opens now, and keeps."""
    key = (model.sha256, *engine_key(options), options.threads or cores_in_mask())
    if key not in _opened:
        _opened[key] = open_engine(model, options)
    return _opened[key], lambda: None


def close_lanes() -> None:
    """Free the engines that this process kept."""
    while _opened:
        _opened.popitem()[1].close()
