"""What machine this is: the facts a figure needs beside it. Never host names, user names or paths."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any

from skytrigger.core.cgroup import cpu_quota, memory_limit_bytes
from skytrigger.core.extras import find
from skytrigger.core.files import sha256_json

# Flags of /proc/cpuinfo that decide which kernels a runtime picks.
ISA_FLAGS = (
    "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni",
    "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8", "amx_fp16",
    "asimd", "asimdhp", "asimddp", "sve", "sve2", "bf16", "i8mm", "sme",
)  # fmt: skip
PACKAGES = (
    "skytrigger", "numpy", "scipy", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt",
    "tensorrt-rtx", "numba", "numba-cuda", "cuda-bindings", "scikit-learn", "h5py", "pyarrow", "tifffile", "matplotlib",
    "nvidia-ml-py", "dask", "rasterio",
)  # fmt: skip
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_PROC_BIND", "KMP_AFFINITY")


def host_facts(root: Path = Path("/")) -> dict[str, Any]:
    """Facts of this machine and this environment; nothing heavy is imported.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are found (tests pass a folder with recorded files).

    Returns
    -------
    dict
        ``cpu`` (model, isa, cores_in_mask, quota_cores, usable_cores, ...), ``memory_bytes`` (the smaller of the
        machine's and the cgroup's), ``os``, ``kernel``, ``python``, ``packages``, ``gpus`` (via NVML),
        ``hypervisor``, ``environment`` (thread variables that are set). Unreadable facts are None.
    """
    total = _meminfo_bytes(root)
    limit = memory_limit_bytes(root)
    return {
        "cpu": _cpu(root),
        "memory_bytes": min((b for b in (total, limit) if b), default=None),
        "os": _os_name(root),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": package_versions(),
        "gpus": nvml_gpus(),
        "hypervisor": _hypervisor(root),
        "environment": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
    }


def host_label(facts: dict[str, Any]) -> str:
    """One short line: CPU, cores, widest vector unit, GPU, whether virtual."""
    cpu = facts.get("cpu", {})
    isa = cpu.get("isa") or []
    wide = next((f for f in ("amx_int8", "avx512_vnni", "avx512f", "avx2", "sve", "asimd") if f in isa), "")
    cores = cpu.get("usable_cores")
    parts = [cpu.get("model") or "unknown CPU", f"{cores:g} cores" if cores else "", wide]
    parts += [gpu["name"] for gpu in facts.get("gpus") or []]
    if facts.get("hypervisor"):
        parts.append("virtual")
    return ", ".join(p for p in parts if p)


def host_id(facts: dict[str, Any]) -> str:
    """Twelve hex digits, equal for equal hardware, kernel and package versions."""
    cpu = {k: v for k, v in facts.get("cpu", {}).items() if k not in ("mhz", "governor", "boost")}
    same = {k: facts.get(k) for k in ("memory_bytes", "os", "kernel", "python", "packages", "hypervisor")}
    gpus = [{k: g.get(k) for k in ("name", "driver", "memory_bytes")} for g in facts.get("gpus") or []]
    return sha256_json({**same, "cpu": cpu, "gpus": gpus})[:12]


def package_versions(names: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Installed versions of the packages that a figure can depend on."""
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def cores_in_mask() -> int:
    """Cores this process may run on (its affinity mask, or all where the system has no masks)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_cores(root: Path = Path("/")) -> float:
    """Cores in the mask, or the cgroup's quota where that is smaller."""
    quota = cpu_quota(root)
    return min(float(cores_in_mask()), quota) if quota else float(cores_in_mask())


def _cpu(root: Path) -> dict[str, Any]:
    text = read_text(root / "proc/cpuinfo") or ""
    flags = set((_field(text, "flags") or _field(text, "Features") or "").split())
    cpufreq = root / "sys/devices/system/cpu/cpu0/cpufreq"
    mhz = _field(text, "cpu MHz")
    return {
        "model": _field(text, "model name") or _field(text, "Model") or platform.processor() or platform.machine(),
        "vendor": _field(text, "vendor_id"),
        "family": _field(text, "cpu family"),
        "model_number": _field(text, "model"),
        "architecture": platform.machine(),
        "isa": [flag for flag in ISA_FLAGS if flag in flags],
        "logical_cores": os.cpu_count(),
        "cores_in_mask": cores_in_mask(),
        "quota_cores": cpu_quota(root),
        "usable_cores": usable_cores(root),
        "smt": {"1": True, "0": False}.get(read_text(root / "sys/devices/system/cpu/smt/active") or ""),
        "cache_bytes": _caches(root),
        "mhz": float(mhz) if mhz else None,
        "governor": read_text(cpufreq / "scaling_governor"),
        "boost": _boost(root),
    }


