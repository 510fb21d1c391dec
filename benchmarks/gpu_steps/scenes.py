"""Step: a whole granule from native bands on the card, from GeoTIFF and Zarr; decoding and the card's work alone, too.

The granule is synthetic and made here from its seed. Arms are visited in a new order each round, in one process that is
warm (one scene of many): ``whole`` is `classify_scene` up to the last file, ``stream`` its stages that overlap,
``decode`` the same reader on the same threads without anybody to use the rows, ``device`` the card's work on a chunk
that lies in page-locked memory (copy, resampling, measures, network) without decoding. Where rasterio or zarr is
missing, its arms are left out.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_steps.engines import Bench
from skytrigger.core.errors import SkytriggerError
from skytrigger.core.host import cores_in_mask
from skytrigger.core.progress import say
from skytrigger.measure.records import Samples

MODELS = ("eurosat_ms_fast", "eurosat_ms")
FORMS = {"geotiff": "rasterio", "zarr": "zarr"}
SECONDS, LATEST = 62.0, 85.0  # from the step's beginning: no new round, no new visit after


class Watched:
    """A network that keeps what it was given."""

    def __init__(self, network: Any) -> None:
        self.network, self.device, self.stream = network, network.device, network.stream
        self.given: list[np.ndarray] = []

    def forward(self, tiles: Any) -> Any:
        self.given.append(tiles.cpu().numpy())
        return self.network.forward(tiles)


class Scenes:
    """Granules, networks and what was measured of them."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        from skytrigger.eo.scene.device_tiles import BATCH
        from skytrigger.eo.scene.engine import ResidentNetwork, model_for

        self.bench, self.folder, self.samples = bench, folder, dict[tuple[str, str, str], list[dict[str, Any]]]()
        self.models = {name: model_for(name) for name in MODELS[: bench.size(2, 1)]}
        self.networks = {
            name: ResidentNetwork(m, "torch", bench.device, BATCH) for name, m in self.models.items()
        }  # fmt: skip
        self.sources = self.granules()

    def granules(self) -> dict[str, Path]:
        """One of each form that can be written here."""
        found = {}
        for form, package in FORMS.items():
            start = time.perf_counter()
            try:
                import scene_granule

                found[form] = scene_granule.make(
                    self.folder, form, self.bench.size(10_980, 700), self.bench.size(400, 20), threads=cores_in_mask()
                )
            except Exception as error:  # a form that cannot be written takes no other with it
                say(f"no {form}, which needs {package}: {error!r}")
                continue
            say(f"{form}: made in {time.perf_counter() - start:.1f} s")
        return found

    def whole(self, form: str, name: str) -> None:
        """A scene among many: the engine is open."""
        from skytrigger.eo.scene.classify import Options, classify_scene

        out = self.folder / "map"
        start, cpu = time.perf_counter(), time.process_time()
        found = classify_scene(self.sources[form], self.models[name], out, Options(device=self.bench.device),
                               open_lanes=lambda *_: (self.networks[name], lambda: None))  # fmt: skip
        self.add("whole", form, name, time.perf_counter() - start, found["tiles"],
                 cpu_s=time.process_time() - cpu, stages_s=found["stages_s"])  # fmt: skip
        self.add("stream", form, name, found["stages_s"]["stream"], found["tiles"])
        shutil.rmtree(out)

    def decode(self, form: str, _: str) -> None:
        """The stream's reader alone."""
        from skytrigger.eo.scene.cells import Cells
        from skytrigger.eo.scene.device_stream import AHEAD, page_locked
        from skytrigger.eo.scene.native_rows import ChunkReader, chunk_plan
        from skytrigger.eo.scene.opening import open_scene

        start, cpu = time.perf_counter(), time.process_time()
        scene = open_scene(self.sources[form])
        cells = Cells(scene.grid, 64, 64)
        names = tuple(scene.bands)
        empty = np.empty if self.bench.simulate else page_locked
        reader = ChunkReader(scene, names, cells, chunk_plan(scene, names, cells), cores_in_mask(), AHEAD, empty)
        for _chunk in reader:
            pass
        reader.close()
        scene.close()
        self.add("decode", form, "", time.perf_counter() - start, cells.rows * cells.columns,
                 cpu_s=time.process_time() - cpu)  # fmt: skip

    def device(self, form: str, name: str) -> None:
        """The card's work on one chunk, over and over, as many tiles as a granule has."""
        tiles, chunk, low, high = self.chunk(form, name)
        count = (chunk.last - chunk.first) * tiles.cells.columns
        repeats = self.bench.size(max(1, round(29_584 / count)), 1)
        parts: dict[str, float] = {"copy": 0.0, "all": 0.0}
        network = self.networks[name]
        with torch.inference_mode(), self.stream(network):
            for step in ("copy", "all"):
                self.bench.synchronize()
                start = time.perf_counter()
                for _ in range(repeats):
                    stored = tiles.upload(chunk, low, high)
                    if step == "all":
                        tiles.rows(stored, low, high, chunk.first, chunk.last)
                self.bench.synchronize()
                parts[step] = time.perf_counter() - start
        self.add("device", form, name, parts["all"], repeats * count, copy_s=parts["copy"])

    def stream(self, network: Any) -> Any:
        """The network's, made current."""
        return nullcontext() if self.bench.simulate else torch.cuda.stream(network.stream)

    def chunk(self, form: str, name: str) -> Any:
        """(tile maker, first chunk in page-locked memory, its image rows)."""
        from skytrigger.eo.scene.cells import Cells
        from skytrigger.eo.scene.device_stream import page_locked
        from skytrigger.eo.scene.device_tiles import DeviceTiles
        from skytrigger.eo.scene.native_rows import ChunkReader, chunk_plan
        from skytrigger.eo.scene.opening import open_scene

        scene = open_scene(self.sources[form])
        cells, network = Cells(scene.grid, 64, 64), self.networks[name]
        tiles = DeviceTiles(scene, cells, self.models[name].card.channels, network)
        plan = chunk_plan(scene, tiles.planes.read, cells)[:1]
        reader = ChunkReader(scene, tiles.planes.read, cells, plan, cores_in_mask(), 1,
                             np.empty if self.bench.simulate else page_locked)  # fmt: skip
        (chunk,) = list(reader)
        reader.close()
        scene.close()
        return tiles, chunk, *cells.needed_rows(chunk.first, chunk.last)

    def add(self, arm: str, form: str, name: str, seconds: float, tiles: int, **more: Any) -> None:
        """One visit."""
        self.samples.setdefault((arm, form, name), []).append({"seconds": seconds, "tiles": tiles, **more})

    def agreement(self, form: str, name: str) -> None:
        """The first chunk on the card against the same code on the CPU in float32, and against the INT8 file."""
        from skytrigger.eo.scene.device_tiles import BATCH, DeviceTiles
        from skytrigger.eo.scene.engine import ResidentNetwork
        from skytrigger.eo.scene.opening import open_scene
        from skytrigger.runtimes.open import open_session

        tiles, chunk, low, high = self.chunk(form, name)
        model, network = self.models[name], self.networks[name]
        last = min(chunk.first + self.bench.size(4, 1), chunk.last)
        tiles.network = Watched(network)
        with torch.inference_mode(), self.stream(network):
            there = tiles.rows(tiles.upload(chunk, low, high), low, high, chunk.first, last)
            logits = np.concatenate([m.logits.cpu().numpy() for m in there])
        torch.set_num_threads(cores_in_mask())
        with open_scene(self.sources[form]) as scene, torch.inference_mode():
            plain = Watched(ResidentNetwork(model, "torch", "cpu", BATCH, cores_in_mask()))
            here = DeviceTiles(scene, tiles.cells, model.card.channels, plain)
            stored = here.upload(chunk, low, high)
            expected = np.concatenate([m.logits.numpy() for m in here.rows(stored, low, high, chunk.first, last)])
        given, mine = tiles.network.given, plain.given
        numbers, own = np.concatenate(given), np.concatenate(mine)
        others = {"float32_cpu": expected}
        try:
            session = open_session(model, "onnxruntime", "int8", 64, cores_in_mask())
            others["int8_file"] = session.run(np.ascontiguousarray(numbers))
        except SkytriggerError as error:
            say(f"no INT8 here: {error}")
        away = np.abs(numbers - own)
        facts = {"tiles": len(logits), "dn_differ": float((away > 0).mean()), "dn_largest": float(away.max()),
                 "logits_std": float(expected.std())}  # fmt: skip
        for key, other in others.items():
            facts |= {f"{key}_largest": float(np.abs(logits - other).max()),
                      f"{key}_decisions": int((logits.argmax(1) != other.argmax(1)).sum())}  # fmt: skip
        self.bench.keep(
            "control",
            {"network": name, "scenario": "agreement", "form": form, "device": self.bench.device},
            {},
            **facts,
        )
        say(f"{name} {form}: {facts}")

    def keep(self) -> None:
        """A record an arm."""
        for (arm, form, name), visits in self.samples.items():
            what = {"network": name or None, "scenario": arm, "form": form, "device": self.bench.device,
                    "threads": cores_in_mask(), "runtime": "torch", "precision": "fp16"}  # fmt: skip
            more = {k: [v[k] for v in visits] for k in visits[0] if k not in ("seconds", "tiles")}
            samples = {"call": Samples("s", tuple(v["seconds"] for v in visits), visits[0]["tiles"])}
            engine = self.networks[name].facts if name else {}
            self.bench.keep("throughput", what, samples, engine=engine, **more)
            pace = visits[0]["tiles"] / float(np.median([v["seconds"] for v in visits]))
            say(f"{arm} {form} {name}: {pace:,.0f} tiles/s, {[round(v['seconds'], 3) for v in visits]}")


