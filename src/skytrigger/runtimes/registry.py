"""The runtimes, one row each: the only place where their names stand."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

from skytrigger.core.errors import InputError
from skytrigger.core.extras import EXTRA_OF, install_command


@dataclass(frozen=True)
class Runtime:
    """One runtime.

    Attributes
    ----------
    title
        As pages and `doctor` call it.
    module, opener
        Below `skytrigger.runtimes`, imported when asked for, and what makes a session of (model file, spec) there. The
        module also has ``offer(name, isa)``: the devices and precisions that the library sees here; and, where the
        engine tells, ``executed_kernels(model, tiles)``.
    precisions
        That `open_session` takes, the best known first.
    package, distributions
        What is imported, and under which names it is installed.
    tone, colour
        Of its marks on pages (class ``c1`` to ``c7`` of the style sheet) and in pictures (RGB, safe for the
        colour-blind).
    on_cpu
        Whether it runs without a GPU.
    searched
        Whether `optimize` tries it unasked.
    ahead
        Whether engines can be built ahead of time (`skytrigger export --engine`).
    resident
        Whether its sessions take tiles that lie on their device (`Session.resident`).
    native
        Whether, on a CPU, it runs networks that take native pixels.
    """

    name: str
    title: str
    module: str
    opener: str
    precisions: tuple[str, ...]
    package: str
    distributions: tuple[str, ...]
    tone: str
    colour: str
    on_cpu: bool = True
    searched: bool = False
    ahead: bool = False
    resident: bool = False
    native: bool = False

    @property
    def extra(self) -> str | None:
        """Extra of the package that brings it; None: it is always there."""
        return EXTRA_OF.get(self.package)

    @property
    def install(self) -> str:
        """The exact command that adds it."""
        return install_command(self.package) if self.extra else f"pip install {self.package}"

    def load(self) -> ModuleType:
        """Its module."""
        return importlib.import_module(f"skytrigger.runtimes.{self.module}")


_TORCH = ("fp32", "tf32", "bf16", "fp16")
_TENSORRT = ("fp32", "tf32", "bf16", "fp16", "int8")
_ROWS = (
    Runtime("torch", "PyTorch", "torch.session", "torch_session", _TORCH, "torch", ("torch",), "c1", "#777777",
            resident=True, native=True),
    Runtime("torch-compiled", "PyTorch compiled", "torch.session", "torch_session", _TORCH, "torch", ("torch",),
            "c2", "#cc79a7", resident=True),
    Runtime("onnxruntime", "ONNX Runtime", "onnxruntime_session", "OnnxRuntimeSession", ("fp32", "fp16", "int8"),
            "onnxruntime", ("onnxruntime", "onnxruntime-gpu"), "c3", "#0072b2", searched=True, native=True),
    Runtime("openvino", "OpenVINO", "openvino_session", "OpenVinoSession", ("fp32", "bf16", "fp16", "int8"),
            "openvino", ("openvino",), "c4", "#d55e00", searched=True, native=True),
    Runtime("tensorrt", "TensorRT", "tensorrt.session", "TensorRtSession", _TENSORRT, "tensorrt",
            ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"), "c5", "#009e73", on_cpu=False, ahead=True),
    Runtime("tensorrt_rtx", "TensorRT-RTX", "tensorrt.session", "TensorRtSession", _TENSORRT, "tensorrt_rtx_bindings",
            ("tensorrt-rtx-cu13-bindings",), "c6", "#e69f00", on_cpu=False, ahead=True),
    Runtime("hopper", "our Hopper kernels", "hopper.session", "HopperSession", ("fp16",), "cuda", ("cuda-bindings",),
            "c7", "#56b4e9", on_cpu=False, resident=True),
)  # fmt: skip
RUNTIMES = {row.name: row for row in _ROWS}
FRAMEWORK = "torch"  # as a user gets it: what every engine is set against; runs any precision of a file
DEFAULT = "onnxruntime"  # comes with the package
AUTOCAST = ("bf16", "tf32")  # precisions an engine makes from a float32 file; all others come from the file


def runtime_of(name: str) -> Runtime:
    """The row called `name`, or InputError."""
    if name not in RUNTIMES:
        raise InputError(f"no runtime called {name!r}", expected=", ".join(RUNTIMES))
    return RUNTIMES[name]


def runtime_names(text: str) -> tuple[str, ...]:
    """``NAME[,NAME]`` of a command line, each known."""
    return tuple(runtime_of(name.strip()).name for name in text.split(","))


def file_precision(precision: str) -> str:
    """Precision of the model file that an engine in `precision` is made from."""
    return "fp32" if precision in AUTOCAST else precision


def faithful(precision: str) -> str:
    """The runtime on a CPU that runs a file of `precision` as it is, for checks of the file itself."""
    return FRAMEWORK if precision == "fp16" else DEFAULT