def _boost(root: Path) -> bool | None:
    """Whether turbo is on, where the kernel says so."""
    boost = read_text(root / "sys/devices/system/cpu/cpufreq/boost")
    if boost in ("0", "1"):
        return boost == "1"
    no_turbo = read_text(root / "sys/devices/system/cpu/intel_pstate/no_turbo")
    return no_turbo == "0" if no_turbo in ("0", "1") else None


def _caches(root: Path) -> dict[str, int]:
    """Size of each cache that core 0 sees, in bytes, keyed L1d, L1i, L2, L3."""
    sizes = {}
    for index in sorted((root / "sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (read_text(index / name) for name in ("level", "type", "size"))
        match = re.fullmatch(r"(\d+)([KM])", size or "")
        if level and match:
            suffix = {"Data": "d", "Instruction": "i"}.get(kind or "", "")
            sizes[f"L{level}{suffix}"] = int(match[1]) << {"K": 10, "M": 20}[match[2]]
    return sizes


def _hypervisor(root: Path) -> str | None:
    """Name of the hypervisor, ``unknown`` where only its presence shows, or None on bare metal."""
    vendor = read_text(root / "sys/class/dmi/id/sys_vendor") or ""
    product = read_text(root / "sys/class/dmi/id/product_name") or ""
    kind = read_text(root / "sys/hypervisor/type")
    names = ("KVM", "QEMU", "VMware", "VirtualBox", "Xen", "Bochs", "Amazon EC2", "Google")
    named = next((n for n in names if n.lower() in f"{vendor} {product}".lower()), None)
    if kind or named:
        return kind or named
    flags = (_field(read_text(root / "proc/cpuinfo") or "", "flags") or "").split()
    return "unknown" if "hypervisor" in flags else None


def _os_name(root: Path) -> str | None:
    match = re.search(r'^PRETTY_NAME="?([^"\n]+)', read_text(root / "etc/os-release") or "", re.MULTILINE)
    return match[1] if match else platform.system()


def _meminfo_bytes(root: Path) -> int | None:
    match = re.search(r"^MemTotal:\s+(\d+) kB", read_text(root / "proc/meminfo") or "", re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _field(text: str, name: str) -> str | None:
    match = re.search(rf"^{re.escape(name)}\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else None


def read_text(path: Path) -> str | None:
    """Content of a small kernel file without surrounding space, or None where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def nvml_gpus() -> list[dict[str, Any]]:
    """NVIDIA GPUs through NVML: no serial numbers, no UUIDs. Empty without a driver or without NVML."""
    nvml = find("pynvml")
    if nvml is None:
        return []
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return []
    try:
        driver = _text(nvml.nvmlSystemGetDriverVersion())
        return [_nvml_gpu(nvml, i, driver) for i in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:
        return []
    finally:
        nvml.nvmlShutdown()


def _nvml_gpu(nvml: Any, index: int, driver: str) -> dict[str, Any]:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)

    def ask(function: str, *arguments: Any) -> Any:
        try:
            return getattr(nvml, function)(handle, *arguments)
        except (nvml.NVMLError, AttributeError):
            return None

    memory = ask("nvmlDeviceGetMemoryInfo")
    limit_mw = ask("nvmlDeviceGetEnforcedPowerLimit")
    capability = ask("nvmlDeviceGetCudaComputeCapability")
    return {
        "name": _text(nvml.nvmlDeviceGetName(handle)),
        "driver": driver,
        "memory_bytes": int(memory.total) if memory else None,
        "compute_capability": f"{capability[0]}.{capability[1]}" if capability else None,
        "power_limit_w": limit_mw / 1e3 if limit_mw else None,
        "max_sm_clock_mhz": ask("nvmlDeviceGetMaxClockInfo", getattr(nvml, "NVML_CLOCK_SM", 1)),
    }


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
