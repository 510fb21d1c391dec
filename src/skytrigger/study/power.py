"""Preset `power`: watts, utilisation, temperature; training and inference, framework against optimised runtimes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.core.extras import find
from skytrigger.core.files import write_text
from skytrigger.eo.application import EUROSAT
from skytrigger.learn.exporting import export_run
from skytrigger.learn.recipe import Recipe
from skytrigger.measure.meters.found import open_meters
from skytrigger.measure.meters.protocol import GOOD_WINDOW_S, MIN_WINDOW_S
from skytrigger.measure.records import Record
from skytrigger.study.batch_size import timed
from skytrigger.study.training_records import trained

Say = Callable[[float, str], object]


@dataclass(frozen=True)
class PowerOptions:
    """What is run on each device.

    Attributes
    ----------
    devices
        ``cpu``, ``cuda:0``; empty: the CPU, and the first GPU where there is one.
    epochs
        Epochs of training that are metered.
    engines
        The framework first, then the optimised runtimes.
    window_s
        Loaded power window; at least 5 s, 30 s recommended.
    """

    model: str = "basic"
    devices: tuple[str, ...] = ()
    epochs: int = 3
    batch_size: int = 64
    engines: tuple[str, ...] = ("torch:fp32", "onnxruntime:fp32", "openvino:fp32")
    precisions: tuple[str, ...] = ("fp32",)
    window_s: float = GOOD_WINDOW_S
    seconds: float = 4.0
    threads: int | None = None
    part: str = "test"

    def check(self) -> None:
        """Raise InputError for what cannot be metered."""
        if self.window_s < MIN_WINDOW_S:
            raise InputError(f"window_s = {self.window_s}", expected=f"at least {MIN_WINDOW_S:g} s, better 30 s")
        if not self.engines or not self.precisions:
            raise InputError("the power study names no engine or no precision")


@dataclass(frozen=True)
class _Where:
    """What `timed` needs to know of one device."""

    device: str
    threads: int | None
    seconds: float


def run(
    dataset: Dataset,
    split: Split,
    out: str | Path,
    options: PowerOptions | None = None,
    advance: Say = lambda share, note: None,
) -> list[Record]:
    """Run the study in `out`; ``records.jsonl`` there holds what is returned.

    Where a device has no sensor its times are measured all the same and its energy is marked unavailable. The card's
    nominal maximum is ``where["gpus"][i]["power_limit_w"]`` of each record.
    """
    options = options or PowerOptions()
    options.check()
    out = Path(out)
    devices = options.devices or _devices()
    records = []
    for device in devices:
        name = device.replace(":", "")
        recipe = Recipe(options.model, epochs=options.epochs, batch_size=options.batch_size, precision="fp32")
        meters = open_meters(device)
        try:
            records.append(
                trained(dataset, split, recipe, out / f"training-{name}", part=options.part, device=device,
                        threads=options.threads, meters=meters, extra={"study": "power"})
            )  # fmt: skip
        finally:
            for meter in meters:
                meter.close()
        advance(0.4 / len(devices), f"{device}: trained")
        window_s = options.window_s if meters else 0.0
        for precision in options.precisions:
            model = out / f"model-{name}-{precision}.onnx"
            export_run(out / f"training-{name}", EUROSAT, model, precision, (dataset, split))
            engines = tuple(e for e in options.engines if _holds(e, precision))
            where = _Where(device, options.threads, options.seconds)
            records += timed(dataset, split, model, options.batch_size, engines, where, {"study": "power"}, window_s)
            advance(0.6 / len(devices) / len(options.precisions), f"{device}: {precision} measured")
    write_text(out / "records.jsonl", "".join(record.to_json() + "\n" for record in records))
    return records


def _holds(engine: str, precision: str) -> bool:
    """Whether a model file of `precision` is what `engine` runs."""
    from skytrigger.runtimes.registry import AUTOCAST

    wanted = engine.partition(":")[2]
    return wanted == precision or (precision == "fp32" and wanted in AUTOCAST)


def _devices() -> tuple[str, ...]:
    torch = find("torch")
    return ("cpu", "cuda:0") if torch is not None and torch.cuda.is_available() else ("cpu",)
