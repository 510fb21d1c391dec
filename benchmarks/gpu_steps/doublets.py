"""Step: the origin's doublet network at 20 channels, PyTorch in float32, TF32, float16 and compiled beside `hopper`."""

from __future__ import annotations

from pathlib import Path

from gpu_steps.engines import Bench
from skytrigger.core.files import write_text
from skytrigger.core.progress import say
from skytrigger.hep.doublets.simulator import simulate as simulated_doublets
from skytrigger.hep.doublets.throughput import throughput
from skytrigger.hep.doublets.throughput_plan import Plan


def run(out: Path, simulate: bool, data: Path | None = None) -> None:
    """Records of the step into `out`."""
    bench = Bench(out, simulate)
    channels = bench.size(20, 2)
    dataset = simulated_doublets(bench.size(2000, 60), seed=1, channels=channels)
    paths = {p: bench.file("doublets_cnn", "fp16" if p == "fp16" else "fp32", channels).path for p in
             (("fp32",) if simulate else ("fp16", "fp32", "tf32"))}  # fmt: skip
    if simulate:
        plan = Plan(("torch",), (16,), (1, 2), images=64, rounds=1)
        plans = [(paths, plan)]
    else:
        common = {"images": 30_000, "rounds": 3, "device": "cuda", "memory": ("page-locked",), "seconds": 3.0}
        plans = [
            (paths, Plan(("hopper", "torch"), (1000, 6000), (1, 2), **common)),
            ({"fp16": paths["fp16"]}, Plan(("torch-compiled",), (1000, 6000), (1, 2), **common)),
            ({"tf32": paths["tf32"]}, Plan(("torch-compiled",), (6000,), (1,), **common)),
        ]
    for files, plan in plans:
        records, refused = throughput(files, dataset, plan, out)
        say(f"{len(records)} records, refused {refused}")
    if simulate:
        path = out / "records.jsonl"
        write_text(path, path.read_text().replace('"extra":{', '"extra":{"simulated":true,'))
