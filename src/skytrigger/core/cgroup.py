"""What the control group allows and reports: CPU quota, memory limit, throttling. Versions 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def _folders(root: Path, controller: str) -> Iterator[tuple[int, Path]]:
    """(cgroup version, folder) of this process and of each parent, for one controller."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, inside = rest.partition(":")
        if number == "0" and not controllers:
            version, base = 2, root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            version, base = 1, root / "sys/fs/cgroup" / controllers
            if not base.is_dir():
                base = root / "sys/fs/cgroup" / controller
        else:
            continue
        parts = [p for p in inside.split("/") if p and p != ".."]
        for depth in range(len(parts), -1, -1):
            yield version, base.joinpath(*parts[:depth])


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores the cgroup and its parents allow (the smallest quota / period), or None without a limit."""
    quotas = []
    for version, folder in _folders(root, "cpu"):
        if version == 2:
            words = _words(folder / "cpu.max")
        else:
            words = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[0]) > 0 < int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def memory_limit_bytes(root: Path = Path("/")) -> int | None:
    """Bytes the cgroup and its parents allow, or None without a limit."""
    limits = []
    for version, folder in _folders(root, "memory"):
        words = _words(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))
        if words and words[0].isdigit() and int(words[0]) < 1 << 60:  # version 1 writes 2**63 for "no limit"
            limits.append(int(words[0]))
    return min(limits, default=None)


def throttled_s(root: Path = Path("/")) -> float | None:
    """Seconds the innermost readable cgroup has been held back by its CPU quota so far, or None."""
    for version, folder in _folders(root, "cpu"):
        words = _words(folder / "cpu.stat")
        counters = dict(zip(words[::2], words[1::2], strict=False))
        name, scale = ("throttled_usec", 1e-6) if version == 2 else ("throttled_time", 1e-9)
        if counters.get(name, "").isdigit():
            return int(counters[name]) * scale
    return None
