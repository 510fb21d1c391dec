"""What each runtime can do on this machine, asked of the library itself in a process of its own.

A library that is broken can take the process down with it or load for seconds; each is asked in a child, all at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from skytrigger.core.extras import EXTRA_OF, install_command
from skytrigger.core.host import host_facts, package_versions

Offer = dict[str, Any]


class NotHereError(Exception):
    """The library is sound, this machine lacks what it runs on."""

    def __init__(self, why_not: str, remedy: str) -> None:
        super().__init__(why_not)
        self.remedy = remedy


def _precision(name: str, native: bool, note: str = "") -> Offer:
    return {"name": name, "native": native, **({"note": note} if note else {})}


def _cpu_precisions(isa: list[str], halves_run: bool) -> list[Offer]:
    """fp32, int8, and where `halves_run` bf16 and fp16, each with whether the CPU has instructions for it."""
    int8 = any(f in isa for f in ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"))
    found = [_precision("fp32", True), _precision("int8", int8, "" if int8 else "no integer dot product: not faster")]
    if halves_run:
        bf16 = any(f in isa for f in ("avx512_bf16", "amx_bf16", "bf16"))
        fp16 = any(f in isa for f in ("avx512_fp16", "amx_fp16", "asimdhp"))
        found.append(_precision("bf16", bf16, "" if bf16 else "emulated"))
        found.append(_precision("fp16", fp16, "" if fp16 else "emulated"))
    return found


def _torch(isa: list[str]) -> list[Offer]:
    import torch

    precisions = [p for p in _cpu_precisions(isa, halves_run=True) if p["name"] != "int8"]
    devices = [{"device": "cpu", "precisions": precisions}]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            bf16 = torch.cuda.get_device_capability(index) >= (8, 0)
            kinds = [_precision("fp32", True), _precision("fp16", True), _precision("bf16", bf16)]
            kinds.append(_precision("tf32", bf16))
            devices.append({"device": f"cuda:{index}", "name": torch.cuda.get_device_name(index), "precisions": kinds})
    return devices


def _onnxruntime(isa: list[str]) -> list[Offer]:
    import onnxruntime

    devices: list[Offer] = []
    for provider in onnxruntime.get_available_providers():
        if provider == "CPUExecutionProvider":
            kinds = _cpu_precisions(isa, halves_run=False)
            kinds.append(_precision("fp16", False, "computed in fp32 between casts"))
            devices.append({"device": "cpu", "provider": provider, "precisions": kinds})
        elif provider in ("CUDAExecutionProvider", "TensorrtExecutionProvider"):
            kinds = [_precision("fp32", True), _precision("fp16", True)]
            devices.append(
                {"device": "cuda", "provider": provider, "precisions": kinds, "note": "built in; needs a GPU"}
            )
    return devices


def _openvino(isa: list[str]) -> list[Offer]:
    import openvino

    names = {"FP32": "fp32", "FP16": "fp16", "BF16": "bf16", "INT8": "int8"}
    core = openvino.Core()
    devices = []
    for device in core.available_devices:
        can = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
        kinds = [_precision(names[c], True) for c in can if c in names]
        devices.append(
            {"device": device.lower(), "name": core.get_property(device, "FULL_DEVICE_NAME"), "precisions": kinds}
        )
    return devices


def _on_cuda(precisions: list[Offer], unsupported: Callable[[tuple[int, int]], bool] = lambda c: False) -> list[Offer]:
    """The GPUs that torch sees; NotHereError where there are none, or none is supported."""
    import torch

    if not torch.cuda.is_available():
        raise NotHereError(
            f"installed, but torch {torch.__version__} sees no NVIDIA GPU",
            "a machine with an NVIDIA GPU and a CUDA build of torch",
        )
    devices = []
    for index in range(torch.cuda.device_count()):
        capability = torch.cuda.get_device_capability(index)
        if not unsupported(capability):
            name = torch.cuda.get_device_name(index)
            devices.append({"device": f"cuda:{index}", "name": name, "precisions": precisions})
    if not devices:
        raise NotHereError(
            f"installed, but does not support {torch.cuda.get_device_name(0)}",
            f"tensorrt instead: {install_command('tensorrt')}",
        )
    return devices


def _tensorrt(isa: list[str]) -> list[Offer]:
    import tensorrt

    kinds = [_precision(name, True) for name in ("fp32", "tf32", "bf16", "fp16", "int8")]
    return [{**d, "version": tensorrt.__version__} for d in _on_cuda(kinds)]


def _tensorrt_rtx(isa: list[str]) -> list[Offer]:
    import tensorrt_rtx_bindings as rtx

    def unsupported(capability: tuple[int, int]) -> bool:
        return f"SM{capability[0]}{capability[1]}" not in rtx.ComputeCapability.__members__

    try:
        kinds = [_precision(name, True) for name in ("fp32", "tf32", "bf16", "fp16", "int8")]
        return [{**d, "version": rtx.__version__} for d in _on_cuda(kinds, unsupported)]
    except NotHereError as error:
        ahead = "engines can be built here: skytrigger export MODEL.onnx --engine tensorrt_rtx --compute-capability 8.9"
        raise NotHereError(str(error), f"{error.remedy}; {ahead}") from error


def _hopper(isa: list[str]) -> list[Offer]:
    import cuda.bindings.nvrtc  # noqa: F401

    return _on_cuda([_precision("fp16", True)], lambda capability: capability != (9, 0))


def _numba(isa: list[str]) -> list[Offer]:
    import numba

    return [{"device": "cpu", "threads": int(numba.get_num_threads()), "precisions": [_precision("fp32", True)]}]


# name -> module, where they differ
MODULE_OF = {"tensorrt_rtx": "tensorrt_rtx_bindings", "hopper": "cuda"}
# name -> (distributions that bring it, how to ask it)
RUNTIMES: dict[str, tuple[tuple[str, ...], Callable[[list[str]], list[Offer]]]] = {
    "torch": (("torch",), _torch),
    "onnxruntime": (("onnxruntime", "onnxruntime-gpu"), _onnxruntime),
    "openvino": (("openvino",), _openvino),
    "tensorrt": (("tensorrt", "tensorrt-cu13", "tensorrt-cu12"), _tensorrt),
    "tensorrt_rtx": (("tensorrt-rtx-cu13-bindings",), _tensorrt_rtx),
    "hopper": (("cuda-bindings",), _hopper),
    "numba": (("numba",), _numba),
}


def remedy(name: str) -> str:
    """The exact command that adds the runtime or module `name`."""
    module = MODULE_OF.get(name, name)
    return install_command(module) if module in EXTRA_OF else f"pip install {module}"


def runtime_offers(timeout_s: float = 20.0) -> dict[str, Offer]:
    """For each runtime: ``available``, ``version``, ``devices`` with precisions; or ``why_not`` and ``remedy``."""
    asked = {}
    offers: dict[str, Offer] = {}
    for module, (distributions, _) in RUNTIMES.items():
        versions = package_versions(distributions)
        version = next(iter(versions.values()), None)
        if version is None:
            offers[module] = {"available": False, "why_not": "not installed", "remedy": remedy(module)}
            continue
        offers[module] = {"available": True, "version": version}
        asked[module] = subprocess.Popen(
            [sys.executable, "-m", "skytrigger.measure.offers", module],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
    for module, child in asked.items():
        try:
            out, err = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            out, err = "", f"did not answer within {timeout_s:g} s"
        if child.returncode == 0:
            answer = json.loads(out.splitlines()[-1])
            offers[module].update({"devices": answer} if isinstance(answer, list) else {"available": False, **answer})
        else:
            reason = err.strip().splitlines()[-1] if err.strip() else f"ended with code {child.returncode}"
            offers[module].update(available=False, why_not=reason, remedy=remedy(module))
    return {module: offers[module] for module in RUNTIMES}


def _answer(name: str) -> list[Offer] | Offer:
    try:
        return RUNTIMES[name][1](host_facts()["cpu"]["isa"])
    except NotHereError as error:
        return {"why_not": str(error), "remedy": error.remedy}


if __name__ == "__main__":
    print(json.dumps(_answer(sys.argv[1])))