def run(out: Path, simulate: bool, data: Path | None = None) -> None:
    """Records of the step into `out`."""
    begin = time.perf_counter()
    bench = Bench(out, simulate)
    torch.backends.cudnn.benchmark = False  # as a user has it
    with tempfile.TemporaryDirectory(prefix="scenes-") as folder:
        scenes = Scenes(bench, Path(folder))
        if not scenes.sources:
            raise SystemExit("no form of a scene can be made here: rasterio is missing")
        arms = [(getattr(scenes, arm), form, name) for form in scenes.sources for name in scenes.models
                for arm in ("whole", "device")]  # fmt: skip
        arms += [(scenes.decode, form, "") for form in scenes.sources]
        arms = [arm for arm in arms if visited(*arm)]  # imports, algorithms, memory: not counted
        first = {"|".join(k): v[0]["seconds"] for k, v in scenes.samples.items()}
        bench.keep("control", {"network": None, "scenario": "first visit, not warm"}, {}, seconds=first)
        scenes.samples.clear()
        rounds = 0
        while rounds < 2 or (rounds < 8 and time.perf_counter() - begin < bench.size(SECONDS, 0)):
            for i in bench.rng.permutation(len(arms)):
                if time.perf_counter() - begin < bench.size(LATEST, 600):
                    visited(*arms[int(i)])
            rounds += 1
        scenes.keep()
        for form in list(scenes.sources)[:1]:
            for name in scenes.models:
                visited(scenes.agreement, form, name)
        if not any(arm == "whole" for arm, *_ in scenes.samples):
            raise SystemExit("no whole scene was classified")


def visited(arm: Callable[[str, str], None], form: str, name: str) -> bool:
    """Visit an arm; whether it went well: one that fails takes no other with it."""
    try:
        arm(form, name)
    except Exception:
        say(f"{arm.__name__} {form} {name} failed:\n{traceback.format_exc()}")
        return False
    return True
