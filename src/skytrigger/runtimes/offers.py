"""What each runtime can do on this machine, asked of the library itself in a process of its own.

A library that is broken can take the process down with it or load for seconds; each is asked in a child, all at once.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from skytrigger.core.errors import UnavailableError
from skytrigger.core.extras import EXTRA_OF, install_command
from skytrigger.core.host import host_facts, package_versions
from skytrigger.runtimes.registry import RUNTIMES, runtime_of

Offer = dict[str, Any]
# what computes here and is no runtime of sessions: name -> (distributions, module with `offer`)
OTHERS = {"numba": (("numba",), "skytrigger.runtimes.offers")}


def precision(name: str, native: bool = True, note: str = "") -> Offer:
    """One precision; `native`: the device has instructions for it."""
    return {"name": name, "native": native, **({"note": note} if note else {})}


def cpu_precisions(isa: list[str], halves_run: bool) -> list[Offer]:
    """fp32, int8, and where `halves_run` bf16 and fp16, each with whether the CPU has instructions for it."""
    int8 = any(f in isa for f in ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"))
    offered = [precision("fp32"), precision("int8", int8, "" if int8 else "no integer dot product: not faster")]
    if halves_run:
        bf16 = any(f in isa for f in ("avx512_bf16", "amx_bf16", "bf16"))
        fp16 = any(f in isa for f in ("avx512_fp16", "amx_fp16", "asimdhp"))
        offered.append(precision("bf16", bf16, "" if bf16 else "emulated"))
        offered.append(precision("fp16", fp16, "" if fp16 else "emulated"))
    return offered


def on_cuda(name: str, unsupported: Callable[[tuple[int, int]], bool] = lambda c: False) -> list[Offer]:
    """The GPUs that torch sees, with the runtime's precisions.

    Raises
    ------
    UnavailableError
        There are none, or none is supported.
    """
    import torch

    if not torch.cuda.is_available():
        raise UnavailableError(
            f"installed, but torch {torch.__version__} sees no NVIDIA GPU",
            remedy="a machine with an NVIDIA GPU and a CUDA build of torch",
        )
    kinds = [precision(kind) for kind in runtime_of(name).precisions]
    devices = []
    for index in range(torch.cuda.device_count()):
        if not unsupported(torch.cuda.get_device_capability(index)):
            gpu = torch.cuda.get_device_name(index)
            devices.append({"device": f"cuda:{index}", "name": gpu, "precisions": kinds})
    if not devices:
        raise UnavailableError(
            f"installed, but does not support {torch.cuda.get_device_name(0)}",
            remedy="another runtime for GPUs, as listed here",
        )
    return devices


def offer(name: str, isa: list[str]) -> list[Offer]:
    """numba's."""
    import numba

    return [{"device": "cpu", "threads": int(numba.get_num_threads()), "precisions": [precision("fp32")]}]


def remedy(name: str) -> str:
    """The exact command that adds the runtime or module `name`."""
    if name in RUNTIMES:
        return RUNTIMES[name].install
    return install_command(name) if name in EXTRA_OF else f"pip install {name}"


def runtime_offers(timeout_s: float = 20.0) -> dict[str, Offer]:
    """For each runtime: ``available``, ``version``, ``devices`` with precisions; or ``why_not`` and ``remedy``."""
    asked = {}
    offers: dict[str, Offer] = {}
    known = {name: row.distributions for name, row in RUNTIMES.items()} | {n: d for n, (d, _) in OTHERS.items()}
    for name, distributions in known.items():
        version = next(iter(package_versions(distributions).values()), None)
        if version is None:
            offers[name] = {"available": False, "why_not": "not installed", "remedy": remedy(name)}
            continue
        offers[name] = {"available": True, "version": version}
        asked[name] = subprocess.Popen(
            [sys.executable, "-m", "skytrigger.runtimes.offers", name],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
    for name, child in asked.items():
        try:
            out, err = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            out, err = "", f"did not answer within {timeout_s:g} s"
        if child.returncode == 0:
            answer = json.loads(out.splitlines()[-1])
            offers[name].update({"devices": answer} if isinstance(answer, list) else {"available": False, **answer})
        else:
            reason = err.strip().splitlines()[-1] if err.strip() else f"ended with code {child.returncode}"
            offers[name].update(available=False, why_not=reason, remedy=remedy(name))
    return {name: offers[name] for name in known}


def _answer(name: str) -> list[Offer] | Offer:
    module = importlib.import_module(OTHERS[name][1]) if name in OTHERS else runtime_of(name).load()
    try:
        offered: list[Offer] = module.offer(name, host_facts()["cpu"]["isa"])
    except UnavailableError as error:
        return {"why_not": error.problem, "remedy": error.remedy}
    return offered


if __name__ == "__main__":
    print(json.dumps(_answer(sys.argv[1])))
