"""Many scenes: each its own folder, a bad one fails alone, a worker that dies costs its granule's time only."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import pytest
import rasterio

from scene.make_scenes import band_folder, pixels
from skytrigger.cli.main import main
from skytrigger.core.errors import InputError
from skytrigger.eo.scene import classify, engine
from skytrigger.eo.scene.classify import Options
from skytrigger.eo.scene.many import classify_scenes, scene_folders

OPTIONS = Options(runtime="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return [str(band_folder(folder / name, pixels(330, 270, seed=i))) for i, name in enumerate("abc")]


def codes(folder):
    with rasterio.open(folder / "landcover.tif") as s:
        return s.read()


def test_one_after_another_with_one_session(scenes, tmp_path, monkeypatch):
    opened = []

    class Counted(engine.Lanes):
        def __init__(self, *args, **options):
            opened.append(1)
            super().__init__(*args, **options)

    monkeypatch.setattr(classify, "Lanes", Counted)
    found = classify_scenes(scenes, "eurosat_ms", tmp_path, OPTIONS)
    assert (found["done"], found["failed"], len(opened)) == (3, 0, 1)
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b", "c", "scenes.json"}
    assert json.loads((tmp_path / "scenes.json").read_text()) == found
    assert [s["scene"] for s in found["scenes"]] == ["a", "b", "c"]
    before = (tmp_path / "a" / "landcover.tif").stat().st_mtime_ns
    assert classify_scenes(scenes, "eurosat_ms", tmp_path, OPTIONS) == found
    assert (tmp_path / "a" / "landcover.tif").stat().st_mtime_ns == before  # skipped


def test_a_bad_scene_fails_alone(scenes, tmp_path, capsys):
    arguments = [scenes[0], str(tmp_path / "missing"), scenes[1], "--out", str(tmp_path / "o"), "--json"]
    assert main(["classify", *arguments, "--runtime", "onnxruntime"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["done"], found["failed"]) == (2, 1)
    assert "does not exist" in found["scenes"][1]["error"]


def test_names(tmp_path):
    paths = ["/x/S2A_A.SAFE", "/x/S2A_B.SAFE.zip", "/x/c.zarr", "https://h/d.json"]
    assert [p.name for p in scene_folders(paths, tmp_path).values()] == ["S2A_A", "S2A_B", "c", "d"]
    with pytest.raises(InputError, match="two scenes are called"):
        scene_folders(["/x/a.SAFE", "/y/a.zip"], tmp_path)


def test_no_scheduler(scenes, tmp_path):
    pytest.importorskip("distributed")
    with pytest.raises(InputError, match="no Dask scheduler"):
        classify_scenes(scenes, "eurosat_ms", tmp_path, OPTIONS, scheduler="nonsense")


@pytest.mark.slow
def test_local_processes(scenes, tmp_path, capsys):
    pytest.importorskip("distributed")
    arguments = ["classify", *scenes[:2], "--out", str(tmp_path / "o"), "--scheduler", "local", "--json"]
    assert main([*arguments, "--runtime", "onnxruntime"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [s["scene"] for s in found["scenes"]] == ["a", "b"]
    alone = classify_scenes(scenes[:2], "eurosat_ms", tmp_path / "alone", OPTIONS)
    assert [s["area_km2"] for s in alone["scenes"]] == [s["area_km2"] for s in found["scenes"]]


@pytest.mark.slow
def test_a_worker_is_killed(scenes, tmp_path):
    """Two processes, one killed while it works: every map is there, and is the one that is made without."""
    distributed = pytest.importorskip("distributed")
    alone = tmp_path / "alone"
    classify_scenes(scenes, "eurosat_ms", alone, OPTIONS)
    with distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        client = distributed.Client(cluster)
        pids = client.run(os.getpid)
        client.close()
        killed = []

        def kill():
            started = time.monotonic()
            while time.monotonic() - started < 60:
                if any((tmp_path / "o" / n / ".parts").exists() for n in "abc"):
                    os.kill(next(iter(pids.values())), signal.SIGKILL)
                    killed.append(1)
                    return
                time.sleep(0.005)

        thread = threading.Thread(target=kill)
        thread.start()
        found = classify_scenes(scenes, "eurosat_ms", tmp_path / "o", OPTIONS, scheduler=cluster.scheduler_address)
        thread.join()
    assert killed
    assert (found["done"], found["failed"]) == (3, 0)
    for name in "abc":
        assert (codes(tmp_path / "o" / name) == codes(alone / name)).all()
