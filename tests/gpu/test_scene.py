"""Scenes on a CUDA GPU are those of the same code on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")]
pytest.importorskip("rasterio")

from scene.make_scenes import band_folder, pixels  # noqa: E402
from skytrigger.eo.scene import native_rows  # noqa: E402
from skytrigger.eo.scene.cells import Cells  # noqa: E402
from skytrigger.eo.scene.device_stream import classify_rows  # noqa: E402
from skytrigger.eo.scene.engine import ResidentNetwork, model_for  # noqa: E402
from skytrigger.eo.scene.opening import open_scene  # noqa: E402
from skytrigger.eo.scene.results import Parts  # noqa: E402


def test_the_gpu_s_map_is_the_cpu_s(tmp_path, monkeypatch):
    monkeypatch.setattr(native_rows, "CHUNK_ROWS", (64, 64))
    file = model_for("eurosat_ms_fast")
    scene = open_scene(band_folder(tmp_path / "s", pixels(650, 530)))
    cells = Cells(scene.grid, 64, 64)
    found = {}
    for device in ("cpu", "cuda"):
        network = ResidentNetwork(file, "torch", device, 64)
        parts = Parts(tmp_path / device, "k")
        found[device] = classify_rows(scene, cells, file.card.channels, network, parts, lambda *a: None)[0]
        network.close()
    cpu, gpu = found["cpu"], found["cuda"]
    for name in ("valid", "seen", "cloud"):
        np.testing.assert_allclose(getattr(gpu, name), getattr(cpu, name), atol=1e-6)
    np.testing.assert_allclose(gpu.means, cpu.means, rtol=1e-5, atol=0.01)
    assert np.abs(gpu.picture.astype(int) - cpu.picture).max() <= 1
    assert np.abs(gpu.logits - cpu.logits).max() < 0.02 * cpu.logits.std()  # float16
