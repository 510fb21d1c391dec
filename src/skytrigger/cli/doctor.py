"""`skytrigger doctor`: what this machine offers, with versions and why not."""

from __future__ import annotations

import argparse
from typing import Any

from skytrigger.cli.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(args: argparse.Namespace) -> Outcome:
    """Ask CPU, GPU, runtimes and sensors; nothing is changed."""
    from skytrigger.core.extras import EXTRA_OF
    from skytrigger.core.host import host_facts
    from skytrigger.measure.meters.found import power_sensors
    from skytrigger.runtimes.offers import OTHERS, remedy, runtime_offers
    from skytrigger.runtimes.registry import RUNTIMES

    facts = host_facts()
    listed = {row.package for row in RUNTIMES.values()} | set(OTHERS)
    others = [m for m in EXTRA_OF if m not in listed]
    packages = {
        module: {"available": True} if find_spec(module) else {"available": False, "remedy": remedy(module)}
        for module in others
    }
    data = {"host": facts, "runtimes": runtime_offers(), "sensors": power_sensors(), "packages": packages}
    return Outcome(data=data, text=_text(data))


def find_spec(module: str) -> bool:
    """Whether `module` is installed, without importing it."""
    import importlib.util

    return importlib.util.find_spec(module) is not None


def _text(data: dict[str, Any]) -> str:
    host = data["host"]
    cpu = host["cpu"]
    quota = f", quota {cpu['quota_cores']:g}" if cpu["quota_cores"] else ""
    lines = [
        f"CPU        {cpu['model']}, {cpu['cores_in_mask']} of {cpu['logical_cores']} cores in the mask{quota}",
        f"  features {' '.join(cpu['isa']) or 'unknown'}",
        f"  clock    governor {cpu['governor'] or 'not readable'}, turbo "
        + {True: "on", False: "off", None: "not readable"}[cpu["boost"]],
        f"memory     {host['memory_bytes'] / 2**30:.1f} GiB" if host["memory_bytes"] else "memory     unknown",
        f"system     {host['os']}, {host['kernel']}, {host['python']}"
        + (", virtual machine" if host["hypervisor"] else ""),
    ]
    lines += [f"GPU        {g['name']}, driver {g['driver']}, limit {g['power_limit_w']} W" for g in host["gpus"]]
    if not host["gpus"]:
        lines.append("GPU        none found")
    lines.append("runtimes   (a precision in brackets runs, but this machine has no instructions for it)")
    for name, offer in data["runtimes"].items():
        lines += _offer_lines(name, offer)
    lines.append("power sensors")
    for sensor in data["sensors"]:
        if sensor["available"]:
            hint = f"; {sensor['remedy']}" if sensor.get("remedy") else ""
            lines.append(f"  + {sensor['source']:<20} {sensor['scope']}{hint}")
        else:
            lines += _missing(sensor["source"], sensor)
    missing = [(name, offer) for name, offer in data["packages"].items() if not offer["available"]]
    if missing:
        lines.append("optional packages that are not installed")
        lines += [f"  - {name:<20} {offer['remedy']}" for name, offer in missing]
    return "\n".join(lines)


def _offer_lines(name: str, offer: dict[str, Any]) -> list[str]:
    if not offer["available"]:
        return _missing(name, offer)
    lines = []
    for device in offer["devices"]:
        kinds = " ".join(p["name"] if p["native"] else f"({p['name']})" for p in device["precisions"])
        where = device.get("provider") or device["device"]
        lines.append(f"  + {name:<20} {offer['version']:<14} {where}: {kinds}")
    return lines or [f"  + {name:<20} {offer['version']:<14} no device"]


def _missing(name: str, offer: dict[str, Any]) -> list[str]:
    lines = [f"  - {name:<20} {offer['why_not']}"]
    if offer.get("remedy"):
        lines.append(f"    {'':<20} {offer['remedy']}")
    return lines
