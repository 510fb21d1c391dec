"""Step: the training rows of the step `batch` in bfloat16 alone, where that was cut off before it came to them."""

from __future__ import annotations

from pathlib import Path

from gpu_steps.batch import TRAINING, training
from gpu_steps.engines import Bench


def run(out: Path, simulate: bool, data: Path | None = None) -> None:
    """Records of the step into `out`, the quick ones first."""
    bench = Bench(out, simulate)
    training(bench, "fp32" if simulate else "bf16", reversed(TRAINING) if not simulate else (16,))
