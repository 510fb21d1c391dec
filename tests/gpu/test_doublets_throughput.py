"""The throughput study on a CUDA GPU: every way to the device, and the CPU's AUC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from skytrigger.core.card import ModelCard
from skytrigger.hep.doublets.metrics import curve, scores
from skytrigger.hep.doublets.networks import build
from skytrigger.hep.doublets.simulator import simulate
from skytrigger.hep.doublets.throughput import throughput
from skytrigger.hep.doublets.throughput_plan import Plan
from skytrigger.hep.doublets.throughput_table import table
from skytrigger.learn.batches import channel_statistics
from skytrigger.model.export import export_onnx
from skytrigger.runtimes.open import open_session

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")]


def test_every_way_to_the_gpu_gives_the_cpus_auc(tmp_path: Path) -> None:
    data = simulate(600, seed=4)
    mean, std = channel_statistics(data, np.arange(len(data)))
    torch.manual_seed(0)
    network = build("doublets_cnn", 2, (16, 16), 2).eval()
    card = ModelCard("doublets_cnn", data.channels, data.classes, (16, 16), mean, std, data.units, data.content_hash)
    files = {precision: tmp_path / f"{precision}.onnx" for precision in ("fp32", "fp16")}
    for precision, file in files.items():
        export_onnx(network, card, file, precision)
    session = open_session(files["fp32"], "torch", "fp32", batch_size=200)
    expected = curve(scores(session.run(data.x.astype(np.float32))), data.y).auc
    session.close()

    plan = Plan(("torch",), batches=(250,), streams=(1, 2), images=1100, rounds=2, device="cuda")
    records, refused = throughput({"fp16": files["fp16"]}, data, plan, tmp_path / "study")

    assert not refused
    rows = table(records)
    ways = [("with", "page-locked"), ("with", "pageable"), ("without", "device")]
    assert sorted((r.transfers, r.memory, r.streams) for r in rows) == [(*way, n) for way in ways for n in (1, 2)]
    assert all(row.rounds == 2 and row.whole_ms is not None and row.input_type == "float16" for row in rows)
    assert all(abs(row.auc - expected) < 0.005 for row in rows)
    assert records[0].extra["engine"]["provider"].startswith("cuda")
    again, _ = throughput({"fp16": files["fp16"]}, data, plan, tmp_path / "study")
    assert len(again) == len(records) == 12
