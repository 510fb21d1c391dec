"""A runtime, a network, a meter and an application are each added in one place."""

from __future__ import annotations

import re
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny
from skytrigger.applications.registry import BUILT_IN, application, application_of, names
from skytrigger.eo.application import EUROSAT
from skytrigger.eo.networks import build
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.train import train
from skytrigger.measure.meters import found
from skytrigger.measure.meters.found import METERS, MeterRow, open_meters, power_sensors
from skytrigger.measure.meters.replay import ReplayMeter
from skytrigger.model.export import export_onnx
from skytrigger.runtimes import registry
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.session import EngineFacts, Session
from skytrigger.study.toml import load_spec

SHORT_WAYS = {"cli/doublets.py", "cli/pid.py"}  # an application's own command names it
SOURCE = Path(__file__).parents[1] / "src" / "skytrigger"


def places(word: str, *own: str) -> set[str]:
    """Files of the source in which the quoted `word` stands, its own modules and the presets of studies aside."""
    quoted = re.compile(rf"""["']{re.escape(word)}["']""")
    return {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if quoted.search(path.read_text()) and not any(part in path.as_posix() for part in own)
    }


class Zeros(Session):
    """An engine that always answers 0."""

    def __init__(self, model, spec) -> None:
        super().__init__(model, spec)
        self.engine = EngineFacts("1", "none", spec.precision, model.sha256, len(model.content), 0.0)

    def _infer(self, tiles, stream):
        return tuple(np.zeros((len(tiles), head.outputs), np.float32) for head in self.card.heads)


def test_a_runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = types.ModuleType("skytrigger.runtimes.zeros")
    module.Zeros, module.offer = Zeros, lambda name, isa: {"devices": ["cpu"], "precisions": ["fp32"]}
    monkeypatch.setitem(sys.modules, module.__name__, module)
    row = replace(registry.RUNTIMES["onnxruntime"], name="zeros", module="zeros", opener="Zeros", precisions=("fp32",))
    monkeypatch.setitem(registry.RUNTIMES, "zeros", row)
    data = tiny.dataset(n=48, channels=2)
    run = train(build, data, tiny.split(48), Recipe("1lessconv", epochs=1, precision="fp32"), tmp_path / "r", threads=1)
    export_onnx(*run.load(build), tmp_path / "m.onnx")
    session = open_session(tmp_path / "m.onnx", "zeros", batch_size=4)
    assert not session.run(data.x[:5].astype(np.float32)).any()
    session.close()
    spec = tmp_path / "study.toml"
    spec.write_text('title = "t"\ndata = ["synthetic:60"]\nmodels = ["basic"]\n[[measure]]\nengines = ["zeros:fp32"]\n')
    assert load_spec(str(spec)).measure[0].engines == ("zeros:fp32",)


def test_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EUROSAT.networks, "mine", build)
    assert "mine" in names()
    assert application_of("mine") is EUROSAT
    for name, own in (("from64", "eo/networks"), ("doublets_cnn", "hep/doublets"), ("pid_small", "hep/pid")):
        assert places(name, own) - SHORT_WAYS == set(), name


def test_a_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    offer = {"source": "mine", "available": True, "scope": "all"}
    row = MeterRow(lambda gpu, root: ReplayMeter([(0.0, 1.0), (1.0, 1.0)]), lambda root: offer, True, False)
    monkeypatch.setattr(found, "METERS", {"mine": row})
    assert isinstance(open_meters()[0], ReplayMeter)
    assert power_sensors()[0] == offer
    for name in METERS:
        assert places(name, "measure/meters/") == set(), name


def test_an_application() -> None:
    for entry in BUILT_IN:
        module, _, record = entry.partition(":")
        one = application(getattr(sys.modules.get(module) or __import__(module, fromlist=[record]), record).name)
        own = module.removeprefix("skytrigger.").replace(".", "/").rpartition("/")[0]
        imported = places(entry, own) | {
            path.relative_to(SOURCE).as_posix()
            for path in SOURCE.rglob("*.py")
            if re.search(rf"import .*\b{record}\b", path.read_text()) and own not in path.as_posix()
        }
        assert imported - SHORT_WAYS == {"applications/registry.py"}, one.name
