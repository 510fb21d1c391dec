"""Step: watts of the framework against the fastest engine: W least to most, utilisation, temperature, clocks, joules.

Windows of five seconds: NVML's power is an average over a second or so. The counter's joules stand beside the
integrated power's. Idle power (with a context on the card) before and after.
"""

from __future__ import annotations

from pathlib import Path

from gpu_steps.engines import Bench, meter_of, window
from skytrigger.core.progress import say
from skytrigger.measure.records import Samples

CELLS = {
    "basic": ("torch:fp32", "torch:default", "torch:fp16", "hopper:fp16"),
    "winner": ("torch:fp32", "torch:default", "torch-compiled:bf16"),
}
BATCHES = (1024, 64, 1)


def run(out: Path, simulate: bool, data: Path | None = None) -> None:
    """Records of the step into `out`."""
    bench = Bench(out, simulate)
    seconds = 0.05 if simulate else 5.0
    with meter_of(bench) as meter:
        if meter is None:
            say("no meter on this machine")
            return
        bench.synchronize()
        idle(bench, meter, seconds, "before")
        for batch in BATCHES[: bench.size(3, 1)]:
            for network, engines in CELLS.items():
                for name in engines:
                    engine = bench.open(network, name, bench.size(batch, 2))
                    if engine is None:
                        continue
                    energy = window(bench, meter, engine.call(), seconds, engine.batch)
                    each = energy["seconds"] / max(1, energy["items"])
                    samples = {"call": Samples("s", (each * engine.batch,), engine.batch)}
                    bench.keep("power", engine.what(scenario="window"), samples, energy=energy, **engine.extra())
                    say(f"{network} {name} batch {batch}: {1e6 * each:.3g} us/image, {energy['watts_mean']} W, "
                        f"flags {energy['flags']}")  # fmt: skip
                    engine.close()
        idle(bench, meter, seconds, "after")


def idle(bench: Bench, meter: object, seconds: float, when: str) -> None:
    """The card with a context and nothing to do."""
    if not bench.simulate:
        import torch

        torch.zeros(1, device="cuda")
    energy = window(bench, meter, None, seconds, 1)
    bench.keep("power", {"network": None, "device": bench.device, "scenario": f"idle {when}"}, {}, energy=energy)
    say(f"idle {when}: {energy['watts_mean']} W")
