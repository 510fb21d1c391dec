"""The one description of an engine: what sessions, bench, search, records and report all mean by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.core.host import cores_in_mask
from skytrigger.runtimes.input_type import check_input_type
from skytrigger.runtimes.registry import DEFAULT, file_precision, runtime_of

MOST_IMAGES, MOST_STREAMS = 1 << 16, 64


@dataclass(frozen=True)
class EngineSpec:
    """A model file on a runtime.

    Attributes
    ----------
    model
        Path of the model file; empty where it is understood.
    batch_size
        Images a call of one stream takes.
    threads, streams
        CPU threads of one stream's work; streams side by side.
    input_type
        Of the tiles that the session takes.
    """

    model: str = ""
    runtime: str = DEFAULT
    precision: str = "fp32"
    batch_size: int = 1
    threads: int = 1
    streams: int = 1
    device: str = "cpu"
    input_type: str = "float32"

    @property
    def images(self) -> int:
        """In flight at once."""
        return self.batch_size * self.streams

    @property
    def file_precision(self) -> str:
        """Of the model file it is made from."""
        return file_precision(self.precision)

    @property
    def name(self) -> str:
        """Short name of the model: of its folder where the file is just ``model.onnx``."""
        path = Path(self.model)
        return path.parent.name if path.stem == "model" and path.parent.name else path.stem

    @property
    def engine(self) -> str:
        """What runs it, without the model: ``openvino int8, batch 8, 2 threads x 2 streams, uint16 tiles``."""
        words = [f"{self.runtime} {self.precision}", f"batch {self.batch_size}"]
        streams = f" x {self.streams} streams" if self.streams > 1 else ""
        words.append(f"{self.threads} thread{'s' if self.threads > 1 else ''}{streams}")
        words += [self.device] if self.device != "cpu" else []
        words += [f"{self.input_type} tiles"] if self.input_type != "float32" else []
        return ", ".join(words)

    @property
    def label(self) -> str:
        """Model and engine: tells it from all its neighbours."""
        return f"{self.name} {self.engine}".strip()

    def check(self) -> EngineSpec:
        """Itself; InputError for an unknown runtime or impossible numbers."""
        runtime_of(self.runtime)
        if not 1 <= self.threads <= cores_in_mask():
            raise InputError(
                f"threads = {self.threads}", expected=f"1 to {cores_in_mask()}, the cores this process may use"
            )
        for name, value, most in (
            ("batch size", self.batch_size, MOST_IMAGES),
            ("streams", self.streams, MOST_STREAMS),
        ):
            if not 1 <= value <= most:
                raise InputError(f"{name} = {value}", expected=f"1 to {most}")
        check_input_type(self.input_type)
        return self

    def to_json(self) -> dict[str, Any]:
        """For records and step files."""
        return asdict(self)

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> EngineSpec:
        """From a record's ``what`` or `to_json`; entries that are not of an engine are left aside."""
        known = {f.name for f in fields(EngineSpec)}
        return EngineSpec(**{k: v for k, v in raw.items() if k in known})
